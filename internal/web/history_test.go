package web

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
)

func TestTheHistoryIsFiltered(t *testing.T) {
	c := newClinic(t)
	if _, err := c.healer.Pause(t.Context(), healer.PauseRequest{Scope: "fleet", Owner: agent.Unverified + "eva", Reason: "a visit"}); err != nil {
		t.Fatal(err)
	}
	if err := c.healer.Quarantine(t.Context(), c.worker, "eva", "waits for a board"); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		path       string
		has, hasNo string
	}{
		{"/healer?kind=hold", "a visit", "waits for a board"},
		{"/healer?kind=state", "waits for a board", "of fleet"},
		{"/healer?kind=person&since=1h", "waits for a board", "No entries."},
		{"/healer?kind=person&since=1h", "a visit", "No entries."},
		{"/healer?kind=action", "No entries.", "waits for a board"},
		{"/healer?dragon=" + c.worker, "waits for a board", "of fleet"},
		{"/healer?dragon=nobody", "no such dragon", "waits for a board"},
		{"/healer?kind=nonsense", "expected one of action, blocked", "waits for a board"},
		{"/dragon?worker=" + c.worker + "&kind=blocked", "No entries.", "waits for a board"},
		{"/dragon?worker=" + c.worker, "waits for a board", "of fleet"},
		{"/api/v1/history?kind=hold", "a visit", "waits for a board"},
	} {
		_, page, _ := strings.Cut(c.look(false, x.path), `data-live="history"`)
		if strings.HasPrefix(x.path, "/api") {
			page = c.look(false, x.path)
		}
		if !strings.Contains(page, x.has) || strings.Contains(page, x.hasNo) {
			t.Errorf("%s: want %q and not %q:\n%s", x.path, x.has, x.hasNo, page)
		}
	}
}

func TestHistoryQueriesAreChecked(t *testing.T) {
	for _, bad := range []string{"kind=x", "since=1", "since=-1h", "n=0", "n=x", "n=10001"} {
		v, _ := url.ParseQuery(bad)
		if q, err := historyOf(v); err == nil {
			t.Errorf("%s: %+v", bad, q)
		}
	}
	q, err := historyOf(url.Values{"kind": {"person"}, "since": {"24h"}, "n": {"7"}})
	if err != nil || q.since != 24*time.Hour || q.N != 7 {
		t.Fatalf("%+v, %v", q, err)
	}
	for actor, person := range map[string]bool{
		"user:eva": true, "unverified:eva": true, "user:dragon-auto-upgrade": false, "healer": false, "rollout:f1": false, "calendar:peak": false,
	} {
		if q.is(&healer.Audit{Actor: actor}) != person {
			t.Errorf("%s: is a person: %v", actor, !person)
		}
	}
}

func TestADragonLinksToItsBoard(t *testing.T) {
	for base, want := range map[string]string{
		"":                             "",
		"http://grafana:3000":          "http://grafana:3000/d/mother-dragon?var-worker=dragon-1%26x",
		"https://grafana.example/sub/": "https://grafana.example/sub/d/mother-dragon?var-worker=dragon-1%26x",
	} {
		p := &pages{api: &api{APIConfig: APIConfig{Grafana: func() string { return base }}}}
		if got := p.board("dragon-1&x"); got != want {
			t.Errorf("%q: %s, want %s", base, got, want)
		}
	}
	if got := (&pages{api: &api{}}).board("dragon-1"); got != "" {
		t.Errorf("without a configuration: %s", got)
	}
}
