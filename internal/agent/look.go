package agent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/go-kit/log/level"
	"golang.org/x/sync/errgroup"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

const stopFile = "STOP"

// refreshGrace is the part of a poll by which a reading may be late before the healer
// takes one itself. A look comes early by no more than that, too.
const refreshGrace = 20

// pollLoop reads the dragons and decides, a little more or less often than the
// policy's period, so that many healers, or a scrape, do not fall into step with it.
func (h *Healer) pollLoop(ctx context.Context) {
	var looked time.Time
	for ctx.Err() == nil {
		poll := time.Minute
		err := h.offLoop("looking", func() error {
			if err := h.onLoop(ctx, "asking how often", func(context.Context) error { poll = h.poll(); return nil }); err != nil {
				return err
			}
			h.acquire(ctx)
			h.gather(ctx, poll, looked)
			looked = time.Now()
			outside, err := h.askExternal(ctx)
			if err != nil {
				return err
			}
			return h.onLoop(ctx, "deciding", func(ctx context.Context) error {
				h.setExternal(outside)
				return h.cycle(ctx)
			})
		})
		if err != nil && ctx.Err() == nil {
			level.Error(h.logger).Log("msg", "fleet poll failed", "err", err)
		}
		h.wait(ctx, h.untilNext(ctx, h.pause(poll*19/20+rand.N(poll/10))))
	}
}

// meetEvery is how soon a dragon is read that was found after a look. Nothing is decided
// about it before the next one; but who starts the program wants to see a plan.
const meetEvery = 5 * time.Second

// untilNext is the time until the next look. One comes as soon as a new leader may send.
func (h *Healer) untilNext(ctx context.Context, d time.Duration) time.Duration {
	_ = h.onLoop(ctx, "asking when to look", func(context.Context) error {
		if h.backend == nil {
			return nil
		}
		if wait, _ := h.backend.Wait(); wait > 0 {
			d = min(d, wait+time.Second)
		}
		return nil
	})
	return d
}

// wait waits until the next look, and has the dragons read that were never read.
func (h *Healer) wait(ctx context.Context, d time.Duration) {
	due, meet := time.After(d), time.Tick(meetEvery)
	for {
		select {
		case <-due:
			return
		case <-ctx.Done():
			return
		case <-meet:
			if h.config.Shared && h.acquire(ctx) {
				return
			}
			var strangers []*fleet.Dragon
			for _, d := range h.config.Fleet.Dragons() {
				if x := d.Health(); !x.Up && x.Reason == "" && x.LastSuccess.IsZero() {
					strangers = append(strangers, d)
				}
			}
			_ = h.offLoop("meeting dragons", func() error {
				h.read(ctx, strangers, func() time.Duration { return time.Hour })
				return nil
			})
		}
	}
}

// poll is the time between two looks. Only the owner may call it.
func (h *Healer) poll() time.Duration {
	p := h.policy // a new one may have been refused
	if p == nil {
		p = h.config.Policy()
	}
	return max(p.Poll, time.Second)
}

// pause is a stretch of the healer's time in the host's: a simulation may run faster.
func (h *Healer) pause(d time.Duration) time.Duration { return time.Duration(float64(d) / h.speed()) }

// speed is how many times faster the healer's clock runs than the host's.
func (h *Healer) speed() float64 {
	if c, ok := h.clock.(interface{ Speed() float64 }); ok && c.Speed() > 0 {
		return c.Speed()
	}
	return 1
}

// gather gets a reading of each dragon that is newer than the last look and no older
// than a poll. One that someone else takes is as good as one of our own: a dragon
// whose reading has just become, or is just becoming, too old gets a little time in
// which a scrape at the same pace brings the next. So a scrape at whatever time between
// two looks leaves nothing to ask for. One that is known to be down is not asked: the
// fleet does that in its own time.
func (h *Healer) gather(ctx context.Context, poll time.Duration, looked time.Time) {
	poll = h.pause(poll)
	maxAge := func() time.Duration { return min(poll, time.Since(looked)-1) }
	var now, later []*fleet.Dragon
	var wait time.Duration
	for _, d := range h.config.Fleet.Dragons() {
		r := d.Last()
		if r == nil {
			now = append(now, d)
			continue
		}
		age := time.Since(r.At)
		if pace := h.pace(d); pace > 1 && age < time.Duration(pace)*poll-poll/2 {
			continue // it is its turn in the next look
		}
		fresh := r.At.After(looked) && age <= poll
		if grace := poll + poll/refreshGrace - age; !fresh && grace > 0 {
			wait = max(wait, grace)
			later = append(later, d)
		} else {
			now = append(now, d)
		}
	}
	h.read(ctx, now, maxAge)
	if len(later) == 0 {
		return
	}
	// No request waits for longer than a look comes early, and the grace.
	if sleep(ctx, min(wait, 2*poll/refreshGrace)) == nil {
		h.read(ctx, later, maxAge)
	}
}

// sleep waits, unless ctx ends before.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pace is in how many polls a dragon is asked once.
func (h *Healer) pace(d *fleet.Dragon) int {
	h.arrivals.mu.Lock()
	defer h.arrivals.mu.Unlock()
	a := h.arrivals.newest[d]
	return a.pace()
}

// read reads the dragons that have no reading young enough.
func (h *Healer) read(ctx context.Context, dragons []*fleet.Dragon, maxAge func() time.Duration) {
	var group errgroup.Group
	group.SetLimit(h.config.Workers)
	for _, d := range dragons {
		group.Go(func() error {
			_, _ = d.Read(ctx, maxAge()) // what comes of it is in the dragon's health
			return nil
		})
	}
	_ = group.Wait()
}

// refresh reads the dragons that were not read lately.
func (h *Healer) refresh(ctx context.Context, maxAge time.Duration) {
	h.read(ctx, h.config.Fleet.Dragons(), func() time.Duration { return h.pause(maxAge) })
}

// cycle decides, persists, and begins the next action.
func (h *Healer) cycle(ctx context.Context) error {
	start := time.Now()
	now := h.clock.Now()
	h.applyPolicy(now)
	h.repeatUnsaved(now)
	h.keepCalendars(now)
	h.view = h.snapshot(h.policy)
	h.plan = h.decide(now, h.view, h.mem, h.enforced())
	h.share(h.plan)
	h.shareInventory(now)
	h.persist()
	h.appendAudit(h.found()...)
	h.appendAudit(h.plan.Audit...)
	h.account(h.plan)
	h.publish(h.plan)
	h.metrics.duration.Observe(time.Since(start).Seconds())
	looked := time.Now()
	h.looked.Store(&looked)
	if h.writable() && !h.acting && ctx.Err() == nil {
		if d := h.nextAct(h.plan.Dragons, h.plan.Upgrades, h.plan.Changes); d != nil {
			h.begin(ctx, *d)
		}
	}
	return nil
}

// nextAct is the first decision of the lists that is to be carried out; nil: none is. A plan has an
// upgrade again that is on its way and not written down yet: that one is left out.
func (h *Healer) nextAct(lists ...[]healer.Decision) *healer.Decision {
	for _, list := range lists {
		for i := range list {
			if d := &list[i]; d.Verb == healer.Act && (d.Upgrade == nil || !h.upgrading[d.MAC]) {
				return d
			}
		}
	}
	return nil
}

// begin begins to carry a decision of the newest plan out. An upgrade takes minutes, in which
// others may be healed.
func (h *Healer) begin(ctx context.Context, d healer.Decision) {
	if d.Upgrade != nil {
		h.upgrading[d.MAC] = true
	} else {
		h.acting = true
	}
	j := h.job(d, d.Actor(), false)
	h.spawn(func() { h.runJob(ctx, j) })
}

// job is a decision of the newest plan that is to be carried out.
func (h *Healer) job(d healer.Decision, actor string, force bool) job {
	return job{attempt: healer.NewAttempt(d, actor, force, h.view, h.mem, h.enforced())}
}

// republish publishes what a request has changed, without taking it for another look.
func (h *Healer) republish() {
	if h.view == nil {
		return
	}
	now := h.clock.Now()
	h.view.Host = h.host()
	h.publish(h.decide(now, h.view, h.mem.Clone(), h.enforced()))
}

// snapshot gathers what is known of the fleet, with the sites and profiles of a policy, and the
// healer's own preconditions.
func (h *Healer) snapshot(p *healer.Policy) *healer.View {
	dragons := h.config.Fleet.Dragons()
	v := &healer.View{Host: h.host(), Dragons: make([]healer.Facts, 0, len(dragons))}
	known := make(map[*fleet.Dragon]bool, len(dragons))
	for _, d := range dragons {
		known[d] = true
		v.Dragons = append(v.Dragons, h.facts(d, p))
	}
	h.arrivals.mu.Lock()
	defer h.arrivals.mu.Unlock()
	for d := range h.arrivals.newest {
		if !known[d] {
			delete(h.arrivals.newest, d)
		}
	}
	return v
}

func (h *Healer) host() healer.Host {
	return healer.Host{
		ClockSynced:   h.clock.Synced(),
		StateWritable: h.writable(),
		Owner:         !h.held,
		Stop:          h.stopped(),
		GatewayDown:   h.gatewayDown(),
		External:      h.externalAnswer(),
	}
}

// stopped reports whether the STOP file is there, or cannot be looked for.
func (h *Healer) stopped() bool {
	_, err := os.Stat(filepath.Join(h.config.Dir, stopFile))
	return !errors.Is(err, os.ErrNotExist)
}

func (h *Healer) facts(d *fleet.Dragon, p *healer.Policy) healer.Facts {
	health, last := d.Health(), d.Last()
	w := who(d, p)
	if last == nil || !health.Up {
		f := healer.FactsOf(w, reachOf(health), nil, nil, h.clock.Now().Mono)
		f.Named, f.Shown = Named(d.Info()), d.ShownBoards()
		if idle := (*fleet.IdleError)(nil); health.Busy == "" && errors.As(health.Err, &idle) {
			f = h.idleFacts(d, w, idle)
		}
		h.configured(d, &f, p)
		return f
	}
	f := h.factsOf(d, w, last)
	f.Pace = h.pace(d)
	h.configured(d, &f, p)
	return f
}

// configured adds what the dragon is to be, and what it has said that it is.
func (h *Healer) configured(d *fleet.Dragon, f *healer.Facts, p *healer.Policy) {
	if f.Conflict {
		return
	}
	if p.Desired != nil {
		f.Desired = p.Desired(DeviceOf(d.Info()))
	}
	r := h.mem.Dragons[f.MAC]
	if f.Desired == nil && !p.For(f.Profile).Heat.DownshiftEnabled && !h.mem.Curtails() && (r == nil || r.Downshift == nil && r.Curtailed == nil) {
		return
	}
	now, facts := h.clock.Now().Mono, d.Facts()
	read := func(at time.Time) time.Duration { return now - time.Duration(float64(time.Since(at))*h.speed()) }
	c := &healer.Configured{}
	if !facts.Pools.At.IsZero() {
		c.HasPools, c.Pools, c.PoolsAt = true, facts.Pools.Value, read(facts.Pools.At)
	}
	if !facts.AutoTune.At.IsZero() {
		a := &facts.AutoTune.Value
		c.HasMode, c.Mode, c.Level, c.ModeAt = true, a.Mode, a.Level, read(facts.AutoTune.At)
	}
	f.Configured = c
}

// factsOf makes facts of a reading that has come.
func (h *Healer) factsOf(d *fleet.Dragon, who healer.Who, r *fleet.Reading) healer.Facts {
	h.arrivals.mu.Lock()
	a := h.arrivals.newest[d]
	h.arrivals.mu.Unlock()
	if a.reading != r { // it came before this healer was there, or has just been overtaken
		a.at = h.clock.Now().Mono - time.Duration(float64(time.Since(r.At))*h.speed())
	}
	overview := r.Overview
	if speed := h.speed(); speed != 1 && overview != nil && r.Summary != nil {
		// A second here is longer for a simulated dragon.
		o := *overview
		o.At = r.Summary.At.Add(-time.Duration(float64(r.Summary.At.Sub(o.At)) * speed))
		overview = &o
	}
	f := healer.FactsOf(who, healer.Reached, r.Summary, overview, a.at)
	f.Named, f.Shown = Named(d.Info()), d.ShownBoards()
	return f
}

// idleFacts makes facts of an answer without a sample: the miner process does not answer.
func (h *Healer) idleFacts(d *fleet.Dragon, w healer.Who, idle *fleet.IdleError) healer.Facts {
	speed := h.speed()
	overview := idle.Overview
	if overview != nil {
		o := *overview
		if up, known := o.Uptime.Get(); known {
			o.Uptime = dragon.Known(up + max(0, idle.At.Sub(o.At).Seconds())*speed)
		}
		overview = &o
	}
	f := healer.FactsOf(w, healer.Reached, nil, overview, h.clock.Now().Mono-time.Duration(float64(time.Since(idle.At))*speed))
	f.Named, f.Shown = Named(d.Info()), d.ShownBoards()
	return f
}

// DeviceOf is a dragon as a policy places it.
func DeviceOf(i *fleet.Info) healer.Device {
	return healer.Device{MAC: i.MAC, Model: i.Model, IP: i.IP, Site: i.Site, Conflict: i.Conflict}
}

func who(d *fleet.Dragon, p *healer.Policy) healer.Who {
	i := d.Info()
	w := healer.Who{
		MAC: i.MAC, Worker: i.Worker, Address: i.Address, Model: i.Model, Firmware: i.Firmware,
		HWVer: i.HWVersion, Conflict: i.Conflict,
	}
	if p.Place != nil {
		w.Domain, w.Profile = p.Place(DeviceOf(i))
	}
	if a := d.Facts().AutoTune; !a.At.IsZero() {
		w.Mode = healer.ModeText(a.Value.Mode, a.Value.Level)
	}
	return w
}

// Named is what the operator says of a dragon.
func Named(i *fleet.Info) healer.Named {
	l := i.Labels
	if l == nil {
		return healer.Named{}
	}
	return healer.Named{Name: l.Name, Labels: l.Map(), Place: l.String()}
}

func reachOf(h fleet.Health) healer.ReadStatus {
	switch {
	case h.Busy != "":
		return healer.Busy
	case h.Reason == "" || h.Up:
		return healer.Untried
	case errors.Is(h.Err, dragon.ErrNotReady): // it answers, its miner process does not
		return healer.Reached
	}
	return healer.ReadStatus(h.Reason)
}

// applyPolicy takes over a policy that has changed, unless it would call too many dragons
// sick at once.
func (h *Healer) applyPolicy(now healer.Instant) {
	next := h.config.Policy()
	if next == h.offered {
		return
	}
	h.offered = next
	hash, first := next.Hash(), h.policy == nil
	if !first {
		g, err := healer.Guard(now, h.mem, healer.PolicyView{By: h.policy, View: h.snapshot(h.policy)}, healer.PolicyView{By: next, View: h.snapshot(next)})
		if err != nil {
			h.refusePolicy(hash, err.Error(), &g)
			return
		}
	}
	news := !first && (hash != h.mem.Fleet.ConfigHash || h.policyRefused != "") // a reload may be about something else
	h.policy, h.policyRefused = next, ""
	h.arrivals.mu.Lock()
	h.arrivals.slow = next.SlowRead
	h.arrivals.mu.Unlock()
	if hash != h.mem.Fleet.ConfigHash {
		h.mem.Fleet.ConfigHash = hash
		h.mem.TouchFleet()
	}
	if news {
		level.Info(h.logger).Log("msg", "new policy in force", "config_hash", hash)
		h.auditRequest(healer.Adopt, "", healer.HealerActor, "a new policy is in force")
	}
}

// refusePolicy says that a policy is not taken over, and why.
func (h *Healer) refusePolicy(hash, why string, g *healer.Guarded) {
	h.policyRefused = why
	h.metrics.configRefused.Inc()
	level.Error(h.logger).Log("msg", "new policy refused", "err", why, "limit", g.Limit, "newly_sick", healer.WorkersOf(g.Newly))
	h.auditRequest(healer.Refuse, "", healer.HealerActor, fmt.Sprintf("policy %s: %s: %s", hash, why, healer.WorkersOf(g.Newly)))
}

// enforced is the policy in force; after a panic, one that sends nothing.
func (h *Healer) enforced() *healer.Policy {
	if h.tripped == "" {
		return h.policy
	}
	p := *h.policy
	p.Default.Mode, p.Rollout.Mode = healer.Observe, healer.Observe
	p.Profiles = nil
	for name, profile := range h.policy.Profiles {
		p.Override(name, func(d *healer.DragonPolicy) {
			*d = *profile
			d.Mode = healer.Observe
		})
	}
	return &p
}
