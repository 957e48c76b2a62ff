package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
)

func healerBoard(limits thresholds) *board {
	// Of several healers the one that is worst off.
	is := func(title, about, worst, metric string, mapping []dashboard.ValueMapping) *stat.PanelBuilder {
		return tile(title, about, noValues, query{worst + "(" + acting(metric) + ")", ""}).Mappings(mapping)
	}
	isGood := func(title, about, metric string) *stat.PanelBuilder {
		return is(title, about, "min", metric, words("0", "no", "red", "1", "yes", "green"))
	}
	isBad := func(title, about, metric string) *stat.PanelBuilder {
		return is(title, about, "max", metric, words("0", "no", "green", "1", "yes", "red"))
	}
	used := "max by (scope, window) (max by (farm, scope, window) (mother_healer_budget_used) / (max by (farm, scope, window) (mother_healer_budget_limit) > 0))"
	causes := words("0", "well", "green", "1", "settling", "yellow", "2", "down", "red")
	sum := func(by, metric string) string {
		return "sum by (" + by + ") (" + increase(metric) + ")"
	}
	cycles := "mother_healer_cycle_duration_seconds_bucket"

	return &board{
		uid: healerUID, title: "Dragons: healer and rollouts",
		about:      "What the healer decides and does, with which results, and what blocks it.",
		annotation: healerActions,
		rows: []row{
			{"Is the healer well?", []panel{
				{word("Mode", "enforce: it acts. observe: it only explains. safe: observe, after a panic or unclean starts.", query{modes(), "{{mode}}"}), 3, 4, 0},
				{tile("Last decision", "Time since its last decision about the fleet.", seconds, query{"time() - min(" + acting("mother_healer_last_cycle_timestamp_seconds") + ")", ""}).Decimals(0).Thresholds(colours("green", limits.at("healer_age_seconds"), "red")), 3, 4, 0},
				{isGood("Owns its state", "If another instance owns it, this one only observes.", "mother_healer_lock_held"), 3, 4, 0},
				{isGood("Can write", "Whether its state and audit log can be written; if not, it sends nothing.", "mother_state_writable"), 3, 4, 0},
				{isGood("Trusts the clock", "Whether the host's wall clock is trusted.", "mother_clock_trusted"), 3, 4, 0},
				{isBad("STOP", "Whether the STOP file is there.", "mother_healer_stop"), 2, 4, 0},
				{isBad("Cut off", "Whether most of the fleet is unreachable at once, so that it considers itself disconnected.", "mother_healer_isolated"), 2, 4, 0},
				{isBad("Site hot", "Whether many dragons are hot at once, which is a fault of the site.", "mother_site_hot"), 2, 4, 0},
				{isBad("State lost", "Whether its state was lost or corrupt, so that every budget counts as used up for a while.", "mother_state_recovered"), 3, 4, 0},
				{isGood("A leader", "Of instances that share the state, whether one leads according to etcd.", "mother_ha_leaders"), 3, 4, 0},
				{grid("Instances", "That share the state. All are to have the same version and the same policy.", []query{
					{"max by (id, version, config_hash) (mother_ha_member_info)", ""},
				}, column{"id", "Instance", nil}, column{"version", "Version", nil}, column{"config_hash", "Policy", nil}).SortBy(rising("Instance")).NoValue("The state is not shared"), 21, 4, 0},
			}},
			{"What is it doing?", []panel{
				{painted(heaps("Dragons by state", "Each dragon is in one of the healer's states.", count, query{"sum by (state) (max by (farm, state) (mother_healer_devices)) > 0", "{{state}}"}).Decimals(0),
					"healthy", "green", "new", "dark-green", "observing", "light-green", "suspect", "yellow", "sick", "red", "acting", "blue", "settling", "light-blue", "probation", "dark-blue",
					"held", "orange", "flapping", "dark-orange", "quarantined", "purple", "lost", "dark-red", "unreachable", "light-red", "conflict", "light-purple", "maintenance", "text"), 12, 9, 0},
				{bars("Actions", "By action and reason.", query{sum("action, reason", "mother_healer_actions_total") + " > 0", "{{action}} for {{reason}}"}), 6, 9, 0},
				{painted(bars("Outcomes", "Outcomes of actions.", query{sum("outcome", "mother_healer_outcomes_total") + " > 0", "{{outcome}}"}),
					"recovered", "green", "no_effect", "yellow", "worse", "orange", "lost", "red"), 6, 9, 0},
				{bars("Decisions", "That changed, or were an hour old: what is done, would be done, or is blocked.", query{sum("decision", "mother_healer_decisions_total"), "{{decision}}"}), 8, 8, 0},
				{grid("Dragons that need something", "All that are not well, with their state, but for those that the healer restarts or people work on.", []query{
					{`max by (worker, state) (mother_healer_device_state{state!~"healthy|new|observing|acting|settling|probation|maintenance"}) * on (worker) group_left (ip, model, site) worker:dragon_info:any`, ""},
				}, dragonColumn(), column{"state", "State", nil}, addressColumn(), column{"model", "Model", nil}, column{"site", "Site", nil}).SortBy(rising("State")).NoValue("All are well"), 8, 8, 0},
				{grid("The last actions", "The newest of each dragon, with its outcome.", []query{
					{"topk(50, max by (worker, action, outcome) (mother_healer_last_action_timestamp_seconds * 1000))", ""},
				}, dragonColumn(), column{"action", "Action", nil}, column{"outcome", "Outcome", nil}, column{"Value", "When", []dashboard.DynamicConfigValue{value(ago)}}).
					SortBy(falling("When")).NoValue("None yet"), 8, 8, 0},
			}},
			{"What holds it back?", []panel{
				{lines("Longest wait", "How long a sick dragon has waited for each gate, at most. The plan and the healer page say what ends the wait.", seconds, query{"max by (gate) (" + acting("mother_healer_waiting_seconds") + ")", "{{gate}}"}).Min(0).NoValue("None"), 12, 8, 0},
				{limit(lines("Left alone", "The longest time that a sick dragon has been left alone: since it is sick, or since its last action. Above the line an alert fires.", seconds, query{"max(" + acting("mother_healer_untreated_seconds") + ")", "longest"}).Min(0), colours("green", limits.at("waiting_seconds"), "red")), 12, 8, 0},
				{heaps("Waiting", "Sick dragons, by the gate that holds them back.", count, query{"sum by (gate) (" + blocked() + ") > 0", "{{gate}}"}).Decimals(0).AxisSoftMax(1).NoValue("None"), 8, 8, 0},
				{ranking("Budgets", "Share of the budget that is used.", ratio, query{used, "{{scope}}, {{window}}"}).
					Max(1).Thresholds(colours("green", 0.8, "orange", 1.0, "red")), 8, 8, 0},
				{lines("Budgets over time", "Share of the budget that is used.", ratio, query{used, "{{scope}}, {{window}}"}).Min(0).Max(1), 8, 8, 0},
				{lanes("Breakers", "They stop it when many dragons are sick, or its actions do harm. A latched one waits for your acknowledgement.", words("0", "closed", "green", "1", "half-open", "yellow", "2", "open", "red", "3", "latched", "purple"),
					query{"max by (breaker, scope) (" + acting("mother_healer_breaker_state") + ")", "{{breaker}} {{scope}}"}), 12, 8, 0},
				{bars("Breakers that opened", "How often.", query{sum("breaker", "mother_healer_breaker_trips_total") + " > 0", "{{breaker}}"}), 6, 8, 0},
				{bars("Dragons that came to wait", "By gate.", query{sum("gate", "mother_healer_blocked_total") + " > 0", "{{gate}}"}), 6, 8, 0},
				{lanes("Pools", "Whether they give work. Dragons of a pool that does not are left alone.", causes, query{"max by (pool) (mother_pool_state)", "{{pool}}"}), 6, 7, 0},
				{lanes("Fault domains", "Whether they are reachable. Dragons of a site that is not are left alone.", causes, query{"max by (domain) (mother_domain_state)", "{{domain}}"}), 6, 7, 0},
				{lines("Pauses and maintenances", "Active ones, by scope.", count, query{"sum by (scope) (max by (farm, scope) (mother_pauses))", "{{scope}}"}).Min(0).Decimals(0).AxisSoftMax(1), 4, 7, 0},
				{lanes("Windows", "Whether the healing window is open.", words("0", "shut", "red", "1", "open", "green"), query{"max by (window) (mother_window_open)", "{{window}}"}), 4, 7, 0},
				{lanes("Calendars", "Whether the maintenance or the pause of a calendar is in force.", words("0", "no", "text", "1", "yes", "blue"), query{"max by (calendar) (mother_calendar_open)", "{{calendar}}"}).NoValue("None"), 4, 7, 0},
			}},
			{"Rollouts and desired state", []panel{
				{grid("Rollouts", "Of pools, autotune and firmware. An aborted one waits for a human.", []query{
					{"max by (rollout, name, state) (mother_rollout_state) == 1", ""},
					{"max by (rollout) (mother_rollout_failed_devices)", ""},
				}, column{"rollout", "Rollout", nil}, column{"name", "Of", nil}, column{"state", "State", nil}, column{"Value #B", "Failed", nil}).SortBy(falling("Rollout")).NoValue("None"), 8, 8, 0},
				{heaps("Waves", "Dragons of the rollouts, by phase.", count, query{"sum by (phase) (max by (rollout, phase) (mother_rollout_devices))", "{{phase}}"}).Decimals(0).NoValue("None"), 8, 8, 0},
				{painted(heaps("Desired state", "Where the dragons stand with their desired state.", count, query{"sum by (state) (state:mother_enforce_state:count)", "{{state}}"}).Decimals(0).NoValue("No desired state"),
					"in_sync", "green", "changing", "blue", "waiting", "super-light-yellow", "drifted", "yellow", "conflict", "purple", "failed", "red", "stuck", "orange", "unknown", "text"), 8, 8, 0},
				{grid("Dragons of firmware rollouts", "The phase that each is in, and how much of the image it has, while it is sent and flashed.", []query{
					{`max by (worker, rollout, phase) (mother_rollout_device_state{phase!~"done|waiting"})`, ""}, {"max by (worker) (mother_firmware_upload_ratio)", ""},
				}, dragonColumn(), column{"rollout", "Rollout", nil}, column{"phase", "Phase", nil}, column{"Value #B", "Sent", []dashboard.DynamicConfigValue{value(ratio)}}).SortBy(rising("Phase")).NoValue("None"), 8, 8, 0},
				{lines("Out of sync", "Dragons whose pools, autotune or firmware differ from their desired state.", count, query{"sum by (item) (item:dragon_config_drift:sum)", "{{item}}"}).Min(0).Decimals(0).NoValue("No desired state").AxisSoftMax(1), 8, 8, 0},
				{grid("Dragons out of sync", "And where each stands.", []query{
					{`max by (worker, state) (mother_enforce_state{state!="in_sync"}) * on (worker) group_left (ip, model, site) worker:dragon_info:any`, ""},
				}, dragonColumn(), column{"state", "State", nil}, addressColumn(), column{"model", "Model", nil}, column{"site", "Site", nil}).SortBy(rising("State")).NoValue("All are"), 8, 8, 0},
				{lines("Time to tune", "What the healer waits for a dragon that tunes itself: the 95th percentile of what it has seen, by model.", seconds, query{"max by (model) (dragon_tune_duration_seconds)", "{{model}}"}).Min(0), 12, 8, 0},
				{bars("Firmware images", "Fetched from allowed hosts, by what came of it.", query{sum("outcome", "mother_firmware_fetches_total"), "{{outcome}}"}), 12, 8, 0},
			}},
			{"Does it do any good?", []panel{
				{tile("Success", "Share of the outcomes in the time range that are recoveries.", ratio, query{`sum(increase(mother_healer_outcomes_total{outcome="recovered"}[$__range])) / (sum(increase(mother_healer_outcomes_total{outcome=~"recovered|no_effect|worse|lost"}[$__range])) > 0)`, ""}).Thresholds(colours("red", 0.2, "yellow", 0.5, "green")).Mappings(yet("–")), 4, 7, 0},
				{tile("Hash lost to actions", "In the time range: hashes that dragons did not make because of them, an estimate.", hashed, query{"sum(increase(mother_healer_hash_lost_to_actions_total[$__range]))", ""}).ColorMode(common.BigValueColorModeNone), 4, 7, 0},
				{tile("Hash recovered", "In the time range: hashes that recovered dragons made more than before, until the verdict. What they make after it comes on top.", hashed, query{"sum(increase(mother_healer_hash_recovered_total[$__range]))", ""}).ColorMode(common.BigValueColorModeNone), 4, 7, 0},
				{painted(lines("Hash lost and recovered", "As a rate: what healing costs and what it brings at once.", hashes, query{"sum(" + rate("mother_healer_hash_lost_to_actions_total") + ")", "lost"}, query{"sum(" + rate("mother_healer_hash_recovered_total") + ")", "recovered"}).Min(0), "lost", "orange", "recovered", "green"), 12, 7, 0},
				{heat("Time to recovery", "From falling sick to recovery after an action.", seconds, "sum by (le) ("+increase("mother_healer_time_to_recovery_seconds_bucket")+")"), 8, 8, 0},
				{lines("Time to recovery", "Median of a day.", seconds, query{"histogram_quantile(0.5, sum by (le) (rate(mother_healer_time_to_recovery_seconds_bucket[1d])))", "median"}).Min(0), 4, 8, 0},
				{grid("What helped against what", "Outcomes in the time range.", []query{{"sum by (reason, action, outcome) (increase(mother_healer_outcomes_total[$__range])) > 0", ""}},
					column{"reason", "Reason", nil}, column{"action", "Action", nil}, column{"outcome", "Outcome", nil}, column{"Value", "Times", []dashboard.DynamicConfigValue{{Id: "decimals", Value: 0}}}).SortBy(falling("Times")).NoValue("None yet"), 12, 8, 0},
			}},
			{"Is anything odd?", []panel{
				{bars("Foreign actions", "Unexplained restarts, and configurations that were changed externally.", query{sum("kind", "mother_foreign_actions_total"), "{{kind}}"}), 8, 7, 0},
				{bars("Other oddities", "Events of the fleet and of the host.",
					query{"sum(" + increase("mother_fleet_boot_events_total") + ")", "many booted together"}, query{"sum(" + increase("mother_clock_jumps_total") + ")", "clock jumped"},
					query{"sum(" + increase("mother_identity_mismatch_total") + ")", "another dragon answered"}, query{"sum(" + increase("mother_config_refused_total") + ")", "policy refused"},
					query{"max(mother_unclean_starts_total)", "unclean starts"}), 8, 7, 0},
				{bars("Errors", "Of the healer itself.",
					query{"sum(" + increase("mother_healer_panics_total") + ")", "panics"}, query{"sum(" + increase("mother_state_write_errors_total") + ")", "state not written"},
					query{"sum(" + increase("mother_audit_write_errors_total") + ")", "audit not written"}, query{"sum(" + increase("mother_gate_errors_total") + ")", "gate not asked"}), 8, 7, 0},
				{lines("Dragons that answer slowly, or sense wrongly", "The former are asked half as often; the temperature of the latter's boards is not to be trusted.", count,
					query{"sum(max by (farm) (mother_healer_slow_dragons))", "slow"}, query{"sum(fleet:dragon_sensor_faults:count)", "sensor faults"}).Min(0).Decimals(0).AxisSoftMax(1), 12, 7, 0},
				{is("Policy", "Whether the newest policy would call too many dragons sick at once, so that the one before it stays in force.", "max", "mother_healer_policy_refused", words("0", "in force", "green", "1", "refused", "red")), 4, 7, 0},
				{lines("Time to decide", "About the whole fleet, writing it down included.", seconds,
					query{"histogram_quantile(0.5, sum by (le) (" + rate(cycles) + "))", "median"}, query{"histogram_quantile(0.99, sum by (le) (" + rate(cycles) + "))", "99 %"}).Min(0), 8, 7, 0},
			}},
		},
	}
}
