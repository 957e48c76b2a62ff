package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// memberTTL is how long an instance that says nothing more counts as a member.
const memberTTL = 20 * time.Second

// Member is an instance that is there, whether or not it leads.
type Member struct {
	Instance
	ConfigHash string `json:"config_hash"`
}

// Members tells the instances of a site of each other. Its methods may be called by one
// goroutine at a time.
type Members struct {
	config EtcdConfig
	client *clientv3.Client
	lease  clientv3.LeaseID
	told   clientv3.LeaseID // that this instance said last that it is there with

	namesake time.Time // when another instance was seen to have the same name
}

// OpenMembers does not connect yet.
func OpenMembers(c EtcdConfig) (*Members, error) {
	c = c.withDefaults()
	client, err := c.client()
	if err != nil {
		return nil, fmt.Errorf("etcd %s: %w", strings.Join(c.Endpoints, ","), err)
	}
	return &Members{config: c, client: client}, nil
}

// Meet says that this instance is there, and returns all that are, and the one that leads; an
// empty ID: none does.
func (m *Members) Meet(ctx context.Context, configHash string) (all []Member, leader Instance, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestWithin)
	defer cancel()
	if m.lease != 0 {
		if _, err := m.client.KeepAliveOnce(ctx, m.lease); err != nil {
			m.lease = 0
		}
	}
	if m.lease == 0 {
		lease, err := m.client.Grant(ctx, int64(memberTTL/time.Second))
		if err != nil {
			return nil, Instance{}, err
		}
		m.lease = lease.ID
	}
	self, err := json.Marshal(Member{m.config.Self, configHash})
	if err != nil {
		return nil, Instance{}, err
	}
	members := m.config.key("members/")
	own := members + m.config.Self.ID
	r, err := m.client.Txn(ctx).Then(clientv3.OpGet(own), clientv3.OpPut(own, string(self), clientv3.WithLease(m.lease)),
		clientv3.OpGet(members, clientv3.WithPrefix()), clientv3.OpGet(m.config.key("leader"))).Commit()
	if err != nil {
		return nil, Instance{}, err
	}
	for _, kv := range r.Responses[0].GetResponseRange().Kvs {
		if m.told == m.lease && clientv3.LeaseID(kv.Lease) != m.lease { // not what is left of a process that has ended
			m.namesake = time.Now()
		}
	}
	m.told = m.lease
	for _, kv := range r.Responses[2].GetResponseRange().Kvs {
		var x Member
		if json.Unmarshal(kv.Value, &x) == nil {
			all = append(all, x)
		}
	}
	for _, kv := range r.Responses[3].GetResponseRange().Kvs {
		leader = leaderOf(kv.Value)
	}
	return all, leader, nil
}

// Namesake reports whether another instance has lately said that it is there under the name of
// this one.
func (m *Members) Namesake() bool { return !m.namesake.IsZero() && time.Since(m.namesake) < memberTTL }

// Close leaves the members.
func (m *Members) Close() error {
	if m.lease != 0 {
		ctx, cancel := context.WithTimeout(context.Background(), requestWithin)
		_, _ = m.client.Revoke(ctx, m.lease)
		cancel()
	}
	return m.client.Close()
}
