package dragon

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
)

func BenchmarkSummary(b *testing.B) {
	body := []byte(summaryT1)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var s reported
		if _, err := readAnswer(body, &summaryFields, &s); err != nil {
			b.Fatal(err)
		}
		if len(s.inBaseUnits(1e6).Boards) != 3 {
			b.Fatal("boards missing")
		}
	}
}

// BenchmarkClientSummary is a whole call without the network: request, answer, Summary.
func BenchmarkClientSummary(b *testing.B) {
	body := summaryT1
	c := summaryClient(&body)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Summary(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// summaryClient is the client of a dragon whose summary is what body says, without a network.
func summaryClient(body *string) *Client {
	return New("dragon", Options{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		answer := *body
		switch {
		case r.URL.Path == "/api/auth":
			answer = loginOK
		case r.URL.Path == "/api/type":
			answer = typeT1
		case r.Header.Get("Authorization") == "": // asked before a login whether it is a dragon
			answer = `{"success":false,"message":"invalid request"}`
		}
		return http.ReadResponse(bufio.NewReader(strings.NewReader(answerRaw(answer))), r)
	})})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
