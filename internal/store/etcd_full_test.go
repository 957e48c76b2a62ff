package store

import (
	"context"
	"errors"
	"slices"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/brndnmtthws/mother-of-dragons/internal/installed/etcdtest"
)

// full is an etcd whose quota is used up. It carries out the write that goes beyond it, and
// refuses that one, too.
type full struct {
	clientv3.KV
	first   bool
	refused int
}

type fullTxn struct {
	clientv3.Txn
	full   *full
	writes bool
}

func (f *full) Txn(ctx context.Context) clientv3.Txn { return &fullTxn{Txn: f.KV.Txn(ctx), full: f} }

func (x *fullTxn) If(cs ...clientv3.Cmp) clientv3.Txn {
	x.Txn = x.Txn.If(cs...)
	return x
}

func (x *fullTxn) Then(ops ...clientv3.Op) clientv3.Txn {
	x.writes = slices.ContainsFunc(ops, clientv3.Op.IsPut)
	x.Txn = x.Txn.Then(ops...)
	return x
}

func (x *fullTxn) Commit() (*clientv3.TxnResponse, error) {
	if !x.writes {
		return x.Txn.Commit()
	}
	if x.full.refused++; x.full.first {
		x.full.first = false
		if _, err := x.Txn.Commit(); err != nil {
			return nil, err
		}
	}
	return nil, rpctypes.ErrNoSpace
}

// An etcd without room says so at once. It is not asked again and again, and what it has refused
// for hours is not kept beside what is to be written.
func TestAFullEtcdIsAskedOnce(t *testing.T) {
	cluster := etcdtest.Start(t, 1)
	c := etcdConfig(cluster, "a")
	e, _ := openEtcd(t, c, 0)
	must(t, e.Commit(some(2)))
	kv := e.client.KV
	f := &full{KV: kv, first: true}
	e.client.KV = f
	must(t, e.Commit(some(3))) // carried out, though it was refused
	for n := range 3 {
		if err := e.Commit(some(4)); !errors.Is(err, rpctypes.ErrNoSpace) {
			t.Errorf("commit %d: %v", n, err)
		}
		if f.refused != 2+n || len(e.unsure) > 0 {
			t.Fatalf("commit %d: asked %d times by then, %d writes are kept", n, f.refused, len(e.unsure))
		}
	}
	e.client.KV = kv
	must(t, e.Commit(some(4)))
	if got, _, err := PeekEtcd(t.Context(), c, 0); err != nil || !equal(got.Records, some(4)) || got.Generation != e.Generation() {
		t.Errorf("%v, %d dragons, generation %d, %d", err, len(got.Dragons), got.Generation, e.Generation())
	}
}
