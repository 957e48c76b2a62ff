package web

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/discovery"
	"github.com/brndnmtthws/mother-of-dragons/healer"
)

func TestADragonIsForgottenAtOnce(t *testing.T) {
	c := newClinic(t)
	page := c.look(true, "/dragon?worker="+c.worker)
	if !strings.Contains(page, "do=forget") || !strings.Contains(page, "do=retire") {
		t.Error("its page has no way to forget or retire it")
	}
	if code, body := c.send(true, url.Values{"do": {"forget"}, "dragon": {c.worker}, "owner": {"o"}}, nil); code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	if c.fleet.Lookup(c.worker) != nil || strings.Contains(c.look(false, "/fleet"), c.worker) {
		t.Error("it is still known")
	}
	if _, err := c.healer.Why(c.worker); err == nil {
		t.Error("the healer still knows it")
	}
	if code, _ := c.send(true, url.Values{"do": {"forget"}, "dragon": {c.worker}, "owner": {"o"}}, nil); code != 404 {
		t.Errorf("a second time: %d", code)
	}
}

func TestARetiredDragonIsSilentForAsLongAsItTakes(t *testing.T) {
	c := newClinic(t)
	if code, body := c.send(true, url.Values{"do": {"retire"}, "dragon": {c.worker}, "owner": {"o"}, "reason": {"sold"}, "for": {"8760h"}}, nil); code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	p := c.pauses()
	if len(p) != 1 || p[0].Kind != healer.Maintained || !p[0].Retired || p[0].Until.Since(p[0].At) != 8760*time.Hour {
		t.Errorf("%+v", p)
	}
	if c.fleet.Lookup(c.worker) == nil {
		t.Error("it is no longer known")
	}
	if page := c.look(true, "/dragon?worker="+c.worker); !strings.Contains(page, "do=unretire") || strings.Contains(page, "do=retire") {
		t.Error("its page has no way to unretire it")
	}
	if code, body := c.send(true, url.Values{"do": {"unretire"}, "dragon": {c.worker}, "owner": {"o"}}, nil); code != 200 || len(c.pauses()) != 0 {
		t.Errorf("%d %s, pauses %+v", code, body, c.pauses())
	}
	if code, _ := c.send(true, url.Values{"do": {"unretire"}, "dragon": {c.worker}, "owner": {"o"}}, nil); code != 409 {
		t.Errorf("a second time: %d", code)
	}
}

func TestWhatIsMissingIsShown(t *testing.T) {
	c := newClinic(t)
	if page := c.look(false, "/fleet"); strings.Contains(page, "not let in") {
		t.Error("nothing is missing, and it is shown")
	}
	status := discovery.Status{Outcome: "incomplete", At: time.Unix(1, 0), Unanswered: []string{"127.10.0.77"},
		Locked:  []discovery.Locked{{Address: "127.10.0.88", Brand: "AsicMiner", Reason: discovery.LockedOut, Detail: "<b>no</b>"}},
		Targets: []discovery.TargetStatus{{Name: "miner.example", Reason: "https", Detail: "it wants HTTPS"}, {Name: "127.10.0.1", Up: true}}}
	c.discovery = func() discovery.Status { return status }
	page := c.look(false, "/fleet")
	for _, want := range []string{"The last scan is incomplete", "127.10.0.77", "Found, not let in", "127.10.0.88", "locked out after failed logins", "miner.example", "it wants HTTPS"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if strings.Contains(page, "<b>no</b>") {
		t.Error("an error is markup")
	}
	var a DiscoveryAnswer
	if err := json.Unmarshal([]byte(c.look(false, "/api/v1/discovery")), &a); err != nil || a.Outcome != "incomplete" || len(a.Unanswered) != 1 ||
		len(a.Locked) != 1 || a.Locked[0].Reason != "lockout" || len(a.Targets) != 2 || a.Waits != 0 {
		t.Errorf("%+v %v", a, err)
	}
}
