package web

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
)

func TestTheFleetIsGrouped(t *testing.T) {
	c := newClinicOf(t, dragontest.FleetConfig{Count: 30, Specs: func(i int) dragontest.Spec {
		spec := dragontest.Mixed(i)
		if i == 3 {
			spec.Faults = []dragontest.Fault{dragontest.NotReady}
		}
		return spec
	}})
	var answer FleetAnswer
	code, body := c.ask(false, "GET", "/api/v1/dragons?group=model&sort=-hashrate", "")
	if err := json.Unmarshal([]byte(body), &answer); err != nil || code != 200 || len(answer.Groups) < 3 {
		t.Fatalf("%d %v %d groups", code, err, len(answer.Groups))
	}
	sums := make(map[string]*GroupAnswer)
	order := ""
	for i := range answer.Dragons {
		d := &answer.Dragons[i]
		if d.Model < order {
			t.Errorf("%s comes after %s", d.Model, order)
		}
		order = d.Model
		g := sums[d.Model]
		if g == nil {
			g = &GroupAnswer{}
			sums[d.Model] = g
		}
		g.Dragons++
		if d.Up {
			g.Up++
		}
		if rate, known := d.Hashrate.Get(); known {
			g.Hashrate = dragon.Known(g.Hashrate.Or(0) + rate)
		}
	}
	for _, g := range answer.Groups {
		want := sums[g.Name]
		if want == nil || g.Dragons != want.Dragons || g.Up != want.Up || g.Hashrate != want.Hashrate || g.Algorithm == "" {
			t.Errorf("%+v, want %+v", g, want)
		}
	}
	_, body = c.ask(false, "GET", "/api/v1/dragons?group=site", "")
	answer = FleetAnswer{}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer.Groups) != 1 || answer.Groups[0].Name != "127.10.0.0/16" || answer.Groups[0].Dragons != 30 ||
		answer.Groups[0].Up != 29 || answer.Groups[0].Hashrate.IsKnown() {
		t.Errorf("%v, by site: %+v", err, answer.Groups)
	}
	page := c.look(false, "/fleet?group=model")
	if !strings.Contains(page, ">by model</option>") || !strings.Contains(page, html.EscapeString("fleet?model=T1")) || len(listed(page)) != 30 {
		t.Error(page)
	}
}

func TestALongFleetIsLaidOutRowByRow(t *testing.T) {
	c := newClinicOf(t, dragontest.FleetConfig{Count: longList + 1})
	for path, want := range map[string]bool{"/fleet": false, "/fleet?per=5000": true} {
		if page := c.look(false, path); strings.Contains(page, `<table class="fleet long">`) != want {
			t.Errorf("%s is long: %t", path, !want)
		}
	}
}

func TestTheFleetIsATableForASpreadsheet(t *testing.T) {
	c := newClinicOf(t, dragontest.FleetConfig{Count: 5, Specs: func(i int) dragontest.Spec {
		spec := dragontest.Mixed(i)
		if i == 1 {
			spec.Pools = []dragontest.Pool{{URL: "stratum+tcp://pool.example.com:3333", User: `=HYPERLINK("http://evil.example","x")`, Password: "x"}}
		}
		return spec
	}})
	page := c.look(false, "/fleet?sort=worker&q=dragon")
	link := "api/v1/dragons?q=dragon&sort=worker&format=csv"
	if !strings.Contains(page, html.EscapeString(link)) {
		t.Fatalf("no link to the table:\n%s", page)
	}
	w := httptest.NewRecorder()
	c.surface(false).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/"+link, nil))
	rows, err := csv.NewReader(w.Body).ReadAll()
	if err != nil || w.Code != 200 || len(rows) != 6 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/csv") {
		t.Fatalf("%d %v %v", w.Code, err, rows)
	}
	column := func(name string) int {
		for i, s := range rows[0] {
			if s == name {
				return i
			}
		}
		t.Fatalf("no column %s in %v", name, rows[0])
		return 0
	}
	if got := rows[2][column("pool_user")]; !strings.HasPrefix(got, "'=HYPERLINK") {
		t.Errorf("a formula: %q", got)
	}
	if rows[1][column("worker")] != c.worker || rows[1][column("boards_alive")] != "3" || rows[1][column("up")] != "true" || rows[1][column("state")] == "" {
		t.Errorf("%v", rows[1])
	}
	for s, want := range map[string]string{"-1.5": "-1.5", "-x": "'-x", "@a": "'@a", "+1": "+1", "\tx": "'\tx", "a=b": "a=b", "": ""} {
		if got := csvText(s); got != want {
			t.Errorf("%q becomes %q, want %q", s, got, want)
		}
	}
	if code, body := c.ask(false, "GET", "/api/v1/dragons?format=xlsx", ""); code != 400 || !strings.Contains(body, "expected json or csv") {
		t.Errorf("%d %s", code, body)
	}
}

func TestSeveralDragonsAreChangedWithOneConfirmation(t *testing.T) {
	c := newClinicOf(t, dragontest.FleetConfig{Count: 4})
	worker := func(i int) string { return dragon.WorkerName(c.simulated.Dragon(i).Spec().MAC) }
	state := func(i int) healer.State {
		d, err := c.healer.Why(worker(i))
		if err != nil {
			t.Fatal(err)
		}
		return d.State
	}
	if page := c.look(true, "/fleet"); strings.Count(page, `type="checkbox" name="dragon"`) != 4 {
		t.Error("the dragons cannot be selected")
	}
	if page := c.look(false, "/fleet"); strings.Contains(page, `type="checkbox"`) {
		t.Error("dragons can be selected where nothing may be changed")
	}
	three := url.Values{"dragon": {worker(0), worker(1), worker(1), worker(2)}}
	page := c.look(true, "/confirm?do=quarantine&"+three.Encode())
	for i, want := range []bool{true, true, true, false} {
		if strings.Contains(page, `value="`+worker(i)+`"`) != want {
			t.Errorf("%s is listed: %t", worker(i), !want)
		}
	}
	if !strings.Contains(page, "Quarantine 3 dragons?") {
		t.Error(page)
	}
	form := url.Values{"do": {"quarantine"}, "dragon": three["dragon"], "owner": {"o"}, "reason": {"r"}}
	if code, body := c.send(true, form, nil); code != 200 || !strings.Contains(body, "3 of 3 done.") || state(0) != healer.StateQuarantined || state(2) != healer.StateQuarantined || state(3) == healer.StateQuarantined {
		t.Errorf("%d %s", code, body)
	}
	form = url.Values{"do": {"maintenance"}, "dragon": {worker(2), worker(3)}, "owner": {"o"}, "reason": {"r"}, "for": {"4h"}}
	if code, body := c.send(true, form, nil); code != 200 || len(c.pauses()) != 2 || c.pauses()[0].Scope != "mac" {
		t.Errorf("%d %s %+v", code, body, c.pauses())
	}
	// An action shows its gates before, and the refusals afterwards.
	page = c.look(true, "/confirm?do=reboot&"+three.Encode())
	if !strings.Contains(page, "0 of 3 pass all gates now. The fleet&#39;s budgets have room for 1 (In flight: 0 of 1 used).") || strings.Count(page, "blocked by ") != 3 {
		t.Error(page)
	}
	form = url.Values{"do": {"reboot"}, "dragon": three["dragon"], "owner": {"o"}, "reason": {"r"}}
	if code, body := c.send(true, form, nil); code != 200 || !strings.Contains(body, "0 of 3 done.") || strings.Count(body, "not done: ") != 3 || c.simulated.Dragon(0).Truth().Boots != 1 {
		t.Errorf("%d %s", code, body)
	}
	for do, want := range map[string][]string{
		"pools":    {"Set the pools of 3 dragons", "0 of 3 can be written to now. healing.rollout.mode is observe", "password_file: pool.password", "waits for clock: "},
		"autotune": {"Set the autotune mode of 3 dragons", "autotune: {mode: efficient}", html.EscapeString(`"` + c.simulated.Dragon(2).Spec().MAC + `"]`)},
		"password": {"Change the password of 3 dragons", "dragon password " + worker(0) + " " + worker(1) + " " + worker(2) + "</pre>", "the budgets do not hold it"},
	} {
		page := c.look(true, "/confirm?do="+do+"&"+three.Encode())
		for _, text := range want {
			if !strings.Contains(page, text) || strings.Contains(page, "<form") {
				t.Errorf("%s: no %q:\n%s", do, text, page)
			}
		}
		if code, _ := c.send(true, url.Values{"do": {do}, "dragon": three["dragon"], "owner": {"o"}}, nil); code != http.StatusBadRequest {
			t.Errorf("%s can be sent: %d", do, code)
		}
		if w := httptest.NewRecorder(); true {
			c.surface(false).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/confirm?do="+do+"&"+three.Encode(), nil))
			if w.Code != http.StatusForbidden {
				t.Errorf("%s where nothing may be changed: %d", do, w.Code)
			}
		}
	}
	for query, want := range map[string]string{
		"do=pools": "no dragon is selected", "do=autotune&dragon=a": "unknown dragon",
		"do=reboot": "no dragon is selected", "do=pause": "no dragon is selected", "do=reboot&dragon=a&dragon=b": "unknown dragon",
		"do=reboot&dragon=" + strings.Join(strings.Fields(strings.Repeat("x ", 3)), "&dragon="): "",
	} {
		w := httptest.NewRecorder()
		c.surface(true).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/confirm?"+query, nil))
		if want != "" && (w.Code < 400 || !strings.Contains(w.Body.String(), want)) {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
	if _, err := selected(strings.Fields(strings.Repeat("x ", 1000))); err != nil {
		t.Errorf("one dragon a thousand times: %v", err)
	}
	var many []string
	for i := range mostSelected + 1 {
		many = append(many, string(rune(i+1)))
	}
	if _, err := selected(many); err == nil {
		t.Error("too many are taken")
	}
}

// What is in force and was not saved is told of, for one dragon as for several.
func TestSeveralChangesThatWereNotSaved(t *testing.T) {
	c := newClinicOf(t, dragontest.FleetConfig{Count: 3})
	worker := func(i int) string { return dragon.WorkerName(c.simulated.Dragon(i).Spec().MAC) }
	quarantine := changes["quarantine"]
	t.Cleanup(func() { changes["quarantine"] = quarantine })
	full := quarantine
	full.do = func(a *api, ctx context.Context, q *Request) (any, error) {
		result, err := quarantine.do(a, ctx, q)
		if q.Dragon != worker(2) {
			err = fmt.Errorf("%w: disk full", agent.ErrUnwritten)
		}
		return result, err
	}
	changes["quarantine"] = full
	for count, want := range map[int]string{1: "Done, not saved", 2: "2 of 2 done, 2 of them not saved.", 3: "3 of 3 done, 2 of them not saved."} {
		form := url.Values{"do": {"quarantine"}, "owner": {"o"}, "reason": {"r"}}
		for i := range count {
			form.Add("dragon", worker(i))
		}
		code, body := c.send(true, form, nil)
		if code != 200 || !strings.Contains(body, want) || count > 1 && strings.Count(body, `<td class="warn">done, not saved: `) != 2 {
			t.Errorf("%d dragons: %d, want %q\n%s", count, code, want, body)
		}
	}
}

func TestTheTightestBudgetCounts(t *testing.T) {
	budgets := []healer.BudgetUse{{Scope: "fleet", Used: 0, Limit: 2}, {Scope: "fleet", Window: healer.Span(3600e9), Used: 4, Limit: 5}, {Scope: "domain=x", Limit: 0}}
	if room, tightest := roomOf(budgets); room != 1 || tightest != "Per hour: 4 of 5 used" {
		t.Errorf("%d, %s", room, tightest)
	}
}

// A long list has bodies that a browser can leave out, and is made again less often.
func TestALongList(t *testing.T) {
	c := newClinicOf(t, dragontest.FleetConfig{Count: longList + 1})
	for path, want := range map[string][2]int{"/fleet": {2, refreshEvery}, "/fleet?per=5000": {5, refreshLong}} {
		page := c.look(false, path)
		if n := strings.Count(page, "<tbody>"); n != want[0] || !strings.Contains(page, fmt.Sprintf(`data-refresh="%d"`, want[1])) {
			t.Errorf("%s has %d bodies, want %d and a refresh every %d s", path, n, want[0], want[1])
		}
	}
}
