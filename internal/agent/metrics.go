package agent

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/store"
)

// metrics are what the healer counts. The statusCollector shows the fleet, all of it from
// one published Status.
type metrics struct {
	decisions, blocked, actions, outcomes   *prometheus.CounterVec
	trips, foreign                          *prometheus.CounterVec
	duration, recovery, commits             prometheus.Histogram
	hashLost, hashGained                    prometheus.Counter
	writeErrors, auditErrors, mismatches    prometheus.Counter
	configRefused, panics, jumps, fleetBoot prometheus.Counter
	uncleanStarts, gateErrors, lostLeases   prometheus.Counter
}

// The words that labels are made of, so that every series is there from the start.
var (
	actionable   = append(healer.Treated(), "")
	ladderKinds  = []healer.Kind{healer.Restart, healer.Reboot}
	wishReasons  = []healer.Reason{healer.Drift, healer.Rolling, healer.Rollback}
	decisionSaid = []healer.Verb{healer.Act, healer.WouldAct, healer.Blocked}
	outcomesSaid = []string{
		string(healer.Recovered), string(healer.Relapsed), string(healer.NoEffect), string(healer.Worse), string(healer.LostOutcome), string(healer.Unknown), string(healer.NotExecuted),
	}

	breakerNames, fleetWide = healer.BreakerNames()
)

// reasonLabel names the reason of a human, who has his own.
func reasonLabel(r healer.Reason) string {
	if r == "" {
		return "request"
	}
	return string(r)
}

func newMetrics(r prometheus.Registerer) *metrics {
	with := promauto.With(r)
	counter := func(name, help string) prometheus.Counter {
		return with.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	vector := func(name, help string, labels ...string) *prometheus.CounterVec {
		return with.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		decisions: vector("mother_healer_decisions_total", "Decisions that changed, or were an hour old: what is done, would be done, or is blocked.", "action", "reason", "decision"),
		blocked:   vector("mother_healer_blocked_total", "Dragons that came to wait for a gate.", "gate"),
		actions:   vector("mother_healer_actions_total", "Writes to dragons that were written down, to be sent next.", "action", "reason"),
		outcomes:  vector("mother_healer_outcomes_total", "What became of writes. Unknown: the sender got no clear answer, or at the deadline the dragon could not be judged, because its MAC was contested, its site out of reach or the healer isolated.", "action", "reason", "outcome"),
		trips:     vector("mother_healer_breaker_trips_total", "Times that a breaker opened.", "breaker"),
		foreign:   vector("mother_foreign_actions_total", "Restarts of dragons (miner process, system) without a known cause, and configurations of ours that were changed elsewhere.", "kind"),
		duration: with.NewHistogram(prometheus.HistogramOpts{
			Name: "mother_healer_cycle_duration_seconds", Help: "Time that a decision about the whole fleet took, writing it down included.",
			Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5, 10, 30}, NativeHistogramBucketFactor: 1.1,
		}),
		recovery: with.NewHistogram(prometheus.HistogramOpts{
			Name: "mother_healer_time_to_recovery_seconds", Help: "Time from falling sick to recovery after an action.",
			Buckets: []float64{60, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400},
		}),
		hashLost:   counter("mother_healer_hash_lost_to_actions_total", "Hashes that dragons did not make because of actions, from the send to the verdict: an estimate by their rate before it."),
		hashGained: counter("mother_healer_hash_recovered_total", "Hashes that dragons which recovered made more than at their rate before the action, from their restart to the verdict. What they make more after it comes on top."),
		commits: with.NewHistogram(prometheus.HistogramOpts{
			Name: "mother_state_commit_duration_seconds", Help: "Time that a write of the healer's state took.",
			Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 2, 5, 10, 30}, NativeHistogramBucketFactor: 1.1,
		}),
		writeErrors:   counter("mother_state_write_errors_total", "Failed writes of the healer's state."),
		auditErrors:   counter("mother_audit_write_errors_total", "Failed writes of the healer's audit."),
		mismatches:    counter("mother_identity_mismatch_total", "Writes that were not sent because another dragon answered."),
		configRefused: counter("mother_config_refused_total", "New policies that would have called too many dragons sick at once."),
		panics:        counter("mother_healer_panics_total", "Panics of the healer. After one it only observes."),
		jumps:         counter("mother_clock_jumps_total", "Jumps of the host's wall clock."),
		fleetBoot:     counter("mother_fleet_boot_events_total", "Times that many dragons booted together, as after a power cut."),
		gateErrors:    counter("mother_gate_errors_total", "Times that the external gate, the Prometheus query of healing.gate, could not be asked."),
		lostLeases:    counter("mother_ha_lost_leases_total", "Times that this instance led and lost the lease on the shared state."),
		uncleanStarts: counter("mother_unclean_starts_total", "Starts of the last 30 minutes before this one that followed no orderly end, this one included."),
	}
	show := func(kind healer.Kind, reasons []healer.Reason) {
		for _, reason := range reasons {
			for _, verb := range decisionSaid {
				m.decisions.WithLabelValues(string(kind), reasonLabel(reason), string(verb))
			}
			for _, outcome := range outcomesSaid {
				m.outcomes.WithLabelValues(string(kind), reasonLabel(reason), outcome)
			}
			m.actions.WithLabelValues(string(kind), reasonLabel(reason))
		}
	}
	for _, kind := range ladderKinds {
		show(kind, actionable)
	}
	show(healer.Configure, wishReasons)
	for _, g := range healer.Gates() {
		m.blocked.WithLabelValues(string(g))
	}
	for _, b := range breakerNames {
		m.trips.WithLabelValues(b)
	}
	for _, kind := range []string{"miner", "system", "config"} {
		m.foreign.WithLabelValues(kind)
	}
	return m
}

func (m *metrics) decided(r *healer.Audit) {
	switch r.Decision {
	case healer.Act, healer.WouldAct, healer.Blocked:
		if r.ActionID == "" && r.Action != "" {
			m.decisions.WithLabelValues(string(r.Action), reasonLabel(r.Reason), string(r.Decision)).Inc()
		}
	}
}

type counted struct {
	jumps    int
	blocked  map[string]healer.Gate // by MAC
	breakers map[string]healer.BreakerState
}

// account counts what is new in a plan. While another instance owns the state, that one counts.
func (h *Healer) account(p *healer.Plan) {
	n, m := &h.counted, h.metrics
	count := func(c prometheus.Counter) {
		if !h.held {
			c.Inc()
		}
	}
	if p.ClockJumps < n.jumps { // the memory is another one
		n.jumps = 0
	}
	m.jumps.Add(float64(p.ClockJumps - n.jumps))
	n.jumps = p.ClockJumps

	blocked := make(map[string]healer.Gate)
	waits := func(key string, gate healer.Gate) {
		blocked[key] = gate
		if n.blocked[key] != gate {
			count(m.blocked.WithLabelValues(string(gate)))
		}
	}
	for i := range p.Dragons {
		if d := &p.Dragons[i]; d.Blocked != "" {
			waits(d.MAC, d.Blocked)
		}
	}
	for i := range p.Changes {
		if d := &p.Changes[i]; d.Verb == healer.Blocked {
			waits(d.MAC+" configuration", d.Blocked)
		}
	}
	n.blocked = blocked

	open := make(map[string]healer.BreakerState)
	for i := range p.Breakers {
		b := &p.Breakers[i]
		open[b.Key()] = b.State
		if b.State >= healer.BreakerOpen && n.breakers[b.Key()] < healer.BreakerOpen {
			count(m.trips.WithLabelValues(b.Name))
			if b.Name == "fleet_boot" {
				count(m.fleetBoot)
			}
		}
	}
	n.breakers = open
	if h.held {
		return
	}

	for i := range p.Restarts {
		if r := &p.Restarts[i]; r.Cause == healer.CauseUnknown {
			m.foreign.WithLabelValues(map[bool]string{false: "miner", true: "system"}[r.System]).Inc()
		}
	}
	m.foreign.WithLabelValues("config").Add(float64(len(p.Reverted)))
	for i := range p.Ended {
		e := &p.Ended[i]
		m.outcomes.WithLabelValues(string(e.Action.Kind), reasonLabel(e.Action.Reason), string(e.Action.Outcome)).Inc()
		if e.Action.Outcome == healer.Recovered && e.Sick > 0 {
			m.recovery.Observe(e.Sick.Seconds())
		}
		if e.Action.Outcome != healer.Relapsed { // that one was counted when it had recovered
			lost, gained := h.cost(e)
			m.hashLost.Add(lost)
			m.hashGained.Add(gained)
		}
	}
}

// cost estimates the hashes that an action kept a dragon from making: all of its rate
// before, until it started again, and from then on what it made less than that. If it
// made more, and recovered, that is gained.
func (h *Healer) cost(e *healer.Ended) (lost, gained float64) {
	a := &e.Action
	if a.Before.Rate < 0 || a.Outcome == healer.NotExecuted || a.Outcome == healer.NotKnown {
		return 0, 0
	}
	if a.Proof == 0 || a.Outcome == healer.LostOutcome {
		return a.Before.Rate * a.Ended.Since(a.At).Seconds(), 0
	}
	made := 0.0
	for i := range h.view.Dragons {
		if f := &h.view.Dragons[i]; f.MAC == e.MAC {
			for j := range f.Boards {
				made += f.Boards[j].Hashes.Or(0)
			}
		}
	}
	more := made - a.Before.Rate*a.Ended.Since(a.Proof).Seconds()
	if a.Outcome == healer.Recovered {
		gained = max(0, more)
	}
	return a.Before.Rate*a.Proof.Since(a.At).Seconds() + max(0, -more), gained
}

// publishLeader shows which instance leads.
func (h *Healer) publishLeader(s *Status) {
	s.met, s.prefix = &h.met, h.config.Prefix
	s.Shared, s.remaining = h.config.Shared, func() time.Duration { return 0 }
	if m := h.met.Load(); m != nil {
		s.Namesake = m.namesake
	}
	leader := (*store.HeldError)(nil)
	switch {
	case h.backend != nil:
		s.Leader, s.remaining = &store.Instance{ID: h.config.ID, URL: h.config.URL, Epoch: s.Epoch}, h.backend.Remaining
	case errors.As(h.storeErr, &leader):
		s.Leader = &leader.Leader
	}
}

func (h *Healer) publish(p *healer.Plan) {
	s := &Status{
		Mode: string(healer.Observe), Owner: h.backend != nil, Standby: h.held, Writable: h.writable(), Stop: h.view.Host.Stop, Healer: h.config.ID,
		Declined: h.policyRefused, Epoch: p.Epoch, Config: h.mem.Fleet.ConfigHash, LastCycle: p.Wall, Plan: p,
		Policy: h.enforced(), Actions: make(map[string][]healer.Action), uploads: &h.uploads,
	}
	h.publishLeader(s)
	for mac, r := range h.mem.Dragons {
		if len(r.Actions) > 0 {
			s.Actions[mac] = slices.Clone(r.Actions)
		}
	}
	switch {
	case h.tripped != "" || p.SafeMode:
		s.Mode = "safe"
	case h.policy.Enforcing() && s.Owner && s.Writable:
		s.Mode = string(healer.Enforce)
	}
	switch {
	case h.tripped != "":
		s.Error = h.tripped
	case h.unwritable() != nil:
		s.Error = h.unwritable().Error()
	}
	if r := h.mem.Fleet.Recovered; r != nil {
		s.Recovered = r.Reason
	}
	s.tunes = make(map[string]time.Duration)
	for i := range p.Dragons {
		if model := p.Dragons[i].Model; model != "" {
			if _, done := s.tunes[model]; !done {
				s.tunes[model] = h.mem.TuneTime(model)
			}
		}
	}
	for i := range h.policy.Windows {
		s.windows = append(s.windows, h.policy.Windows[i].Open(p.Wall))
	}
	s.accounts = accountsOf(h.view)
	s.Calendars = h.showCalendars(p)
	h.published.Store(s)
}

// accountsOf are the accounts that the pools of desired states are for.
func accountsOf(v *healer.View) []string {
	all := make(map[string]bool)
	for i := range v.Dragons {
		if x := v.Dragons[i].Desired; x != nil {
			for j := range x.Pools {
				account, _, _ := strings.Cut(x.Pools[j].User, ".")
				all[account] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}
