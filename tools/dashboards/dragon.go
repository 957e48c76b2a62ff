package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// its is a metric of the dragon that is looked at.
func its(metric string) string { return metric + `{worker="$worker"}` }

// itsWith is the same with more to say of the labels.
func itsWith(metric, matchers string) string { return metric + `{worker="$worker", ` + matchers + `}` }

func rate(series string) string     { return "rate(" + series + "[$__rate_interval])" }
func increase(series string) string { return "increase(" + series + "[$__rate_interval])" }

// each has one series for each of a label, whatever two jobs say of it.
func each(label, expr string) string { return "max by (" + label + ") (" + expr + ")" }

// averaged is the rate of each board over a window, or over a minute where the model has
// no longer one: B29 and B52.
func averaged(window string) string {
	over := func(window string) string {
		return each("board", itsWith("dragon_board_hashrate_hashes_per_second", `window="`+window+`"`))
	}
	return over(window) + " or " + over("1m")
}

func dragonBoard(limits thresholds) *board {
	slow := limits.at("hashrate_ratio")
	hot := func() *dashboard.ThresholdsConfigBuilder {
		return colours("green", limits.at("temperature_high_celsius"), "orange", limits.at("temperature_critical_celsius"), "red")
	}
	alive := words("0", "dead", "red", "1", "alive", "green")
	yes := words("0", "no", "text", "1", "yes", "blue")
	byBoard := func(metric string) query { return query{each("board", its(metric)), "board {{board}}"} }
	byPool := func(metric string) query { return query{each("pool", its(metric)), "pool {{pool}}"} }
	rates := func(label, metric, legend string) query {
		return query{each(label, rate(its(metric))), legend}
	}
	ages := func(label, metric string) query {
		return query{"time() - " + each(label, its(metric)), label + " {{" + label + "}}"}
	}

	return &board{
		uid: dragonUID, title: "Dragons: one dragon",
		about: "One dragon: boards, pools, system, and the healer's view of it.",
		variables: []cog.Builder[dashboard.VariableModel]{
			placeVariable(),
			choice("worker", "Dragon", `label_values(dragon_info{place=~"(?i).*$place.*"}, worker)`),
			choice("ip", "Address", `label_values(dragon_info{worker="$worker"}, ip)`).Hide(dashboard.VariableHideHideVariable),
		},
		links: []cog.Builder[dashboard.DashboardLink]{
			dashboard.NewDashboardLinkBuilder("Open the device").Type(dashboard.DashboardLinkTypeLink).Url("http://${ip}/").Icon("external link").TargetBlank(true),
		},
		annotation: annotation{
			name: "Restarts", expr: `max by (kind, initiator) (` + increase(its("dragon_restarts_observed_total")) + `) > 0`,
			title: "{{kind}} restarted", text: "by {{initiator}}", tags: "kind,initiator",
		},
		rows: []row{
			{"Now", []panel{
				{word("State", "Its state on the fleet's board. Needs the recording rules of alerts/.", query{its("worker:dragon_state:info"), "{{state}}"}), 3, 4, 0},
				{tile("Hash rate", "Of its boards, averaged by the dragon over five minutes.", hashes, query{"sum(" + averaged("5m") + ")", ""}).Decimals(2), 3, 4, 0},
				{tile("Of expected", "Share of its expected hash rate.", ratio, query{its("worker:dragon_hashrate:ratio"), ""}).Decimals(1).Thresholds(colours("red", slow, "yellow", 0.9, "green")).Mappings(yet("–")), 3, 4, 0},
				{tile("Boards", "Those that are alive.", count, query{"sum(" + each("board", its("dragon_board_up")) + ")", ""}), 2, 4, 0},
				{tile("Expected", "Boards that the dragon should have.", count, query{"max(" + its("dragon_boards_expected") + ")", ""}), 2, 4, 0},
				{tile("Hottest board", "The average of its chips.", celsius, query{"max(" + its("dragon_board_temperature_celsius") + ")", ""}).Thresholds(hot()), 3, 4, 0},
				{tile("Fans", "Duty of all fans.", ratio, query{"max(" + its("dragon_fan_duty_ratio") + ")", ""}).Thresholds(colours("green", limits.at("fan_duty_ratio"), "orange")), 2, 4, 0},
				{tile("Up for", "Time since its system booted.", seconds, query{"max(" + its("dragon_uptime_seconds") + ")", ""}).Decimals(0), 3, 4, 0},
				{tile("Mining for", "Time since its miner process started, or finished tuning.", seconds, query{"max(" + its("dragon_miner_uptime_seconds") + ")", ""}).Decimals(0), 3, 4, 0},
				{grid("Who it is", "Identity and place.", []query{{`max by (worker, ip, mac, brand, model, hw_version, firmware, site, place) (` + its("dragon_info") + `)`, ""}},
					column{"worker", "Dragon", nil}, addressColumn(), column{"mac", "MAC", nil}, column{"brand", "Brand", nil}, column{"model", "Model", nil},
					column{"hw_version", "Hardware", nil}, column{"firmware", "Firmware", nil}, column{"site", "Site", nil}, column{"place", "Labels", nil}), 18, 4, 0},
				{word("Healer", "Its state in the healer.", query{each("state", its("mother_healer_device_state")), "{{state}}"}), 3, 4, 0},
				{word("Tuned for", "The stored autotune profile, with its level on Innosilicon.", query{each("mode, level", its("dragon_autotune_info")), "{{mode}} {{level}}"}), 3, 4, 0},
			}},
			{"Boards", []panel{
				{lines("Hash rate by board", "Averaged by the dragon over five minutes.", hashes,
					query{averaged("5m"), "board {{board}}"}).Min(0), 8, 8, 0},
				{dashed(lines("Hash rate, all boards", "The dragon's own averages, the rate of its counter, and the expected rate.", hashes,
					query{`sum by (window) (max by (window, board) (` + its("dragon_board_hashrate_hashes_per_second") + `))`, "{{window}}"},
					query{"sum(" + each("board", rate(its("dragon_board_hashes_total"))) + ")", "counted"},
					query{"max(" + its("dragon_hashrate_expected_hashes_per_second") + ")", "expected"}).Min(0), "/expected/"), 8, 8, 0},
				{limit(lines("Temperature", "By board, the average of its chips.", celsius, byBoard("dragon_board_temperature_celsius")), hot()), 8, 8, 0},
				{lanes("Boards", "Whether the dragon reports them as alive.", alive, byBoard("dragon_board_up")), 8, 6, 0},
				{limit(lines("Hardware errors", "Share of the nonces that failed the dragon's own check, by board.", ratio,
					query{each("board", rate(its("dragon_board_hardware_errors_total"))+" / ("+rate(its("dragon_board_hardware_errors_total"))+" + "+rate(its("dragon_board_diff1_work_total"))+" > 0)"), "board {{board}}"}).Min(0),
					colours("green", limits.at("hardware_error_ratio"), "red")), 8, 6, 0},
				{lines("Fans", "Duty of all fans.", ratio, query{"max(" + its("dragon_fan_duty_ratio") + ")", "fans"}).Min(0).Max(1), 8, 6, 0},
				{lines("Shares by board", "By the pool's verdict.", perSec, rates("board, result", "dragon_board_shares_total", "board {{board}} {{result}}")).Min(0), 6, 7, 0},
				{lines("Difficulty of the shares by board", "Sum per second.", perSec, rates("board, result", "dragon_board_share_difficulty_total", "board {{board}} {{result}}")).Min(0), 6, 7, 0},
				{lines("Work done", "In shares of difficulty 1 per second.", perSec, rates("board", "dragon_board_diff1_work_total", "board {{board}}")).Min(0), 6, 7, 0},
				{lines("Since the last share, and valid work", "By the dragon's clock.", seconds, ages("board", "dragon_board_last_share_timestamp_seconds"),
					query{"time() - " + each("board", its("dragon_board_last_valid_work_timestamp_seconds")), "board {{board}}, valid work"}).Min(0), 6, 7, 0},
				{grid("Boards now", "The figures of each board.", []query{
					{each("board, status", its("dragon_board_status")), ""},
					{averaged("15m"), ""},
					{each("board", its("dragon_board_temperature_celsius")), ""},
					{each("board", its("dragon_board_last_share_pool")), ""},
					{each("board", its("dragon_board_last_share_difficulty")), ""},
				}, column{"board", "Board", nil}, column{"status", "Status", nil},
					column{"Value #B", "Hash rate, 15 min", []dashboard.DynamicConfigValue{value(hashes)}},
					column{"Value #C", "Temperature", []dashboard.DynamicConfigValue{value(celsius)}},
					column{"Value #D", "Pool of its last share", nil}, column{"Value #E", "Difficulty of its last share", []dashboard.DynamicConfigValue{value(count)}}).SortBy(rising("Board")), 24, 6, 0},
			}},
			{"Pools", []panel{
				{grid("Pools now", "Its pools, in their order.", []query{
					{each("pool, url, user", its("dragon_pool_info")), ""},
					{each("pool", its("dragon_pool_priority")), ""},
					{each("pool", its("dragon_pool_up")), ""},
					{each("pool", its("dragon_pool_active")), ""},
					{each("pool", its("dragon_pool_stratum_difficulty")), ""},
					{each("pool", its("dragon_pool_last_share_difficulty")), ""},
					{each("pool", its("dragon_pool_best_share_difficulty")), ""},
					{each("pool", its("dragon_pool_block_height")), ""},
				}, column{"pool", "Pool", []dashboard.DynamicConfigValue{width(70)}}, column{"url", "URL", []dashboard.DynamicConfigValue{width(340)}}, column{"user", "User", nil},
					column{"Value #B", "Priority", []dashboard.DynamicConfigValue{width(90)}},
					column{"Value #C", "Alive", []dashboard.DynamicConfigValue{{Id: "mappings", Value: yes}}},
					column{"Value #D", "Mined for", []dashboard.DynamicConfigValue{{Id: "mappings", Value: yes}}},
					column{"Value #E", "Difficulty asked for", []dashboard.DynamicConfigValue{value(count)}}, column{"Value #F", "Of the last share", []dashboard.DynamicConfigValue{value(count)}},
					column{"Value #G", "Of the best share", []dashboard.DynamicConfigValue{value(count)}},
					column{"Value #H", "Block", []dashboard.DynamicConfigValue{value(plain)}}).SortBy(rising("Priority")), 24, 5, 0},
				{lanes("Mined for", "The pool that it works for.", words("0", "no", "transparent", "1", "yes", "green"), byPool("dragon_pool_active")), 8, 6, 0},
				{lanes("Pools", "Whether the dragon reports them as alive.", alive, byPool("dragon_pool_up")), 8, 6, 0},
				{lines("Since the last share", "By the dragon's clock.", seconds, ages("pool", "dragon_pool_last_share_timestamp_seconds")).Min(0), 8, 6, 0},
				{answered(lines("Shares", "By result.", perSec, query{`sum by (result) (` + each("pool, result", rate(its("dragon_pool_shares_total"))) + `)`, "{{result}}"}).Min(0)), 8, 7, 0},
				{limit(lines("Rejected and stale", "Share of shares that the pool did not accept.", ratio,
					query{`sum(` + each("pool, result", rate(itsWith("dragon_pool_shares_total", `result=~"rejected|stale"`))) + `) / (sum(` + each("pool, result", rate(itsWith("dragon_pool_shares_total", `result=~"accepted|rejected|stale"`))) + `) > 0)`, "rejected and stale"}).Min(0),
					colours("green", limits.at("rejected_ratio"), "red")), 8, 7, 0},
				{answered(lines("Difficulty of the shares", "Sum per second, by result.", perSec, query{`sum by (result) (` + each("pool, result", rate(its("dragon_pool_share_difficulty_total"))) + `)`, "{{result}}"}).Min(0)), 8, 7, 0},
				{lines("Work", "Work received, work units made of it, and work done in shares of difficulty 1.", perSec,
					rates("pool", "dragon_pool_getworks_total", "received, pool {{pool}}"), rates("pool", "dragon_pool_works_total", "made of it, pool {{pool}}"),
					rates("pool", "dragon_pool_diff1_shares_total", "done, pool {{pool}}")).Min(0), 8, 7, 0},
				{bars("Trouble with the pools", "Work that could not be received or used, and shares that could not be sent.",
					query{each("pool", increase(its("dragon_pool_get_failures_total"))), "no work, pool {{pool}}"},
					query{each("pool", increase(its("dragon_pool_remote_failures_total"))), "not sent, pool {{pool}}"},
					query{each("pool", increase(its("dragon_pool_bad_work_total"))), "bad work, pool {{pool}}"}), 8, 7, 0},
				{lines("Difficulty", "Required by the pools, and of the current work.", count,
					query{each("pool", its("dragon_pool_stratum_difficulty")), "asked for, pool {{pool}}"}, query{each("pool", its("dragon_pool_work_difficulty")), "in hand, pool {{pool}}"}).Min(0), 8, 7, 0},
			}},
			{"Healer", []panel{
				{lanes("State by the healer", "Its state in the healer over time.", words("1", "yes", "blue"), query{each("state", its("mother_healer_device_state")), "{{state}}"}), 12, 7, 0},
				{bars("Restarts", "Of the miner process (miner) and of the whole dragon (system), by initiator.", query{each("kind, initiator", increase(its("dragon_restarts_observed_total"))), "{{kind}}, by {{initiator}}"}), 6, 7, 0},
				{grid("The last action", "The healer's last action on it, with its outcome.", []query{{`max by (action, outcome) (` + its("mother_healer_last_action_timestamp_seconds") + ` * 1000)`, ""}},
					column{"action", "Action", nil}, column{"outcome", "Outcome", nil}, column{"Value", "When", []dashboard.DynamicConfigValue{value(ago)}}).NoValue("None"), 6, 7, 0},
				{lanes("Being written to, tuning, in maintenance", "Reasons for a healthy dragon not to hash.", words("0", "no", "transparent", "1", "yes", "blue"),
					query{each("action", its("dragon_busy")), "{{action}}"}, query{each("worker", its("dragon_tuning")), "tuning"}, query{each("worker", its("dragon_maintenance")), "maintenance"}), 8, 6, 0},
				{lanes("Out of sync", "Differences from the desired state, with their state.", words("0", "no", "transparent", "1", "yes", "orange"),
					query{each("item", its("dragon_config_drift")), "{{item}}"}, query{each("state", itsWith("mother_enforce_state", `state!="in_sync"`)), "{{state}}"}).NoValue("In sync, or no desired state"), 8, 6, 0},
				{grid("Errors", "Errors that the dragon reports, decoded if the code is known.", []query{{each("code, board, message", its("dragon_error_info")), ""}},
					column{"code", "Code", nil}, column{"board", "Board", nil}, column{"message", "Meaning", nil}).SortBy(rising("Code")).NoValue("None"), 8, 6, 0},
			}},
			{"System", []panel{
				{lanes("Read", "Whether it was read.", words("0", "down", "red", "1", "up", "green"), query{each("worker", its("dragon_up")), "up"}), 6, 6, 0},
				{lines("Time to read it", "How long a scrape waited for it.", seconds, query{each("worker", its("dragon_scrape_duration_seconds")), "scrape"}).Min(0), 6, 6, 0},
				{bars("Failed readings", "By reason.", query{each("reason", increase(its("dragon_scrape_failures_total"))), "{{reason}}"}), 6, 6, 0},
				{bars("Unreadable fields", "By field.", query{each("field", increase(its("dragon_parse_errors_total"))) + " > 0", "{{field}}"}), 6, 6, 0},
				{lines("Memory", "Used and total.", bytesSI, query{each("worker", its("dragon_memory_used_bytes")), "in use"}, query{each("worker", its("dragon_memory_total_bytes")), "there"}).Min(0), 6, 6, 0},
				{lines("Load", "Over one minute.", count, query{each("worker", its("dragon_load1")), "load"}).Min(0), 6, 6, 0},
				{lines("Clock", "Seconds that its clock is ahead of the host's clock.", seconds, query{each("worker", its("dragon_clock_offset_seconds")), "ahead"}), 6, 6, 0},
				{lines("Up and mining for", "Time since the system booted, and since the miner process started.", seconds, query{each("worker", its("dragon_uptime_seconds")), "system"}, query{each("worker", its("dragon_miner_uptime_seconds")), "miner process"}).Min(0), 6, 6, 0},
				{lines("Age of facts", "Age of the facts, which are not read in each scrape.", seconds, query{"time() - " + each("fact", its("dragon_facts_timestamp_seconds")), "{{fact}}"}).Min(0), 12, 6, 0},
				{tile("Sensor faults", "Working boards with an implausible temperature.", count, query{each("worker", its("dragon_sensor_faults")), ""}).Thresholds(colours("green", 1.0, "orange")), 4, 6, 0},
				{tile("Newer firmware", "Whether its vendor offers a newer one.", noValues, query{each("worker", its("dragon_firmware_upgrade_available")), ""}).Mappings(yes), 4, 6, 0},
				{tile("Last read", "How long ago it was last read.", seconds, query{"time() - " + each("worker", its("dragon_last_success_timestamp_seconds")), ""}).Decimals(0), 4, 6, 0},
			}},
		},
	}
}
