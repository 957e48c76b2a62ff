package firmware

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Host is an allowed source of images: a name or address, and a port if not the scheme's
// default.
type Host struct {
	Name string
	Port string // empty: 80 of http, 443 of https
}

// VendorHosts are the hosts that the vendors' update services name.
func VendorHosts() []Host {
	return []Host{{Name: "download.halongmining.com"}, {Name: "www.innosilicon.com.cn"}}
}

// ParseHost reads a host with an optional port.
func ParseHost(s string) (Host, error) {
	name, port := strings.ToLower(s), ""
	if strings.ContainsAny(s, "/@?#* ") || s == "" {
		return Host{}, fmt.Errorf("%q is not a host: expected one like %s or 10.0.0.5:8080", s, VendorHosts()[0].Name)
	}
	if h, p, err := net.SplitHostPort(name); err == nil {
		name, port = h, p
	}
	u, err := url.Parse("http://" + s + "/")
	if err != nil || name == "" || strings.Contains(name, ":") && !isAddress(name) || u.Host != s {
		return Host{}, fmt.Errorf("%q is not a host: expected one like %s or 10.0.0.5:8080", s, VendorHosts()[0].Name)
	}
	return Host{strings.Trim(name, "[]"), port}, nil
}

func isAddress(s string) bool {
	_, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return err == nil
}

func (h Host) String() string {
	if h.Port == "" {
		return h.Name
	}
	return net.JoinHostPort(h.Name, h.Port)
}

func (h Host) admits(u *url.URL) bool {
	return strings.EqualFold(u.Hostname(), h.Name) && (u.Port() == h.Port || h.Port == "" && u.Port() == map[string]string{"http": "80", "https": "443"}[u.Scheme])
}

// allowed parses an offered URL; the error says why it is not allowed.
func (l *Library) allowed(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || len(address) > 2000:
		return nil, errors.New("invalid URL of the image") // it may be anything: the dragon said it
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%.20q addresses are %w", u.Scheme, ErrNotAllowed)
	case u.User != nil:
		return nil, fmt.Errorf("an address with a login is %w", ErrNotAllowed)
	case !slices.ContainsFunc(l.sources.Load().allowed, func(h Host) bool { return h.admits(u) }):
		return nil, fmt.Errorf("host %.100q is %w (--firmware.allowed-hosts, or firmware.allowed_hosts in the file)", u.Host, ErrNotAllowed)
	}
	u.Fragment = ""
	return u, nil
}

// dialer connects to allowed hosts only. A vendor's host must resolve to a public address;
// a host that the operator names may have any.
func (l *Library) dialer(ctx context.Context, network, address string) (net.Conn, error) {
	name, _, _ := net.SplitHostPort(address)
	d := net.Dialer{Timeout: 15 * time.Second}
	if slices.ContainsFunc(VendorHosts(), func(h Host) bool { return strings.EqualFold(h.Name, name) }) {
		d.Control = func(_, address string, _ syscall.RawConn) error {
			if a, err := netip.ParseAddrPort(address); err != nil || !public(a.Addr()) {
				return fmt.Errorf("%s has the address %s, which is not public: %w", name, address, ErrNotAllowed)
			}
			return nil
		}
	}
	return d.DialContext(ctx, network, address)
}

// notPublic are the non-public networks that netip does not know.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"),
}

func public(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsGlobalUnicast() && !a.IsPrivate() && !slices.ContainsFunc(notPublic, func(p netip.Prefix) bool { return p.Contains(a) })
}
