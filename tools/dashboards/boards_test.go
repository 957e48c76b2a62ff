package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// A shown board is a committed file, as Grafana reads it.

type shown struct {
	ID            *int
	UID           string
	Title         string
	Description   string
	Tags          []string
	Editable      bool
	GraphTooltip  int
	Refresh       string
	SchemaVersion int
	Panels        []shownPanel
	Links         []struct {
		Type, URL             string
		Tags                  []string
		KeepTime, IncludeVars bool
	}
	Annotations struct {
		List []struct{ Name, Expr, TitleFormat, TextFormat, TagKeys string }
	}
	Templating struct {
		List []struct {
			Name, Type string
			Query      string
			Refresh    int
		}
	}
	raw  string
	file string
}

type shownPanel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ X, Y, W, H int }
	Targets                  []struct {
		RefID, Expr, LegendFormat, Interval, Format string
		Instant                                     bool
	}
	MaxDataPoints float64
	Options       json.RawMessage
	FieldConfig   struct {
		Defaults struct {
			Unit       string
			Thresholds *struct{ Steps []struct{ Color string } }
			Mappings   json.RawMessage
			Links      []struct{ Title, URL string }
		}
		Overrides []struct {
			Matcher    struct{ Options any }
			Properties []struct {
				ID    string
				Value any
			}
		}
	}
	Transformations []struct {
		ID      string
		Options struct {
			RenameByName map[string]string
		}
	}
}

func shownBoards(t *testing.T) (all []*shown) {
	t.Helper()
	files, err := filepath.Glob(committed + "/*.json")
	if err != nil || len(files) != 4 {
		t.Fatalf("%d boards, %v; want 4", len(files), err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		b := &shown{raw: string(data), file: filepath.Base(f)}
		if err := json.Unmarshal(data, b); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		all = append(all, b)
	}
	return all
}

var builtIn = []string{"__rate_interval", "__range", "__url_time_range"}

// substituted is a query as Prometheus gets it.
func substituted(expr string) string {
	return strings.NewReplacer("$__rate_interval", "4m", "$__range", "6h", "$site", ".*", "$model", ".*", "$state", ".*", "$place", "", "$instance", ".*", "$farm", ".*",
		"$worker", "dragon-4500e3ab").Replace(expr)
}

func parsed(t *testing.T, where, expr string) parser.Expr {
	t.Helper()
	e, err := parser.ParseExpr(substituted(expr))
	if err != nil {
		t.Fatalf("%s: %s: %v", where, expr, err)
	}
	return e
}

func TestBoardsCanBeImportedAndProvisioned(t *testing.T) {
	uids := map[string]bool{}
	for _, b := range shownBoards(t) {
		if b.ID != nil || !strings.Contains(b.raw, "\n  \"id\": null,") {
			t.Errorf("%s: its id is the server's to give", b.file)
		}
		if b.UID == "" || uids[b.UID] || len(b.UID) > 40 {
			t.Errorf("%s: uid %q", b.file, b.UID)
		}
		uids[b.UID] = true
		if b.SchemaVersion != schema || b.Editable || b.GraphTooltip != 1 || !slices.Equal(b.Tags, []string{tag}) || !strings.HasSuffix(b.Description, ".") {
			t.Errorf("%s: schema %d, editable %v, tooltip %d, tags %v, description %q", b.file, b.SchemaVersion, b.Editable, b.GraphTooltip, b.Tags, b.Description)
		}
		if d, err := model.ParseDuration(b.Refresh); err != nil || time.Duration(d) < time.Minute {
			t.Errorf("%s: refreshed every %s, which is faster than a scrape", b.file, b.Refresh)
		}
		for _, never := range []string{"__inputs", "__requires", "inControlsMenu", "cellOptions"} {
			if strings.Contains(b.raw, never) {
				t.Errorf("%s: %s is not for every Grafana", b.file, never)
			}
		}
		if strings.Contains(b.raw, "job=") {
			t.Errorf("%s: names a job", b.file)
		}
	}
}

// Nothing may know the data source of the machine that it was made on.
func TestEveryDataSourceIsTheChosenOne(t *testing.T) {
	for _, b := range shownBoards(t) {
		var all any
		if err := json.Unmarshal([]byte(b.raw), &all); err != nil {
			t.Fatal(err)
		}
		n := 0
		var walk func(v any)
		walk = func(v any) {
			switch v := v.(type) {
			case []any:
				for _, x := range v {
					walk(x)
				}
			case map[string]any:
				if ds, ok := v["datasource"]; ok {
					n++
					if m, ok := ds.(map[string]any); !ok || m["uid"] != "${datasource}" || m["type"] != "prometheus" {
						t.Errorf("%s: data source %v", b.file, ds)
					}
				}
				for _, x := range v {
					walk(x)
				}
			}
		}
		walk(all)
		if n < 2*len(b.Panels)-20 {
			t.Errorf("%s: only %d data sources", b.file, n)
		}
		if v := b.Templating.List[0]; v.Name != "datasource" || v.Type != "datasource" || v.Query != "prometheus" {
			t.Errorf("%s: the first variable is %+v", b.file, v)
		}
	}
}

func TestPanelsSayWhatTheyShow(t *testing.T) {
	for _, b := range shownBoards(t) {
		ids, titles := map[int]bool{}, map[string]bool{}
		var taken [400][24]string
		for _, p := range b.Panels {
			where := b.file + ": " + p.Title
			if p.ID == 0 || ids[p.ID] {
				t.Errorf("%s: id %d is another's", where, p.ID)
			}
			ids[p.ID] = true
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
					if x >= 24 || taken[y][x] != "" {
						t.Fatalf("%s: lies on %q, or beyond the edge", where, taken[y][min(x, 23)])
					}
					taken[y][x] = p.Title
				}
			}
			if p.Type == "row" {
				titles = map[string]bool{}
				continue
			}
			if p.Title == "" || !strings.HasSuffix(p.Description, ".") {
				t.Errorf("%s: description %q", where, p.Description)
			}
			if key := p.Type + p.Title; titles[key] {
				t.Errorf("%s: is there twice", where)
			} else {
				titles[key] = true
			}
			if len(p.Targets) == 0 {
				t.Errorf("%s: asks nothing", where)
			}
		}
		for y, line := range taken {
			if line[0] == "" {
				break
			}
			if x := slices.Index(line[:], ""); x >= 0 {
				t.Errorf("%s: a gap at line %d, column %d", b.file, y, x)
			}
		}
	}
}

// An option that the SDK leaves empty is not a default to Grafana but none of the choices:
// of several figures a tile would show the first.
func TestNoOptionIsEmpty(t *testing.T) {
	for _, b := range shownBoards(t) {
		for _, p := range b.Panels {
			if strings.Contains(string(p.Options), `: ""`) {
				t.Errorf("%s: %s: an empty option: %s", b.file, p.Title, p.Options)
			}
		}
	}
}

// To Grafana a figure above 80 is red unless the board says otherwise, and one that is not
// there has the colour of the lowest.
func TestColoursAreChosen(t *testing.T) {
	for _, b := range shownBoards(t) {
		for _, p := range b.Panels {
			if (p.Type == "stat" || p.Type == "bargauge") && p.FieldConfig.Defaults.Thresholds == nil {
				t.Errorf("%s: %s: no thresholds", b.file, p.Title)
			} else if d := p.FieldConfig.Defaults; d.Thresholds != nil && d.Thresholds.Steps[0].Color == "red" && !strings.Contains(string(d.Mappings), `"null+nan"`) {
				t.Errorf("%s: %s: red when nothing is known", b.file, p.Title)
			}
		}
	}
}

// A bar counts what happened in four scrapes at least; as many bars as a screen has points
// would count everything several times.
func TestBarsDoNotOverlap(t *testing.T) {
	for _, b := range shownBoards(t) {
		for _, p := range b.Panels {
			for _, q := range p.Targets {
				if p.Type == "timeseries" && strings.Contains(q.Expr, "increase(") && (p.MaxDataPoints < 1 || p.MaxDataPoints > 60) {
					t.Errorf("%s: %s: %v points", b.file, p.Title, p.MaxDataPoints)
				}
			}
		}
	}
}

// The rows of several queries are one where all that they have in common is the same, the
// name of the series included.
func TestRowsOfTablesAreMerged(t *testing.T) {
	for _, b := range shownBoards(t) {
		for _, p := range b.Panels {
			if p.Type != "table" {
				continue
			}
			where := b.file + ": " + p.Title
			named, titles := 0, map[string]bool{}
			for _, q := range p.Targets {
				if keepsName(parsed(t, where, q.Expr)) {
					named++
				}
			}
			if named > 1 {
				t.Errorf("%s: %d queries keep the name of their series", where, named)
			}
			for _, tr := range p.Transformations {
				for _, title := range tr.Options.RenameByName {
					titles[title] = true
				}
			}
			var options struct {
				SortBy []struct{ DisplayName string }
			}
			if err := json.Unmarshal(p.Options, &options); err != nil {
				t.Fatal(err)
			}
			if len(options.SortBy) == 0 {
				if p.Title != "Who it is" && p.Title != "The last action" { // which have one row
					t.Errorf("%s: in no order", where)
				}
			} else if !titles[options.SortBy[0].DisplayName] {
				t.Errorf("%s: sorted by %q, which is not a column", where, options.SortBy[0].DisplayName)
			}
		}
	}
}

// A topk over a time range shows all that were among the k at any time, and a fleet has
// too many dragons for a line each.
func TestLinksLeadSomewhereAndKeepWhatIsChosen(t *testing.T) {
	all := shownBoards(t)
	urls := regexp.MustCompile(`"url": "([/h][^"]+)"`)
	boardLink := regexp.MustCompile(`^/d/([a-z-]+)\?(.*)$`)
	n := 0
	for _, b := range all {
		toAll := slices.ContainsFunc(b.Links, func(l struct {
			Type, URL             string
			Tags                  []string
			KeepTime, IncludeVars bool
		}) bool {
			return l.Type == "dashboards" && slices.Equal(l.Tags, []string{tag}) && l.KeepTime && l.IncludeVars
		})
		if !toAll {
			t.Errorf("%s: no way to the other boards", b.file)
		}
		for _, m := range urls.FindAllStringSubmatch(b.raw, -1) {
			url := m[1]
			if strings.HasPrefix(url, "http://$") || url == toRunbook {
				continue // a device, or a page of docs/
			}
			n++
			parts := boardLink.FindStringSubmatch(url)
			if parts == nil {
				t.Errorf("%s: links to %s", b.file, url)
				continue
			}
			i := slices.IndexFunc(all, func(x *shown) bool { return x.UID == parts[1] })
			if i < 0 {
				t.Errorf("%s: no board %s", b.file, url)
				continue
			}
			target := all[i]
			for arg := range strings.SplitSeq(parts[2], "&") {
				name, value, _ := strings.Cut(arg, "=")
				if variable, ok := strings.CutPrefix(name, "var-"); ok && !slices.ContainsFunc(target.Templating.List, func(v struct {
					Name, Type string
					Query      string
					Refresh    int
				}) bool {
					return v.Name == variable
				}) {
					t.Errorf("%s: %s has no variable %s", b.file, target.file, variable)
				}
				if name == "viewPanel" && !slices.ContainsFunc(target.Panels, func(p shownPanel) bool { return fmt.Sprint(p.ID) == value }) {
					t.Errorf("%s: %s has no panel %s", b.file, target.file, value)
				}
			}
			if !strings.Contains(url, "${__url_time_range}") || !strings.Contains(url, "${datasource:queryparam}") {
				t.Errorf("%s: %s forgets the time range or the data source", b.file, url)
			}
		}
	}
	if n < 15 {
		t.Errorf("only %d links", n)
	}
}

// What the original tool sent to statsd, its users had on their boards.
func TestEveryStatsdLineIsShown(t *testing.T) {
	page, err := os.ReadFile("../../docs/statsd.md")
	if err != nil {
		t.Fatal(err)
	}
	var raw strings.Builder
	for _, b := range shownBoards(t) {
		raw.WriteString(b.raw)
	}
	names := regexp.MustCompile("`(dragon_[a-z0-9_]+)").FindAllStringSubmatch(string(page), -1)
	if len(names) < 30 {
		t.Fatalf("only %d series in docs/statsd.md", len(names))
	}
	for _, m := range names {
		if !regexp.MustCompile(m[1] + `[^a-z0-9_]`).MatchString(raw.String()) {
			t.Errorf("no board shows %s", m[1])
		}
	}
}

// Each tile of the fleet's first screen opens a table of the very dragons it counts.
func TestATileOpensTheDragonsThatItCounts(t *testing.T) {
	states := regexp.MustCompile(`state=~"([a-z|]+)"`)
	tiles := 0
	for _, b := range shownBoards(t) {
		if b.UID != fleetUID {
			continue
		}
		for _, p := range b.Panels {
			if p.Type != "stat" || len(p.FieldConfig.Defaults.Links) == 0 || !strings.Contains(p.FieldConfig.Defaults.Links[0].URL, "viewPanel=100") {
				continue
			}
			tiles++
			var opened []string
			for arg := range strings.SplitSeq(p.FieldConfig.Defaults.Links[0].URL, "&") {
				if s, ok := strings.CutPrefix(arg, "var-state="); ok {
					opened = append(opened, s)
				}
			}
			counted := "$__all"
			if m := states.FindStringSubmatch(p.Targets[0].Expr); m != nil {
				counted = m[1]
			}
			if strings.Join(opened, "|") != counted {
				t.Errorf("%s counts %s and opens %v", p.Title, counted, opened)
			}
		}
	}
	if tiles != 8 {
		t.Errorf("%d tiles, want 8", tiles)
	}
}

// What Grafana's own schema does not know stands only where older ones want it.
func TestBoardsFollowGrafanasSchema(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	for _, b := range shownBoards(t) {
		var m map[string]any
		if err := json.Unmarshal([]byte(b.raw), &m); err != nil {
			t.Fatal(err)
		}
		delete(m, "id")
		for _, a := range m["annotations"].(map[string]any)["list"].([]any) {
			for _, key := range []string{"titleFormat", "textFormat", "tagKeys", "step"} {
				delete(a.(map[string]any), key)
			}
		}
		for _, p := range m["panels"].([]any) {
			if p := p.(map[string]any); p["type"] == "heatmap" {
				delete(p["options"].(map[string]any)["tooltip"].(map[string]any), "show")
			}
		}
		data, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard.Dashboard
		if err := d.UnmarshalJSONStrict(data); err != nil {
			t.Errorf("%s: %v", b.file, err)
		}
	}
}

// Who follows docs/grafana.md mounts the boards where they are looked for.
func TestProvisioningFindsTheBoards(t *testing.T) {
	data, err := os.ReadFile(committed + "/provisioning/dashboards/dragons.yml")
	if err != nil {
		t.Fatal(err)
	}
	var boards struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Type    string
			Options struct{ Path string }
		}
	}
	if err := yaml.Unmarshal(data, &boards); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/grafana.md")
	if err != nil {
		t.Fatal(err)
	}
	if boards.APIVersion != 1 || len(boards.Providers) != 1 || boards.Providers[0].Type != "file" {
		t.Fatalf("%+v", boards)
	}
	if path := boards.Providers[0].Options.Path; !strings.Contains(string(page), "dashboards:"+path+":ro") {
		t.Errorf("docs/grafana.md does not mount the boards at %s", path)
	}
	data, err = os.ReadFile(committed + "/provisioning/datasources/dragons.yml")
	if err != nil {
		t.Fatal(err)
	}
	var sources struct {
		Datasources []struct {
			Type     string
			JSONData struct {
				TimeInterval string `yaml:"timeInterval"`
			} `yaml:"jsonData"`
		}
	}
	if err := yaml.Unmarshal(data, &sources); err != nil {
		t.Fatal(err)
	}
	if s := sources.Datasources; len(s) != 1 || s[0].Type != "prometheus" || s[0].JSONData.TimeInterval != sparsest {
		t.Errorf("%+v", sources)
	}
}

// An alert's link leads to a board, and to a dragon on it.
func TestAlertsLinkToBoards(t *testing.T) {
	files, err := filepath.Glob("../../alerts/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	all := shownBoards(t)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`/d/([a-z-]+)(?:\?var-(\w+)=)?`).FindAllStringSubmatch(string(data), -1) {
			i := slices.IndexFunc(all, func(b *shown) bool { return b.UID == m[1] })
			if i < 0 {
				t.Errorf("%s: there is no board %s", filepath.Base(file), m[1])
			} else if m[2] != "" && !strings.Contains(all[i].raw, `"name": "`+m[2]+`"`) {
				t.Errorf("%s: the board %s has no variable %s", filepath.Base(file), m[1], m[2])
			}
		}
	}
}
