package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// HA says whether instances on several hosts share the healer's state, and where.
type HA struct {
	ID    string        `yaml:"id"`
	URL   string        `yaml:"url"`
	Lease time.Duration `yaml:"lease"`
	Etcd  etcdSettings  `yaml:"etcd"`
}

type etcdSettings struct {
	Endpoints    []string `yaml:"endpoints"` // empty: no state is shared
	Prefix       string   `yaml:"prefix"`
	Username     string   `yaml:"username"`
	PasswordFile string   `yaml:"password_file"`
	CAFile       string   `yaml:"ca_file"`
	CertFile     string   `yaml:"cert_file"`
	KeyFile      string   `yaml:"key_file"`
}

// Coordinator is how the shared state is reached.
type Coordinator struct {
	TLS      *tls.Config // nil: not encrypted
	Password string
	// Private says that etcd is reached by TLS and asks for a login: then it may be given the
	// passwords of dragons.
	Private bool
}

func haSections() []section {
	return []section{{path: "ha", about: "High availability: instances on several hosts share the healer's state in etcd, and one of them heals. " +
		"See [high-availability.md](high-availability.md). Without endpoints the state is a file in `data_dir`, and nothing else is needed.", rows: []setting{
		{key: "id", flag: "ha.id", holder: "NAME", restart: true, doc: "The name of this instance; empty: the host name."},
		{key: "url", flag: "ha.url", holder: "URL", restart: true, example: "http://host-a.example.net:9977",
			doc: "The address of this instance's pages, for the other instances to link to."},
		{key: "lease", flag: "ha.lease", def: "10s", from: "5s", to: "60s", restart: true,
			doc: "How long the leader may be out of touch with etcd before another instance takes over."},
	}}, {path: "ha.etcd", about: "The etcd that keeps the shared state.", rows: []setting{
		{key: "endpoints", flag: "ha.etcd.endpoints", holder: "URL", restart: true,
			example: "[https://192.0.2.11:2379, https://192.0.2.12:2379, https://192.0.2.13:2379]",
			doc:     "The client addresses of the etcd servers; empty: the state is not shared.",
			set: func(s *Settings, text string) error {
				for e := range strings.SplitSeq(text, ",") {
					s.HA.Etcd.Endpoints = append(s.HA.Etcd.Endpoints, strings.TrimSpace(e))
				}
				return nil
			}},
		{key: "prefix", flag: "ha.etcd.prefix", def: "/mother-of-dragons/", restart: true,
			doc: "The prefix of the keys. Each site needs its own, such as /mother-of-dragons/north/: one etcd serves many sites."},
		{key: "username", flag: "ha.etcd.username", holder: "NAME", restart: true, doc: "The etcd user; empty: none."},
		{key: "password_file", flag: "ha.etcd.password-file", holder: "FILE", restart: true, doc: "A file whose only line is the etcd user's password."},
		{key: "ca_file", flag: "ha.etcd.ca-file", holder: "FILE", restart: true,
			doc: "The certificates (PEM) that sign those of the etcd servers; empty: the host's own."},
		{key: "cert_file", flag: "ha.etcd.cert-file", holder: "FILE", restart: true, doc: "The client certificate (PEM); empty: none."},
		{key: "key_file", flag: "ha.etcd.key-file", holder: "FILE", restart: true, doc: "The key of the client certificate (PEM)."},
	}}}
}

// adoptHA checks what is said of the shared state, and reads its files.
func (c *Config) adoptHA(r *reader, dir string) {
	e := &c.HA.Etcd
	for i, endpoint := range e.Endpoints {
		if strings.Contains(endpoint, "@") { // not shown: it may contain a password
			r.at(fmt.Sprintf("ha.etcd.endpoints[%d]", i), "contains a user, which the pages would show; write ha.etcd.username and ha.etcd.password_file")
		} else if u, err := url.Parse(endpoint); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Port() == "" || u.Path != "" {
			r.at(fmt.Sprintf("ha.etcd.endpoints[%d]", i), "%q: want http://HOST:PORT or https://HOST:PORT", endpoint)
		}
	}
	if !strings.HasPrefix(e.Prefix, "/") || !strings.HasSuffix(e.Prefix, "/") {
		r.at("ha.etcd.prefix", "%q does not begin and end with /", e.Prefix)
	}
	if c.HA.URL != "" {
		if strings.Contains(c.HA.URL, "@") {
			r.at("ha.url", "contains a user, which the pages would show; browsers ask for it")
		} else if u, err := url.Parse(c.HA.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			r.at("ha.url", "%q: want http://HOST:PORT or https://HOST", c.HA.URL)
		}
	}
	if len(e.Endpoints) == 0 {
		return
	}
	// A path of the file starts at the file's directory; one of a flag at the working directory.
	base := func(key string) string {
		if r.has("ha.etcd." + key) {
			return dir
		}
		return "."
	}
	var err error
	if e.PasswordFile != "" {
		if c.Coordinator.Password, err = c.secretIn(e.PasswordFile, base("password_file")); err != nil {
			r.at("ha.etcd.password_file", "%s", err)
		}
	}
	if (e.Username == "") != (e.PasswordFile == "") {
		r.at("ha.etcd.username", "needs ha.etcd.password_file, and the other way round")
	}
	if c.Coordinator.TLS, err = e.tls(base); err != nil {
		r.at("ha.etcd", "%s", err)
	}
	c.Coordinator.Private = c.Coordinator.TLS != nil && (e.Username != "" || e.CertFile != "")
	switch {
	case c.Coordinator.TLS == nil:
		c.warn("ha.etcd: the healer's state, which holds the pool passwords of rollouts, goes to etcd without TLS; passwords of dragons are not shared")
	case !c.Coordinator.Private:
		c.warn("ha.etcd: without ha.etcd.username or ha.etcd.cert_file the passwords of dragons are not shared")
	}
}

func (e *etcdSettings) tls(base func(key string) string) (*tls.Config, error) {
	if !strings.HasPrefix(e.Endpoints[0], "https:") {
		if e.CAFile+e.CertFile+e.KeyFile != "" {
			return nil, errors.New("certificates need https:// endpoints")
		}
		return nil, nil //nolint:nilnil // none is needed
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if e.CAFile != "" {
		pem, err := os.ReadFile(within(base("ca_file"), e.CAFile))
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s has no certificate", e.CAFile)
		}
	}
	if e.CertFile != "" || e.KeyFile != "" {
		cert, key := within(base("cert_file"), e.CertFile), within(base("key_file"), e.KeyFile)
		if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
			return nil, err
		}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { // a renewed one needs no restart
			pair, err := tls.LoadX509KeyPair(cert, key)
			return &pair, err
		}
	}
	return c, nil
}

// within is a path that is relative to a directory, unless it is absolute.
func within(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
