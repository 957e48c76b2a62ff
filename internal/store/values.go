package store

import (
	"context"
	"fmt"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Values are values by key that instances share in etcd beside the healer's state. Its
// methods may be called by one goroutine at a time.
type Values struct {
	client *clientv3.Client
	prefix string
}

// Value is one of them. Revision tells whether it has changed.
type Value struct {
	Data     []byte
	Revision int64
}

// OpenValues opens the values below a name. It does not connect.
func OpenValues(c EtcdConfig, name string) (*Values, error) {
	client, err := c.client()
	if err != nil {
		return nil, fmt.Errorf("etcd %s: %w", strings.Join(c.Endpoints, ","), err)
	}
	return &Values{client, c.key(name + "/")}, nil
}

// Newest is the revision of the value that was changed last; 0: there is none.
func (v *Values) Newest(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestWithin)
	defer cancel()
	r, err := v.client.Get(ctx, v.prefix, clientv3.WithLastRev()...)
	if err != nil || len(r.Kvs) == 0 {
		return 0, err
	}
	return r.Kvs[0].ModRevision, nil
}

// All reads all values by key.
func (v *Values) All(ctx context.Context) (map[string]Value, error) {
	return readBelow(ctx, v.client, v.prefix)
}

// readBelow reads all keys below a prefix, by the rest of their names, at one revision.
func readBelow(ctx context.Context, client *clientv3.Client, prefix string) (map[string]Value, error) {
	ctx, cancel := context.WithTimeout(ctx, loadWithin)
	defer cancel()
	all := make(map[string]Value)
	from, end, at := prefix, clientv3.GetPrefixRangeEnd(prefix), int64(0)
	for {
		r, err := client.Get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(pageOfKeys), clientv3.WithRev(at))
		if err != nil {
			return nil, err
		}
		for _, kv := range r.Kvs {
			all[strings.TrimPrefix(string(kv.Key), prefix)] = Value{kv.Value, kv.ModRevision}
			from = string(kv.Key) + "\x00"
		}
		if at = r.Header.Revision; !r.More {
			return all, nil
		}
	}
}

// Put writes a value, unless it is not of the given revision any more; 0: it is new.
func (v *Values) Put(ctx context.Context, key string, data []byte, revision int64) (done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestWithin)
	defer cancel()
	key = v.prefix + key
	r, err := v.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).Then(clientv3.OpPut(key, string(data))).Commit()
	return err == nil && r.Succeeded, err
}

// Close ends the connections.
func (v *Values) Close() error { return v.client.Close() }
