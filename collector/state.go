package collector

import (
	"strconv"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// restarts are the restarts of one kind by one initiator.
type restarts struct {
	initiator, kind string
	count           uint64
}

// restartTable has the restarts of every known dragon, up or down. The counts survive a
// restart of the program.
func restartTable() table[restarts] {
	return table[restarts]{
		title: "Restarts",
		each:  func(s *sample) []item[restarts] { return s.restarts[:] },
		rows: []row[restarts]{
			{name: "dragon_restarts_observed_total", help: "Observed restarts of the miner process (miner) or of the whole dragon (system).", typ: counter, source: "summary.DEVS.Device Elapsed, overview.hardware.status", labels: []labelOf[restarts]{{"initiator", func(r *restarts) string { return r.initiator }}, {"kind", func(r *restarts) string { return r.kind }}}, get: func(r *restarts) dragon.Number { return dragon.Known(float64(r.count)) }},
		},
	}
}

func restartsOf(r fleet.Restarts) [4]restarts {
	return [4]restarts{
		{"healer", string(fleet.MinerRestart), r.Miner.Healer}, {"healer", string(fleet.SystemRestart), r.System.Healer},
		{"unknown", string(fleet.MinerRestart), r.Miner.Unknown}, {"unknown", string(fleet.SystemRestart), r.System.Unknown},
	}
}

func autotuneTable() table[sample] {
	level := func(s *sample) string {
		v, known := s.facts().AutoTune.Value.Level.Get()
		if !known {
			return ""
		}
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return table[sample]{
		title: "Autotune",
		each:  func(s *sample) []item[sample] { return s.live },
		rows: []row[sample]{
			{name: "dragon_autotune_info", help: "The stored autotune profile, with its level on Innosilicon; always 1.", typ: gauge, source: "getAutoTune.autoTuneMode", labels: []labelOf[sample]{{"level", level}, {"mode", func(s *sample) string { return s.facts().AutoTune.Value.Mode }}}, get: func(s *sample) dragon.Number { return knownIf(!s.facts().AutoTune.At.IsZero(), 1) }},
		},
	}
}

// A deviceError is an error that a dragon reports.
type deviceError struct{ code, message string }

// errors are those of the last report, with the meaning of the code if it is known, else
// with the dragon's own message.
func (s *sample) errors() []item[deviceError] {
	if s.reading == nil {
		return nil
	}
	report := &s.facts().Errors.Value
	var all []item[deviceError]
	for _, code := range report.Codes() {
		message := dragon.ErrorText(code)
		if message == "" {
			message = dragon.Secretless(report.Message)
		}
		all = append(all, item[deviceError]{of: &deviceError{code, message}})
	}
	return all
}

// errorTable has the label board for firmware that names one; none is known.
func errorTable() table[deviceError] {
	return table[deviceError]{
		title: "Errors",
		each:  (*sample).errors,
		rows: []row[deviceError]{
			{name: "dragon_error_info", help: "Error that the dragon reports, decoded if the code is known; 1 while it lasts.", typ: gauge, source: "getErrorDetail.code, getErrorMessage.code", labels: []labelOf[deviceError]{{"board", func(*deviceError) string { return "" }}, {"code", func(e *deviceError) string { return e.code }}, {"message", func(e *deviceError) string { return e.message }}}, get: func(*deviceError) dragon.Number { return dragon.Known(1) }},
		},
	}
}

func firmwareTable() table[sample] {
	return table[sample]{
		title: "Firmware",
		each:  func(s *sample) []item[sample] { return s.live },
		rows: []row[sample]{
			{name: "dragon_firmware_upgrade_available", help: "Whether the vendor offers a newer firmware for the dragon.", typ: gauge, source: "getLatestFirmwareVersion.isUpdated", get: func(s *sample) dragon.Number { return s.facts().UpgradeAvailable(s.overview().Firmware) }},
		},
	}
}

// factTable has the age of what may be older than the scrape.
func factTable() table[sample] {
	t := table[sample]{title: "Facts", each: func(s *sample) []item[sample] { return s.live }}
	for _, f := range []struct {
		fact, source string
		get          func(*sample) dragon.Number
	}{
		{"overview", "overview", func(s *sample) dragon.Number { return unix(s.overview().At) }},
		{string(fleet.AutoTune), "getAutoTune", func(s *sample) dragon.Number { return unix(s.facts().AutoTune.At) }},
		{string(fleet.Errors), "getErrorDetail, getErrorMessage", func(s *sample) dragon.Number { return unix(s.facts().Errors.At) }},
		{string(fleet.Firmware), "getLatestFirmwareVersion", func(s *sample) dragon.Number { return unix(s.facts().Firmware.At) }},
		{string(fleet.Chips), "getDebugStats", func(s *sample) dragon.Number { return unix(s.facts().Chips.At) }},
		{string(fleet.Power), "getAll", func(s *sample) dragon.Number { return unix(s.facts().Power.At) }},
	} {
		t.rows = append(t.rows, row[sample]{name: "dragon_facts_timestamp_seconds", help: "When the fact was last read; facts are not read in each scrape.", typ: gauge, unit: "seconds", source: f.source, with: label{"fact", f.fact}, get: f.get})
	}
	return t
}
