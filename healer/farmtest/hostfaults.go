package farmtest

import (
	"slices"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// hostFault reads what happens to the healer, its host, and the people around it.
func (p *phrase) hostFault(verb string) (func(*World), bool) {
	switch verb {
	case "clock":
		p.oneOf("healer")
		by := p.duration()
		return func(w *World) { w.host.skew += by }, true
	case "ntp":
		on := p.oneOf("off", "on") == "on"
		return func(w *World) {
			if w.host.synced = on; on {
				w.host.skew = 0
			}
		}, true
	case "kill":
		return p.kill(), true
	case "store":
		if p.oneOf("readonly", "corrupt") == "corrupt" {
			return func(w *World) { w.healer.Kill(); w.healer.corrupt = true }, true
		}
		return p.lasts(func(w *World, on int) { w.host.readonly += on }), true
	case "owner":
		p.oneOf("lost")
		return p.lasts(func(w *World, on int) { w.host.foreign += on }), true
	case "stop":
		p.oneOf("file")
		return p.lasts(func(w *World, on int) { w.host.stop += on }), true
	case "gate":
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
		}), true
	case "observe", "enforce":
		return func(w *World) { w.healer.Policy.Default.Mode = healer.Mode(verb) }, true
	case "pause", "maintenance":
		return p.pause(verb), true
	case "quarantine", "release":
		who := p.dragons()
		return each(who, func(w *World, d *Dragon) {
			h := w.healer
			if h.mem == nil {
				return
			}
			var err error
			if verb == "release" {
				err = h.mem.Release(w.instant(), d.MAC, "ann")
			} else {
				err = h.mem.Quarantine(w.instant(), d.MAC, "ann", "asked for")
			}
			if err == nil && verb == "release" {
				d.released = w.Now
			}
			h.taken[d.N] = verb == "quarantine"
			h.said(verb+" "+worker(d.MAC), err)
			h.commit("human")
		}), true
	case "ack":
		name, scope := p.word(), ""
		if p.err == nil && len(p.words) > 0 {
			scope = p.word()
		}
		return func(w *World) {
			if h := w.healer; h.mem != nil {
				h.said(strings.TrimSpace("ack "+name+" "+scope), h.mem.Ack(w.instant(), name, scope, "ann"))
				h.acked = w.Now
				h.commit("human")
			}
		}, true
	case "config":
		next := p.script.Policy
		p.policy(&next)
		return func(w *World) { w.healer.reconfigure(&next) }, true
	}
	return nil, false
}

// lasts makes an event of something that is switched on, for a while.
func (p *phrase) lasts(set func(*World, int)) func(*World) {
	span := p.span()
	return func(w *World) {
		set(w, 1)
		w.after(span, func(w *World) { set(w, -1) })
	}
}

func (p *phrase) kill() func(*World) {
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

func (p *phrase) pause(verb string) func(*World) {
	r := healer.PauseRequest{Kind: healer.Paused, Scope: p.oneOf("fleet", "domain", "pool", "model", "mac"), Owner: "ann", Reason: "asked for"}
	if verb == "maintenance" {
		r.Kind = healer.Maintained
	}
	switch r.Scope {
	case "mac":
		if i := p.dragon(); p.err == nil {
			r.Value = newDragon(&World{script: p.script}, i).MAC
		}
	case "pool":
		name := p.pool()
		for i, known := range p.script.Pools {
			if known == name {
				r.Value = poolURL(known, i)
			}
		}
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
		if err == nil {
			h.pauses = append(h.pauses, hold{r, w.Now, w.Now + min(r.For, unending)})
			if r.UntilResume {
				h.pauses[len(h.pauses)-1].to = unending
			}
		}
		h.commit("human")
	}
}

// policy reads a setting of the healer's policy.
func (p *phrase) policy(to *healer.Policy) {
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
	case "recovered_observe":
		to.Breakers.RecoveredObserve = p.positive()
	case "soaks":
		f := &to.Firmware
		f.CanarySoak = p.positive()
		f.SecondSoak, f.Soak = f.CanarySoak, f.CanarySoak
	case "in_flight_min":
		to.Fleet.InFlightMin = p.number(1, 10)
	case "per_domain":
		to.Fleet.PerDomain = p.number(1, 10)
	case "storm":
		to.Breakers.Storm = healer.Ratio(p.ratio())
		to.Breakers.StormFresh = to.Breakers.Storm
	case "scope":
		to.Breakers.Scope = healer.Ratio(p.ratio())
	case "downshift":
		d.Heat.DownshiftEnabled = true
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
