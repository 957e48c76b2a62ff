package healer

import (
	"cmp"
	"slices"
	"strings"
)

// RolloutShown is a rollout of a configuration as people see it.
type RolloutShown struct {
	ID      string            `json:"id"`
	Kind    Kind              `json:"kind"`
	Name    string            `json:"name"`
	State   RolloutState      `json:"state"`
	Since   Moment            `json:"since"`
	Canary  string            `json:"canary,omitempty"` // worker
	Failed  []Failure         `json:"failed,omitempty"`
	Phases  map[string]int    `json:"dragons"` // in each phase
	Members int               `json:"members"`
	Pending []PendingRollback `json:"owed,omitempty"`
	Left    Span              `json:"left_s,omitempty"` // estimate until no dragon waits; 0: not known, or none waits
	Waits   *Waiting          `json:"waits_for,omitempty"`
	// Priority of its dragons: those of a higher one come first.
	Priority int  `json:"priority,omitempty"`
	Fast     bool `json:"fast,omitempty"` // see SetPace
}

// PendingRollback is a dragon that still has what did not work on it, and what its rollback waits for.
type PendingRollback struct {
	Worker string `json:"worker"`
	Waits  string `json:"waits_for"`
}

// waitsFor says what the rollback of a dragon waits for.
func (c *cycle) waitsFor(s *subject) string {
	switch d := c.out.ChangeOf(s.f.MAC); {
	case d == nil:
		return "it is " + string(s.r.State)
	case d.Blocked == "":
		return "its turn, which is now"
	default:
		return d.WhatBlocks()
	}
}

// showRollouts puts the rollouts of configurations into the plan that have dragons, or are latched.
func (c *cycle) showRollouts() {
	for _, ro := range c.m.Fleet.Rollouts {
		x := RolloutShown{ID: ro.ID, Kind: ro.Kind, Name: ro.Name, State: ro.State, Since: ro.Since, Fast: ro.Fast, Phases: make(map[string]int)}
		x.Failed = slices.Clone(ro.Failed)
		if ro.Canary != "" {
			x.Canary = c.m.name(ro.Canary)
		}
		for _, s := range c.all {
			if s.layered.above == ro {
				x.Members++
				x.Phases[string(PhaseInSync)]++
			}
			if s.rollout != ro {
				continue
			}
			x.Members++
			x.Phases[string(s.phase)]++
			if s.f.Desired != nil {
				x.Priority = max(x.Priority, s.f.Desired.Priority)
			}
			if c.rollbackTarget(s) != nil {
				x.Pending = append(x.Pending, PendingRollback{s.f.Worker, c.waitsFor(s)})
			}
		}
		for _, s := range c.frozen {
			if ro.failedOn(s.f.MAC) && s.r.configOf(ro.ID).canRollBack(ro.ID) {
				x.Pending = append(x.Pending, PendingRollback{s.f.Worker, contested})
			}
		}
		waiting := x.Phases[string(PhaseWaiting)] + x.Phases[string(PhaseDrifted)]
		x.Waits = c.rolloutWaits(ro, waiting)
		x.Left = c.left(ro, waiting, x.Priority, x.Waits)
		if x.Members > 0 || ro.State == RolloutAborted {
			c.out.Rollouts = append(c.out.Rollouts, x)
		}
	}
	slices.SortFunc(c.out.Rollouts, func(a, b RolloutShown) int { return cmp.Or(cmp.Compare(len(a.ID), len(b.ID)), cmp.Compare(a.ID, b.ID)) })
}

// FirmwareShown is a rollout of firmware as people see it.
type FirmwareShown struct {
	FirmwareRollout
	Waves   int            `json:"waves"`
	Members int            `json:"members"`
	Phases  map[string]int `json:"phases"` // dragons in each phase, PhaseWaiting included
	Failed  int            `json:"failed"`
	Left    Span           `json:"left_s,omitempty"`    // that it takes at least; 0: not known
	Waits   *Waiting       `json:"waits_for,omitempty"` // what the next dragon waits for; nil: nothing
	Dragons []UpgradeShown `json:"dragons"`             // that have begun
	Waiting []string       `json:"waiting,omitempty"`   // workers of those that have not
}

// UpgradeShown is a dragon in a rollout of firmware.
type UpgradeShown struct {
	MAC    string `json:"mac"`
	Worker string `json:"worker"`
	Upgrading
}

// showFirmware puts the rollouts of firmware into the plan.
func (c *cycle) showFirmware() {
	shown := make(map[string]*FirmwareShown, len(c.m.Fleet.Firmware))
	var open []*FirmwareShown
	all := make([]FirmwareShown, len(c.m.Fleet.Firmware))
	for i, ro := range c.m.Fleet.Firmware {
		x := &all[i]
		*x = FirmwareShown{FirmwareRollout: *ro, Waves: c.p.Firmware.waves(), Phases: make(map[string]int)}
		x.Waits, x.Left = c.firmwareWaits(ro)
		shown[ro.ID] = x
		if ro.open() {
			open = append(open, x)
		}
	}
	if len(all) == 0 {
		return
	}
	for _, mac := range sortedKeys(c.m.Dragons) {
		r := c.m.Dragons[mac]
		u := r.Upgrade
		if u != nil && shown[u.Rollout] != nil {
			x := shown[u.Rollout]
			x.Members++
			x.Phases[string(u.Phase)]++
			if u.Phase == UpgradeFailed {
				x.Failed++
			}
			x.Dragons = append(x.Dragons, UpgradeShown{mac, r.Who.Worker, *u})
		}
		for _, x := range open {
			if s := c.byMAC[mac]; (s == nil || !s.retired) && c.m.waits(u, &x.FirmwareRollout) && x.Release.Fits(&r.Who) == nil {
				x.Members++
				x.Phases[PhaseWaiting]++
				x.Waiting = append(x.Waiting, r.Who.Worker)
			}
		}
	}
	c.out.Firmware = all
}

// Rollout returns one rollout of firmware as it stands.
func (p *Plan) Rollout(id string) *FirmwareShown {
	return find(p.Firmware, func(x *FirmwareShown) bool { return x.ID == id })
}

// WantsFirmware reports whether the option auto_upgrade may begin a rollout of a release: some
// healthy dragon that is not retired has an older one, and no rollout of it was aborted. The
// others would keep a rollout open that no dragon can begin.
func (p *Plan) WantsFirmware(r FirmwareRelease) bool {
	failed := make(map[string]bool) // MACs
	for i := range p.Firmware {
		x := &p.Firmware[i]
		tried := x.Release.Version == r.Version
		same := strings.EqualFold(x.Release.Model, r.Model) && strings.EqualFold(x.Release.HWVer, r.HWVer)
		if same && (x.open() || tried && x.State == RolloutAborted) {
			return false
		}
		for _, u := range x.Dragons {
			if tried && u.Phase == UpgradeFailed {
				failed[u.MAC] = true
			}
		}
	}
	retired := retiredBy(p.Pauses)
	return slices.ContainsFunc(p.Dragons, func(d Decision) bool {
		return d.State == StateHealthy && !retired[d.MAC] && !failed[d.MAC] && r.Fits(&d.Who) == nil
	})
}

// CurrentFirmware returns the rollouts of firmware worth showing: open, done for less than a
// week, or aborted and not acknowledged.
func (p *Plan) CurrentFirmware() []*FirmwareShown {
	var current []*FirmwareShown
	for i := range p.Firmware {
		x := &p.Firmware[i]
		latched := slices.ContainsFunc(p.Breakers, func(b Breaker) bool { return b.Name == "rollout" && b.Scope == x.ID })
		if x.open() || latched || x.State == RolloutDone && p.At.Since(x.Since) < week {
			current = append(current, x)
		}
	}
	return current
}
