package agent

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/installed/etcdtest"
	"github.com/brndnmtthws/mother-of-dragons/internal/store"
)

// TestFailuresOfTwoInstances has a row of the table of failures in docs/high-availability.md
// in each of its parts. Each part has dragons of its own that count what they receive.
func TestFailuresOfTwoInstances(t *testing.T) {
	t.Parallel()
	unraced(t)
	cluster := etcdtest.Start(t, 3)
	t.Run("failure", func(t *testing.T) {
		for _, row := range []struct {
			name string
			run  func(*pair)
		}{
			{"leader cut off from etcd", cutOffFromEtcd},
			{"leader cut off from the dragons", cutOffFromTheDragons},
			{"wall clock an hour ahead", func(p *pair) { wrongClock(p, time.Hour) }},
			{"wall clock an hour behind", func(p *pair) { wrongClock(p, -time.Hour) }},
			{"slow commit", slowCommit},
			{"answer of the intent lost", lostAnswer},
			{"both start at once", bothAtOnce},
			{"the other one starts during a pause", pausedAtTheStart},
			{"the inventory changes at the leader", sharedInventory},
			{"state of a newer version", newerVersion},
		} {
			t.Run(row.name, func(t *testing.T) {
				t.Parallel()
				p := newPair(t, cluster, 8)
				row.run(p)
				if row.name != "state of a newer version" {
					p.check()
				}
			})
		}
	})
}

// Etcd is restored from a backup that is older than the last writes: what was used up
// since is not known, so every budget counts as used up.
func TestEtcdRestoredFromABackup(t *testing.T) {
	t.Parallel()
	unraced(t)
	cluster := etcdtest.Start(t, 1)
	p := newPair(t, cluster, 8).start()
	restore := cluster.Backup()
	p.eventually("one leads again", func() bool { return p.leader() != nil })
	p.sicken(1)
	p.eventually("the leader heals", func() bool { return p.written(1) == 1 })
	p.eventually("that is written down", func() bool { return p.history.Intents(p.mac(1)) > 0 })
	p.check()
	leader := p.leader()
	leader.other().stop() // the one whose audit knows how far the state was stays
	restore()
	p.eventually("it leads again, and says that the state was lost", func() bool {
		s := leader.healer.published.Load()
		return s.Owner && s.Recovered != ""
	})
	p.sicken(2)
	p.live(30*time.Minute, "something is sent while it is not known what was done", func() bool { return p.written(1)+p.written(2) > 1 })
}

// The state is of a newer version: this one says so, changes nothing, and sends nothing.
func newerVersion(p *pair) {
	direct := store.EtcdConfig{Endpoints: p.direct, Prefix: p.prefix, Self: store.Instance{ID: "newer"}}
	e, _, err := store.OpenEtcd(context.Background(), direct, 0)
	if err != nil {
		p.t.Fatal(err)
	}
	newer := []byte(`{"version":99}`)
	if err := errors.Join(e.Commit(store.Records{Fleet: newer}), e.Close()); err != nil {
		p.t.Fatal(err)
	}
	p.all[0].start()
	p.eventually("it says why it does not lead", func() bool {
		s := p.all[0].healer.published.Load()
		return s != nil && !s.Owner && strings.Contains(s.Error, "newer")
	})
	epoch := p.epoch()
	p.sicken(1)
	p.live(30*time.Minute, "it sends something", func() bool { return p.written(1) > 0 })
	if state, _, err := store.PeekEtcd(context.Background(), direct, 0); err != nil || !bytes.Equal(state.Fleet, newer) {
		p.t.Errorf("the state of the newer version is %q, %v", state.Fleet, err)
	}
	if now := p.epoch(); now != epoch {
		p.t.Errorf("it led again, epoch %s after %s: another instance has to get the chance", now, epoch)
	}
}

// epoch is how often an instance has led.
func (p *pair) epoch() string {
	client, err := clientv3.New(clientv3.Config{Endpoints: p.direct, Logger: zap.NewNop()})
	if err != nil {
		p.t.Fatal(err)
	}
	defer client.Close()
	r, err := client.Get(p.t.Context(), p.prefix+"epoch")
	if err != nil || len(r.Kvs) != 1 {
		p.t.Fatalf("the epoch: %v, %v", r, err)
	}
	return string(r.Kvs[0].Value)
}

// The leader reaches the dragons and no etcd any more. It sends nothing after its lease is
// over, and the other one takes over.
func cutOffFromEtcd(p *pair) {
	leader := p.start().leader()
	other := leader.other()
	p.sicken(1)
	p.eventually("the leader heals", func() bool { return p.written(1) == 1 })
	cut := time.Now()
	leader.cutFromEtcd(true)
	p.sicken(2)
	p.eventually("the other one leads", func() bool { return p.leader() == other })
	p.eventually("the other one acts", func() bool { return other.sent.Load() > 0 })
	p.takeover(cut)
	if last := leader.lastSent.Load(); last.After(cut.Add(pairLease)) {
		p.t.Errorf("the deposed leader sent something %s after it was cut off", last.Sub(cut))
	}
	leader.cutFromEtcd(false)
	p.eventually("the deposed leader follows", func() bool { return leader.healer.published.Load().Leader != nil && !leader.leads() })
	p.live(30*time.Minute, "both lead", func() bool { return leader.leads() })
}

// The other one starts while the leader is paused, and sees the pause end.
func pausedAtTheStart(p *pair) {
	leader := p.start().leader()
	other := leader.other()
	other.stop()
	pause, err := leader.healer.Pause(p.t.Context(), healer.PauseRequest{Scope: "fleet", Owner: "eva", Reason: "a visit", UntilResume: true})
	if err != nil {
		p.t.Fatal(err)
	}
	other.start()
	pauses := func(n int) func() bool {
		return func() bool {
			plan, err := other.healer.Plan()
			return err == nil && len(plan.Pauses) == n
		}
	}
	p.eventually("the other one knows of the pause", pauses(1))
	if err := leader.healer.Resume(p.t.Context(), pause.ID, "eva"); err != nil {
		p.t.Fatal(err)
	}
	p.eventually("the other one knows that it is over", pauses(0))
	p.eventually("it has seen the dragons for itself", other.knowsAll)
	p.sicken(1)
	p.eventually("the leader heals", func() bool { return p.written(1) == 1 })
}

// What a person forgets and retires at the leader is so at the other one. What is found again stays.
func sharedInventory(p *pair) {
	leader := p.start().leader()
	other := leader.other()
	ours, theirs := leader.healer.config.Fleet, other.healer.config.Fleet
	gone, kept := p.dragons.Addr(3), p.dragons.Addr(4)
	forget := func() error { return ours.Forget(gone) }
	if err := leader.healer.Forget(p.t.Context(), p.mac(3), "eva", forget); err != nil {
		p.t.Fatal(err)
	}
	p.eventually("the other one forgets it", func() bool { return theirs.Lookup(gone) == nil })
	other.sight(3)
	p.live(10*time.Minute, "the other one forgets what it has found again", func() bool { return theirs.Lookup(gone) == nil })
	if _, err := leader.healer.Retire(p.t.Context(), kept, 8760*time.Hour, "eva", "on the shelf"); err != nil {
		p.t.Fatal(err)
	}
	retired := func(want bool) func() bool {
		return func() bool { return theirs.Lookup(kept).RetiredUntil().After(time.Now().Add(time.Hour)) == want }
	}
	p.eventually("the other one retires it", retired(true))
	if err := leader.healer.Unretire(p.t.Context(), kept, "eva"); err != nil {
		p.t.Fatal(err)
	}
	p.eventually("the other one ends that", retired(false))
	p.sicken(1)
	p.eventually("the leader heals", func() bool { return p.written(1) == 1 })
}

// The leader reaches etcd and no dragon. It gives the lead up to one that does.
func cutOffFromTheDragons(p *pair) {
	leader := p.start().leader()
	other := leader.other()
	cut := time.Now()
	leader.line.set(true)
	p.sicken(1)
	p.eventually("the other one acts", func() bool { return other.sent.Load() > 0 })
	p.takeover(cut)
	if leader.sent.Load() > 0 {
		p.t.Error("the one that was cut off sent something")
	}
	leader.line.set(false)
	p.live(30*time.Minute, "it leads again at once", leader.leads)
}

// The wall clock of one host is wrong. No lease ends earlier, and no budget is refilled.
func wrongClock(p *pair, by time.Duration) {
	p.start()
	wrong := p.leader().other()
	wrong.clock.shift.Store(int64(by))
	p.live(10*time.Minute, "the lead moved", func() bool { return p.leader() != wrong.other() })
	for i := range 4 { // twice what an hour allows
		p.sicken(i)
	}
	p.eventually("the hour's budget is used up", func() bool { return wrong.other().sent.Load() == int64(p.policy().Fleet.PerHourMin) })
	crashed := time.Now()
	wrong.other().crash()
	p.eventually("the one with the wrong clock leads", wrong.leads)
	if took := time.Since(crashed); took > takeoverWithin {
		p.t.Errorf("it leads after %s", took)
	}
	p.eventually("it goes on", func() bool { return wrong.sent.Load() > 0 || wrong.jumped() })
}

// jumped reports whether the healer holds back because of its clock.
func (x *instance) jumped() bool {
	plan, err := x.healer.Plan()
	return err == nil && plan.ClockJumps > 0
}

// A commit takes ten seconds. A human is heard within one.
func slowCommit(p *pair) {
	leader := p.start().leader()
	p.sicken(1)
	p.eventually("the leader heals", func() bool { return p.written(1) == 1 })
	for _, x := range leader.proxies {
		x.Delay(10 * time.Second)
	}
	began := time.Now()
	_, err := leader.healer.Pause(context.Background(), healer.PauseRequest{Scope: "fleet", Owner: "eva", Reason: "a visit", For: time.Hour})
	if took := time.Since(began); took > time.Second {
		p.t.Errorf("a pause was answered after %s: %v", took, err)
	}
	if err != nil && !errors.Is(err, ErrUnwritten) {
		p.t.Errorf("a pause while a commit hangs: %v", err)
	}
	if err := os.WriteFile(filepath.Join(leader.dir, stopFile), nil, 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.sicken(2)
	n := leader.sent.Load()
	p.live(4*time.Minute, "something was sent under a pause and STOP", func() bool { return leader.sent.Load() > n })
	for _, x := range leader.proxies {
		x.Delay(0)
	}
}

// The answer to the commit of an intent is lost: it is read back, and sent once.
func lostAnswer(p *pair) {
	leader := p.start().leader()
	p.sicken(1)
	p.eventually("it is about to act", func() bool {
		acting := false
		_ = leader.healer.onLoop(context.Background(), "test", func(context.Context) error { acting = leader.healer.acting; return nil })
		return acting
	})
	for _, x := range leader.proxies {
		x.DropAnswers(true)
	}
	time.Sleep(time.Second)
	for _, x := range leader.proxies {
		x.DropAnswers(false)
	}
	p.eventually("the dragon is healed", func() bool { return p.written(1) > 0 })
	p.live(30*time.Minute, "it is sent twice", func() bool { return p.written(1) > 1 })
}

// Both start at the same time, again and again: one leads.
func bothAtOnce(p *pair) {
	for round := range 5 {
		for _, x := range p.all {
			x.start()
		}
		p.eventually("one leads", func() bool { return p.leader() != nil })
		if round == 4 {
			break
		}
		if n := strings.Count(p.all[0].log.String()+p.all[1].log.String(), "panic"); n > 0 {
			p.t.Errorf("%d panics", n)
		}
		for _, x := range p.all {
			x.stop()
		}
	}
	for _, x := range p.all {
		p.eventually("both know all dragons", x.knowsAll)
	}
	p.sicken(1)
	p.eventually("one heals", func() bool { return p.written(1) == 1 })
	p.live(30*time.Minute, "both heal", func() bool { return p.written(1) > 1 || p.leader() == nil })
}
