package store

import (
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/brndnmtthws/mother-of-dragons/internal/installed/etcdtest"
)

// A leader whose login etcd no longer takes may still renew its lease. It gives the lead up, so that an
// instance with a better login leads.
func TestALeaderThatEtcdDeniesItsKeysGivesTheLeadUp(t *testing.T) {
	cluster := etcdtest.Start(t, 1)
	c := etcdConfig(cluster, "a")
	e, _ := openEtcd(t, c, 0)
	must(t, e.Commit(some(3)))
	withLogin(t, cluster)
	began := time.Now()
	for {
		if err := e.Commit(some(4)); err == nil || !denied(err) {
			t.Fatalf("without a login: %v", err)
		}
		select {
		case <-e.Lost():
		case <-time.After(again):
			if time.Since(began) > 10*c.TTL {
				t.Fatal("it keeps the lead")
			}
			continue
		}
		break
	}
	if took := time.Since(began); took < c.TTL {
		t.Errorf("it gave the lead up after %s", took)
	}
	_ = e.Close()
	c.Self.ID, c.Username, c.Password = "b", "root", "root"
	for end := time.Now().Add(10 * c.TTL); ; {
		next, state, err := OpenEtcd(t.Context(), c, 0)
		if err == nil {
			if !equal(state.Records, some(3)) {
				t.Errorf("%d dragons", len(state.Dragons))
			}
			must(t, next.Close())
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
		<-time.After(again)
	}
}

// withLogin has etcd want a login.
func withLogin(t *testing.T, cluster *etcdtest.Cluster) {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: cluster.Endpoints()})
	must(t, err)
	defer client.Close()
	_, err = client.UserAdd(t.Context(), "root", "root")
	must(t, err)
	_, err = client.UserGrantRole(t.Context(), "root", "root")
	must(t, err)
	_, err = client.AuthEnable(t.Context())
	must(t, err)
}
