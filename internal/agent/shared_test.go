package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
