package dragontest

import "net/http"

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
		r = route{serve: (*Dragon).ping, guest: true}
	case "stats":
		r = route{serve: (*Dragon).stats, guest: true}
	case "getHashRates":
		r = route{serve: (*Dragon).getHashRates, guest: true}
	case "getDebugStats":
		r = route{serve: (*Dragon).getDebugStats, guest: true}
	case "getAutoTune":
		r = route{serve: (*Dragon).getAutoTune}
	case "getAutoTuneStatus":
		r = route{serve: (*Dragon).getAutoTuneStatus, guest: api >= inno2018}
	case "getLatestFirmwareVersion":
		r = route{serve: (*Dragon).getLatestFirmwareVersion}
	case "getLogs":
		r = route{serve: (*Dragon).getLogs}

	case "updatePools":
		r = route{serve: (*Dragon).updatePools, write: true}
	case "updatePassword":
		r = route{serve: (*Dragon).updatePassword, write: true}
	case "updateNetwork":
		r = route{serve: (*Dragon).updateNetwork, write: true}
	case "setAutoTune":
		r = route{serve: (*Dragon).setAutoTune, write: true}
	case "restartCgMiner":
		r = route{serve: (*Dragon).restartCgMiner, write: true}
	case "reboot":
		r = route{serve: (*Dragon).reboot, write: true}
	case "poweroff":
		r = route{serve: (*Dragon).poweroff, write: true}
	case "factoryReset":
		r = route{serve: (*Dragon).factoryReset, write: true}

	case "unit":
		r = route{serve: (*Dragon).unit, since: inno2018, guest: true}
	case "SetMonitor":
		r = route{serve: (*Dragon).setMonitor, since: inno2018, write: true}
	case "getErrorMessage":
		r = route{serve: (*Dragon).getErrorMessage, since: inno2018}
	case "getFreqVol":
		r = route{serve: (*Dragon).getFreqVol, since: inno2018}
	case "getLockState":
		r = route{serve: (*Dragon).getLockState, since: inno2018b}
	case "getDNA":
		r = route{serve: (*Dragon).getDNA, since: inno2018b}
	case "getRuntimePools":
		r = route{serve: (*Dragon).runtimePools, since: inno2018b, guest: true}
	case "getAll":
		r = route{serve: (*Dragon).getAll, since: inno2018b}
	case "getErrorDetail":
		r = route{serve: (*Dragon).getErrorDetail, since: inno2020}
	default:
		return r, false
	}
	return r, api >= r.since
}

// route answers a request: first the token is looked at, before anything else and
// also when someone logs in, then the endpoint. The caller holds d.mu.
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
	if !ok || a.who == stranger || a.who == guest && !to.guest {
		out.raw(invalidRequest)
		return
	}
	if to.write {
		// What is written takes effect now, also behind answers that are frozen.
		a.now, a.state = d.state.at, &d.state
		d.writes = append(d.writes, Write{At: a.now, Endpoint: a.endpoint, Form: a.form})
	}
	to.serve(d, out, a)
}

func (d *Dragon) ping(out *reply, _ *request) { out.success() }

func (d *Dragon) typeOf(out *reply, _ *request) {
	out.open()
	out.boolField("success", true)
	out.strField("type", d.model.Type)
	out.close()
}
