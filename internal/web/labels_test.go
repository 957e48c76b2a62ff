package web

import (
	"encoding/json"
	"html"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

func TestTheFleetIsFilteredAndGroupedByLabels(t *testing.T) {
	c := newClinicOf(t, dragontest.FleetConfig{Count: 5})
	mac := func(i int) string { return c.simulated.Dragon(i).Spec().MAC }
	c.labels = map[string]*fleet.Labels{
		mac(0): {Pairs: []fleet.Label{{Name: "rack", Value: "b2"}}},
		mac(1): {Name: `Bertha <b>`, Pairs: []fleet.Label{{Name: "rack", Value: "a12"}, {Name: "owner", Value: "x & y"}}},
		mac(3): {Pairs: []fleet.Label{{Name: "rack", Value: "a12"}}},
	}
	c.fleet.Change(fleet.Settings{})
	workers := func(indexes ...int) (list []string) {
		for _, i := range indexes {
			list = append(list, dragon.WorkerName(mac(i)))
		}
		return list
	}
	for query, want := range map[string][]string{
		"sort=worker":                             workers(0, 1, 2, 3, 4),
		"sort=worker&label=rack%3Da12":            workers(1, 3),
		"label=" + url.QueryEscape("owner=x & y"): workers(1),
		"q=bertha":                workers(1),
		"q=rack+a12&sort=worker":  workers(1, 3),
		"group=rack&sort=worker":  workers(1, 3, 0, 2, 4),
		"group=rack&sort=-worker": workers(3, 1, 0, 4, 2),
		"group=site&sort=worker":  workers(0, 1, 2, 3, 4),
	} {
		if diff := cmp.Diff(want, listed(c.look(false, "/fleet?"+query))); diff != "" {
			t.Errorf("%s: %s", query, diff)
		}
		var answer FleetAnswer
		_, body := c.ask(false, "GET", "/api/v1/dragons?"+query, "")
		if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer.Dragons) != len(want) {
			t.Errorf("the API on %s: %v, %s", query, err, body)
		}
	}
	page := c.look(false, "/fleet?group=rack&sort=worker&label="+url.QueryEscape("rack=a12"))
	for _, want := range []string{
		`<option value="rack=a12" selected>a12</option>`, `<option value="owner=x &amp; y">`, `<option value="rack" selected>by rack</option>`,
		"rack a12 <small>2 dragons", html.EscapeString("Bertha <b>, rack a12, owner x & y"),
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not have %s", want)
		}
	}
	if page := c.look(false, "/fleet?group=rack&per=2&page=2&sort=worker"); strings.Count(page, `<tr class="group">`) != 2 ||
		!strings.Contains(page, "rack b2 <small>1 dragon<") || !strings.Contains(page, "rack not set <small>2 dragons") {
		t.Errorf("the second page has other groups:\n%s", page)
	}
	if page := c.look(false, "/dragon?worker="+workers(1)[0]); !strings.Contains(page, "Bertha &lt;b&gt;, rack a12, owner x &amp; y") {
		t.Error("the dragon's page does not have its labels")
	}
	var answer FleetAnswer
	_, body := c.ask(false, "GET", "/api/v1/dragons?q=bertha", "")
	if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer.Dragons) != 1 {
		t.Fatalf("%v: %s", err, body)
	}
	if one := answer.Dragons[0]; one.Name != "Bertha <b>" || one.Labels["owner"] != "x & y" || one.Place != "Bertha <b>, rack a12, owner x & y" {
		t.Errorf("%+v", one)
	}
}
