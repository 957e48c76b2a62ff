package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/installed/etcdtest"
)

// pair is two instances on one farm that share their state.
type pair struct {
	*ward
	whole *testing.T // that the instances live as long as
	etcd  *etcdtest.Cluster
	args  []string
	all   [2]*process
	base  [2]string
	dirs  [2]string
}

func newPair(t *testing.T, dragons int, servers int) *pair {
	t.Helper()
	const speed = 200
	p := &pair{whole: t, etcd: etcdtest.Start(t, servers)}
	p.ward = prepareFarm(t, dragons, speed, shipped+`
  default: {ladder: {steps: [restart, reboot], hold: [30m, 30m]}}
`, func(_ int, s *dragontest.Spec) { s.TuneTime = -1 })
	for _, arg := range p.ward.args {
		if !strings.HasPrefix(arg, "--data-dir=") {
			p.args = append(p.args, arg)
		}
	}
	p.args = append(p.args, "--dragon-health-reboot", "--web.enable-lifecycle")
	for i := range p.dirs {
		p.dirs[i] = t.TempDir()
		p.run(i)
	}
	eventually(t, "one of them leads", func() bool { return p.leader() >= 0 })
	for i := range p.dirs {
		eventually(t, "both know all dragons", func() bool {
			return p.is(i, `mother_healer_devices{state="healthy"}`) == float64(p.herd.Len())
		})
	}
	return p
}

func (p *pair) run(i int) {
	p.t.Helper()
	args := append(slices.Clip(p.args), "--data-dir="+p.dirs[i], "--ha.lease=5s", fmt.Sprintf("--ha.id=host-%d", i),
		"--ha.etcd.endpoints="+strings.Join(p.etcd.Endpoints(), ","), fmt.Sprintf("--ha.url=http://host-%d.example.net", i))
	p.all[i], p.base[i] = mother(p.whole, args...)
}

// is is a value of an instance's metrics; -1: it has none.
func (p *pair) is(i int, series string) float64 {
	page, err := tryGet(p.base[i] + "/metrics")
	if err != nil {
		return -1
	}
	return valueIn(p.t, page, series)
}

// leader is the instance that leads; -1: none or both.
func (p *pair) leader() int {
	leader := -1
	for i := range p.all {
		if p.is(i, "mother_leader") == 1 {
			if leader >= 0 {
				return -1
			}
			leader = i
		}
	}
	return leader
}

func (p *pair) kill(i int) {
	p.t.Helper()
	if err := p.all[i].Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	<-p.all[i].done
}

// sicken makes a dragon sick that one restart cures, and waits until it was sent one.
func (p *pair) sicken(i int) {
	p.herd.Dragon(i).Inject(dragontest.DeadBoard, dragontest.CuredBy(dragontest.CuredByRestart))
}

func (p *pair) healed(i int) bool { return len(p.herd.Dragon(i).Writes()) > 0 }

// once wants each of some dragons to have been written to once.
func (p *pair) once(dragons ...int) {
	p.t.Helper()
	for _, i := range dragons {
		if n := len(p.herd.Dragon(i).Writes()); n != 1 {
			p.t.Errorf("dragon %d was sent %d writes, want 1", i, n)
		}
	}
}

// TestTwoInstancesOneHealer kills, stops and cuts off what leads, while dragons fall sick.
// The herd counts what reaches it.
func TestTwoInstancesOneHealer(t *testing.T) {
	t.Parallel()
	p := newPair(t, 40, 3)
	leader := p.leader()
	p.sicken(1)
	eventually(t, "the leader heals", func() bool { return p.healed(1) })

	t.Run("the other one says who leads", func(t *testing.T) {
		var status struct {
			Leader struct{ ID, URL string }
			Owner  bool
		}
		body := get(t, p.base[1-leader]+"/api/v1/healer")
		if err := json.Unmarshal([]byte(body), &status); err != nil || status.Leader.ID != fmt.Sprintf("host-%d", leader) || status.Owner {
			t.Errorf("%v: %.300s", err, body)
		}
		if page := get(t, p.base[1-leader]+"/healer"); !strings.Contains(page, fmt.Sprintf("http://host-%d.example.net", leader)) {
			t.Error("the page has no link to the leader")
		}
		if n := p.is(leader, "mother_ha_lease_remaining_seconds"); n <= 0 || n > 5 {
			t.Errorf("the lease has %g s left", n)
		}
		if n := p.is(1-leader, "mother_ha_lease_remaining_seconds"); n != 0 {
			t.Errorf("the lease of the one that does not lead has %g s left", n)
		}
	})

	t.Run("killed under load", func(t *testing.T) {
		p.ward.t = t
		start := time.Now()
		p.sicken(2)
		p.kill(leader)
		eventually(t, "the other one acts", func() bool { return p.healed(2) || p.healed(3) })
		took := time.Since(start)
		t.Logf("the other one acted after %s", took.Round(time.Second))
		if took > 60*time.Second {
			t.Errorf("it took %s, want at most 60s", took)
		}
		p.run(leader)
		leader = 1 - leader
		eventually(t, "the killed one follows", func() bool { return p.is(1-leader, "mother_leader") == 0 })
		p.once(1, 2)
	})

	t.Run("stopped for longer than its lease", func(t *testing.T) {
		p.ward.t = t
		p.herd.Dragon(5).Inject(dragontest.Slow, dragontest.On("overview"), dragontest.Delay(time.Second))
		p.sicken(5)
		time.Sleep(3 * time.Second) // it is looked at, or about to be
		if err := p.all[leader].Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		other := 1 - leader
		eventually(t, "the other one leads", func() bool {
			page, err := tryGet(p.base[other] + "/metrics")
			return err == nil && valueIn(t, page, "mother_leader") == 1
		})
		if err := p.all[leader].Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the stopped one knows", func() bool {
			return p.is(leader, "mother_leader") == 0 && p.is(leader, "mother_ha_lost_leases_total") == 1
		})
		eventually(t, "the dragon is healed", func() bool { return p.healed(5) })
		time.Sleep(5 * time.Second)
		p.once(5)
		leader = other
	})

	t.Run("etcd without a quorum", func(t *testing.T) {
		p.ward.t = t
		p.etcd.Kill(1)
		p.etcd.Kill(2)
		eventually(t, "nobody leads", func() bool { return p.is(0, "mother_leader") == 0 && p.is(1, "mother_leader") == 0 })
		before := len(p.writes())
		p.sicken(7)
		time.Sleep(10 * time.Second)
		if n := len(p.writes()); n != before {
			t.Errorf("%d writes without a quorum", n-before)
		}
		for i := range p.all {
			if page := get(t, p.base[i]+"/metrics"); strings.Count(page, "\ndragon_up{") != p.herd.Len() {
				t.Errorf("instance %d exports %d dragons", i, strings.Count(page, "\ndragon_up{"))
			}
			if n := p.is(i, "mother_ha_coordinator_up"); n != 0 {
				t.Errorf("instance %d: the coordinator is up: %g", i, n)
			}
		}
		p.etcd.Restart(1)
		p.etcd.Restart(2)
		eventually(t, "one leads again, and heals", func() bool { return p.leader() >= 0 && p.healed(7) })
		leader = p.leader()
		p.once(7)
	})

	t.Run("a pause survives a takeover, and a stop in order is no waiting", func(t *testing.T) {
		p.ward.t = t
		p.dir = p.dirs[leader]
		if out, status := p.invoke("healer", "pause", "--scope=worker="+p.worker(9), "--for=7d", "--reason=test"); status != 0 {
			t.Fatalf("%d: %s", status, out)
		}
		p.dir = p.dirs[1-leader]
		if out, status := p.invoke("healer", "pause", "--scope=worker="+p.worker(8), "--for=1h", "--reason=test"); status == 0 || !strings.Contains(out, fmt.Sprintf("host-%d", leader)) {
			t.Errorf("a command to the one that does not lead: %d: %s", status, out)
		}
		start := time.Now()
		p.all[leader].stop(t)
		other := 1 - leader
		eventually(t, "the other one leads", func() bool { return p.is(other, "mother_leader") == 1 })
		t.Logf("after a stop in order: %s", time.Since(start).Round(time.Second))
		p.sicken(9)
		p.sicken(10)
		eventually(t, "the one that is not paused is healed", func() bool { return p.healed(10) })
		if p.healed(9) {
			t.Error("the pause is forgotten")
		}
	})
}
