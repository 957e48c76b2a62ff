package main

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
)

// The boards' names in Grafana. Alerts, bookmarks and the boards themselves link to
// them: they never change.
const (
	fleetUID    = "mother-fleet"
	dragonUID   = "mother-dragon"
	healerUID   = "mother-healer"
	exporterUID = "mother-exporter"
	tag         = "dragon"
)

// schema is the form of Grafana 9.4, the oldest that shows the boards. Every newer one
// brings what is older up to date when it reads it; none goes back.
const schema = 37

// sparsest is the longest interval between scrapes that the boards count on. A rate
// over less than two scrapes is empty, and Grafana believes that one comes every 15 s
// unless the data source says otherwise.
const sparsest = "1m"

// A board is a dashboard.
type board struct {
	uid, title, about string
	variables         []cog.Builder[dashboard.VariableModel]
	links             []cog.Builder[dashboard.DashboardLink]
	annotation        annotation
	rows              []row
}

// A row is what belongs together, under a title.
type row struct {
	title  string
	panels []panel
}

// A panel is a builder with its place: w of 24 columns, h rows of 30 pixels.
type panel struct {
	builder cog.Builder[dashboard.Panel]
	w, h    uint32
	id      uint32 // where links lead to; 0: as it comes
}

// An annotation marks on every time series when something happened.
type annotation struct{ name, expr, title, text, tags string }

func (b *board) file() string { return strings.TrimPrefix(b.uid, "mother-") + ".json" }

// encode is the board as Grafana imports and provisions it.
func (b *board) encode() ([]byte, error) {
	builder := dashboard.NewDashboardBuilder(b.title).Uid(b.uid).Description(b.about).Tags([]string{tag}).
		Readonly().Tooltip(dashboard.DashboardCursorSyncCrosshair).Refresh(sparsest).Time("now-6h", "now").
		Variables(append([]cog.Builder[dashboard.VariableModel]{
			dashboard.NewDatasourceVariableBuilder("datasource").Label("Data source").Type("prometheus"),
			farmVariable(),
		}, b.variables...)).
		Links(append([]cog.Builder[dashboard.DashboardLink]{
			dashboard.NewDashboardLinkBuilder("Dragons").Type(dashboard.DashboardLinkTypeDashboards).Tags([]string{tag}).
				IncludeVars(true).KeepTime(true),
		}, b.links...)).
		Annotation(dashboard.NewAnnotationQueryBuilder().Name(b.annotation.name).Datasource(source()).Enable(true).
			IconColor("purple").Expr(ofFarm(b.annotation.expr)).
			Target(prometheus.NewDataqueryBuilder().Expr(ofFarm(b.annotation.expr)).RefId("Anno").Interval(sparsest).Range()))
	id := uint32(0)
	for _, r := range b.rows {
		id++
		builder.WithRow(dashboard.NewRowBuilder(r.title).Id(id))
		for _, p := range r.panels {
			id++
			builder.WithPanel(placed{p, id})
		}
	}
	d, err := builder.Build()
	if err != nil {
		return nil, err
	}
	d.SchemaVersion = schema
	return b.plain(d)
}

// placed puts a panel on its board.
type placed struct {
	panel
	next uint32
}

func (p placed) Build() (dashboard.Panel, error) {
	d, err := p.builder.Build()
	if err != nil {
		return d, err
	}
	id := p.id
	if id == 0 {
		id = p.next
	}
	ds := source()
	d.Id, d.Datasource, d.GridPos = &id, &ds, &dashboard.GridPos{W: p.w, H: p.h}
	return d, nil
}

// plain writes what older Grafanas want and the SDK does not know, leaves out what they
// would not understand, and sorts the keys, so that a small change is a small diff.
func (b *board) plain(d dashboard.Dashboard) ([]byte, error) {
	data, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, err
	}
	m["id"] = nil
	for _, v := range m["annotations"].(map[string]any)["list"].([]any) {
		a := v.(map[string]any)
		delete(a, "builtIn")
		a["titleFormat"], a["textFormat"], a["tagKeys"], a["step"] = b.annotation.title, b.annotation.text, b.annotation.tags, sparsest
	}
	withoutPlacement(m)
	for _, v := range m["panels"].([]any) {
		if p := v.(map[string]any); p["type"] == "heatmap" {
			p["options"].(map[string]any)["tooltip"].(map[string]any)["show"] = true // before 10.3
		}
	}
	for _, v := range m["templating"].(map[string]any)["list"].([]any) {
		for _, key := range []string{"auto", "auto_count", "auto_min", "allowCustomValue"} {
			delete(v.(map[string]any), key)
		}
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err = e.Encode(m)
	return out.Bytes(), err
}

// withoutPlacement shows links where they have always been: newer Grafanas would put
// them into a menu.
func withoutPlacement(v any) {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			withoutPlacement(x)
		}
	case map[string]any:
		if v["placement"] == string(dashboard.DashboardLinkPlacementInControlsMenu) {
			delete(v, "placement")
		}
		for _, x := range v {
			withoutPlacement(x)
		}
	}
}

// source is whichever Prometheus the reader chose.
func source() common.DataSourceRef {
	return common.DataSourceRef{Type: new("prometheus"), Uid: new("${datasource}")}
}

// choice is a variable whose values are those of a label.
func choice(name, label, query string) *dashboard.QueryVariableBuilder {
	query = ofFarmQuery(query)
	return dashboard.NewQueryVariableBuilder(name).Label(label).Datasource(source()).Query(dashboard.StringOrMap{String: &query}).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).Sort(dashboard.VariableSortNaturalAsc)
}

// choices is one of which several may be chosen, or all.
func choices(name, label, query string) *dashboard.QueryVariableBuilder {
	return choice(name, label, query).Multi(true).IncludeAll(true).AllValue(".*").Current(all())
}

func all() dashboard.VariableOption {
	return dashboard.VariableOption{
		Selected: new(true),
		Text:     dashboard.StringOrArrayOfString{ArrayOfString: []string{"All"}},
		Value:    dashboard.StringOrArrayOfString{ArrayOfString: []string{"$__all"}},
	}
}
