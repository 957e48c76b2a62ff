package healer

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// farm is a small world in front of Decide: dragons with counters that run, a clock,
// and a memory. Tests change the dragons between cycles.
type farm struct {
	t      testing.TB
	now    Instant
	host   Host
	policy Policy
	mem    *Memory
	units  []*unit
	plan   *Plan
	seen   *View // what the plan rests on
	sends  bool  // carry out what the plan says
	sent   []Action
	cure   func(*unit, Kind) // what an action does, beside restarting
}

// unit is a dragon as the test wants it.
type unit struct {
	who     Who
	reach   ReadStatus
	boot    time.Duration // farm time at which the system booted
	start   time.Duration // and its miner process
	tuning  bool
	fan     float64
	memory  float64 // free, bytes
	errors  float64 // of each board
	boards  []unitBoard
	pools   []PoolFacts
	garbage bool // readings lack what every firmware sends
	ignore  bool // writes do nothing
	die     bool // a write makes it vanish
	works   float64
	frozen  bool // the counters stand still
	pace    int  // in how many polls it is asked once

	desired *DesiredState
	has     Configured // as it says when it is asked
	mute    bool       // it does not say
	refuses []Item     // written, and not taken
	told    []Stuck    // what it says right after a write
	only    []Item     // that are written to it; nil: all
}

type unitBoard struct {
	status string
	temp   float64 // -1: none
	rate   float64 // hashes per second
	total  float64
	gone   bool
}

const (
	poolA = "stratum+tcp://a.example:3333"
	tera  = 1e12
)

// newFarm makes n healthy T1s in one domain, that have been up for two days.
func newFarm(t testing.TB, n int) *farm {
	f := &farm{
		t:      t,
		now:    Instant{Wall: time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC), Mono: 100 * time.Hour, BootID: "boot-1"},
		host:   Host{ClockSynced: true, StateWritable: true, Owner: true},
		policy: DefaultPolicy(), mem: NewMemory(), sends: true,
	}
	f.policy.Default.Mode = Enforce
	for i := range n {
		f.add(i)
	}
	f.mem.Start(f.now, &f.policy)
	return f
}

func (f *farm) add(i int) *unit {
	mac := fmt.Sprintf("a0:b0:45:00:%02x:%02x", i/256, i%256)
	u := &unit{
		who: Who{MAC: mac, Worker: dragon.WorkerName(mac), Address: fmt.Sprintf("127.1.%d.%d", i/200, i%200+1),
			Model: "T1", HWVer: "g19", Firmware: "t1_20180515_060842", Domain: fmt.Sprintf("row-%d", i/100)},
		reach: Reached, boot: f.now.Mono - 48*time.Hour, start: f.now.Mono - 48*time.Hour, fan: 0.6, memory: 150e6,
		boards: []unitBoard{{"Alive", 75, 5 * tera, 0, false}, {"Alive", 76, 5 * tera, 0, false}, {"Alive", 77, 5 * tera, 0, false}},
		pools:  []PoolFacts{{URL: poolA, Status: "Alive", Active: true}},
	}
	f.units = append(f.units, u)
	return u
}

// facts is what a reading of the unit says now.
func (f *farm) facts(u *unit) Facts {
	has := u.has
	has.HasPools, has.HasMode, has.PoolsAt, has.ModeAt = !u.mute, !u.mute, f.now.Mono, f.now.Mono
	if u.reach != Reached {
		return Facts{Who: u.who, Status: u.reach, At: f.now.Mono, Desired: u.desired, Configured: &has}
	}
	elapsed := (f.now.Mono - u.start).Seconds()
	x := Facts{
		Who: u.who, Status: Reached, At: f.now.Mono, HasSample: true,
		Uptime: dragon.Known((f.now.Mono - u.boot).Truncate(time.Minute).Seconds()), Elapsed: dragon.Known(elapsed),
		Pace:   u.pace,
		Tuning: dragon.Known(0), FanDuty: dragon.Known(u.fan), MemoryFree: dragon.Known(u.memory), Desired: u.desired, Configured: &has,
	}
	if u.tuning {
		x.Tuning = dragon.Known(1)
	}
	for i := range u.boards {
		b := &u.boards[i]
		if b.gone {
			continue
		}
		bf := BoardFacts{Slot: i, Status: b.status, Hashes: dragon.Known(b.total), Elapsed: x.Elapsed, Accepted: dragon.Known(u.works), Errors: dragon.Known(u.errors)}
		if b.temp != -1 {
			bf.Temperature = dragon.Known(b.temp)
		}
		if u.garbage {
			bf.Hashes = dragon.Number{}
		}
		x.Boards = append(x.Boards, bf)
	}
	for _, p := range u.pools {
		p.Works, p.Accepted = dragon.Known(u.works), dragon.Known(u.works)
		x.Pools = append(x.Pools, p)
	}
	return x
}

// restart restarts the miner process.
func (f *farm) restart(u *unit) {
	u.start = f.now.Mono
	for i := range u.boards {
		u.boards[i].total = 0
	}
}

func (f *farm) reboot(u *unit) {
	f.restart(u)
	u.boot = f.now.Mono
}

func (f *farm) view() *View {
	v := &View{Host: f.host}
	for _, u := range f.units {
		v.Dragons = append(v.Dragons, f.facts(u))
	}
	return v
}

// tick lets a minute pass and decides.
func (f *farm) tick() *Plan {
	f.t.Helper()
	const step = time.Minute
	f.now.Mono += step
	f.now.Wall = f.now.Wall.Add(step)
	for _, u := range f.units {
		alivePool := false
		for _, p := range u.pools {
			alivePool = alivePool || p.Status == "Alive"
		}
		if u.frozen || !alivePool {
			continue
		}
		u.works++
		for i := range u.boards {
			if b := &u.boards[i]; b.status == "Alive" {
				b.total += b.rate * step.Seconds()
			}
		}
	}
	f.decide()
	return f.plan
}

// decide decides without letting time pass.
func (f *farm) decide() {
	f.t.Helper()
	f.seen = f.view()
	f.plan = Decide(f.now, f.seen, f.mem, &f.policy)
	for i := range f.plan.Dragons {
		if d := &f.plan.Dragons[i]; d.Verb == Act && f.sends {
			f.carryOut(d)
		}
	}
	for i := range f.plan.Changes {
		if d := &f.plan.Changes[i]; d.Verb == Act && f.sends {
			f.configure(d)
		}
	}
}

// configure does what the shell does with a decision to configure.
func (f *farm) configure(d *Decision) {
	f.t.Helper()
	u := f.unit(d.MAC)
	had := u.has
	had.HasPools, had.HasMode = true, true
	want := f.mem.Desired(d, f.seen.Of(d.MAC).Desired)
	step := *d.Change
	items, before := step.Found(want, &had)
	step.Items, d.Change = items, &step
	a, err := f.mem.Intend(f.now, d, d.Actor(), before)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := f.mem.Interlock(f.now, d.MAC, d.Kind, a.ID); err != nil {
		f.t.Errorf("%s after %s: policy allowed what the ceilings forbid: %v", d.Worker, f.age(), err)
	}
	if u.only != nil {
		if err := f.mem.Wrote(d.MAC, a.ID, u.only); err != nil {
			f.t.Fatal(err)
		}
		a = *f.mem.Action(d.MAC, a.ID)
	}
	if len(u.told) > 0 {
		if err := f.mem.Told(d.MAC, a.ID, u.told); err != nil {
			f.t.Fatal(err)
		}
	}
	if err := f.mem.Sent(f.now, d.MAC, a.ID, Accepted, ""); err != nil {
		f.t.Fatal(err)
	}
	f.sent = append(f.sent, a)
	u.take(want, a.Change.Items)
	f.restart(u)
	u.works = 0
	if u.die {
		u.reach = Timeout
	}
	if f.cure != nil {
		f.cure(u, d.Kind)
	}
}

// take makes the unit what a write wants it to be, but for what it refuses.
func (u *unit) take(w *DesiredState, items []Item) {
	for _, item := range items {
		switch {
		case slices.Contains(u.refuses, item):
		case item == ItemAutotune:
			u.has.Mode, u.has.Level = w.Mode, w.Level
		case item == ItemPools:
			u.has.Pools = w.Pools
			u.pools = nil
			for i, p := range w.Pools {
				u.pools = append(u.pools, PoolFacts{URL: p.URL, User: p.User, Status: "Alive", Active: i == 0})
				if strings.Contains(p.URL, "typo") {
					u.pools[i].Status = "Dead"
				}
			}
		}
	}
}

// desire gives units a desired state; without any, all of them.
func (f *farm) desire(key, url, mode string, units ...int) {
	for i, u := range f.units {
		if len(units) > 0 && !slices.Contains(units, i) {
			continue
		}
		u.desired = &DesiredState{Key: key, Name: key, Mode: mode}
		if url != "" {
			u.desired.Pools = []dragon.PoolConfig{{URL: url, User: "acct." + u.who.Worker, Password: "hunter2"}}
		}
	}
}

// standing counts the units that are in a phase.
func (f *farm) standing(p Phase) int {
	n := 0
	for i := range f.units {
		if f.phase(i) == p {
			n++
		}
	}
	return n
}

// right counts the units that are in sync.
func (f *farm) right() int {
	n := 0
	for _, u := range f.units {
		has := u.has
		has.HasPools, has.HasMode = true, true
		if u.desired != nil && len(u.desired.Differences(&has)) == 0 {
			n++
		}
	}
	return n
}

// carryOut does what the shell does with a decision.
func (f *farm) carryOut(d *Decision) {
	f.t.Helper()
	a, err := f.mem.Intend(f.now, d, "", nil)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := f.mem.Interlock(f.now, d.MAC, d.Kind, a.ID); err != nil {
		f.t.Errorf("%s after %s: policy allowed what the ceilings forbid: %v", d.Worker, f.age(), err)
	}
	if err := f.mem.Sent(f.now, d.MAC, a.ID, Accepted, ""); err != nil {
		f.t.Fatal(err)
	}
	f.sent = append(f.sent, a)
	u := f.unit(d.MAC)
	switch {
	case u.ignore:
		return
	case u.die:
		u.reach = Timeout
	case d.Kind == Reboot:
		f.reboot(u)
	default:
		f.restart(u)
	}
	if f.cure != nil {
		f.cure(u, d.Kind)
	}
}

func (f *farm) age() time.Duration { return f.now.Mono - 100*time.Hour }

// run lets time pass.
func (f *farm) run(d time.Duration) *Plan {
	f.t.Helper()
	for range int(d / time.Minute) {
		f.tick()
	}
	return f.plan
}

// settle lets the farm get past start-up and new-device observation.
func (f *farm) settle() *farm {
	f.t.Helper()
	f.run(65 * time.Minute)
	if len(f.sent) > 0 {
		f.t.Fatalf("a healthy farm was written to: %v", f.sent)
	}
	return f
}

func (f *farm) unit(mac string) *unit {
	for _, u := range f.units {
		if u.who.MAC == mac {
			return u
		}
	}
	f.t.Fatalf("no unit %s", mac)
	return nil
}

func (f *farm) of(i int) *Decision {
	f.t.Helper()
	for j := range f.plan.Dragons {
		if d := &f.plan.Dragons[j]; d.MAC == f.units[i].who.MAC {
			return d
		}
	}
	f.t.Fatalf("unit %d is not in the plan", i)
	return nil
}

func (f *farm) record(i int) *Record { return f.mem.Dragons[f.units[i].who.MAC] }

// quarantinedFor is why a unit is quarantined; empty: it is not.
func (f *farm) quarantinedFor(i int) string {
	if q := f.record(i).Quarantine; q != nil {
		return q.Reason
	}
	return ""
}

// closed lists the closed gates of a unit.
func (f *farm) closed(i int) []Gate {
	var out []Gate
	for _, g := range f.of(i).Gates {
		if !g.Open {
			out = append(out, g.Name)
		}
	}
	return out
}

// sentTo lists what was sent to a unit.
func (f *farm) sentTo(i int) []Kind {
	var out []Kind
	for _, a := range f.sent {
		if f.mem.Action(f.units[i].who.MAC, a.ID) != nil {
			out = append(out, a.Kind)
		}
	}
	return out
}

// restartMemory is what a kill and a new start do to the memory.
func (f *farm) reload() {
	f.t.Helper()
	f.mem.Everything()
	c, err := f.mem.Changes()
	if err != nil {
		f.t.Fatal(err)
	}
	if f.mem, err = LoadMemory(c.Fleet, c.Dragons); err != nil {
		f.t.Fatal(err)
	}
	f.mem.LoadCold(c.Cold)
	f.mem.Start(f.now, &f.policy)
}

func killBoard(u *unit, slot int, temp float64) {
	u.boards[slot].status, u.boards[slot].temp = "Dead", temp
}

// revive is a cure: the boards are alive again.
func revive(u *unit, _ Kind) {
	for i := range u.boards {
		u.boards[i] = unitBoard{"Alive", 75, 5 * tera, 0, false}
	}
}

// macOf finds the dragon that an action was for.
func (f *farm) macOf(id string) string {
	for mac := range f.mem.Dragons {
		if f.mem.Action(mac, id) != nil {
			return mac
		}
	}
	return ""
}
