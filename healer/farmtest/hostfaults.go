package farmtest

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
)

func (p *command) clock() func(*World) {
	p.oneOf("healer")
	by := p.duration()
	return func(w *World) { w.host.skew += by }
}

func (p *command) ntp() func(*World) {
	on := p.oneOf("off", "on") == "on"
	return func(w *World) {
		if w.host.synced = on; on {
			w.host.skew = 0
		}
	}
}

func (p *command) store() func(*World) {
	switch p.oneOf("readonly", "corrupt", "backup", "restored") {
	case "corrupt":
		return func(w *World) { w.healer.Kill(); w.healer.corrupt = true }
	case "backup":
		return func(w *World) {
			h := w.healer
			h.backup = &backup{h.fleet, maps.Clone(h.dragons), maps.Clone(h.cold)}
		}
	case "restored":
		return func(w *World) { w.healer.restore() }
	}
	return p.lasts(func(w *World, on int) { w.host.readonly += on })
}

// backup is a copy of a healer's store.
type backup struct {
	fleet         []byte
	dragons, cold map[string][]byte
}

// restore ends the process and puts the last backup of its store back, if there is one.
func (h *Healer) restore() {
	if b := h.backup; b != nil {
		h.Kill()
		h.fleet, h.dragons, h.cold = b.fleet, maps.Clone(b.dragons), maps.Clone(b.cold)
		h.older = true
	}
}

func (p *command) owner() func(*World) {
	p.oneOf("lost")
	return p.lasts(func(w *World, on int) { w.host.foreign += on })
}

func (p *command) stop() func(*World) {
	p.oneOf("file")
	return p.lasts(func(w *World, on int) { w.host.stop += on })
}

func (p *command) gate() func(*World) {
	how := p.oneOf("closed", "error", "open")
	return p.lasts(func(w *World, on int) {
		e := healer.ExternalAnswer{Asked: true, Open: true}
		switch {
		case on > 0 && how == "closed":
			e = healer.ExternalAnswer{Asked: true, Detail: "3 alerts"}
		case on > 0 && how == "error":
			e = healer.ExternalAnswer{Asked: true, Err: "no answer"}
		}
		w.host.external = e
	})
}

func (p *command) mode() func(*World) {
	mode := healer.Mode(p.verb)
	return func(w *World) { w.healer.Policy.Default.Mode = mode }
}

func (p *command) quarantine() func(*World) {
	return each(p.dragons(), func(w *World, d *Dragon) {
		if w.healer.human("quarantine "+worker(d.MAC), func(m *healer.Memory) error { return m.Quarantine(w.instant(), d.MAC, "ann", "asked for") }) {
			w.healer.taken[d.N] = true
		}
	})
}

func (p *command) release() func(*World) {
	return each(p.dragons(), func(w *World, d *Dragon) {
		if w.healer.human("release "+worker(d.MAC), func(m *healer.Memory) error { return m.Release(w.instant(), d.MAC, "ann") }) {
			d.released, w.healer.taken[d.N] = w.Now, false
		}
	})
}

func (p *command) ack() func(*World) {
	name, scope := p.word(), ""
	if p.err == nil && len(p.words) > 0 {
		scope = p.word()
	}
	return func(w *World) {
		if w.healer.mem == nil {
			return
		}
		w.healer.human(strings.TrimSpace("ack "+name+" "+scope), func(m *healer.Memory) error { return m.Ack(w.instant(), name, scope, "ann") })
		w.healer.acked = w.Now
	}
}

func (p *command) config() func(*World) {
	next := p.script.Policy
	p.policy(&next)
	return func(w *World) { w.healer.reconfigure(&next) }
}

// lasts makes an event of something that is switched on, for a while.
func (p *command) lasts(set func(*World, int)) func(*World) {
	span := p.span()
	return func(w *World) {
		set(w, 1)
		w.after(span, func(w *World) { set(w, -1) })
	}
}

func (p *command) kill() func(*World) {
	p.oneOf("healer")
	stage, span := "", time.Duration(0)
	if p.next("at") {
		stage = strings.TrimPrefix(p.oneOf("wal=intent", "wal=sent", "wal=result"), "wal=")
	}
	if p.next("for") {
		span = p.positive()
	}
	return func(w *World) {
		if w.healer.down = span; stage == "" {
			w.healer.Kill()
		} else {
			w.healer.killAt = stage
		}
	}
}

func (p *command) pause() func(*World) {
	verb := p.verb
	r := healer.PauseRequest{Kind: healer.PauseKind(verb), Owner: "ann", Reason: "asked for"}
	if r.Kind == healer.Curtailed {
		r.Mode, r.Calendar = p.oneOf(dragon.AutoTuneModes()...), "peak"
	}
	r.Scope = p.oneOf("fleet", "domain", "pool", "model", "mac")
	switch r.Scope {
	case "mac":
		if i := p.dragon(); p.err == nil {
			r.Value = newDragon(&World{script: p.script}, i).MAC
		}
	case "pool":
		name := p.pool()
		r.Value = poolURL(name, slices.Index(p.script.Pools, name))
	case "domain", "model":
		r.Value = p.word()
	}
	if r.For = p.span(); r.For > 7*24*time.Hour {
		r.For, r.UntilResume = 0, true
	}
	return func(w *World) {
		h := w.healer
		if h.mem == nil {
			return
		}
		_, err := h.mem.Pause(w.instant(), r)
		h.said(strings.TrimSpace(verb+" "+r.Scope+" "+r.Value), err)
		if err == nil && r.Kind != healer.Curtailed {
			h.pauses = append(h.pauses, hold{r, w.Now, w.Now + min(r.For, unending)})
			if r.UntilResume {
				h.pauses[len(h.pauses)-1].to = unending
			}
		}
		h.commit("human")
	}
}

// steps reads the steps of the ladder, half an hour apart.
func (p *command) steps(l *healer.LadderPolicy) {
	l.Steps, l.Hold = nil, nil
	for p.err == nil && (len(l.Steps) == 0 || len(p.words) > 0) {
		kind := healer.Reboot
		if p.oneOf("restart", "reboot") == "restart" {
			kind = healer.Restart
		}
		l.Steps, l.Hold = append(l.Steps, kind), append(l.Hold, 30*time.Minute)
	}
}

// policy reads a setting of the healer's policy.
func (p *command) policy(to *healer.Policy) {
	d := &to.Default
	switch name := p.word(); name {
	case "hashrate":
		d.Hashrate = p.float() * 1e12
	case "min":
		d.Detect.MinPerBoard = p.float() * 1e12
	case "low_ratio":
		d.Detect.LowRatio = healer.Ratio(p.ratio())
	case "min_gap":
		d.Device.MinGap = p.duration()
	case "pool_stuck":
		to.Causes.PoolStuck = p.positive()
	case "recovered_observe":
		to.Breakers.RecoveredObserve = p.positive()
	case "probation":
		d.Ladder.Probation = p.positive()
	case "soaks":
		f := &to.Firmware
		f.CanarySoak = p.positive()
		f.SecondSoak, f.Soak = f.CanarySoak, f.CanarySoak
	case "in_flight_min":
		to.Fleet.InFlightMin = p.number(1, 10)
	case "per_domain":
		to.Fleet.PerDomain = p.number(1, 10)
	case "rollout_mode":
		to.Rollout.Mode = healer.Mode(p.oneOf("observe", "enforce"))
	case "storm":
		to.Breakers.Storm = healer.Ratio(p.ratio())
		to.Breakers.StormFresh = to.Breakers.Storm
	case "scope":
		to.Breakers.Scope = healer.Ratio(p.ratio())
	case "downshift":
		d.Heat.DownshiftEnabled = true
	case "steps":
		p.steps(&d.Ladder)
	case "boards":
		d.Boards = p.number(0, 16)
	case "tuning_max":
		d.Grace.TuningMax = p.positive()
	case "external":
		to.External.Query, to.External.OnError = "up", p.oneOf("block", "allow")
	case "window":
		w := healer.Window{Start: p.word(), Length: p.positive()}
		if p.err == nil && len(p.words) > 0 {
			w.Zone = p.word()
		}
		if err := w.Validate(); p.err == nil && err != nil {
			p.fail("a window: %v", err)
		}
		to.Windows = append(slices.Clip(to.Windows), w)
	default:
		p.fail("a policy, got %q", name)
	}
}
