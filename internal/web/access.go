package web

import (
	"errors"
	"net"
	"net/http"
	"net/netip"

	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
)

// mayChange says why the client of r may change nothing; nil: it may.
//
// A login counts if the server checked it. Without one, only a client on this machine may
// change something, unless the operator has opened the API to all.
func (a *api) mayChange(r *http.Request) *ErrorAnswer {
	if !a.Admin {
		return &ErrorAnswer{
			Error: "this address takes no requests that change something",
			Try:   "mother-of-dragons healer on the machine itself, or start the program with --web.enable-admin-api",
		}
	}
	if _, login := loginOf(r); a.Socket || a.WithoutLogin || login || onThisMachine(r) {
		return nil
	}
	return &ErrorAnswer{
		Error: "without a login, changes are taken from this machine only",
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
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && local.Network() == "unix" {
		return true
	}
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && remote.Addr().Unmap().IsLoopback()
}

// sign puts a name to a request: that of the login, else the one that it gives. Who may
// use the socket is said by its mode; over the network a name without a login is unverified.
func (a *api) sign(q *request, r *http.Request) error {
	if user, ok := loginOf(r); ok {
		q.Owner = user
		return nil
	}
	if q.Owner == "" {
		return errors.New("it needs an owner")
	}
	if !a.Socket {
		q.Owner = agent.Unverified + q.Owner
	}
	return nil
}
