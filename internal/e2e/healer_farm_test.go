package e2e

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// quick is how many times faster these farms live: an hour takes nine seconds.
const quick = 400

// shipped is the policy that the program is shipped with, but for the hour that it
// takes to get to know a dragon.
const shipped = `
healing:
  new_device_observe: 15m
  new_device_samples: 10
`

// newFarm starts the program on count dragons that were switched on at different
// times, waits until it knows them, and finds all of them healthy.
func newFarm(t *testing.T, count int, speed float64, policy string, args ...string) *instance {
	t.Helper()
	w := prepareFarm(t, count, speed, policy, nil)
	w.start(args...)
	w.healthy()
	return w
}

// prepareFarm makes a farm without starting the program.
func prepareFarm(t *testing.T, count int, speed float64, policy string, change func(i int, s *dragontest.Spec)) *instance {
	t.Helper()
	clock := dragontest.SpedUp(speed)
	dragons, flags := fleetOf(t, dragontest.FleetConfig{Count: count, Specs: func(i int) dragontest.Spec {
		s := dragontest.Spec{Now: clock, Speed: speed, Uptime: time.Duration(50+7*i) * time.Hour}
		if change != nil {
			change(i, &s)
		}
		return s
	}})
	w := &instance{t: t, dragons: dragons, dir: t.TempDir()}
	file := filepath.Join(t.TempDir(), "mother.yml")
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	w.args = append(flags, "--data-dir="+w.dir, "--config.file="+file, fmt.Sprintf("--simulation.speed=%g", speed))
	return w
}

func (w *instance) start(args ...string) {
	w.t.Helper()
	w.p, w.base = mother(w.t, append(w.args, args...)...)
}

func (w *instance) healthy() {
	w.t.Helper()
	eventually(w.t, "all dragons are known and healthy", func() bool {
		return w.value(`mother_healer_devices{state="healthy"}`) == float64(w.dragons.Len())
	})
}

// value is that of a series on the page of the metrics; -1 where there is none.
func (w *instance) value(series string) float64 {
	w.t.Helper()
	return valueAt(w.t, w.base, series)
}

func valueAt(t *testing.T, base, series string) float64 {
	t.Helper()
	return valueIn(t, get(t, base+"/metrics"), series)
}

func valueIn(t *testing.T, page, series string) float64 {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindStringSubmatch(page)
	if m == nil {
		return -1
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatalf("%s: %v", series, err)
	}
	return v
}

func (w *instance) state(i int, state healer.State) bool {
	w.t.Helper()
	return w.value(fmt.Sprintf("mother_healer_device_state{state=%q,worker=%q}", state, w.worker(i))) == 1
}

func (w *instance) waitFor(i int, state healer.State) {
	w.t.Helper()
	eventually(w.t, fmt.Sprintf("%s is %s", w.worker(i), state), func() bool { return w.state(i, state) })
}

// now is the time by the dragons' clock, which runs as fast as the healer's.
func (w *instance) now() time.Time { return w.dragons.Dragon(0).Now() }

// live lets a farm live for a while.
func (w *instance) live(d time.Duration) {
	w.t.Helper()
	until := w.now().Add(d)
	eventually(w.t, fmt.Sprintf("%v pass on the farm", d), func() bool { return w.now().After(until) })
}

// written is a write as the fleet saw it.
type written struct {
	dragon int
	dragontest.Write
}

// writes are all that the fleet saw, in order.
func (w *instance) writes() (all []written) {
	for i, d := range w.dragons.Dragons() {
		for _, x := range d.Writes() {
			all = append(all, written{i, x})
		}
	}
	slices.SortFunc(all, func(a, b written) int { return a.At.Compare(b.At) })
	return all
}

func (w *instance) wantNoWrites(during string) {
	w.t.Helper()
	if all := w.writes(); len(all) > 0 {
		w.t.Fatalf("%s: %d writes, want none; the first is %s to %s at %v", during, len(all), all[0].Endpoint, w.worker(all[0].dragon), all[0].At)
	}
}

// audit is what the healer wrote down for people.
func (w *instance) audit() []healer.Audit {
	w.t.Helper()
	data, err := os.ReadFile(filepath.Join(w.dir, "audit.jsonl"))
	if err != nil && !os.IsNotExist(err) {
		w.t.Fatal(err)
	}
	var records []healer.Audit
	for line := range bytes.Lines(data) {
		var r healer.Audit
		if line[len(line)-1] != '\n' {
			break // it is being written
		}
		if err := json.Unmarshal(line, &r); err != nil {
			w.t.Fatalf("audit: %v: %s", err, line)
		}
		records = append(records, r)
	}
	return records
}

// sent are the audit's records of what became of a send, by action.
func (w *instance) sent() map[string]healer.Audit {
	w.t.Helper()
	sent := make(map[string]healer.Audit)
	for _, r := range w.audit() {
		if r.ActionID != "" && r.Result != nil {
			sent[r.ActionID] = r
		}
	}
	return sent
}

// withinBudget holds the writes since from against what the policy allows a fleet of a
// hundred. What the farm's clock says of a write is later than what the healer's said
// of the intent, by as much as the machine was busy; so the spans are shorter than
// the policy's.
func (w *instance) withinBudget(all []written) {
	w.t.Helper()
	for i, x := range all {
		flight, hour := 0, 0
		for _, y := range all[:i+1] {
			age := x.At.Sub(y.At)
			verdict := 20 * time.Minute // not before half an hour
			if y.Endpoint == "restartCgMiner" {
				verdict = 3 * time.Minute // not before five minutes
			}
			if age < verdict {
				flight++
			}
			if age < 45*time.Minute {
				hour++
			}
			if x.dragon == y.dragon && x.At != y.At && age < 20*time.Minute {
				w.t.Errorf("%s was written to twice within %v", w.worker(x.dragon), age)
			}
		}
		if flight > 2 || hour > 3 {
			w.t.Errorf("with %s to %s there are %d writes in flight and %d within the hour, want at most 2 and 3",
				x.Endpoint, w.worker(x.dragon), flight, hour)
		}
	}
	if len(all) > 15 {
		w.t.Errorf("%d writes in a day, want at most 15", len(all))
	}
	// Each of them was written down, and none without being there.
	sent := w.sent()
	said := make(map[string]int)
	for _, r := range sent {
		said[cmp.Or(r.Worker, "?")]++
	}
	for i := range w.dragons.Len() {
		if n := len(w.dragons.Dragon(i).Writes()); n != said[w.worker(i)] {
			w.t.Errorf("%s saw %d writes, the audit has %d", w.worker(i), n, said[w.worker(i)])
		}
	}
}

// TestAFleetOfAHundred has a farm suffer from common causes, each time with one
// dragon that is sick besides, and then lets five dragons really be sick. That the
// same healer heals them says that it was able to all along.
func TestAFleetOfAHundred(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes more than a minute")
	}
	// Not so quick: the hold of 45 minutes after a power cut must be long enough to be seen.
	w := newFarm(t, 100, quick/2, shipped, "--dragon-health-reboot", "--dragon-timeout=2")
	all := w.dragons.Dragons()
	const patient = 50
	hurt := func() {
		w.dragons.Dragon(patient).Inject(dragontest.DeadBoard, dragontest.CuredBy(dragontest.CuredByRestart))
	}
	opens := func(breaker string) {
		t.Helper()
		eventually(t, "the breaker "+breaker+" is open", func() bool {
			return strings.Contains(get(t, w.base+"/metrics"), `mother_healer_breaker_state{breaker="`+breaker+`"`)
		})
	}

	// The pools of all die.
	for _, d := range all {
		d.Inject(dragontest.PoolDead)
	}
	opens("pool")
	hurt()
	eventually(t, "the sick dragon is held by it", func() bool {
		return w.value(fmt.Sprintf("mother_healer_blocked{gate=%q}", healer.GatePool)) >= 1
	})
	w.live(20 * time.Minute)
	w.wantNoWrites("a pool's outage")
	for _, d := range all {
		d.Clear(dragontest.PoolDead)
	}
	w.dragons.Dragon(patient).Clear()
	w.healthy()

	// The fleet loses its network: half refuses, half says nothing.
	for i, d := range all {
		d.Inject([]dragontest.Fault{dragontest.Unplugged, dragontest.Hang}[i%2])
	}
	eventually(t, "the healer is isolated", func() bool { return w.value("mother_healer_isolated") == 1 })
	w.live(20 * time.Minute)
	for _, d := range all {
		d.Clear()
	}
	w.healthy()
	w.wantNoWrites("an outage of the network")

	// The power is cut for five minutes.
	for _, d := range all {
		d.PowerOff()
	}
	w.live(5 * time.Minute)
	for _, d := range all {
		d.PowerOn()
	}
	back := w.now()
	hurt()
	opens("fleet_boot") // on a busy machine the board is seen to be dead only when that closes
	w.live(back.Add(40 * time.Minute).Sub(w.now()))
	w.wantNoWrites("the forty minutes after a power cut")
	eventually(t, "the sick dragon is healed after that", func() bool { return len(w.writes()) == 1 && len(w.dragons.Dragon(patient).ActiveFaults()) == 0 })
	if after := w.writes()[0].At.Sub(back); after < 45*time.Minute {
		t.Errorf("acted %v after the power came back, want 45 minutes of hold", after)
	}
	w.waitFor(patient, healer.StateProbation)

	// Five boards die that a reboot brings back, and one that nothing does.
	sick := []int{3, 17, 31, 64, 98}
	const incurable = 80
	since := w.now()
	for _, i := range sick {
		w.dragons.Dragon(i).Inject(dragontest.DeadBoard, dragontest.CuredBy(dragontest.CuredByReboot))
	}
	w.dragons.Dragon(incurable).Inject(dragontest.DeadBoard)
	for _, i := range sick {
		eventually(t, w.worker(i)+" is healed", func() bool { return len(w.dragons.Dragon(i).ActiveFaults()) == 0 })
	}
	w.waitFor(incurable, healer.StateQuarantined)
	healed := w.now().Sub(since)
	eventually(t, "the others are well again", func() bool {
		return w.value(`mother_healer_devices{state="healthy"}`)+w.value(`mother_healer_devices{state="probation"}`) == 99
	})

	writes, skipped := w.writes(), 0
	for i, d := range all {
		var got []string
		for _, x := range d.Writes() {
			if x.At.After(since) {
				got = append(got, x.Endpoint)
			}
		}
		want := []string(nil)
		if slices.Contains(sick, i) || i == incurable {
			want = []string{"restartCgMiner", "reboot"}
		}
		// Once the restart has not helped the first ones, the others begin with the reboot.
		if len(got) == 1 && want != nil {
			want = want[1:]
			skipped++
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s was sent %v, want %v", w.worker(i), got, want)
		}
	}
	if skipped == 0 {
		t.Error("every dragon was sent the restart, which helps none")
	}
	w.withinBudget(writes)
	if page := get(t, w.base+"/metrics"); strings.Count(page, "\ndragon_up{") != 100 {
		t.Errorf("%d dragons exported, want 100", strings.Count(page, "\ndragon_up{"))
	}
	t.Logf("five healed and one quarantined in %v with %d writes", healed.Round(time.Minute), len(writes))
	w.p.stop(t)
}
