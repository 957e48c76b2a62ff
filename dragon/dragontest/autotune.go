package dragontest

import "cmp"

// getAutoTune reports the profile that is stored, not what the miner process does.
func (d *Dragon) getAutoTune(out *reply, a *request) {
	is := a.state.autotune
	if d.model.innosilicon() {
		out.success("autoTuneMode", object{"mode", is.Mode, "level", is.Level})
		return
	}
	out.success("autoTuneMode", is.Mode)
}

// setAutoTune stores a profile and restarts the miner process, also when nothing
// changes. Two requests succeed without doing anything: an unknown mode, and
// balanced where no other mode was ever set.
func (d *Dragon) setAutoTune(out *reply, a *request) {
	mode := a.form.Get("autotune")
	if mode == "" {
		out.failure("missing autotune value")
		return
	}
	s := &d.state
	switch mode {
	case "efficient", "factory", "performance":
		s.explicit = true
	case "balanced":
		if !s.explicit {
			out.success()
			return
		}
		s.explicit = false
	default:
		out.success()
		return
	}
	s.autotune = AutoTune{Mode: mode}
	if d.model.innosilicon() {
		s.autotune.Level = cmp.Or(a.form.Get("level"), "2")
	}
	out.wait = d.spec.RestartTime
	d.restartMiner(a.now.Add(d.spec.RestartTime))
	out.success()
}

func (d *Dragon) getAutoTuneStatus(out *reply, a *request) {
	s := a.state
	running := d.ready(s, a.now)
	status := object{"isRunning", running, "isTuning", running && s.tuning(a.now), "mode", s.autotune.Mode}
	if d.model.innosilicon() {
		status = append(status, "level", s.autotune.Level)
	}
	out.success(status...)
}
