package farmtest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// configurations: I12 for configurations, before they are sent. The canary
// has to show that the desired state works before the others get it; few get it at a time;
// a dragon in sync is left alone; and no dragon is written to again and again.
func (o *Oracle) configurations(d *Dragon, x *Write) {
	w := o.w
	what := fmt.Sprintf("%s of %s as %s", x.ID, worker(d.MAC), x.Desired.Name)
	have := d.configured()
	justNow := slices.ContainsFunc(w.Writes, func(y Write) bool { return y.N == d.N && y.Actor == "stranger" && w.Now-y.At < 2*poll })
	if differs := x.Desired.Differences(&have); len(differs) != len(x.Items) && !justNow {
		o.fail("I12 %s: %d items differ, %d are written", what, len(differs), len(x.Items))
	}
	o.pools(d, x, what)
	pace, today, undone, curtailed := 0, 0, 0, 0
	curtails := func(w *Write) bool {
		return w.Desired.Curtail && slices.Equal(w.Items, []healer.Item{healer.ItemAutotune})
	}
	tried, works := false, false
	for i := range o.sent {
		s := &o.sent[i]
		if s.Desired == nil {
			continue
		}
		age := w.Now - s.At
		if age < 10*time.Minute && !s.Undo {
			pace++
		}
		if s.want == d.N && age < day {
			if today++; s.Undo {
				undone++
			} else if curtails(&s.Write) {
				curtailed++
			}
		}
		tried = tried || !s.Undo && s.Desired.Key == x.Desired.Key && s.want != d.N && s.N == s.want && o.shows(s)
	}
	for _, y := range w.Dragons {
		has := y.configured()
		works = works || y.worksAs(x.Desired) ||
			len(x.Desired.Pools) == 0 && len(x.Desired.Differences(&has)) == 0 && y.earns(x.Desired) // the healer's own, against heat
	}
	if works && w.Now > o.corrupt {
		o.proven[x.Desired.Key] = w.Now
	}
	works = works || o.proven[x.Desired.Key] > max(0, o.corrupt)
	switch {
	case today >= 4 || !x.Undo && (curtails(x) && curtailed >= 3 || !curtails(x) && today-undone-curtailed >= 2):
		o.fail("I12 %s is its configuration number %d within a day", what, today+1)
	case x.Undo:
	case pace >= max(2, len(w.Dragons)/20):
		o.fail("I12 %s is number %d within ten minutes", what, pace+1)
	case tried && !works && !o.retried(x):
		o.fail("I12 %s, before any dragon works with it", what)
	}
}

// pools: I12. Only the operator's desired state brings pools, and not after its rollout was
// aborted, whatever else the healer wants of the dragon.
func (o *Oracle) pools(d *Dragon, x *Write, what string) {
	if x.Undo || !slices.Contains(x.Items, healer.ItemPools) {
		return
	}
	if d.desired == nil || x.Desired.Key != d.desired.Key {
		if slices.ContainsFunc(d.desiredAt, func(at time.Duration) bool { return o.w.Now-at < poll }) { // after it was decided
			return
		}
		o.fail("I12 %s brings pools that its operator does not want", what)
		return
	}
	for i := range o.sent {
		s := &o.sent[i]
		at, aborted := o.aborted[s.Actor]
		if !aborted || s.Undo || s.Desired == nil || len(s.Desired.Pools) == 0 || s.Desired.Pools[0].URL != x.Desired.Pools[0].URL {
			continue
		}
		asked := slices.ContainsFunc(o.w.Dragons, func(d *Dragon) bool { return slices.Max(append(d.desiredAt, never)) >= at })
		if at > max(o.corrupt, o.w.healer.acked) && !asked {
			o.fail("I12 %s brings pools of a rollout that was aborted %s ago", what, o.w.Now-at)
			return
		}
	}
}

// prove notes the desired states that a dragon works with. A canary may do so only between two
// sends: many hours later, when a breaker ends, it may have a trouble of its own.
func (o *Oracle) prove() {
	for i := range o.sent {
		if x := o.sent[i].Desired; x != nil && !o.sent[i].Undo && o.proven[x.Key] <= max(0, o.corrupt) && o.w.Dragons[o.sent[i].want].worksAs(x) {
			o.proven[x.Key] = o.w.Now
		}
	}
}

// worksAs reports whether a dragon has a desired state that is its own, and earns with it.
func (d *Dragon) worksAs(x *healer.DesiredState) bool {
	return d.desired != nil && d.desired.Key == x.Key && d.right() && d.earns(x)
}

// shows reports whether a canary can show anything: not if the store was lost since, if many
// dragons have left the list since, which looks like an outage, if it is to have something else by
// now, or if a common cause has hit it.
func (o *Oracle) shows(s *sent) bool {
	// The verdict takes a quarter of an hour.
	soon := func(at time.Duration) bool { return at > s.At && at < s.At+20*time.Minute }
	if s.At <= o.corrupt || s.At <= o.unlisted || slices.ContainsFunc(o.w.Dragons[s.want].desiredAt, soon) {
		return false
	}
	if slices.ContainsFunc(o.w.Writes, func(y Write) bool { return y.N == s.want && y.Actor == "stranger" && soon(y.At) }) {
		return false
	}
	return !slices.ContainsFunc(o.w.Causes, func(c *Cause) bool { return c.Members[s.want] && c.From < s.At+time.Hour && c.To > s.At })
}

// retried reports whether the canaries so far could not be changed at all, or a human
// has said to go on.
func (o *Oracle) retried(x *Write) bool {
	return o.w.healer.acked > 0 || !slices.ContainsFunc(o.sent, func(s sent) bool {
		return s.Desired != nil && s.Desired.Key == x.Desired.Key && !s.Undo && o.w.Dragons[s.want].answer == ""
	})
}

// firmware: I13. What a dragon is sent, and which dragon it is.
func (o *Oracle) firmware(h *Healer, d *Dragon, s *sent, sends *healer.FirmwareRelease, what string) {
	if s.Kind != healer.Upgrade {
		return
	}
	switch {
	case sends == nil || !strings.HasPrefix(s.Actor, "rollout:f"):
		o.fail("I13 %s outside a rollout", what)
		return
	case built(sends.Version) <= built(d.firmwareBefore):
		o.fail("I13 %s from %s to %s", what, d.firmwareBefore, sends.Version)
	}
	if d.unwell() || h.taken[d.N] {
		o.fail("I13 %s, which is not well", what)
	}
	if hottest := d.hottestBoard(); hottest >= 91 {
		o.fail("I13 %s, which is at %.0f °C", what, hottest)
	}
	if d.memory <= 2*imageSize {
		o.fail("I13 %s, which has no memory for it", what)
	}
	if at, aborted := o.aborted[s.Actor]; aborted && s.At > at {
		o.fail("I12 %s %s after its rollout was aborted", what, s.At-at)
	}
	if young := howMany(o.sent, func(x sent) bool { return x.Kind == healer.Upgrade && s.At-x.At < flashing }); young >= 2 {
		o.fail("I13 %s, and %d others are being flashed", what, young)
	}
}

func built(version string) string {
	parts := strings.Split(version, "_")
	return strings.Join(parts[max(0, len(parts)-2):], "")
}

// abort notes when a rollout was aborted.
func (o *Oracle) abort(id string, state healer.RolloutState) {
	actor := "rollout:" + id
	if _, known := o.aborted[actor]; state == healer.RolloutAborted && !known {
		o.aborted[actor] = o.w.Now
	}
}

// silence: I12. Who was sent firmware, and is gone, is called so by the deadline; who
// shows the new version's faults is called so by the last deadline.
func (o *Oracle) silence(h *Healer) {
	if !o.current(h) {
		return
	}
	for i := range h.Plan.Rollouts {
		o.abort(h.Plan.Rollouts[i].ID, h.Plan.Rollouts[i].State)
	}
	for i := range h.Plan.Firmware {
		ro := &h.Plan.Firmware[i]
		o.abort(ro.ID, ro.State)
		for j := range ro.Dragons {
			u := &ro.Dragons[j]
			n := o.dragon(u.MAC)
			if n < 0 || u.Phase == healer.UpgradeFailed || u.Phase == healer.UpgradeInconclusive {
				continue
			}
			d := o.w.Dragons[n]
			since := max(d.goneAt, h.Starts[len(h.Starts)-1])
			if d.gone && u.Phase != healer.UpgradeDone && o.w.Now-since > 24*time.Minute { // a later write may be what it did not survive
				o.fail("I12 %s is gone for %s, and is called %s", u.Worker, o.w.Now-d.goneAt, u.Phase)
			}
			// After an abort a canary is not rebooted once more, and only that would show it.
			unshown := ro.State == healer.RolloutAborted && slices.Contains(d.flashed, "bricks-next-boot")
			if u.Phase == healer.UpgradeDone && d.spoilt() && !unshown {
				o.fail("I12 %s is called %s, and the firmware has spoilt it: %s", u.Worker, u.Phase, fmt.Sprint(d.flashed))
			}
		}
	}
}
