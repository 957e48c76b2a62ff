package config

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheSharedState(t *testing.T) {
	for name, x := range map[string]struct{ flags, file, wrong string }{
		"flags":             {flags: "--ha.etcd.endpoints=http://127.0.0.1:2379,http://127.0.0.2:2379 --ha.etcd.prefix=/farm/"},
		"file":              {file: "ha: {id: a, url: 'http://a:9977', lease: 15s, etcd: {endpoints: ['http://127.0.0.1:2379'], prefix: /north/}}\n"},
		"no port":           {file: "ha: {etcd: {endpoints: ['http://127.0.0.1']}}\n", wrong: "want http://HOST:PORT"},
		"no scheme":         {flags: "--ha.etcd.endpoints=127.0.0.1:2379", wrong: "want http://HOST:PORT"},
		"prefix":            {flags: "--ha.etcd.endpoints=http://127.0.0.1:2379 --ha.etcd.prefix=north", wrong: "does not begin and end with /"},
		"url":               {flags: "--ha.url=host-a", wrong: "want http://HOST:PORT or https://HOST"},
		"half a login":      {flags: "--ha.etcd.endpoints=http://127.0.0.1:2379 --ha.etcd.username=mother", wrong: "needs ha.etcd.password_file"},
		"no such file":      {flags: "--ha.etcd.endpoints=https://127.0.0.1:2379 --ha.etcd.ca-file=/nowhere/ca.pem", wrong: "no such file"},
		"certificates only": {flags: "--ha.etcd.endpoints=http://127.0.0.1:2379 --ha.etcd.ca-file=ca.pem", wrong: "need https://"},
		"a login":           {flags: "--ha.etcd.endpoints=https://root:hunter2@127.0.0.1:2379", wrong: "ha.etcd.endpoints[0]: contains a user"},
		"a strange login":   {flags: "--ha.etcd.endpoints=https://root:hunter2#@127.0.0.1:2379", wrong: "ha.etcd.endpoints[0]: contains a user"},
		"a login in url":    {file: "ha: {url: 'http://op:hunter2@host-a:9977'}\n", wrong: "ha.url: contains a user"},
		"lease":             {flags: "--ha.lease=1s", wrong: "5s"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := parseFile(t, "networks: [{cidr: 127.5.0.0/24}]\n"+x.file, strings.Fields(x.flags)...)
			switch {
			case x.wrong != "" && (err == nil || !strings.Contains(err.Error(), x.wrong)):
				t.Errorf("%v, want an error with %q", err, x.wrong)
			case err != nil && strings.Contains(err.Error(), "hunter2"):
				t.Errorf("the error shows the password: %v", err)
			case x.wrong == "" && err != nil:
				t.Error(err)
			case x.wrong == "" && len(c.HA.Etcd.Endpoints) == 0:
				t.Errorf("%+v", c.HA)
			case x.wrong == "" && !strings.Contains(strings.Join(c.Warnings, "\n"), "without TLS"):
				t.Errorf("nothing warns of etcd without TLS: %q", c.Warnings)
			}
		})
	}
}

// A reload is refused where a file of etcd's has another content than the one in use.
func TestAReloadComparesTheContentOfEtcdsFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	certificate := func() {
		t.Helper()
		cert, key := selfSigned(t)
		write("cert.pem", cert)
		write("key.pem", key)
	}
	authority := func() {
		t.Helper()
		cert, _ := selfSigned(t)
		write("ca.pem", cert)
	}
	text := fmt.Sprintf(`networks: [{cidr: 127.5.0.0/24}]
ha: {etcd: {endpoints: ['https://127.0.0.1:2379'], username: m, password_file: %[1]s/password, ca_file: %[1]s/ca.pem, cert_file: %[1]s/cert.pem, key_file: %[1]s/key.pem}}
`, dir)
	certificate()
	authority()
	write("password", "old\n")
	for _, x := range []struct {
		key    string
		change func()
	}{
		{"", func() { write("password", "old") }},
		{"ha.etcd.password_file", func() { write("password", "hunter2\n") }},
		{"ha.etcd.ca_file", authority},
		{"", certificate}, // it is read at each connection
	} {
		before := mustParse(t, text)
		x.change()
		err := before.Unchangeable(mustParse(t, text))
		if (err != nil) != (x.key != "") || err != nil && (!strings.Contains(err.Error(), x.key) || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("another content of %q: %v", x.key, err)
		}
	}
}

func TestARenewedClientCertificateIsUsed(t *testing.T) {
	dir := t.TempDir()
	renew := func() {
		t.Helper()
		cert, key := selfSigned(t)
		for name, text := range map[string]string{"cert.pem": cert, "key.pem": key} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	renew()
	client := mustParse(t, fmt.Sprintf(`networks: [{cidr: 127.5.0.0/24}]
ha: {etcd: {endpoints: ['https://127.0.0.1:2379'], cert_file: %[1]s/cert.pem, key_file: %[1]s/key.pem}}
`, dir)).Coordinator.TLS.GetClientCertificate
	old, err := client(nil)
	if err != nil {
		t.Fatal(err)
	}
	renew()
	if renewed, err := client(nil); err != nil || bytes.Equal(renewed.Certificate[0], old.Certificate[0]) {
		t.Errorf("the old one is used: %v", err)
	}
}

// selfSigned is a certificate with its key, as PEM.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1)}
	signed, err := x509.CreateCertificate(rand.Reader, of, of, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, data []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}))
	}
	return block("CERTIFICATE", signed), block("PRIVATE KEY", der)
}
