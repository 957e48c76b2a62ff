package dragontest

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/brndnmtthws/mother-of-dragons/dragon/recording"
)

// Replay returns a handler that answers as a recorded dragon did, to every login. What
// the recording does not hold is answered as a device does that does not know it.
func Replay(r *recording.Recording) http.Handler {
	answers := make(map[string]recording.Answer, len(r.Answers))
	for _, a := range r.Answers {
		answers[a.Path] = a
	}
	login := `{"success":true,"jwt":` + strconv.Quote(New(Spec{}).Token("admin")) + `}`
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		api := strings.HasPrefix(req.URL.Path, "/api/")
		a, recorded := answers[req.URL.Path]
		switch {
		case req.URL.Path == "/api/auth":
			a = recording.Answer{Status: http.StatusOK, ContentType: "application/json", Body: login}
		case api && (!recorded || req.Header.Get("Authorization") == ""):
			a = recording.Answer{Status: http.StatusOK, ContentType: "application/json", Body: `{"success":false,"message":"invalid request"}`}
		case !recorded:
			a = answers["/"]
		}
		if a.Status == 0 { // there was no answer
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", a.ContentType)
		w.WriteHeader(a.Status)
		_, _ = w.Write(a.Content())
	})
}
