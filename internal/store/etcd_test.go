package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/brndnmtthws/mother-of-dragons/internal/installed/etcdtest"
)

func etcdConfig(c *etcdtest.Cluster, id string) EtcdConfig {
	return EtcdConfig{Endpoints: c.Endpoints(), Prefix: "/mother-of-dragons/north/", Self: Instance{ID: id, URL: "http://" + id}, TTL: 3 * time.Second}
}

func openEtcd(t *testing.T, c EtcdConfig, floor uint64) (*Etcd, State) {
	t.Helper()
	e, state, err := OpenEtcd(t.Context(), c, floor)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e, state
}

func TestEtcdKeepsAState(t *testing.T) {
	cluster := etcdtest.Start(t, 1)
	a := etcdConfig(cluster, "a")
	e, state := openEtcd(t, a, 0)
	if !state.Empty() || state.Lost != "" || e.epoch != 1 {
		t.Errorf("at first: %d dragons, lost %q, epoch %d", len(state.Dragons), state.Lost, e.epoch)
	}
	want := some(300) // five transactions
	must(t, e.Commit(want))
	changed := Records{Fleet: []byte(`{"fleet":2}`), Dragons: map[string][]byte{mac(1): nil, mac(2): []byte(`{}`)}, Cold: map[string][]byte{mac(1): nil}}
	must(t, e.Commit(changed))
	want.Merge(changed)
	delete(want.Dragons, mac(1))
	delete(want.Cold, mac(1))
	if got, _, err := PeekEtcd(t.Context(), a, 0); err != nil || !equal(got.Records, want) || got.Generation != 2 {
		t.Errorf("Peek: %v, generation %d, %d dragons", err, got.Generation, len(got.Dragons))
	}
	b := etcdConfig(cluster, "b")
	_, _, err := OpenEtcd(t.Context(), b, 0)
	held := &HeldError{}
	if !errors.Is(err, ErrHeld) || !errors.As(err, &held) || held.Leader.ID != "a" || held.Leader.URL != "http://a" {
		t.Errorf("beside a leader: %v", err)
	}
	must(t, e.Confirm(t.Context()))
	must(t, e.Close())
	next, state := openEtcd(t, b, 2)
	if !equal(state.Records, want) || state.Lost != "" || next.epoch != 2 {
		t.Errorf("after a resignation: %d dragons, lost %q, epoch %d", len(state.Dragons), state.Lost, next.epoch)
	}
	if d, why := next.Wait(); d != 0 {
		t.Errorf("after a resignation it waits %s: %s", d, why)
	}
	must(t, next.Close())
	if _, state = openEtcd(t, a, 3); state.Lost == "" || !equal(state.Records, want) {
		t.Errorf("restored from a backup: lost %q", state.Lost)
	}
}

// A leader that was away for longer than its lease writes nothing more, and its successor
// waits until its last write to a dragon must be over.
func TestADeposedLeaderWritesNothing(t *testing.T) {
	cluster := etcdtest.Start(t, 1)
	a, _ := openEtcd(t, etcdConfig(cluster, "a"), 0)
	must(t, a.Commit(some(3)))
	a.stop() // it does not renew, as a stopped process
	<-a.stopped
	var b *Etcd
	for b == nil {
		var err error
		if b, _, err = OpenEtcd(t.Context(), etcdConfig(cluster, "b"), 0); err != nil && !errors.Is(err, ErrHeld) {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	defer b.Close()
	if d, why := b.Wait(); d < quietAfter-2*time.Second {
		t.Errorf("the successor waits %s only: %s", d, why)
	}
	if _, why := a.Wait(); why == "" {
		t.Error("the deposed leader may send")
	}
	if err := a.Confirm(t.Context()); !errors.Is(err, ErrHeld) {
		t.Errorf("Confirm of the deposed leader: %v", err)
	}
	if err := a.Commit(some(5)); !errors.Is(err, ErrHeld) {
		t.Errorf("Commit of the deposed leader: %v", err)
	}
	select {
	case <-a.Lost():
	default:
		t.Error("it does not know that it is deposed")
	}
	if got, _, err := PeekEtcd(t.Context(), etcdConfig(cluster, "b"), 0); err != nil || !equal(got.Records, some(3)) {
		t.Errorf("%v, %d dragons", err, len(got.Dragons))
	}
}

// An instance that cannot read the state of a newer version does not lead for a moment, again
// and again: the newer one would have to wait for it.
func TestAnOlderInstanceDoesNotLead(t *testing.T) {
	cluster := etcdtest.Start(t, 1)
	config := etcdConfig(cluster, "old")
	a, _ := openEtcd(t, config, 0)
	must(t, a.Commit(some(2)))
	_, err := a.client.Put(t.Context(), config.key("state/"+keySeal), string(encode(keySeal, 9, []byte(`{"format":99,"written_by":"7.1.0"}`))))
	must(t, err)
	must(t, a.Close())
	client, err := config.client()
	must(t, err)
	defer client.Close()
	epoch, err := client.Get(t.Context(), config.key("epoch"))
	must(t, err)
	for range 3 {
		if _, _, err := OpenEtcd(t.Context(), config, 0); !errors.Is(err, ErrNewer) {
			t.Fatalf("%v, want %v", err, ErrNewer)
		}
	}
	after, err := client.Get(t.Context(), config.key("epoch"))
	must(t, err)
	if after.Kvs[0].ModRevision != epoch.Kvs[0].ModRevision {
		t.Errorf("it has led: epoch %s, was %s", after.Kvs[0].Value, epoch.Kvs[0].Value)
	}
}

// Of many that start at once one leads, and each leader has an epoch of its own.
func TestOneLeads(t *testing.T) {
	cluster := etcdtest.Start(t, 1)
	rounds := 20
	if *soak {
		rounds = 1000
	}
	for round := range rounds {
		var wait sync.WaitGroup
		leaders := make(chan *Etcd, 4)
		for i := range 4 {
			wait.Go(func() {
				e, _, err := OpenEtcd(context.WithoutCancel(t.Context()), etcdConfig(cluster, fmt.Sprint(i)), 0)
				switch {
				case err == nil:
					leaders <- e
				case !errors.Is(err, ErrHeld):
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		wait.Wait()
		if n := len(leaders); n != 1 {
			t.Fatalf("round %d: %d leaders", round, n)
		}
		e := <-leaders
		if e.epoch != round+1 {
			t.Errorf("round %d: epoch %d", round, e.epoch)
		}
		must(t, e.Close())
	}
}

// The answer to a commit is lost, or late: nothing is lost, and nothing is written twice.
func TestACommitWithoutAnAnswerIsReadBack(t *testing.T) {
	cluster := etcdtest.Start(t, 1)
	proxy := etcdtest.NewProxy(t, cluster.Endpoints()[0])
	c := etcdConfig(cluster, "a")
	c.Endpoints, c.TTL = []string{proxy.Endpoint()}, 30*time.Second
	e, _ := openEtcd(t, c, 0)
	must(t, e.Commit(some(2)))
	proxy.DropAnswers(true)
	time.AfterFunc(2500*time.Millisecond, func() { proxy.DropAnswers(false) })
	must(t, e.Commit(some(3)))
	got, _, err := PeekEtcd(t.Context(), etcdConfig(cluster, "b"), 0)
	if err != nil || !equal(got.Records, some(3)) || got.Generation != 2 || e.Generation() != 2 {
		t.Errorf("%v, %d dragons, generation %d, %d", err, len(got.Dragons), got.Generation, e.Generation())
	}
	must(t, e.Commit(some(4)))
	if got, _, err = PeekEtcd(t.Context(), etcdConfig(cluster, "b"), 0); err != nil || !equal(got.Records, some(4)) {
		t.Errorf("%v, %d dragons", err, len(got.Dragons))
	}
}

// late carries out a transaction of an earlier commit right before that of the next one.
type late struct {
	clientv3.KV
	asked   int
	carryIt func()
}

func (l *late) Txn(ctx context.Context) clientv3.Txn {
	if l.asked++; l.asked == 2 { // the first asks what became of the earlier one
		l.carryIt()
	}
	return l.KV.Txn(ctx)
}

// etcd carries a transaction out that was given up, after the next commit has found that it was not
// carried out: the state stays whole, and that commit is not lost.
func TestATransactionThatComesLateLeavesAWholeState(t *testing.T) {
	cluster := etcdtest.Start(t, 1)
	c := etcdConfig(cluster, "a")
	e, _ := openEtcd(t, c, 0)
	must(t, e.Commit(some(2)))
	all := some(300)
	w, key := e.begin(e.seal.Generation+1), prefixHot+mac(250)
	w.put(e, key, all.Dragons[mac(250)])
	var err error
	w.value, err = w.seal.encode()
	must(t, err)
	e.unsure = append(e.unsure, w)
	guard, kv := clientv3.Compare(clientv3.ModRevision(c.key("state/"+keySeal)), "=", e.sealRevision), e.client.KV
	e.client.KV = &late{KV: kv, carryIt: func() {
		r, err := kv.Txn(t.Context()).If(e.leads(), guard).
			Then(clientv3.OpPut(c.key("state/"+key), string(w.records[key])), clientv3.OpPut(c.key("state/"+keySeal), string(w.value))).Commit()
		if err != nil || !r.Succeeded {
			t.Errorf("the late one is not carried out: %v", err)
		}
	}}
	must(t, e.Commit(some(100)))
	want := some(100)
	want.Dragons[mac(250)] = all.Dragons[mac(250)]
	if got, _, err := PeekEtcd(t.Context(), c, 0); err != nil || !equal(got.Records, want) || got.Generation != e.Generation() {
		t.Errorf("%v, %d dragons, generation %d, %d", err, len(got.Dragons), got.Generation, e.Generation())
	}
}

// A leader that is killed at any transaction of a large commit leaves a state that is whole.
func TestALargeCommitIsWholeAtEveryTransaction(t *testing.T) {
	cluster := etcdtest.Start(t, 1)
	c := etcdConfig(cluster, "a")
	e, _ := openEtcd(t, c, 0)
	for _, n := range []int{400, 500} {
		all := some(n)
		w := e.begin(e.seal.Generation + 1)
		if _, there := e.sums[keyFleet]; !there {
			w.put(e, keyFleet, all.Fleet)
		}
		for i := range 100 {
			w.put(e, prefixHot+mac(i+n), all.Dragons[mac(i)])
		}
		must(t, e.write(t.Context(), w))
		_, seen, err := PeekEtcd(t.Context(), c, 0)
		if err != nil {
			t.Errorf("after the first of many transactions: %v", err)
		}
		if again, _, err := PeekEtcd(t.Context(), c, seen); err != nil || !again.Empty() {
			t.Errorf("what was seen is read again: %v", err)
		}
		w = e.begin(e.seal.Generation)
		w.put(e, prefixHot+mac(99+n), all.Dragons[mac(1)])
		must(t, e.write(t.Context(), w))
		if more, _, err := PeekEtcd(t.Context(), c, seen); err != nil || more.Empty() {
			t.Errorf("the second transaction of a generation is not seen: %v", err)
		}
	}
}

func TestADamagedStateInEtcdIsSetAside(t *testing.T) {
	cluster := etcdtest.Start(t, 1)
	c := etcdConfig(cluster, "a")
	e, _ := openEtcd(t, c, 0)
	must(t, e.Commit(some(200)))
	if _, err := e.client.Delete(t.Context(), c.key("state/"+prefixHot+mac(7))); err != nil {
		t.Fatal(err)
	}
	must(t, e.Close())
	e, state := openEtcd(t, c, 1)
	if !state.Empty() || state.Lost == "" {
		t.Errorf("%d dragons, lost %q", len(state.Dragons), state.Lost)
	}
	must(t, e.Commit(some(2)))
	if got, _, err := PeekEtcd(t.Context(), c, 0); err != nil || !equal(got.Records, some(2)) || got.Generation != 2 {
		t.Errorf("%v, generation %d", err, got.Generation)
	}
}

func TestWithoutAQuorumNothingHangs(t *testing.T) {
	cluster := etcdtest.Start(t, 3)
	c := etcdConfig(cluster, "a")
	e, _ := openEtcd(t, c, 0)
	must(t, e.Commit(some(2)))
	cluster.Kill(1)
	must(t, e.Commit(some(3))) // one of three may fail
	cluster.Kill(2)
	start := time.Now()
	if err := e.Commit(some(4)); err == nil {
		t.Error("a commit without a quorum")
	}
	if _, _, err := OpenEtcd(t.Context(), etcdConfig(cluster, "b"), 0); err == nil || errors.Is(err, ErrHeld) {
		t.Errorf("Open without a quorum: %v", err)
	}
	if err := e.Confirm(t.Context()); err == nil {
		t.Error("Confirm without a quorum")
	}
	if took := time.Since(start); took > 25*time.Second {
		t.Errorf("it took %s", took)
	}
	cluster.Restart(1)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		var err error
		if e, _, err = OpenEtcd(t.Context(), etcdConfig(cluster, "c"), 0); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	must(t, e.Close())
}

// A state in a file moves to etcd and back, and nothing goes on with what is left behind.
func TestAStateMovesToEtcdAndBack(t *testing.T) {
	cluster := etcdtest.Start(t, 1)
	dir := t.TempDir()
	local, _, err := Open(dir, 0)
	must(t, err)
	must(t, local.Commit(some(200)))
	generation := local.Generation()
	c := etcdConfig(cluster, "a")
	e, state := openEtcd(t, c, generation)
	if !state.Empty() || state.Lost == "" {
		t.Fatalf("%d dragons, lost %q", len(state.Dragons), state.Lost)
	}
	if _, _, err := e.Adopt(dir); !errors.Is(err, ErrHeld) {
		t.Errorf("while a process owns the file: %v", err)
	}
	must(t, local.Close())
	state, from, err := e.Adopt(dir)
	if err != nil || from == "" || !equal(state.Records, some(200)) || state.Lost != "" || state.Generation <= generation {
		t.Fatalf("%v, from %q, %d dragons, lost %q, generation %d", err, from, len(state.Dragons), state.Lost, state.Generation)
	}
	if state, from, err = e.Adopt(dir); err != nil || from != "" {
		t.Errorf("a second time: %v, from %q", err, from)
	}
	must(t, e.Commit(Records{Fleet: []byte(`{"fleet":3}`)}))
	must(t, e.Close())

	e, state = openEtcd(t, c, 0)
	written, aside, err := e.Export(dir, state)
	if err != nil || aside == "" || written.Generation <= state.Generation {
		t.Fatalf("%v, aside %q, generation %d", err, aside, written.Generation)
	}
	must(t, e.Close())
	want := some(200)
	want.Fleet = []byte(`{"fleet":3}`)
	local, back, err := Open(dir, state.Generation)
	if err != nil || back.Lost != "" || !equal(back.Records, want) {
		t.Errorf("%v, lost %q, %d dragons", err, back.Lost, len(back.Dragons))
	}
	must(t, local.Close())
	if left, _, err := PeekEtcd(t.Context(), c, 0); err != nil || !left.Empty() {
		t.Errorf("%v, %d dragons are left in etcd", err, len(left.Dragons))
	}
}

// With TLS and a login the state is kept below the prefix that the user may write to, and
// not below another one.
func TestEtcdWithTLSAndALogin(t *testing.T) {
	const north = "/mother-of-dragons/north/"
	cluster, secure := etcdtest.StartSecure(t, 1, north)
	c := EtcdConfig{
		Endpoints: cluster.Endpoints(), Prefix: north, Self: Instance{ID: "a"}, TTL: 3 * time.Second,
		TLS: secure.TLS(), Username: secure.Username, Password: secure.Password,
	}
	e, _ := openEtcd(t, c, 0)
	must(t, e.Commit(some(3)))
	must(t, e.Close())
	for name, change := range map[string]func(*EtcdConfig){
		"another site's prefix":  func(c *EtcdConfig) { c.Prefix = "/mother-of-dragons/south/" },
		"a wrong password":       func(c *EtcdConfig) { c.Password = "wrong" },
		"no login":               func(c *EtcdConfig) { c.Username, c.Password = "", "" },
		"no TLS":                 func(c *EtcdConfig) { c.TLS, c.Endpoints = nil, []string{"http://" + c.Endpoints[0][len("https://"):]} },
		"no client certificate":  func(c *EtcdConfig) { c.TLS = secure.TLS(); c.TLS.Certificates = nil },
		"an unknown authority's": func(c *EtcdConfig) { c.TLS = secure.TLS(); c.TLS.RootCAs = nil },
	} {
		t.Run(name, func(t *testing.T) {
			bad := c
			change(&bad)
			if e, _, err := OpenEtcd(t.Context(), bad, 0); err == nil || errors.Is(err, ErrHeld) {
				t.Errorf("it opens the state: %v", err)
				_ = e.Close()
			}
		})
	}
	if _, state := openEtcd(t, c, 1); !equal(state.Records, some(3)) || state.Lost != "" {
		t.Errorf("%d dragons, lost %q", len(state.Dragons), state.Lost)
	}
}
