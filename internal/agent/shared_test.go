package agent

import (
	"fmt"
	"strings"
	"testing"

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
