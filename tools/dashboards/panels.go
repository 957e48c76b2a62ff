package main

import (
	"slices"
	"strconv"

	"github.com/grafana/grafana-foundation-sdk/go/bargauge"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/heatmap"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// The units that the metrics' names end in, as Grafana calls them. What is counted has
// none.
const (
	count    = units.Short
	hashes   = units.HashesPerSecond
	celsius  = units.Celsius
	ratio    = units.PercentUnit
	seconds  = units.Seconds
	bytesSI  = units.BytesIEC
	perSec   = units.CountsPerSecond
	ago      = "dateTimeFromNow" // wants milliseconds
	plain    = units.String
	noValues = units.NoUnit
	hashed   = "si:H" // hashes, not a rate of them
)

// A query is PromQL with how its series are called.
type query struct{ expr, legend string }

// target is the query as a panel asks it, under the letter of its place.
func (q query) target(i int) *prometheus.DataqueryBuilder {
	b := prometheus.NewDataqueryBuilder().Expr(ofFarm(q.expr)).RefId(string(rune('A' + i))).Datasource(source())
	if q.legend != "" {
		b.LegendFormat(q.legend)
	}
	return b
}

type targets = []cog.Builder[variants.Dataquery]

// over asks for a time range.
func over(qs []query) (all targets) {
	for i, q := range qs {
		all = append(all, q.target(i).Range().Interval(sparsest))
	}
	return all
}

// now asks for this moment alone: what a topk of it shows is k things, and not all that
// were among the k at any time.
func now(qs []query) (all targets) {
	for i, q := range qs {
		all = append(all, q.target(i).Instant())
	}
	return all
}

// tabled asks for this moment as a table, with the labels as columns.
func tabled(qs []query) (all targets) {
	for i, q := range qs {
		all = append(all, q.target(i).Instant().Format(prometheus.PromQueryFormatTable))
	}
	return all
}

// lines is how something went.
func lines(title, about, unit string, qs ...query) *timeseries.PanelBuilder {
	return timeseries.NewPanelBuilder().Title(title).Description(about).Unit(unit).Targets(over(qs)).
		Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom).ShowLegend(true)).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending)).
		DrawStyle(common.GraphDrawStyleLine).LineWidth(1).FillOpacity(8).ShowPoints(common.VisibilityModeNever)
}

// heaps is how something that can be added up went.
func heaps(title, about, unit string, qs ...query) *timeseries.PanelBuilder {
	return lines(title, about, unit, qs...).FillOpacity(40).Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal)).Min(0)
}

// bars is how often something happened, which is rare. A bar counts what happened in
// $__rate_interval, which is four scrapes at the least: with fewer points than a screen
// has, a bar stands for no less time than it counts, and nothing is counted in four bars.
func bars(title, about string, qs ...query) *timeseries.PanelBuilder {
	return heaps(title, about, count, qs...).DrawStyle(common.GraphDrawStyleBars).FillOpacity(80).Decimals(0).
		MaxDataPoints(60).AxisSoftMax(1).NoValue("None")
}

// painted gives series their colours by name: name, colour and so on. By their order,
// what is bad would be green where nothing is good.
func painted(p *timeseries.PanelBuilder, pairs ...string) *timeseries.PanelBuilder {
	for pair := range slices.Chunk(pairs, 2) {
		p.OverrideByName(pair[0], []dashboard.DynamicConfigValue{{Id: "color", Value: map[string]string{"mode": "fixed", "fixedColor": pair[1]}}})
	}
	return p
}

// band shows how the dragons are spread, whatever their number: the middle one, the
// middle half, and all but the outermost twentieths.
func band(title, about, unit string, quantile func(q string) string) *timeseries.PanelBuilder {
	p := lines(title, about, unit,
		query{quantile("0.95"), "95 %"}, query{quantile("0.75"), "75 %"}, query{quantile("0.5"), "median"},
		query{quantile("0.25"), "25 %"}, query{quantile("0.05"), "5 %"}).FillOpacity(0).
		ColorScheme(dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdFixed).FixedColor("blue"))
	for _, fill := range [][3]string{{"95 %", "75 %", "10"}, {"75 %", "median", "30"}, {"median", "25 %", "30"}, {"25 %", "5 %", "10"}} {
		opacity, _ := strconv.Atoi(fill[2])
		p.OverrideByName(fill[0], []dashboard.DynamicConfigValue{
			{Id: "custom.fillBelowTo", Value: fill[1]}, {Id: "custom.fillOpacity", Value: opacity},
		})
	}
	return p.OverrideByName("median", []dashboard.DynamicConfigValue{
		{Id: "custom.lineWidth", Value: 2}, {Id: "custom.fillBelowTo", Value: "25 %"}, {Id: "custom.fillOpacity", Value: 30},
	})
}

// dashed draws the series of a name, or of a pattern in slashes, as a dashed line.
func dashed(p *timeseries.PanelBuilder, pattern string) *timeseries.PanelBuilder {
	return p.OverrideByRegexp(pattern, []dashboard.DynamicConfigValue{
		{Id: "custom.lineStyle", Value: map[string]any{"fill": "dash", "dash": []int{8, 8}}}, {Id: "custom.fillOpacity", Value: 0},
	})
}

// limit draws lines where alerts are.
func limit(p *timeseries.PanelBuilder, steps *dashboard.ThresholdsConfigBuilder) *timeseries.PanelBuilder {
	return p.Thresholds(steps).ThresholdsStyle(common.NewGraphThresholdsStyleConfigBuilder().Mode(common.GraphThresholdsStyleModeDashed))
}

// tile is one figure, or one for each series. Where nothing says which figures are good,
// it has no colour: Grafana would call everything above 80 bad.
func tile(title, about, unit string, qs ...query) *stat.PanelBuilder {
	return stat.NewPanelBuilder().Title(title).Description(about).Unit(unit).Targets(now(qs)).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"}).Values(false)).
		Orientation(common.VizOrientationAuto).Thresholds(colours("text")).ColorMode(common.BigValueColorModeValue).GraphMode(common.BigValueGraphModeNone).
		TextMode(common.BigValueTextModeAuto).JustifyMode(common.BigValueJustifyModeAuto).NoValue("–")
}

// word is a figure that is known by its label: the query has one series, whose legend is it.
func word(title, about string, q query) *stat.PanelBuilder {
	return tile(title, about, noValues, q).TextMode(common.BigValueTextModeName)
}

// saying is what is so now, in words: the legends of the series that there are.
func saying(title, about string, qs ...query) *stat.PanelBuilder {
	return tile(title, about, noValues, qs...).TextMode(common.BigValueTextModeName).Orientation(common.VizOrientationHorizontal)
}

// ranking is a few things at this moment, the worst of many.
func ranking(title, about, unit string, q query) *bargauge.PanelBuilder {
	return bargauge.NewPanelBuilder().Title(title).Description(about).Unit(unit).Targets(now([]query{q})).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"}).Values(false)).
		Orientation(common.VizOrientationHorizontal).DisplayMode(common.BarGaugeDisplayModeBasic).ShowUnfilled(true).Min(0)
}

// lanes is the states that things were in.
func lanes(title, about string, mapping []dashboard.ValueMapping, qs ...query) *statetimeline.PanelBuilder {
	return statetimeline.NewPanelBuilder().Title(title).Description(about).Unit(noValues).Targets(over(qs)).Mappings(mapping).
		MergeValues(true).ShowValue(common.VisibilityModeAuto).FillOpacity(80).LineWidth(0).RowHeight(0.85).
		Legend(common.NewVizLegendOptionsBuilder().ShowLegend(false).DisplayMode(common.LegendDisplayModeHidden).Placement(common.LegendPlacementBottom)).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeSingle).Sort(common.SortOrderNone)).
		ColorScheme(dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdThresholds))
}

// heat is a histogram over time: the query has a series for each le.
func heat(title, about, unit, expr string) *heatmap.PanelBuilder {
	q := query{expr, "{{le}}"}
	return heatmap.NewPanelBuilder().Title(title).Description(about).
		Targets(targets{q.target(0).Range().Interval(sparsest).Format(prometheus.PromQueryFormatHeatmap)}).
		Calculate(false).
		Color(heatmap.NewHeatmapColorOptionsBuilder().Mode(heatmap.HeatmapColorModeScheme).Scheme("Oranges").Steps(64).
			Scale(heatmap.HeatmapColorScaleExponential).Exponent(0.5).Fill("dark-orange").Reverse(false)).
		YAxis(heatmap.NewYAxisConfigBuilder().Unit(unit).AxisPlacement(common.AxisPlacementLeft)).
		Tooltip(heatmap.NewHeatmapTooltipBuilder().Mode(common.TooltipDisplayModeSingle)).
		CellGap(1).FilterValues(heatmap.NewFilterValueRangeBuilder().Le(1e-9)).Unit(unit)
}

// A column of a table: the name that the query gives it, the title that people see.
type column struct {
	field, title string
	options      []dashboard.DynamicConfigValue
}

// grid is a table of what is the case now. Its queries have the labels of the first one,
// or some of them; what is not a column is hidden.
func grid(title, about string, qs []query, columns ...column) *table.PanelBuilder {
	p := table.NewPanelBuilder().Title(title).Description(about).Targets(tabled(qs)).Filterable(true).ShowHeader(true).
		Footer(common.NewTableFooterOptionsBuilder().Show(false).Reducer([]string{}).EnablePagination(true))
	if len(qs) > 1 {
		p.WithTransformation(dashboard.DataTransformerConfig{Id: "merge", Options: map[string]any{}})
	}
	index, rename, include := map[string]int{}, map[string]string{}, []string{}
	for i, c := range columns {
		index[c.field], rename[c.field] = i, c.title
		include = append(include, c.field)
		if len(c.options) > 0 {
			p.OverrideByName(c.title, c.options)
		}
	}
	return p.
		WithTransformation(dashboard.DataTransformerConfig{Id: "filterFieldsByName", Options: map[string]any{"include": map[string]any{"names": include}}}).
		WithTransformation(dashboard.DataTransformerConfig{Id: "organize", Options: map[string]any{
			"excludeByName": map[string]any{}, "indexByName": index, "renameByName": rename,
		}})
}

func value(unit string) dashboard.DynamicConfigValue {
	return dashboard.DynamicConfigValue{Id: "unit", Value: unit}
}

func width(pixels int) dashboard.DynamicConfigValue {
	return dashboard.DynamicConfigValue{Id: "custom.width", Value: pixels}
}

// link makes the cells, or values, of a field lead somewhere.
func link(title, url string) dashboard.DynamicConfigValue {
	return dashboard.DynamicConfigValue{Id: "links", Value: []map[string]any{{"title": title, "url": url}}}
}

// leadsTo is the same for a whole panel.
func leadsTo(title, url string) []cog.Builder[dashboard.DashboardLink] {
	return []cog.Builder[dashboard.DashboardLink]{dashboard.NewDashboardLinkBuilder(title).Type(dashboard.DashboardLinkTypeLink).Url(url)}
}

// The links between boards keep the time range and the data source. A dragon's name is
// a cell of a table, or a label.
const (
	keeping     = "${__url_time_range}&${datasource:queryparam}&${farm:queryparam}"
	toCell      = "/d/" + dragonUID + "?" + keeping + "&var-worker=${__data.fields.Dragon}"
	toLabel     = "/d/" + dragonUID + "?" + keeping + "&var-worker=${__field.labels.worker}"
	toHealer    = "/d/" + healerUID + "?" + keeping
	openDragon  = "Open the dragon"
	openHealer  = "Open the healer"
	openDragons = "Show these dragons"
	toRunbook   = "https://github.com/brndnmtthws/mother-of-dragons/blob/main/docs/runbooks/${__data.fields.Alert}.md"
	toDevice    = "http://${__data.fields.Address}/"
)

// dragonColumn is the first column of a table of dragons.
func dragonColumn() column {
	return column{"worker", "Dragon", []dashboard.DynamicConfigValue{link(openDragon, toCell), width(150)}}
}

// addressColumn leads to the device's own page.
func addressColumn() column {
	return column{"ip", "Address", []dashboard.DynamicConfigValue{link("Open the device", toDevice), width(140)}}
}

// colours says from which value on a thing is of which colour: the first is that of
// everything below.
func colours(first string, steps ...any) *dashboard.ThresholdsConfigBuilder {
	all := []dashboard.Threshold{{Color: first}}
	for pair := range slices.Chunk(steps, 2) {
		v := pair[0].(float64)
		all = append(all, dashboard.Threshold{Value: &v, Color: pair[1].(string)})
	}
	return dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(all)
}

// words says what values mean: value, text, colour and so on.
func words(triples ...string) []dashboard.ValueMapping {
	options := map[string]dashboard.ValueMappingResult{}
	index := int32(0)
	for t := range slices.Chunk(triples, 3) {
		options[t[0]] = dashboard.ValueMappingResult{Text: new(t[1]), Color: new(t[2]), Index: new(index)}
		index++
	}
	return []dashboard.ValueMapping{{ValueMap: &dashboard.ValueMap{Type: dashboard.MappingTypeValueToText, Options: options}}}
}

// yet says that a figure is not known yet. By its thresholds it would be the worst of all.
func yet(text string) []dashboard.ValueMapping {
	return []dashboard.ValueMapping{{SpecialValueMap: &dashboard.SpecialValueMap{
		Type: dashboard.MappingTypeSpecialValue,
		Options: dashboard.DashboardSpecialValueMapOptions{
			Match: dashboard.SpecialValueMatchNullAndNan, Result: dashboard.ValueMappingResult{Text: new(text), Color: new("blue"), Index: new(int32(0))},
		},
	}}}
}

// falling sorts a table by a column, the greatest first.
func falling(title string) []cog.Builder[common.TableSortByFieldState] {
	return []cog.Builder[common.TableSortByFieldState]{common.NewTableSortByFieldStateBuilder().DisplayName(title).Desc(true)}
}

// rising is the same with the least first, and before it what has no figure.
func rising(title string) []cog.Builder[common.TableSortByFieldState] {
	return []cog.Builder[common.TableSortByFieldState]{common.NewTableSortByFieldStateBuilder().DisplayName(title).Desc(false)}
}

// unstacked undoes the stacking of heaps, for what is counted in more than one series.
func unstacked() *common.StackingConfigBuilder {
	return common.NewStackingConfigBuilder().Mode(common.StackingModeNone)
}
