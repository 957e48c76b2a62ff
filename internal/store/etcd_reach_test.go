package store

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"

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
