package web

import (
	"errors"
	"net"
	"net/http"
	"net/netip"

	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
)

// mayChange returns nil if the client of r may change something, else the refusal.
//
// A login counts if the server checked it. Without one, only a client on this machine may
// change something, unless the operator has opened the API to all.
func (a *api) mayChange(r *http.Request) *ErrorAnswer {
	if !a.Admin {
		return &ErrorAnswer{
			Error: "changes are disabled on this address",
			Try:   "mother-of-dragons healer on the machine itself, or start the program with --web.enable-admin-api",
		}
	}
	if _, login := loginOf(r); a.Socket || a.WithoutLogin || login || onThisMachine(r) {
		return nil
	}
	return &ErrorAnswer{
		Error: "without a login, changes are taken only from this machine, at localhost or 127.0.0.1, and through no proxy",
		Try:   "mother-of-dragons healer on the machine itself, or name users in the --web.config.file",
	}
}

// onThisMachine reports whether a request comes from this machine, and not through a
// proxy on it.
func onThisMachine(r *http.Request) bool {
	for _, header := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"} {
		if r.Header.Get(header) != "" {
			return false
		}
	}
	// HAProxy adds no header unless told to, and passes the name on. Nginx adds none either, sends
	// a name of its own, and spoke HTTP/1.0 before 1.29.7.
	if host := hostname(r.Host); !r.ProtoAtLeast(1, 1) || host != "localhost" && !isLoopback(host) {
		return false
	}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && local.Network() == "unix" {
		return true
	}
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && remote.Addr().Unmap().IsLoopback()
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// sign sets the owner of a request: the user of the login, else the name in the request. A
// name without a login is unverified, except on the socket, whose mode controls access.
func (a *api) sign(q *Request, r *http.Request) error {
	if user, ok := loginOf(r); ok {
		q.Owner = user
		return nil
	}
	if q.Owner == "" {
		return errors.New("owner is missing")
	}
	if !a.Socket {
		q.Owner = agent.Unverified + q.Owner
	}
	return nil
}
