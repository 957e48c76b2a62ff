package store

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// The limits of an etcd transaction: 128 operations and 1.5 MiB.
const (
	opsMost   = 126 // records in a transaction, beside the seal
	bytesMost = 1 << 20

	requestWithin = 2 * time.Second
	loadWithin    = 20 * time.Second
	pageOfKeys    = 2000

	defaultTTL = 10 * time.Second
	// What a lease must have left when a write to a dragon begins.
	leaseMargin = 2 * time.Second
	// Between the last word of the last leader and its write to a dragon pass at most
	// ten seconds, after which its proof of identity no longer holds.
	quietAfter = 12 * time.Second
)

// Instance is one of the instances that share a state.
type Instance struct {
	ID      string `json:"id"`
	URL     string `json:"url,omitempty"` // of its pages
	Version string `json:"version,omitempty"`
	Epoch   int    `json:"epoch,omitempty"` // of its leadership
}

// HeldError says which instance owns a state.
type HeldError struct{ Leader Instance }

func (e *HeldError) Error() string {
	if e.Leader.URL == "" {
		return fmt.Sprintf("instance %s leads", e.Leader.ID)
	}
	return fmt.Sprintf("instance %s leads: %s", e.Leader.ID, e.Leader.URL)
}

// Is makes a HeldError an ErrHeld.
func (e *HeldError) Is(target error) bool { return target == ErrHeld }

// EtcdConfig says where a shared state is kept, and who wants to lead.
type EtcdConfig struct {
	Endpoints []string
	TLS       *tls.Config // nil: none
	Username  string
	Password  string
	Prefix    string // of the site's keys; "/" at its end
	Self      Instance
	TTL       time.Duration // of the lease; default 10 s

	// Boot returns the time since the host booted, also while it slept (CLOCK_BOOTTIME);
	// default the time since the program began.
	Boot func() time.Duration
}

var processBegan = time.Now()

func (c EtcdConfig) withDefaults() EtcdConfig {
	if c.TTL <= 0 {
		c.TTL = defaultTTL
	}
	if c.Boot == nil {
		c.Boot = func() time.Duration { return time.Since(processBegan) }
	}
	c.Self.Version = programVersion()
	return c
}

func (c *EtcdConfig) client() (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{
		Endpoints: c.Endpoints, TLS: c.TLS, Username: c.Username, Password: c.Password,
		DialTimeout: requestWithin, DialKeepAliveTime: 2 * time.Second, DialKeepAliveTimeout: 2 * time.Second,
		Logger:      zap.NewNop(), // each call returns its error
		DialOptions: onlyLed(len(c.Endpoints)),
	})
}

func (c *EtcdConfig) key(name string) string { return c.Prefix + name }

// Etcd is a state that instances share. One of them leads: it owns the state for as long as it
// renews its lease, and each of its writes is refused once another one leads. But for
// Generation, Remaining, Wait and Confirm its methods may be called by one goroutine at a time.
type Etcd struct {
	config EtcdConfig
	client *clientv3.Client
	lease  clientv3.LeaseID
	mine   int64 // revision in which the leader's key was made: the fence
	epoch  int

	sums         map[string]uint64 // checksums of the records, by key
	seal         seal
	sealRevision int64
	floor        uint64
	unsure       []*etcdWrite // whose outcome is not known; one of them at most is carried out
	deniedSince  time.Time    // when etcd began to deny the writes; zero: it takes them

	generation atomic.Uint64
	deadline   atomic.Int64 // of the lease, by config.Boot
	quiet      atomic.Int64 // until when nothing may be sent, by config.Boot

	lost     chan struct{}
	loseOnce sync.Once

	closeOnce sync.Once
	stop      context.CancelFunc
	stopped   chan struct{}
}

// OpenEtcd becomes the leader, and loads the state. While another instance leads it is a
// HeldError. floor is the newest generation that this host knows of.
func OpenEtcd(ctx context.Context, c EtcdConfig, floor uint64) (_ *Etcd, state State, err error) {
	c = c.withDefaults()
	client, err := c.client()
	if err != nil {
		return nil, State{}, fmt.Errorf("etcd %s: %w", strings.Join(c.Endpoints, ","), err)
	}
	e := &Etcd{config: c, client: client, floor: floor, lost: make(chan struct{}), stopped: make(chan struct{})}
	defer func() {
		if err != nil {
			e.giveUp()
			why := ""
			if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, rpctypes.ErrNoLeader) {
				why = c.unreached(ctx)
			}
			switch {
			case why != "":
				err = fmt.Errorf("etcd does not answer: %s", why)
			case !errors.Is(err, ErrHeld) && !errors.Is(err, ErrNewer):
				err = fmt.Errorf("etcd %s: %w", strings.Join(c.Endpoints, ","), err)
			}
		}
	}()
	if err := e.lead(ctx); err != nil {
		close(e.stopped)
		return nil, State{}, err
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	e.stop = stop
	go e.renew(life)
	if state, err = e.load(ctx); err != nil {
		return nil, State{}, err
	}
	return e, state, nil
}

// lead takes the leader's key, with a lease and the next epoch. It does not where a newer
// version wrote the state: an instance that knows that version would have to wait for it.
func (e *Etcd) lead(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestWithin)
	defer cancel()
	leader, epochKey, resigned := e.config.key("leader"), e.config.key("epoch"), e.config.key("resigned")
	now, err := e.client.Txn(ctx).Then(clientv3.OpGet(leader), clientv3.OpGet(epochKey), clientv3.OpGet(resigned),
		clientv3.OpGet(e.config.key("state/"+keySeal))).Commit()
	if err != nil {
		return err
	}
	if kvs := now.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
		return &HeldError{leaderOf(kvs[0].Value)}
	}
	if kvs := now.Responses[3].GetResponseRange().Kvs; len(kvs) > 0 {
		if _, err := decodeSeal(kvs[0].Value); errors.Is(err, ErrNewer) {
			return err
		}
	}
	last, revision := number(now.Responses[1].GetResponseRange().Kvs)
	left, _ := number(now.Responses[2].GetResponseRange().Kvs)
	e.epoch = last + 1
	e.config.Self.Epoch = e.epoch
	value, err := json.Marshal(e.config.Self)
	if err != nil {
		return err
	}
	began := e.config.Boot()
	lease, err := e.client.Grant(ctx, int64(e.config.TTL/time.Second))
	if err != nil {
		return err
	}
	e.lease = lease.ID
	e.deadline.Store(int64(began + e.config.TTL))
	won, err := e.client.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(leader), "=", 0), clientv3.Compare(clientv3.ModRevision(epochKey), "=", revision)).
		Then(clientv3.OpPut(leader, string(value), clientv3.WithLease(lease.ID)), clientv3.OpPut(epochKey, strconv.Itoa(e.epoch))).
		Else(clientv3.OpGet(leader)).Commit()
	if err != nil {
		return err
	}
	if !won.Succeeded {
		if kvs := won.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
			return &HeldError{leaderOf(kvs[0].Value)}
		}
		return &HeldError{Instance{ID: "(another)"}}
	}
	e.mine = won.Header.Revision
	if last > 0 && left != last { // the last leader did not resign: it may be about to write to a dragon
		e.quiet.Store(int64(e.config.Boot() + quietAfter))
	}
	return nil
}

func leaderOf(value []byte) (leader Instance) {
	if json.Unmarshal(value, &leader) != nil {
		leader = Instance{ID: "(unreadable)"}
	}
	return leader
}

// number reads a key that holds one; 0 where there is none.
func number(kvs []*mvccpb.KeyValue) (n int, revision int64) {
	if len(kvs) == 0 {
		return 0, 0
	}
	n, _ = strconv.Atoi(string(kvs[0].Value))
	return n, kvs[0].ModRevision
}

// renew keeps the lease until it is lost or ctx is done.
func (e *Etcd) renew(ctx context.Context) {
	defer close(e.stopped)
	tick := time.Tick(e.config.TTL / 4)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
		began := e.config.Boot()
		request, cancel := context.WithTimeout(ctx, e.config.TTL/4)
		_, err := e.client.KeepAliveOnce(request, e.lease)
		cancel()
		switch {
		case err == nil:
			e.deadline.Store(int64(began + e.config.TTL))
		case ctx.Err() != nil:
			return
		case errors.Is(err, rpctypes.ErrLeaseNotFound), e.Remaining() <= 0:
			e.lose()
			return
		}
	}
}

func (e *Etcd) lose() { e.loseOnce.Do(func() { close(e.lost) }) }

// Lost is closed when another instance may lead.
func (e *Etcd) Lost() <-chan struct{} { return e.lost }

// Remaining is how long the lease still holds if it is not renewed.
func (e *Etcd) Remaining() time.Duration {
	return max(0, time.Duration(e.deadline.Load())-e.config.Boot())
}

// Wait is how long nothing may be sent to a dragon, and why; 0: it may be.
func (e *Etcd) Wait() (d time.Duration, why string) {
	if left := e.Remaining(); left < leaseMargin {
		return leaseMargin, fmt.Sprintf("the lease of this leader has %s left", left.Round(time.Millisecond))
	}
	if quiet := time.Duration(e.quiet.Load()) - e.config.Boot(); quiet > 0 {
		return quiet, fmt.Sprintf("the last leader did not resign: %s until its last write is over", quiet.Round(time.Second))
	}
	return 0, ""
}

// Confirm asks the coordinator whether this instance leads: the last word before a write.
func (e *Etcd) Confirm(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestWithin)
	defer cancel()
	r, err := e.client.Txn(ctx).If(e.leads()).Commit()
	switch {
	case err != nil:
		return fmt.Errorf("asking etcd whether this instance leads: %w", err)
	case !r.Succeeded:
		e.lose()
		return fmt.Errorf("this instance leads no more: %w", ErrHeld)
	}
	if _, why := e.Wait(); why != "" {
		return errors.New(why)
	}
	return nil
}

func (e *Etcd) leads() clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(e.config.key("leader")), "=", e.mine)
}

func (e *Etcd) load(ctx context.Context) (State, error) {
	content, sealed, err := e.config.content(ctx, e.client)
	if err != nil {
		return State{}, err
	}
	state := State{Records: NewRecords()}
	e.sums, e.seal, e.sealRevision = make(map[string]uint64), seal{}, 0
	if len(content) > 0 {
		records, s, err := unseal(content)
		if errors.Is(err, ErrCorrupt) {
			aside, asideErr := e.setAside(ctx, content)
			if asideErr != nil {
				return State{}, errors.Join(err, asideErr)
			}
			state.Lost = fmt.Sprintf("the state was corrupt (%v) and is set aside as %s", err, aside)
			err, content = nil, nil
		}
		if err != nil {
			return State{}, err
		}
		state.Records, state.Generation, state.WrittenBy = records, s.Generation, s.WrittenBy
		if records.Fleet == nil {
			state.Records = NewRecords()
		}
		if content != nil {
			e.seal, e.sealRevision = s, sealed
		}
		for key, v := range content {
			if key != keySeal {
				e.sums[key] = sumOf(v)
			}
		}
	}
	e.generation.Store(state.Generation)
	switch {
	case state.Lost != "":
	case state.Empty() && e.floor > 0:
		state.Lost = fmt.Sprintf("the state in etcd is gone; it was at generation %d", e.floor)
	case state.Generation < e.floor:
		state.Lost = fmt.Sprintf("the state in etcd is of generation %d and was at %d before: a backup was restored", state.Generation, e.floor)
	}
	return state, nil
}

// content reads all keys of the state, by their names, and the revision of the seal.
func (c *EtcdConfig) content(ctx context.Context, client *clientv3.Client) (content map[string][]byte, sealed int64, err error) {
	all, err := readBelow(ctx, client, c.key("state/"))
	content = make(map[string][]byte, len(all))
	for name, v := range all {
		content[name] = v.Data
	}
	return content, all[keySeal].Revision, err
}

// PeekEtcd returns the state without owning it, and the revision of its seal. It has no records
// while that is still the one that the caller has seen; 0: none. A generation may take several
// transactions, and each has a revision.
func PeekEtcd(ctx context.Context, c EtcdConfig, seen int64) (State, int64, error) {
	c = c.withDefaults()
	client, err := c.client()
	if err != nil {
		return State{}, 0, err
	}
	defer func() { _ = client.Close() }()
	if seen > 0 {
		ctx, cancel := context.WithTimeout(ctx, requestWithin)
		defer cancel()
		r, err := client.Get(ctx, c.key("state/"+keySeal), clientv3.WithKeysOnly())
		if err != nil {
			return State{}, 0, err
		}
		if len(r.Kvs) > 0 && r.Kvs[0].ModRevision == seen {
			return State{Records: NewRecords()}, seen, nil
		}
	}
	content, revision, err := c.content(ctx, client)
	if err != nil || len(content) == 0 {
		return State{Records: NewRecords()}, 0, err
	}
	r, s, err := unseal(content)
	return State{Records: r, Generation: s.Generation, WrittenBy: s.WrittenBy}, revision, err
}

// setAside moves the keys of a state out of the way.
func (e *Etcd) setAside(ctx context.Context, content map[string][]byte) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, loadWithin)
	defer cancel()
	aside := e.config.key("aside/" + time.Now().UTC().Format(asideTime[1:]) + "/")
	for names := range slices.Chunk(slices.Sorted(maps.Keys(content)), opsMost/2) {
		var ops []clientv3.Op
		for _, name := range names {
			ops = append(ops, clientv3.OpPut(aside+name, string(content[name])), clientv3.OpDelete(e.config.key("state/"+name)))
		}
		r, err := e.client.Txn(ctx).If(e.leads()).Then(ops...).Commit()
		if err != nil {
			return "", err
		}
		if !r.Succeeded {
			return "", ErrHeld
		}
	}
	return aside, nil
}

// SetAside sets the state aside, whose content its reader could not understand.
func (e *Etcd) SetAside() (string, error) {
	ctx := context.Background()
	content, _, err := e.config.content(ctx, e.client)
	if err != nil {
		return "", err
	}
	aside, err := e.setAside(ctx, content)
	if err != nil {
		return "", err
	}
	e.floor = max(e.floor, e.seal.Generation)
	e.sums, e.seal, e.sealRevision = make(map[string]uint64), seal{}, 0
	return aside, nil
}

// Generation is the number of the last commit. It never goes down.
func (e *Etcd) Generation() uint64 { return e.generation.Load() }

// Close resigns, so that another instance need not wait.
func (e *Etcd) Close() (err error) {
	e.closeOnce.Do(func() { err = e.resign() })
	return err
}

func (e *Etcd) resign() error {
	ctx, cancel := context.WithTimeout(context.Background(), requestWithin)
	defer cancel()
	_, err := e.client.Txn(ctx).If(e.leads()).
		Then(clientv3.OpDelete(e.config.key("leader")), clientv3.OpPut(e.config.key("resigned"), strconv.Itoa(e.epoch))).Commit()
	e.giveUp()
	if err != nil {
		return fmt.Errorf("resigning: %w", err)
	}
	return nil
}

// giveUp ends the lease and the connections.
func (e *Etcd) giveUp() {
	if e.stop != nil {
		e.stop()
	}
	<-e.stopped
	if e.lease != 0 {
		ctx, cancel := context.WithTimeout(context.Background(), requestWithin)
		_, _ = e.client.Revoke(ctx, e.lease)
		cancel()
	}
	_ = e.client.Close()
}
