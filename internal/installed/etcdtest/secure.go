package etcdtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Secure is what a client needs of servers that want TLS, a client certificate and a login.
// The files are PEM.
type Secure struct {
	CA, Cert, Key         string
	ServerCert, ServerKey string
	Username              string
	PasswordFile          string
	Password              string

	client *tls.Config
}

// StartSecure starts n servers with TLS, client certificates and a login. The user may read
// and write below a prefix only.
func StartSecure(t testing.TB, n int, prefix string) (*Cluster, *Secure) {
	t.Helper()
	s := &Secure{Username: "mother", Password: "a-long-password"}
	dir := t.TempDir()
	s.PasswordFile = filepath.Join(dir, "password")
	must(t, os.WriteFile(s.PasswordFile, []byte(s.Password+"\n"), 0o600))
	ca, caKey := authority(t)
	s.CA = filepath.Join(dir, "ca.pem")
	writePEM(t, s.CA, "CERTIFICATE", ca.Raw)
	s.ServerCert, s.ServerKey = signed(t, dir, "server", ca, caKey)
	s.Cert, s.Key = signed(t, dir, "client", ca, caKey)
	pair, err := tls.LoadX509KeyPair(s.Cert, s.Key)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	s.client = &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}

	c := start(t, n, s)
	client, err := clientv3.New(clientv3.Config{Endpoints: c.Endpoints(), TLS: s.client, Logger: zap.NewNop()})
	must(t, err)
	defer client.Close()
	ctx := t.Context()
	_, err = client.UserAdd(ctx, "root", "root")
	must(t, err)
	_, err = client.UserGrantRole(ctx, "root", "root")
	must(t, err)
	_, err = client.UserAdd(ctx, s.Username, s.Password)
	must(t, err)
	_, err = client.RoleAdd(ctx, "site")
	must(t, err)
	_, err = client.RoleGrantPermission(ctx, "site", prefix, clientv3.GetPrefixRangeEnd(prefix), clientv3.PermissionType(clientv3.PermReadWrite))
	must(t, err)
	_, err = client.UserGrantRole(ctx, s.Username, "site")
	must(t, err)
	_, err = client.AuthEnable(ctx)
	must(t, err)
	return c, s
}

// TLS is what a client of the servers needs.
func (s *Secure) TLS() *tls.Config { return s.client.Clone() }

func authority(t testing.TB) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	ca, err := x509.ParseCertificate(der)
	must(t, err)
	return ca, key
}

func signed(t testing.TB, dir, name string, ca *x509.Certificate, caKey *ecdsa.PrivateKey) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), caKey)
	must(t, err)
	private, err := x509.MarshalECPrivateKey(key)
	must(t, err)
	certFile, keyFile = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	writePEM(t, certFile, "CERTIFICATE", der)
	writePEM(t, keyFile, "EC PRIVATE KEY", private)
	return certFile, keyFile
}

func writePEM(t testing.TB, path, kind string, der []byte) {
	t.Helper()
	must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}
