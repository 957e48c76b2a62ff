package discovery

import (
	"crypto/tls"
	"encoding/json"
	"net/http/httptest"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
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
				f := newFarm(t, dragontest.FleetConfig{Count: 2, Port: 8080, Specs: dragontest.Mixed}, Config{Networks: networks(t, test.networks...), Port: 8080})
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

func TestADragonWhoseAddressWasTakenIsATargetByItsWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Count: 2}, Config{Networks: networks(t, "127.10.0.0/29")})
		f.scan()
		gone, taker := f.known(0), f.known(1)
		time.Sleep(10 * time.Minute)
		for i, to := range []string{"127.10.0.20", "127.10.0.1"} {
			if err := f.simulated.Move(i, netip.MustParseAddr(to)); err != nil {
				t.Fatal(err)
			}
		}
		f.scan()
		w := httptest.NewRecorder()
		SDHandler(f.fleet).ServeHTTP(w, httptest.NewRequest("GET", "/sd", nil))
		var groups []targetGroup
		if err := json.Unmarshal(w.Body.Bytes(), &groups); err != nil {
			t.Fatal(err)
		}
		targets := make(map[string]string) // the worker, by target
		for _, g := range groups {
			targets[g.Targets[0]] = g.Labels["__meta_dragon_worker"]
		}
		want := map[string]string{gone.Info().Worker: gone.Info().Worker, "127.10.0.1": taker.Info().Worker}
		if d := cmp.Diff(want, targets); d != "" || len(groups) != 2 {
			t.Error(d)
		}
		for target, worker := range want {
			if d, err := f.Find(t.Context(), target); err != nil || d.Info().Worker != worker {
				t.Errorf("/probe of %s: %v", target, err)
			}
		}
	})
}

func TestLabelsAreInServiceDiscovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Count: 1}, Config{Networks: networks(t, "127.10.0.0/29")})
		f.scan()
		f.labels = map[string]*fleet.Labels{f.known(0).Info().MAC: {Name: "Bertha", Pairs: []fleet.Label{{Name: "rack", Value: "a12"}}}}
		f.fleet.Change(fleet.Settings{})
		w := httptest.NewRecorder()
		SDHandler(f.fleet).ServeHTTP(w, httptest.NewRequest("GET", "/sd", nil))
		var groups []targetGroup
		if err := json.Unmarshal(w.Body.Bytes(), &groups); err != nil || len(groups) != 1 {
			t.Fatalf("%v: %s", err, w.Body)
		}
		if l := groups[0].Labels; l["__meta_dragon_name"] != "Bertha" || l["__meta_dragon_label_rack"] != "a12" {
			t.Errorf("%v", l)
		}
	})
}

func TestServiceDiscoveryWithoutRelabelling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Count: 2, Port: 8080}, Config{Networks: networks(t, "127.10.0.0/29"), Port: 8080})
		f.scan()
		ask := func(url string, secure bool) []targetGroup {
			r := httptest.NewRequest("GET", url, nil)
			r.Host = "mother.example:9977"
			if secure {
				r.TLS = &tls.ConnectionState{}
			}
			w := httptest.NewRecorder()
			SDHandler(f.fleet).ServeHTTP(w, r)
			var groups []targetGroup
			if err := json.Unmarshal(w.Body.Bytes(), &groups); err != nil || len(groups) != 2 {
				t.Fatalf("%v %s", err, w.Body)
			}
			return groups
		}
		g := ask("/sd?probe=1", false)[1]
		if g.Targets[0] != "mother.example:9977" || g.Labels["__param_target"] != g.Labels["__meta_dragon_worker"] || g.Labels["__metrics_path__"] != "/probe" ||
			g.Labels["instance"] != g.Labels["__meta_dragon_worker"] || g.Labels["__meta_dragon_worker"] == "" || g.Labels["__scheme__"] != "" {
			t.Errorf("%+v", g)
		}
		if g := ask("/dragons/sd?probe=1", true)[0]; g.Labels["__metrics_path__"] != "/dragons/probe" || g.Labels["__scheme__"] != "https" {
			t.Errorf("behind a prefix, with TLS: %+v", g)
		}
		for _, url := range []string{"/sd", "/sd?probe=0"} {
			if g := ask(url, false)[0]; g.Targets[0] != "127.10.0.1:8080" || g.Labels["__param_target"] != "" {
				t.Errorf("%s: the plain form is %+v", url, g)
			}
		}
	})
}
