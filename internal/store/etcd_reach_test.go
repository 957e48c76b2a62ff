package store

import (
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/brndnmtthws/mother-of-dragons/internal/installed/etcdtest"
)

// What keeps an instance from etcd is said, and not only that it took too long.
func TestWhyEtcdIsNotReachedIsSaid(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, l.Close()) // connections are refused there now
	c := EtcdConfig{Endpoints: []string{"http://" + l.Addr().String()}, Prefix: "/farm/", Self: Instance{ID: "a"}}
	if _, _, err := OpenEtcd(t.Context(), c, 0); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("without a server: %v", err)
	}
	cluster, secure := etcdtest.StartSecure(t, 1, "/farm/")
	c.Endpoints, c.TLS = cluster.Endpoints(), secure.TLS()
	c.TLS.GetClientCertificate, c.TLS.Certificates = nil, []tls.Certificate{}
	if _, _, err := OpenEtcd(t.Context(), c, 0); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without a client's certificate: %v", err)
	}
}

// A server that is cut off from the others still answers clients. Requests go on to the next one.
func TestAServerWithoutALeaderIsPassedBy(t *testing.T) {
	well, alone := etcdtest.Start(t, 1), etcdtest.Start(t, 3)
	alone.Kill(1)
	alone.Kill(2)
	c := etcdConfig(well, "a")
	c.Endpoints = append(c.Endpoints, alone.Endpoints()[0])
	client, err := c.client()
	must(t, err)
	for err == nil { // until it misses the others
		_, err = client.Status(t.Context(), c.Endpoints[1])
	}
	if !errors.Is(err, rpctypes.ErrNoLeader) {
		t.Fatal(err)
	}
	must(t, client.Close())
	none := c
	none.Endpoints = alone.Endpoints()
	if _, _, err := OpenEtcd(t.Context(), none, 0); err == nil || !strings.Contains(err.Error(), none.Endpoints[1]+": dial tcp") {
		t.Errorf("without a quorum: %v", err)
	}
	e, _ := openEtcd(t, c, 0)
	for range 8 { // they take turns
		must(t, e.Confirm(t.Context()))
		began := time.Now()
		must(t, e.Commit(some(1)))
		if took := time.Since(began); took > requestWithin {
			t.Errorf("a commit took %s", took)
		}
	}
	m, err := OpenMembers(c)
	must(t, err)
	for range 4 {
		_, _, err := m.Meet(t.Context(), "")
		must(t, err)
	}
	must(t, m.Close())
}
