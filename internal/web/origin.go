package web

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
)

var errForeignName = errors.New("a page in a browser may do this only where this program is reached by an IP address, by a local name, over TLS or with a login: " +
	"anybody may point a name of theirs at this address")

// trusted refuses what a page from elsewhere sends in the name of whoever looks at it.
//
// A page is from elsewhere if its address is another one: net/http's protection sees
// that. It cannot see a page whose own name has meanwhile become a name of ours (DNS
// rebinding). That page has no certificate and no login, and its name is one of the
// public DNS. What is not sent by a browser has neither header and is not meant.
func (a *api) trusted(r *http.Request) error {
	if err := a.origin.Check(r); err != nil {
		return err
	}
	browser := r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != ""
	_, _, login := r.BasicAuth()
	if browser && r.TLS == nil && !login && !localName(r.Host) {
		return errForeignName
	}
	return nil
}

// localName reports whether the public DNS cannot have such a name.
func localName(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil || !strings.Contains(host, ".") {
		return true
	}
	if own, err := os.Hostname(); err == nil && host == strings.ToLower(own) {
		return true
	}
	return slices.ContainsFunc([]string{".localhost", ".local", ".lan", ".internal", ".home.arpa", ".test"}, func(suffix string) bool {
		return strings.HasSuffix(host, suffix)
	})
}
