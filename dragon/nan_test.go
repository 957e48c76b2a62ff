package dragon

import (
	"strings"
	"testing"
)

// cgminer prints nan and inf where it divides by zero, and Python's json writes and reads NaN.
func TestANumberThatJSONDoesNotKnowCostsOnlyItself(t *testing.T) {
	for _, word := range []string{"NaN", "nan", "-nan", "Infinity", "-Infinity", "inf", "-inf", "INF"} {
		body := summaryOf(board(4, `"Name":"nan, -inf","MHS 5s":`+word), board(7, `"MHS 5s":3`))
		c := summaryClient(&body)
		s, err := c.Summary(t.Context())
		if err != nil {
			t.Errorf("%s: %v", word, err)
			continue
		}
		if got := strings.Join(s.Unreadable, " "); got != "DEVS.MHS 5s" || len(s.Boards) != 2 || s.Boards[0].Hashrate5s.IsKnown() ||
			s.Boards[0].Name != "nan, -inf" || s.Boards[1].Hashrate5s != Known(3e6) {
			t.Errorf("%s: unreadable %q: %+v", word, got, s.Boards)
		}
		if want := strings.Replace(body, ":"+word, `:"`+word+`"`, 1); string(s.Raw) != want {
			t.Errorf("%s: %s, want %s", word, s.Raw, want)
		}
	}
	for _, body := range []string{`{"success":true,"DEVS":[],"POOLS":[],x:nan}`, `{"success":true,"DEVS":[nan`, `nan`, `{"success":nano}`} {
		_, err := summaryClient(&body).Summary(t.Context())
		wantKind(t, err, ErrBadResponse)
	}
}
