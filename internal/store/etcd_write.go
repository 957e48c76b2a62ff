package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// etcdWrite is one guarded transaction: records, and the seal over all of them.
type etcdWrite struct {
	records map[string][]byte // encoded, by key; nil: deleted
	seal    seal
	value   []byte // the seal, encoded
}

// commitWithin is how long a commit tries. What it could not write by then is written again
// by the next one.
const commitWithin = 10 * time.Second

// Commit writes what changed. What does not fit into one transaction is written in several,
// each of which leaves a whole state, the fleet's record with the last. An error that wraps
// ErrHeld says that another instance leads; after any other one it is not known what was
// written, and the next Commit finds it out first.
func (e *Etcd) Commit(changed Records) error {
	ctx, cancel := context.WithTimeout(context.Background(), commitWithin)
	defer cancel()
	err := e.commit(ctx, changed)
	for errors.Is(err, errOvertaken) {
		err = e.commit(ctx, changed)
	}
	e.yield(err)
	if err != nil {
		return fmt.Errorf("writing the healer's state to etcd: %w", err)
	}
	e.generation.Store(e.seal.Generation)
	return nil
}

// errOvertaken says that a transaction was not carried out and never will be: an earlier one was, whose
// outcome was not known, and the seal of this one does not count what it wrote.
var errOvertaken = errors.New("an earlier transaction was carried out meanwhile")

func (e *Etcd) commit(ctx context.Context, changed Records) error {
	if err := e.settle(ctx); err != nil {
		return err
	}
	generation := max(e.seal.Generation, e.floor) + 1
	next := e.begin(generation)
	size := 0
	flush := func() error {
		if len(next.records) == 0 {
			return nil
		}
		err := e.write(ctx, next)
		next, size = e.begin(generation), 0
		return err
	}
	if _, there := e.sums[keyFleet]; !there && changed.Fleet != nil { // no state is whole without it
		size += len(changed.Fleet)
		next.put(e, keyFleet, changed.Fleet)
	}
	err := changed.changes(func(key string, data []byte) error {
		if len(next.records) == opsMost || size+len(data) > bytesMost {
			if err := flush(); err != nil {
				return err
			}
		}
		if _, there := next.records[key]; there {
			return nil
		}
		size += len(key) + len(data)
		next.put(e, key, data)
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

func (e *Etcd) begin(generation uint64) *etcdWrite {
	w := &etcdWrite{records: make(map[string][]byte), seal: e.seal}
	w.seal.Generation = generation
	return w
}

// put adds a record and counts it in the seal.
func (w *etcdWrite) put(e *Etcd, key string, data []byte) {
	if sum, there := e.sums[key]; there {
		w.seal.Records, w.seal.Digest = w.seal.Records-1, w.seal.Digest-sum
	}
	if data == nil {
		w.records[key] = nil
		return
	}
	v := encode(key, w.seal.Generation, data)
	w.records[key] = v
	w.seal.add(nil, v)
}

// write carries out a transaction. Where its outcome is not known it is asked for.
func (e *Etcd) write(ctx context.Context, w *etcdWrite) (err error) {
	if w.value, err = w.seal.encode(); err != nil {
		return err
	}
	var ops []clientv3.Op
	for key, v := range w.records {
		if v == nil {
			ops = append(ops, clientv3.OpDelete(e.config.key("state/"+key)))
		} else {
			ops = append(ops, clientv3.OpPut(e.config.key("state/"+key), string(v)))
		}
	}
	ops = append(ops, clientv3.OpPut(e.config.key("state/"+keySeal), string(w.value)))
	e.unsure = append(e.unsure, w)
	guard, unanswered := e.sealRevision, false
	for {
		request, cancel := context.WithTimeout(ctx, requestWithin)
		r, err := e.client.Txn(request).
			If(e.leads(), clientv3.Compare(clientv3.ModRevision(e.config.key("state/"+keySeal)), "=", guard)).
			Then(ops...).Commit()
		cancel()
		if err == nil && r.Succeeded {
			e.done(w, r.Header.Revision)
			return nil
		}
		if err != nil && ctx.Err() != nil {
			return err
		}
		refusal := err
		unanswered = unanswered || err != nil && !refused(err)
		// It may have been carried out and the answer lost, or this instance leads no more.
		for err = e.settle(ctx); err != nil; err = e.settle(ctx) {
			if errors.Is(err, ErrHeld) || denied(err) {
				return err
			}
			select {
			case <-ctx.Done():
				return err
			case <-time.After(again):
			}
		}
		switch {
		case e.seal == w.seal:
			return nil
		case e.sealRevision != guard:
			return errOvertaken
		case refused(refusal):
			if !unanswered { // nothing of it is under way
				e.unsure = e.unsure[:len(e.unsure)-1]
			}
			return refusal
		}
	}
}

// refused reports whether etcd has answered that it does not write. Only a person can change
// that. The one write that goes beyond the quota is refused and carried out.
func refused(err error) bool { return errors.Is(err, rpctypes.ErrNoSpace) || denied(err) }

// denied reports whether etcd does not take the login, or gives it no right to the keys.
func denied(err error) bool {
	return errors.Is(err, rpctypes.ErrPermissionDenied) || errors.Is(err, rpctypes.ErrUserEmpty) || errors.Is(err, rpctypes.ErrAuthFailed)
}

// yield gives the lead up where etcd has denied the writes for as long as a lease. A lease is renewed
// without a login, and another instance may have a better one.
func (e *Etcd) yield(err error) {
	switch {
	case !denied(err):
		e.deniedSince = time.Time{}
	case e.deniedSince.IsZero():
		e.deniedSince = time.Now()
	case time.Since(e.deniedSince) >= e.config.TTL:
		e.lose()
	}
}

// done takes over what a transaction has written.
func (e *Etcd) done(w *etcdWrite, revision int64) {
	for key, v := range w.records {
		if v == nil {
			delete(e.sums, key)
		} else {
			e.sums[key] = sumOf(v)
		}
	}
	e.seal, e.sealRevision, e.unsure = w.seal, revision, nil
}

// settle finds out what became of transactions whose outcome is not known. One that has not
// been carried out yet may still be, until another one is: they have one and the same guard.
func (e *Etcd) settle(ctx context.Context) error {
	if len(e.unsure) == 0 {
		return nil
	}
	request, cancel := context.WithTimeout(ctx, requestWithin)
	defer cancel()
	r, err := e.client.Txn(request).If(e.leads()).Then(clientv3.OpGet(e.config.key("state/" + keySeal))).Commit()
	if err != nil {
		return err
	}
	if !r.Succeeded {
		e.lose()
		return fmt.Errorf("this instance leads no more: %w", ErrHeld)
	}
	kvs := r.Responses[0].GetResponseRange().Kvs
	if len(kvs) == 0 && e.sealRevision == 0 || len(kvs) == 1 && kvs[0].ModRevision == e.sealRevision {
		return nil
	}
	for _, w := range e.unsure {
		if len(kvs) == 1 && string(kvs[0].Value) == string(w.value) {
			e.done(w, kvs[0].ModRevision)
			return nil
		}
	}
	e.lose()
	return errors.Join(ErrHeld, errors.New("something else has written to the state"))
}
