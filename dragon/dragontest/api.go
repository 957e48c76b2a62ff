package dragontest

import "net/http"

type route struct {
	serve func(*Dragon, *reply, *request)
	since int  // the API generation that has it first
	guest bool // may be called by guest
	write bool // changes something
}

// routes are the endpoints, exactly as they are spelled.
var routes = map[string]route{
	"summary":                  {serve: (*Dragon).summary, guest: true},
	"overview":                 {serve: (*Dragon).overview, guest: true},
	"pools":                    {serve: (*Dragon).configuredPools, guest: true},
	"network":                  {serve: (*Dragon).networkSettings, guest: true},
	"type":                     {serve: func(d *Dragon, out *reply, _ *request) { out.success("type", d.model.Type) }, guest: true},
	"ping":                     {serve: func(_ *Dragon, out *reply, _ *request) { out.success() }, guest: true},
	"stats":                    {serve: (*Dragon).stats, guest: true},
	"getHashRates":             {serve: (*Dragon).getHashRates, guest: true},
	"getDebugStats":            {serve: (*Dragon).getDebugStats, guest: true},
	"getAutoTune":              {serve: (*Dragon).getAutoTune},
	"getAutoTuneStatus":        {serve: (*Dragon).getAutoTuneStatus}, // on Innosilicon also for guest
	"getLatestFirmwareVersion": {serve: (*Dragon).getLatestFirmwareVersion},
	"getLogs":                  {serve: (*Dragon).getLogs},

	"updatePools":    {serve: (*Dragon).updatePools, write: true},
	"updatePassword": {serve: (*Dragon).updatePassword, write: true},
	"updateNetwork":  {serve: (*Dragon).updateNetwork, write: true},
	"setAutoTune":    {serve: (*Dragon).setAutoTune, write: true},
	"restartCgMiner": {serve: (*Dragon).restartCgMiner, write: true},
	"reboot":         {serve: func(d *Dragon, out *reply, a *request) { d.goingDown(out, a, reboots) }, write: true},
	"poweroff":       {serve: func(d *Dragon, out *reply, a *request) { d.goingDown(out, a, powersOff) }, write: true},
	"factoryReset":   {serve: (*Dragon).factoryReset, write: true},

	"unit":            {serve: func(d *Dragon, out *reply, _ *request) { out.success("unit", d.model.Unit) }, since: inno2018, guest: true},
	"SetMonitor":      {serve: (*Dragon).setMonitor, since: inno2018, write: true},
	"getErrorMessage": {serve: (*Dragon).getErrorMessage, since: inno2018},
	"getFreqVol":      {serve: func(_ *Dragon, out *reply, _ *request) { out.success("freq", "1332", "vol", "414") }, since: inno2018},
	"getLockState":    {serve: (*Dragon).getLockState, since: inno2018b},
	"getDNA":          {serve: func(d *Dragon, out *reply, _ *request) { out.success("dna", d.dna()) }, since: inno2018b},
	"getRuntimePools": {serve: (*Dragon).runtimePools, since: inno2018b, guest: true},
	"getAll":          {serve: (*Dragon).getAll, since: inno2018b},
	"getErrorDetail":  {serve: (*Dragon).getErrorDetail, since: inno2020},
}

// route answers a request: first the token is looked at, before anything else and
// also when someone logs in, then the endpoint. The caller holds d.mu.
func (d *Dragon) route(out *reply, a *request, r *http.Request) {
	a.who = d.caller(r, a.deviceNow)
	if a.who == stale {
		d.traffic.Stale++
		out.raw(tokenExpired)
		return
	}
	if a.endpoint == "auth" {
		d.login(&out.php, a)
		return
	}
	to, ok := routes[a.endpoint]
	guests := to.guest || a.endpoint == "getAutoTuneStatus" && d.model.innosilicon()
	if !ok || d.model.api < to.since || a.who == stranger || a.who == guest && !guests {
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
