package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/installed/etcdtest"
	"github.com/brndnmtthws/mother-of-dragons/internal/store"
)

// An instance that has only followed has no audit. It leads first when etcd comes back without
// its data, and says that they are lost.
func TestAStandbyKnowsHowNewTheStateWas(t *testing.T) {
	cluster := etcdtest.Start(t, 1)
	restore := cluster.Backup()
	etcd := store.EtcdConfig{Endpoints: cluster.Endpoints(), Prefix: "/farm/", Self: store.Instance{ID: "leader"}}
	leader, _, err := store.OpenEtcd(t.Context(), etcd, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = leader.Close() })
	for i := range 3 {
		if err := leader.Commit(store.Records{Fleet: fmt.Appendf(nil, `{"n":%d}`, i)}); err != nil {
			t.Fatal(err)
		}
	}
	etcd.Self.ID = "standby"
	c := Config{Dir: t.TempDir()}
	if err := c.ShareIn(etcd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Members.Close() })
	_, _, held := c.State(t.Context(), 0)
	for range 2 { // the second finds nothing new
		c.Peek(t.Context(), held)
	}
	restore()
	b, state, err := c.State(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	if !strings.Contains(state.Lost, "was at generation 3") {
		t.Errorf("lost: %q", state.Lost)
	}
}

// Where two instances have one name, the STOP file of the one that has gone is not taken for one
// that this host had and a person has removed.
func TestAStopFileOfANamesakeHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeader(t, false)
		stop := filepath.Join(l.dir, stopFile)
		for _, namesake := range []bool{false, true} {
			if err := os.WriteFile(stop, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			l.healer.met.Store(&meeting{up: true, namesake: namesake})
			pass(5 * time.Minute)
			if l.pauses() == "" {
				t.Fatal("the STOP file is no pause")
			}
			l.healer.met.Store(&meeting{up: true}) // the other one has gone
			if err := os.Remove(stop); err != nil {
				t.Fatal(err)
			}
			pass(5 * time.Minute)
			if holds := l.pauses() != ""; holds != namesake {
				t.Errorf("with a namesake: %t; the pause holds: %t", namesake, holds)
			}
		}
		if n := strings.Count(l.log.String(), "another instance has this name"); n != 1 {
			t.Errorf("said %d times", n)
		}
		if err := l.healer.Resume(l.ctx, l.pauses(), "eva"); err != nil || l.pauses() != "" {
			t.Errorf("after a person has resumed: %q, %v", l.pauses(), err)
		}
	})
}

// A leader that loses the lease and gets it again, because etcd is away now and then, has not crashed.
func TestALostLeaseIsNoUncleanStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeader(t, false)
		for range 5 {
			l.lose()
			pass(5 * time.Minute)
		}
		if said := l.log.String(); strings.Contains(said, "unclean") {
			t.Error(said)
		}
	})
}

// The data directory of the leader is full or read-only: it sends nothing. The other instance leads
// in its place, if there is one, and takes nothing for a crash.
func TestALeaderWithoutAnAuditLeavesTheLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeader(t, false)
		l.stop()
		logs := filepath.Join(l.dir, "logs")
		l.setUps = append(l.setUps, func(h *Healer) { h.audit.path, h.audit.max = filepath.Join(logs, "audit.jsonl"), 1 })
		writable := func(is bool) {
			err := os.RemoveAll(logs)
			if is {
				err = os.Mkdir(logs, 0o700)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		writable(true)
		l.start()
		l.settle()
		writable(false)
		l.killBoard(1)
		pass(30 * time.Minute)
		if l.wroteAnything() || !l.owns() {
			t.Fatalf("without an audit it wrote %v; leads %t, want true while it is alone", l.wrote(1), l.owns())
		}
		l.other.Store(true) // it leads as soon as it can
		l.healer.met.Store(&meeting{up: true, all: []store.Member{{Instance: store.Instance{ID: "test"}}, {Instance: store.Instance{ID: "other"}}}})
		pass(4 * time.Minute)
		if l.owns() {
			t.Error("it still leads")
		}
		b, state, err := openLocal(l.dir)(l.ctx, 0)
		if err != nil {
			t.Fatal(err)
		}
		if mem, err := healer.LoadMemory(state.Fleet, state.Dragons); err != nil || mem.Fleet.Running {
			t.Errorf("the next one to lead takes it for a crash; %v", err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		l.healer.met.Store(&meeting{up: true})
		l.other.Store(false) // the other one has gone
		writable(true)
		l.until("it leads and heals", 2*time.Hour, func() bool { return len(l.wrote(1)) > 0 })
		if said := l.log.String(); strings.Contains(said, "unclean") {
			t.Error(said)
		}
	})
}
