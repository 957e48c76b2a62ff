package web

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
)

// A page in a browser may have the name of an attacker's that meanwhile resolves to this
// machine (DNS rebinding). For the browser it is then a page of ours, and may read and
// send what it likes. What gives it away is the Host header, which has the attacker's name.

// hostCheck refuses requests under a name that is not known to be ours.
type hostCheck struct {
	names  []string // lower case; with a dot in front: every name that ends so
	logger log.Logger

	mu     sync.Mutex
	warned map[string]bool
}

// hostsWarned is how many refused names are logged: a client can invent more.
const hostsWarned = 20

// ParseHosts reads the names that --web.allowed-hosts and --web.external-url give.
// A name with a dot in front stands for all names that end so.
func ParseHosts(allowed []string, externalURL string) ([]string, error) {
	var names []string
	for _, list := range allowed {
		for name := range strings.SplitSeq(list, ",") {
			name = strings.ToLower(strings.TrimSuffix(strings.TrimSpace(name), "."))
			if u, err := url.Parse("//" + name); name == "" || err != nil || u.Hostname() != name {
				return nil, fmt.Errorf("--web.allowed-hosts: invalid name %q: want one like miners.example.com, without a port", name)
			}
			names = append(names, name)
		}
	}
	if externalURL != "" {
		u, err := url.Parse(externalURL)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
			return nil, fmt.Errorf("--web.external-url: invalid URL %q: want one like https://miners.example.com/", externalURL)
		}
		names = append(names, strings.ToLower(u.Hostname()))
	}
	return names, nil
}

// handler lets through what comes under a name of ours. TLS has proven the name, a page
// of an attacker's has no login, and life signs tell nothing.
func (c *hostCheck) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, login := loginOf(r)
		if login || r.TLS != nil || strings.HasPrefix(r.URL.Path, "/-/") && r.Method == http.MethodGet || c.allows(r.Host) {
			next.ServeHTTP(w, r)
			return
		}
		name := cut(most, hostname(r.Host))
		c.warn(name)
		http.Error(w, fmt.Sprintf("Unknown host name %q. If it is yours, start the program with --web.allowed-hosts=%s, or use the IP address.", name, name),
			http.StatusForbidden)
	})
}

func (c *hostCheck) warn(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.warned[name] && len(c.warned) < hostsWarned {
		c.warned[name] = true
		level.Warn(c.logger).Log("msg", "host name not allowed", "host", name, "try", "--web.allowed-hosts")
	}
}

// allows reports whether a Host header has an IP address, a name of this machine, or one
// that the operator gave. HTTP/1.0 has no Host, and browsers do not speak it.
func (c *hostCheck) allows(hostport string) bool {
	host := hostname(hostport)
	if _, err := netip.ParseAddr(host); err == nil || host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	if own, err := os.Hostname(); err == nil && host == strings.ToLower(own) {
		return true
	}
	return slices.ContainsFunc(c.names, func(name string) bool {
		return host == name || strings.HasPrefix(name, ".") && strings.HasSuffix(host, name)
	})
}

func hostname(hostport string) string {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}
