package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// own is a metric of the program, of the instances that are looked at.
func own(metric string) string { return metric + `{instance=~"$instance"}` }

func exporterBoard(limits thresholds) *board {
	total := func(by, metric string) string { return "sum by (" + by + ") (" + rate(own(metric)) + ")" }
	happened := func(metric, legend string) query { return query{"sum(" + increase(own(metric)) + ")", legend} }
	// A quantile of a histogram of the program.
	slowest := func(q, by, metric string) string {
		return "histogram_quantile(" + q + ", sum by (le" + by + ") (" + rate(own(metric+"_bucket")) + "))"
	}
	// The dragons' own scrapes are the program's where each is probed.
	scrapes := "on (farm, job, instance) group_left () " + own("mother_build_info")

	return &board{
		uid: exporterUID, title: "Dragons: exporter",
		about: "The program itself: scrapes, requests to dragons, scans and process.",
		variables: []cog.Builder[dashboard.VariableModel]{
			choices("instance", "Instance", `label_values(mother_build_info, instance)`),
		},
		annotation: healerActions,
		rows: []row{
			{"Scrapes", []panel{
				{lines("Time of a scrape", "By Prometheus' own count.", seconds, query{"scrape_duration_seconds * " + scrapes, "{{instance}}"}).Min(0), 8, 8, 0},
				{lines("Size of a scrape", "Samples in it.", count, query{"scrape_samples_scraped * " + scrapes, "{{instance}}"}).Min(0), 8, 8, 0},
				{bars("Scrapes that went wrong", "Refused or incomplete because of an internal error or limit.", query{"sum by (cause) (" + increase(own("mother_scrape_errors_total")) + ")", "{{cause}}"}), 8, 8, 0},
				{painted(heaps("Dragons", "By whether they answer.", count, query{"sum by (state) (max by (farm, state) (" + own("mother_dragons") + "))", "{{state}}"}).Stacking(unstacked()).FillOpacity(8).Decimals(0),
					"known", "blue", "up", "green", "down", "red", "conflict", "orange"), 8, 8, 0},
				{limit(band("Time to read a dragon", "How long a scrape waited for each. Of several farms, the slowest.", seconds, func(q string) string {
					return `max(fleet:dragon_scrape_duration_seconds:quantile{quantile="` + q + `"})`
				}).Min(0), colours("green", limits.at("scrape_seconds"), "red")), 8, 8, 0},
				{heaps("Failed readings", "By reason.", perSec, query{"sum by (reason) (reason:dragon_scrape_failures:rate5m)", "{{reason}}"}).NoValue("None"), 8, 8, 0},
			}},
			{"Requests to dragons", []panel{
				{heaps("Requests by outcome", "Of all that were sent.", perSec, query{total("outcome", "mother_dragon_requests_total"), "{{outcome}}"}), 8, 8, 0},
				{heaps("Requests by endpoint", "Of all that were sent.", perSec, query{total("endpoint", "mother_dragon_requests_total"), "{{endpoint}}"}), 8, 8, 0},
				{lines("Time to answer", "That 95 of 100 dragons needed, by endpoint.", seconds, query{slowest("0.95", ", endpoint", "mother_dragon_request_duration_seconds"), "{{endpoint}}"}).Min(0), 8, 8, 0},
				{heat("Time to answer", "Of all requests.", seconds, "sum by (le) ("+increase(own("mother_dragon_request_duration_seconds_bucket"))+")"), 8, 8, 0},
				{lines("Wait for a dragon to be free", "That 99 of 100 requests had, by what for.", seconds, query{slowest("0.99", ", use", "mother_lane_wait_seconds"), "{{use}}"}).Min(0), 8, 8, 0},
				{heaps("Waits given up", "Requests that gave up before the dragon was free or answered.", perSec, query{total("use", "mother_lane_abandoned_total"), "{{use}}"}).NoValue("None"), 8, 8, 0},
				{heaps("Unreadable fields", "By field.", perSec, query{"sum by (field) (field:dragon_parse_errors:rate5m) > 0", "{{field}}"}).NoValue("None"), 12, 7, 0},
				{grid("Dragons that are down", "By reason.", []query{{`count by (reason) (max by (worker, reason) (dragon_down_info))`, ""}}, column{"reason", "Reason", nil}, column{"Value", "Dragons", nil}).SortBy(falling("Dragons")).NoValue("None"), 6, 7, 0},
				{grid("Static targets", "Whether a dragon answers there.", []query{{own("mother_target_up"), ""}}, column{"target", "Target", nil},
					column{"Value", "Answers", []dashboard.DynamicConfigValue{{Id: "mappings", Value: words("0", "no", "red", "1", "yes", "green")}, {Id: "custom.displayMode", Value: "color-text"}}}).SortBy(rising("Answers")).NoValue("None are named"), 6, 7, 0},
			}},
			{"Scans", []panel{
				{tile("Last complete scan", "How long ago it ended.", seconds, query{"time() - max(" + own("mother_discovery_last_scan_timestamp_seconds") + " > 0)", ""}).Decimals(0).Thresholds(colours("green", limits.at("scan_age_seconds"), "red")), 4, 7, 0},
				{lines("Time of a scan", "On average.", seconds, query{"sum by (instance) (" + rate(own("mother_discovery_scan_duration_seconds_sum")) + ") / (sum by (instance) (" + rate(own("mother_discovery_scan_duration_seconds_count")) + ") > 0)", "{{instance}}"}).Min(0).NoValue("No scan"), 5, 7, 0},
				{lines("Addresses", "That scans have finished.", perSec, query{total("instance", "mother_discovery_addresses_scanned_total"), "{{instance}}"}).Min(0), 5, 7, 0},
				{bars("Scans", "By outcome.", query{"sum by (outcome) (" + increase(own("mother_discovery_scans_total")) + ")", "{{outcome}}"}), 5, 7, 0},
				{bars("Identified hosts", "By result.", query{"sum by (outcome) (" + increase(own("mother_discovery_identifications_total")) + ")", "{{outcome}}"}), 5, 7, 0},
			}},
			{"Statsd, notifications, configuration, files", []panel{
				{lines("Statsd lines", "Sent; delivery is not confirmed (UDP).", perSec, query{"sum(" + rate(own("mother_statsd_lines_total")) + ")", "lines"}).Min(0).NoValue("Off"), 4, 7, 0},
				{bars("Statsd errors", "Packets that could not be sent or were refused, and answers that could not be converted.", happened("mother_statsd_errors_total", "errors")), 4, 7, 0},
				{bars("Notifications", "Events for webhooks, by what came of them: retried, failed and dropped ones fire an alert.", query{"sum by (webhook, result) (" + increase(own("mother_notifications_total")) + ") > 0", "{{webhook}}: {{result}}"}), 6, 7, 0},
				{bars("Files that were not written", "The inventory, and its copy in the original tool's form.", query{"sum by (file) (" + increase(own("mother_inventory_write_failures_total")) + ")", "{{file}}"}), 4, 7, 0},
				{tile("Configuration", "Whether the last reload succeeded.", noValues, query{"min(" + own("mother_config_last_reload_successful") + ")", ""}).Mappings(words("0", "refused", "red", "1", "in force", "green")), 3, 7, 0},
				{tile("Taken over", "When the active configuration was loaded.", ago, query{"max(" + own("mother_config_last_reload_success_timestamp_seconds") + ") * 1000", ""}), 3, 7, 0},
			}},
			{"Process", []panel{
				{lines("CPU", "Seconds of CPU a second.", count, query{rate(own("process_cpu_seconds_total")) + " * " + scrapes, "{{instance}}"}).Min(0), 6, 7, 0},
				{lines("Memory", "Resident, and Go's heap.", bytesSI, query{own("process_resident_memory_bytes") + " * " + scrapes, "resident, {{instance}}"}, query{own("go_memstats_heap_alloc_bytes") + " * " + scrapes, "heap, {{instance}}"}).Min(0), 6, 7, 0},
				{lines("Goroutines", "In it.", count, query{own("go_goroutines") + " * " + scrapes, "{{instance}}"}).Min(0), 6, 7, 0},
				{dashed(lines("Open files", "The dashed line is the limit.", count, query{own("process_open_fds") + " * " + scrapes, "open, {{instance}}"}, query{own("process_max_fds") + " * " + scrapes, "limit, {{instance}}"}).Min(0), "/limit/"), 6, 7, 0},
				{grid("Versions", "What runs where.", []query{{own("mother_build_info"), ""}}, column{"instance", "Instance", nil}, column{"version", "Version", nil}, column{"revision", "Revision", nil},
					column{"goversion", "Go", nil}, column{"goos", "System", nil}, column{"goarch", "Machine", nil}).SortBy(rising("Instance")), 16, 5, 0},
				{lines("Up for", "Time since the process started.", seconds, query{"time() - " + own("process_start_time_seconds") + " * " + scrapes, "{{instance}}"}).Min(0), 8, 5, 0},
			}},
		},
	}
}
