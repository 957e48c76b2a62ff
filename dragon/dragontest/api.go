package dragontest

import (
	"net/http"
)

// route is one endpoint of the API.
type route struct {
	serve func(*Dragon, *reply, *request)
	since int  // the API generation that has it first
	guest bool // may be called by guest
	write bool // changes something
}

// routeOf knows the endpoints, exactly as they are spelled.
func routeOf(name string, api int) (route, bool) {
	var r route
	switch name {
	case "summary":
		r = route{serve: (*Dragon).summary, guest: true}
	case "overview":
		r = route{serve: (*Dragon).overview, guest: true}
	case "pools":
		r = route{serve: (*Dragon).configuredPools, guest: true}
	case "network":
		r = route{serve: (*Dragon).networkSettings, guest: true}
	case "type":
		r = route{serve: (*Dragon).typeOf, guest: true}
	case "ping":
		r = route{serve: func(_ *Dragon, out *reply, _ *request) { out.success() }, guest: true}
	default:
		return r, false
	}
	return r, api >= r.since
}

// route answers a request: first the token is looked at, before anything else and
// also when somebody logs in, then the endpoint. The caller holds d.mu.
func (d *Dragon) route(out *reply, a *request, r *http.Request) {
	a.who = d.caller(r, a.deviceNow)
	if a.who == stale {
		d.traffic.stale++
		out.raw(tokenExpired)
		return
	}
	if a.endpoint == "auth" {
		d.login(&out.php, a)
		return
	}
	to, ok := routeOf(a.endpoint, d.model.api)
	if !ok || a.who == nobody || a.who == guest && !to.guest {
		out.raw(invalidRequest)
		return
	}
	if to.write {
		d.writes = append(d.writes, Write{At: a.now, Endpoint: a.endpoint, Form: a.form})
	}
	to.serve(d, out, a)
}

func (d *Dragon) typeOf(out *reply, _ *request) {
	out.open()
	out.boolField("success", true)
	out.strField("type", d.model.Type)
	out.close()
}
