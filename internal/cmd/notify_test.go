package cmd

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cmdtest"
	"github.com/brndnmtthws/mother-of-dragons/internal/notify"
)

// mailbox is a webhook's receiver.
type mailbox struct {
	mu     sync.Mutex
	events []notify.Event
}

func (m *mailbox) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	var message notify.Message
	if json.NewDecoder(r.Body).Decode(&message) != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, message.Events...)
}

func (m *mailbox) all() []notify.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.events)
}

// has reports whether an event of a kind came whose text contains something.
func (m *mailbox) has(kind notify.Kind, text string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.events, func(e notify.Event) bool { return e.Kind == kind && strings.Contains(e.Text, text) })
}

// The program tells webhooks of what discovery, a calendar and a person do; a reload adds webhooks.
func TestTheProgramTellsWebhooks(t *testing.T) {
	t.Parallel()
	var first, second mailbox
	one, two := httptest.NewServer(&first), httptest.NewServer(&second)
	t.Cleanup(one.Close)
	t.Cleanup(two.Close)
	dragons := cmdtest.FleetOf(t, 3, nil)
	dragons.Dragon(2).Inject(dragontest.WrongPassword)
	text := fmt.Sprintf("networks: [{cidr: %s}]\ndiscovery: {port: %d, interval: 2s}\n", dragons.Networks()[0], dragons.Port()) +
		"calendars: [{name: ever, scope: fleet, reason: always, time_intervals: [{times: [{start_time: '00:00', end_time: '24:00'}]}]}]\n" +
		"notify:\n  webhooks:\n    - {name: first, url: '" + one.URL + "', events: [new, locked, paused]}\n"
	base, file, _ := startOn(t, text, "--simulation.speed=300") // so that the host's clock is trusted soon
	defer func() {
		if t.Failed() {
			t.Logf("the first was told %+v", first.all())
		}
	}()
	cmdtest.Eventually(t, "the first webhook is told", func() bool {
		return first.has(notify.Found, "dragon-") && first.has(notify.Locked, "refuses our credentials") && first.has(notify.Paused, "always")
	})
	if _, page := cmdtest.Get(t, base+"/metrics"); !strings.Contains(page, `mother_calendar_open{calendar="ever"} 1`) || strings.Contains(page, `webhook="second"`) {
		t.Errorf("%.300s", page)
	}
	cmdtest.Rewrite(t, file, strings.Replace(text, "name: ever", "name: again", 1)+"    - {name: second, url: '"+two.URL+"', events: [paused, resumed]}\n")
	mustReload(t, base)
	cmdtest.Eventually(t, "the second webhook is told", func() bool {
		return second.has(notify.Resumed, "pause p1") && second.has(notify.Paused, "always")
	})
	if second.has(notify.Found, "") {
		t.Error("it was told what it did not want")
	}
}
