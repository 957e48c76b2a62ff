package discovery

import (
	"net/http/httptest"
	"os"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

func TestServiceDiscovery(t *testing.T) {
	for name, test := range map[string]struct {
		networks []string
		want     string
	}{
		"no dragons":  {nil, "testdata/sd-empty.json"},
		"two dragons": {[]string{"127.10.0.0/29"}, "testdata/sd.json"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFarm(t, dragontest.HerdConfig{Count: 2, Port: 8080, Specs: dragontest.Mixed}, Config{Networks: networks(t, test.networks...), Port: 8080})
				f.scan()
				w := httptest.NewRecorder()
				SDHandler(f.fleet).ServeHTTP(w, httptest.NewRequest("GET", "/sd", nil))
				if w.Code != 200 || w.Header().Get("Content-Type") != "application/json; charset=utf-8" {
					t.Errorf("%d %v", w.Code, w.Header())
				}
				want, err := os.ReadFile(test.want)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(string(want), w.Body.String()); d != "" {
					t.Error(d)
				}
			})
		})
	}
}
