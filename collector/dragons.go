package collector

import (
	"slices"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// healthTable has the series of every known dragon, up or down.
func healthTable() table[sample] {
	t := table[sample]{
		title: "Every known dragon",
		each:  func(s *sample) []item[sample] { return s.self[:] },
		rows: []row[sample]{
			{name: "dragon_up", help: "Whether the dragon was read in this scrape.", typ: gauge, source: "reading", get: func(s *sample) dragon.Number { return dragon.Bool(s.reading != nil) }},
			{name: "dragon_down_info", help: "1 while the dragon is down; the reason is one of dragon_scrape_failures_total.", typ: gauge, source: "reading", labels: []labelOf[sample]{{"reason", func(s *sample) string { return s.health.Reason }}}, get: func(s *sample) dragon.Number {
				return knownIf(s.reading == nil && s.busy == "" && s.health.Reason != "", 1)
			}},
			{name: "dragon_info", help: "Identity and place of the dragon; always 1.", typ: gauge, source: "overview, address", labels: identity(), more: operatorsLabels, may: []string{"name", "place"}, get: func(*sample) dragon.Number { return dragon.Known(1) }},
			{name: "dragon_busy", help: "1 while a write is under way; the dragon is not read then.", typ: gauge, source: "lane", labels: []labelOf[sample]{{"action", func(s *sample) string { return s.busy }}}, get: func(s *sample) dragon.Number { return knownIf(s.busy != "", 1) }},
			{name: "dragon_scrape_duration_seconds", help: "Time that this scrape waited for the dragon.", typ: gauge, unit: "seconds", source: "reading", get: func(s *sample) dragon.Number { return dragon.Known(s.took.Seconds()) }},
			{name: "dragon_last_success_timestamp_seconds", help: "When the dragon was last read.", typ: gauge, unit: "seconds", source: "reading", get: func(s *sample) dragon.Number { return unix(s.health.LastSuccess) }},
		},
	}
	for i, reason := range fleet.Reasons {
		t.rows = append(t.rows, row[sample]{name: "dragon_scrape_failures_total", help: "Failed readings; budget: the scrape had no time left.", typ: counter, source: "reading", with: label{"reason", reason}, get: func(s *sample) dragon.Number { return s.failures(i) }})
	}
	return t
}

func identity() []labelOf[sample] {
	return []labelOf[sample]{
		{"brand", func(s *sample) string { return string(s.info.Brand) }},
		{"firmware", func(s *sample) string { return s.info.Firmware }},
		{"hw_version", func(s *sample) string { return s.info.HWVersion }},
		{"ip", func(s *sample) string { return s.info.IPLabel() }},
		{"mac", func(s *sample) string { return s.info.MAC }},
		{"model", func(s *sample) string { return s.info.Model }},
		{"site", func(s *sample) string { return s.info.Site }},
	}
}

// operatorsLabels are the dragon's name, its labels, and all of them in one text for alerts.
func operatorsLabels(s *sample) []fleet.Label {
	l := s.info.Labels
	if l == nil {
		return nil
	}
	all := append(slices.Clone(l.Pairs), fleet.Label{Name: "place", Value: l.String()})
	if l.Name != "" {
		all = append(all, fleet.Label{Name: "name", Value: l.Name})
	}
	return all
}

// parseError counts the readings with an unreadable field.
type parseError struct{ count uint64 }

func parseErrorTable() table[parseError] {
	return table[parseError]{
		title: "Unreadable answers",
		key:   "field",
		each:  func(s *sample) []item[parseError] { return s.parseErrors },
		rows: []row[parseError]{
			{name: "dragon_parse_errors_total", help: "Readings in which the field was missing or unreadable.", typ: counter, source: "all answers", get: func(e *parseError) dragon.Number { return dragon.Known(float64(e.count)) }},
		},
	}
}

func dragonTable() table[sample] {
	return table[sample]{
		title: "A dragon that was read",
		each:  func(s *sample) []item[sample] { return s.live },
		rows: []row[sample]{
			{name: "dragon_uptime_seconds", help: "Time since the system booted.", typ: gauge, unit: "seconds", source: "overview.hardware.status", get: func(s *sample) dragon.Number { return s.reading.Uptime() }},
			{name: "dragon_load1", help: "Load average over one minute.", typ: gauge, source: "overview.hardware.status", get: func(s *sample) dragon.Number { return s.overview().Load1 }},
			{name: "dragon_memory_used_bytes", help: "Memory in use.", typ: gauge, unit: "bytes", source: "overview.hardware.memUsed", get: func(s *sample) dragon.Number { return s.overview().MemoryUsed }},
			{name: "dragon_memory_total_bytes", help: "Total memory.", typ: gauge, unit: "bytes", source: "overview.hardware.memTotal", get: func(s *sample) dragon.Number { return s.overview().MemoryTotal }},
			{name: "dragon_clock_offset_seconds", help: "Seconds that the dragon's clock is ahead of this host's clock.", typ: gauge, unit: "seconds", source: "HTTP Date", get: func(s *sample) dragon.Number { return s.reading.ClockOffset() }},
			{name: "dragon_fan_duty_ratio", help: "Duty of the fans; one value for all fans.", typ: gauge, unit: "ratio", source: "summary.HARDWARE.Fan duty", get: func(s *sample) dragon.Number { return s.summary().FanDuty }},
			{name: "dragon_tuning", help: "Whether the autotuner runs.", typ: gauge, source: "summary.tuning", get: func(s *sample) dragon.Number { return s.summary().Tuning }},
			{name: "dragon_miner_uptime_seconds", help: "Time since the miner process started or finished tuning.", typ: gauge, unit: "seconds", source: "summary.DEVS.Device Elapsed", get: func(s *sample) dragon.Number { return s.summary().Elapsed() }},
			{name: "dragon_boards", help: "Hash boards that the miner process sees.", typ: gauge, source: "summary.DEVS", get: boards},
			{name: "dragon_boards_expected", help: "Hash boards that the dragon should have.", typ: gauge, source: "boards shown, healing profile, model table", get: func(s *sample) dragon.Number {
				return knownIf(s.health.Boards.Boards > 0, float64(s.health.Boards.Boards))
			}},
			{name: "dragon_boards_expected_info", help: "Source of the expected number of boards: learned (the dragon has shown them), operator (the healing profile) or model; always 1.", typ: gauge, source: "boards shown, healing profile, model table", labels: []labelOf[sample]{{"source", func(s *sample) string { return string(s.health.Boards.Source) }}}, get: func(s *sample) dragon.Number { return knownIf(s.health.Boards.Boards > 0, 1) }},
			{name: "dragon_hashrate_nominal_hashes_per_second", help: "Hash rate that the maker announced for the model.", typ: gauge, unit: "hashes_per_second", source: "model table", get: nominal},
		},
	}
}

// boards is unknown, not zero, if the dragon gave no list of boards.
func boards(s *sample) dragon.Number {
	return knownIf(!slices.Contains(s.summary().Unreadable, "DEVS") || len(s.summary().Boards) > 0, float64(len(s.summary().Boards)))
}

func nominal(s *sample) dragon.Number {
	rate := dragon.ModelOf(s.info.Model).Hashrate
	return knownIf(rate > 0, rate)
}

func knownIf(known bool, v float64) dragon.Number {
	if !known {
		return dragon.Number{}
	}
	return dragon.Known(v)
}

func unix(t time.Time) dragon.Number {
	return knownIf(!t.IsZero(), float64(t.UnixMilli())/1000)
}
