package main

import (
	"fmt"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// chosen are the labels of the dragons that the reader looks at, and known those
// dragons, one series each.
const (
	chosen  = `site=~"$site", model=~"$model"`
	ofPlace = `, place=~"(?i).*$place.*"` // those with a text in their name or labels
	known   = `worker:dragon_info:any{` + chosen + ofPlace + `}`
)

// Sums over a time range come from few recorded series, which have no labels of dragons,
// while no text of labels is chosen; else from the series of each dragon. No series has the
// label unset: with these matchers only one of the two has any series, so that the other
// costs nothing.
const (
	recorded   = chosen + `, unset=~"$place"`
	single     = `unset!~"$place"`
	withLabels = `worker:dragon_info:any{` + chosen + ofPlace + `, ` + single + `}`
)

// placeVariable is the text for ofPlace.
func placeVariable() *dashboard.TextBoxVariableBuilder {
	return dashboard.NewTextBoxVariableBuilder("place").Label("Labels").DefaultValue(dashboard.StringOrMap{String: new("")}).
		Description("A text in the name or the labels of the dragons, such as rack a12.")
}

// of leaves of an expression, one series a worker, the dragons that are looked at.
func of(expr string) string { return "(" + expr + ") and on (worker) " + known }

// once is a dragon's series one time, whatever two jobs say of it.
func once(expr string) string { return "max by (worker) (" + expr + ")" }

// orNone is 0 rather than nothing, as long as any dragon is known at all.
func orNone(expr string) string { return expr + " or 0 * sum(model:dragon_state:count)" }

// spread is a quantile, which band puts in, of the dragons that are looked at: of recorded
// buckets, or of a series of each dragon.
func spread(buckets, each string) func(quantile string) string {
	return func(quantile string) string {
		return "histogram_quantile(" + quantile + ", sum by (le) (" + buckets + "{" + recorded + "})) or quantile(" + quantile + ", " + each + "{" + chosen + ofPlace + ", " + single + "})"
	}
}

// hottestBuckets are the bounds of model:dragon_hottest_board:celsius_bucket.
var hottestBuckets = []string{"40", "50", "60", "65", "70", "75", "80", "85", "90", "95", "100", "110"}

// hottest is how many dragons have their hottest board how hot.
func hottest() string {
	series := "worker:dragon_hottest_board:celsius{" + chosen + ofPlace + ", " + single + "}"
	either := []string{"sum by (le) (model:dragon_hottest_board:celsius_bucket{" + recorded + "})"}
	for _, le := range hottestBuckets {
		either = append(either, `label_replace(sum(`+series+` <= bool `+le+`), "le", "`+le+`", "", "")`)
	}
	return strings.Join(append(either, `label_replace(count(`+series+`), "le", "+Inf", "", "")`), " or ")
}

// counted is how many dragons are in the states of a matcher, by labels or in all.
func counted(by, states string) string {
	return "sum" + by + "(model:dragon_state:count{" + recorded + states + "}) or count" + by + "(worker:dragon_state:info{" + chosen + ofPlace + ", " + single + states + "})"
}

// hashing is a hash rate by model: of a recorded sum, or of a series of each dragon.
func hashing(sum, each string) string {
	return "sum by (model) (" + sum + "{" + recorded + "}) or sum by (model) (max by (worker) (" + each + "{" + single + "}) * on (worker) group_left (model) " + withLabels + ")"
}

// shares are the shares per second by labels, of some results.
func shares(by, results string) string {
	return `sum by (` + by + `) (pool:dragon_pool_shares:rate5m{` + recorded + `, ` + results + `}) or sum by (` + by + `) (` +
		`max by (worker, pool) (rate(dragon_pool_shares_total{` + single + `, ` + results + `}[$__rate_interval])) ` +
		`* on (worker, pool) group_left (url) max by (worker, pool, url) (dragon_pool_info{` + single + `}) ` +
		`* on (worker) group_left (model, firmware) ` + withLabels + `)`
}

// hashingRatio is what each dragon makes of its expected hash rate; who shows nothing
// makes nothing.
const hashingRatio = `worker:dragon_hashrate_of_expected:ratio{` + chosen + ofPlace + `}`

// dragonsPanel is the table that the fleet's tiles open.
const dragonsPanel = 100

// state is a tile of the first screen: the dragons in some states, and the way to them.
func state(title, about, colour string, states ...string) *stat.PanelBuilder {
	pattern, url := "", "/d/"+fleetUID+"?"+keeping+"&${site:queryparam}&${model:queryparam}&${place:queryparam}"
	for i, s := range states {
		if i > 0 {
			pattern += "|"
		}
		pattern += s
		url += "&var-state=" + s
	}
	expr := counted("", "")
	if len(states) > 0 {
		expr = counted("", `, state=~"`+pattern+`"`)
	} else {
		url += "&var-state=$__all"
	}
	return tile(title, about, count, query{orNone(expr), ""}).Decimals(0).Thresholds(colours("text", 1.0, colour)).
		DataLinks(leadsTo(openDragons, url+"&viewPanel=100"))
}

// stateWords are the states of worker:dragon_state:info with the colours of their tiles.
var stateWords = words("hashing", "hashing", "green", "busy", "busy", "blue", "degraded", "degraded", "orange", "dead", "dead", "red",
	"down", "down", "red", "unauthenticated", "unauthenticated", "purple", "maintenance", "maintenance", "text")

// painted by the same.
func byState(p *timeseries.PanelBuilder) *timeseries.PanelBuilder {
	return painted(p, "hashing", "green", "busy", "blue", "degraded", "orange", "dead", "red", "down", "dark-red",
		"unauthenticated", "purple", "maintenance", "text")
}

// answered are the colours of what became of shares.
func answered(p *timeseries.PanelBuilder) *timeseries.PanelBuilder {
	return painted(p, "accepted", "green", "rejected", "red", "stale", "orange", "discarded", "text")
}

// healerActions mark what the healer did, to any dragon.
var healerActions = annotation{
	name: "Healer", expr: `sum by (action, reason) (increase(mother_healer_actions_total[$__rate_interval])) > 0`,
	title: "{{action}}", text: "for {{reason}}", tags: "action,reason",
}

// acting is a series of the healers that own their state, or of one that waits for an owner that is
// not there. One that waits says that it cannot write and that it observes, and may not know what
// the owner does.
func acting(series string) string {
	return series + " unless on (farm, job, instance) (mother_healer_standby == 1 and on (farm) mother_healer_lock_held == 1)"
}

// modes are those of the healers that are looked at.
func modes() string { return "max by (mode) (" + acting("mother_healer_mode") + ") == 1" }

// blocked are the dragons that wait, by gate, once each whatever two instances say of it.
func blocked() string { return "max by (farm, gate) (" + acting("mother_healer_blocked") + ")" }

// holds are the things that hold the healer back, in words.
func holds() string {
	var all []string
	for _, x := range []struct{ pick, series, is, label, words string }{
		{"min", "mother_state_writable", "== 0", "", "its state cannot be written"},
		{"min", "mother_clock_trusted", "== 0", "", "the clock is not trusted"},
		{"max", "mother_healer_stop", "== 1", "", "the STOP file is there"},
		{"max", "mother_healer_isolated", "== 1", "", "cut off from most of the fleet"},
		{"max", "mother_site_hot", "== 1", "", "the site is hot"},
		{"max", "mother_healer_policy_refused", "== 1", "", "the newest policy is refused"},
		{"max by (scope)", "mother_pauses", "> 0", "scope", "a pause or maintenance, $1"},
		{"max by (breaker)", "mother_healer_breaker_state", "> 1", "breaker", "the breaker $1 is open"},
		{"max by (gate)", "mother_healer_blocked", "> 0", "gate", "dragons wait for $1"},
	} {
		pattern := ""
		if x.label != "" {
			pattern = "(.*)"
		}
		expr := x.pick + " (" + acting(x.series) + ") " + x.is
		all = append(all, fmt.Sprintf("label_replace(%s, %q, %q, %q, %q)", expr, "holds", x.words, x.label, pattern))
	}
	return strings.Join(all, " or ")
}

func fleetBoard(limits thresholds, alertNames string) *board {
	slow := limits.at("hashrate_ratio")
	atLeast := func() *dashboard.ThresholdsConfigBuilder { return colours("red", slow, "yellow", 0.9, "green") }
	hot := func() *dashboard.ThresholdsConfigBuilder {
		return colours("green", limits.at("temperature_high_celsius"), "orange", limits.at("temperature_critical_celsius"), "red")
	}
	refused := func() *dashboard.ThresholdsConfigBuilder { return colours("green", limits.at("rejected_ratio"), "red") }
	healer := func(p *stat.PanelBuilder) *stat.PanelBuilder { return p.DataLinks(leadsTo(openHealer, toHealer)) }
	unanswered := func(by string) string {
		return "(" + shares(by, `result=~"rejected|stale"`) + ") / ((" + shares(by, `result=~"accepted|rejected|stale"`) + ") > 0)"
	}
	// Of each board that is not well: who, where, and in what words.
	sickBoards := `max by (worker, board, status) (dragon_board_status{status!="Alive"}) * on (worker) group_left (ip, model, site, place) ` + known

	firing := `ALERTS{alertstate="firing", alertname=~"` + alertNames + `"}`

	listed := `worker:dragon_state:info{` + chosen + ofPlace + `, state=~"$state"}`

	return &board{
		uid: fleetUID, title: "Dragons: fleet",
		about: "Whether the fleet hashes as expected, which dragons do not, and what the healer does. Needs the recording rules of alerts/.",
		variables: []cog.Builder[dashboard.VariableModel]{
			choices("site", "Site", `label_values(dragon_info, site)`),
			choices("model", "Model", `label_values(dragon_info, model)`),
			dashboard.NewCustomVariableBuilder("state").Label("State").Description("Of the dragons in the table.").
				Values(dashboard.StringOrMap{String: new("hashing,degraded,dead,busy,down,unauthenticated,maintenance")}).
				Multi(true).IncludeAll(true).AllValue(".*").Current(all()),
			placeVariable(),
		},
		annotation: healerActions,
		rows: []row{
			{"Is all well?", []panel{
				{tile("Hashing as it should", "Mean over the dragons of hash rate divided by expected hash rate; 0 for one that is down, without those that are down for maintenance. The expected rate is the policy's figure, else the dragon's baseline, else its model's: known after a quarter of an hour; for fewer than five dragons of a model after a day.", ratio,
					query{"avg(clamp_max(" + hashingRatio + ", 1))", ""}).Decimals(1).Thresholds(colours("red", limits.at("fleet_hashrate_ratio"), "yellow", 0.95, "green")).ColorMode(common.BigValueColorModeBackground).Mappings(yet("not yet")), 4, 4, 0},
				{tile("Hash rate", "Of the boards that are alive, by model. Models of different algorithms cannot be added up; where a model solves Equihash, hashes are solutions.", hashes,
					query{hashing("model:dragon_hashrate_hashes_per_second:sum", "worker:dragon_hashrate_hashes_per_second:sum"), "{{model}}"}).Decimals(1), 8, 4, 0},
				{state("Known", "All known dragons.", "text"), 3, 4, 0},
				{state("Up", "Dragons that answer.", "green", "hashing", "degraded", "dead", "busy"), 3, 4, 0},
				{state("Hashing", "Dragons that hash as expected, or nearly.", "green", "hashing"), 3, 4, 0},
				{state("Busy", "Dragons that tune, or are being written to.", "blue", "busy"), 3, 4, 0},
				{state("Degraded", "Dragons with a board dead or missing, or far below the expected hash rate.", "orange", "degraded"), 4, 4, 0},
				{state("Dead", "Dragons that answer and do not hash.", "red", "dead"), 4, 4, 0},
				{state("Down", "Dragons that do not answer, or whose answers cannot be read. Not those that people work on or have retired.", "red", "down"), 4, 4, 0},
				{state("Unauthenticated", "Dragons that reject all credentials.", "purple", "unauthenticated"), 4, 4, 0},
				{healer(word("Healer", "enforce: the healer acts. observe: it only explains. safe: observe, after a panic or unclean starts.", query{modes(), "{{mode}}"})), 2, 4, 0},
				{healer(tile("In hand", "Dragons with an action whose outcome is not known yet.", count, query{`sum(max by (farm, scope) (mother_healer_in_flight{scope="fleet"}))`, ""})), 2, 4, 0},
				{healer(tile("Waiting", "Sick dragons that wait for a gate: a budget, a pause, a common cause.", count, query{"sum(" + blocked() + ")", ""}).Thresholds(colours("text", 1.0, "orange"))), 2, 4, 0},
				{healer(tile("Given up", "Quarantined dragons: someone must look at them.", count, query{`sum(max by (farm) (mother_healer_quarantined))`, ""}).Thresholds(colours("text", 1.0, "red"))), 2, 4, 0},
				{ranking("The ten worst", "Dragons with the lowest share of their expected hash rate, which is known after a quarter of an hour.", ratio, query{"bottomk(10, " + hashingRatio + ")", "{{worker}}"}).
					Max(1).Thresholds(atLeast()).DataLinks(leadsTo(openDragon, toLabel)).Mappings(yet("not yet")).NoValue("Not known yet"), 8, 9, 0},
				{bars("Actions of the healer", "What the healer sent to dragons.", query{`sum by (action) (increase(mother_healer_actions_total[$__rate_interval])) > 0`, "{{action}}"}), 8, 9, 0},
				{byState(heaps("Dragons by state", "Each known dragon is in one of these states.", count, query{counted(" by (state) ", ""), "{{state}}"}).Decimals(0)), 8, 9, 0},
				{grid("Firing alerts", "Those of the rules of alerts/ in Prometheus, with how many dragons or other things each is about. A name leads to its runbook.", []query{
					{"count by (alertname, severity) (" + firing + ")", ""},
					{`min by (alertname, severity) (ALERTS_FOR_STATE * 1000 and ignoring (alertstate) ` + firing + ")", ""},
				}, column{"alertname", "Alert", []dashboard.DynamicConfigValue{link("Open the runbook", toRunbook)}},
					column{"severity", "Severity", []dashboard.DynamicConfigValue{{Id: "mappings", Value: words("critical", "critical", "red", "warning", "warning", "orange", "info", "info", "blue")}, {Id: "custom.displayMode", Value: "color-text"}}},
					column{"Value #A", "About", nil}, column{"Value #B", "Since", []dashboard.DynamicConfigValue{value(ago)}}).SortBy(rising("Severity")).NoValue("None"), 14, 7, 0},
				{healer(saying("Healer, in words", "Its mode, and all that holds it back.",
					query{modes(), "mode {{mode}}"}, query{holds(), "{{holds}}"})).NoValue("There is none"), 10, 7, 0},
			}},
			{"Hash rate", []panel{
				{dashed(lines("Hash rate by model", "The hash rate; the dashed line is the expected rate.", hashes,
					query{hashing("model:dragon_hashrate_hashes_per_second:sum", "worker:dragon_hashrate_hashes_per_second:sum"), "{{model}}"},
					query{hashing("model:dragon_hashrate_expected_hashes_per_second:sum", "dragon_hashrate_expected_hashes_per_second"), "{{model}}, expected"}).Min(0), "/expected/"), 12, 9, 0},
				{limit(band("How the dragons compare", "Share of the expected hash rate of each dragon; 1 is as expected.", ratio, spread("model:dragon_hashrate_of_expected:ratio_bucket", "worker:dragon_hashrate_of_expected:ratio")).Min(0).AxisSoftMax(1.1).NoValue("Not known yet"), colours("transparent", slow, "red")), 12, 9, 0},
			}},
			{"Heat and fans", []panel{
				{heat("Temperature", "Dragons by the temperature of their hottest board.", celsius, hottest()), 10, 9, 0},
				{ranking("The ten hottest", "The hottest board of each.", celsius, query{"topk(10, " + "worker:dragon_hottest_board:celsius{" + chosen + ofPlace + "})", "{{worker}}"}).
					Max(limits.at("temperature_critical_celsius") + 10).Thresholds(hot()).DataLinks(leadsTo(openDragon, toLabel)), 6, 9, 0},
				{band("Fans", "Duty of the fans. At full speed there is no reserve.", ratio, spread("model:dragon_fan_duty:ratio_bucket", "worker:dragon_fan_duty:ratio")).Min(0).Max(1), 8, 9, 0},
			}},
			{"Energy", energyPanels()},
			{"Shares and pools", []panel{
				{limit(lines("Rejected and stale, by pool", "Share of shares that the pool did not accept.", ratio, query{unanswered("url"), "{{url}}"}).Min(0), refused()), 8, 8, 0},
				{limit(lines("Rejected and stale, by firmware", "The same by firmware.", ratio, query{unanswered("model, firmware"), "{{model}} {{firmware}}"}).Min(0), refused()), 8, 8, 0},
				{heaps("Accepted shares", "By pool.", perSec, query{shares("url", `result="accepted"`), "{{url}}"}), 8, 8, 0},
				{grid("Pools in use", "The pools and accounts in use; the account is the user up to the first dot.",
					[]query{{`count by (url, account) (worker:dragon_pool_active:info and on (worker) ` + known + `)`, ""}},
					column{"url", "Pool", nil}, column{"account", "Account", []dashboard.DynamicConfigValue{width(110)}}, column{"Value", "Dragons", []dashboard.DynamicConfigValue{width(90)}}).SortBy(falling("Dragons")), 8, 9, 0},
				{grid("Firmware", "Firmware versions, and how many dragons are offered a newer one by their vendor.",
					[]query{{`count by (model, firmware) (` + known + `)`, ""}, {`sum by (model, firmware) (` + once("dragon_firmware_upgrade_available") + ` * on (worker) group_left (model, firmware) ` + known + `)`, ""}},
					column{"model", "Model", nil}, column{"firmware", "Firmware", nil}, column{"Value #A", "Dragons", nil}, column{"Value #B", "Newer is offered to", nil}).SortBy(falling("Dragons")), 8, 9, 0},
				{ranking("The ten with the most hardware errors", "Share of an hour's nonces that failed the dragon's own check.", ratio, query{"topk(10, " + of("worker:dragon_hardware_errors:ratio1h") + ")", "{{worker}}"}).
					Thresholds(colours("green", limits.at("hardware_error_ratio"), "red")).DataLinks(leadsTo(openDragon, toLabel)).NoValue("–"), 8, 9, 0},
			}},
			{"Dragons", []panel{
				{grid("Boards that are not alive", "With the dragon's restarts in 24 hours and the healer's last action.", []query{
					{sickBoards, ""},
					{`(` + sickBoards + `) * on (worker) group_left () worker:dragon_restarts_observed:increase24h`, ""},
					{`(` + sickBoards + `) * on (worker) group_left (action, outcome) topk by (worker) (1, max by (worker, action, outcome) (mother_healer_last_action_timestamp_seconds * 1000))`, ""},
				}, dragonColumn(), addressColumn(), column{"site", "Site", nil}, column{"place", "Labels", nil}, column{"model", "Model", nil},
					column{"board", "Board", []dashboard.DynamicConfigValue{width(70)}}, column{"status", "Status", nil},
					column{"Value #B", "Restarts, 24 h", []dashboard.DynamicConfigValue{value(count), {Id: "decimals", Value: 0}}},
					column{"action", "Last action", nil}, column{"outcome", "Outcome", nil}, column{"Value #C", "When", []dashboard.DynamicConfigValue{value(ago)}}).SortBy(rising("Dragon")).NoValue("Every board is alive"), 24, 8, 0},
				// A name that a series has kept is a column too, and rows that differ in it are not one.
				{grid("Dragons", "Those in the chosen states: the tiles of the first screen choose.", []query{
					{listed, ""},
					{once("worker:dragon_hashrate_hashes_per_second:sum") + " and on (worker) " + listed, ""},
					{once("worker:dragon_hashrate_of_expected:ratio") + " and on (worker) " + listed, ""},
					{once("worker:dragon_board_temperature_celsius:max") + " and on (worker) " + listed, ""},
					{"sum by (worker) (max by (worker, board) (dragon_board_up)) and on (worker) " + listed, ""},
					{once("worker:dragon_restarts_observed:increase24h") + " and on (worker) " + listed, ""},
					{`max by (worker, healer) (label_replace(mother_healer_device_state, "healer", "$1", "state", "(.*)")) and on (worker) ` + listed, ""},
				}, dragonColumn(), column{"state", "State", []dashboard.DynamicConfigValue{{Id: "mappings", Value: stateWords}, {Id: "custom.displayMode", Value: "color-text"}}},
					addressColumn(), column{"site", "Site", nil}, column{"place", "Labels", nil}, column{"model", "Model", nil}, column{"firmware", "Firmware", []dashboard.DynamicConfigValue{width(190)}},
					column{"Value #B", "Hash rate", []dashboard.DynamicConfigValue{value(hashes)}},
					column{"Value #C", "Of expected", []dashboard.DynamicConfigValue{value(ratio), {Id: "decimals", Value: 1}}},
					column{"Value #D", "Hottest board", []dashboard.DynamicConfigValue{value(celsius)}},
					column{"Value #E", "Boards alive", nil},
					column{"Value #F", "Restarts, 24 h", []dashboard.DynamicConfigValue{value(count), {Id: "decimals", Value: 0}}},
					column{"healer", "Healer", nil}).SortBy(rising("Of expected")), 24, 14, dragonsPanel},
			}},
		},
	}
}
