package dragon

import (
	"bufio"
	"bytes"
	"net/http"
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
	answer := []byte(answerRaw(summaryT1))
	login := []byte(answerRaw(loginOK))
	kind := []byte(answerRaw(typeT1))
	refusal := []byte(answerRaw(`{"success":false,"message":"invalid request"}`))
	c := New("dragon", Options{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		switch r.URL.Path {
		case "/api/auth":
			return http.ReadResponse(bufio.NewReader(bytes.NewReader(login)), r)
		case "/api/type":
			return http.ReadResponse(bufio.NewReader(bytes.NewReader(kind)), r)
		}
		if r.Header.Get("Authorization") == "" { // asked before a login whether it is a dragon
			return http.ReadResponse(bufio.NewReader(bytes.NewReader(refusal)), r)
		}
		return http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), r)
	})})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Summary(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
