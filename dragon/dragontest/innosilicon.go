package dragontest

import "cmp"

// setMonitor switches the red light. The monitor's answer is not PHP's: success is
// a string, with a blank before it, and without a parameter there is no answer at all.
func (d *Dragon) setMonitor(out *reply, a *request) {
	switch light := a.form.Get("red_light"); light {
	case "on", "off":
		d.state.redLight = light == "on"
		out.raw(`{"success": "true"}`)
	}
}

// SetError writes the device's error file: code "0" is not an error, an empty code an
// empty file, which getErrorMessage answers with nothing.
func (d *Dragon) SetError(code, text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.advance()
	d.state.errorCode, d.state.errorText = code, text
}

func (d *Dragon) getErrorMessage(out *reply, a *request) {
	out.contentType = "text/html" // no type set: PHP's default
	if a.state.errorCode == "" {
		return
	}
	out.success("code", a.state.errorCode, "errmsg", a.state.errorText)
}

// getErrorDetail has this form in the source of the 2020 user interface.
func (d *Dragon) getErrorDetail(out *reply, a *request) {
	text := a.state.errorText
	out.success("code", cmp.Or(a.state.errorCode, "0"), "detail", object{"msg", text, "description", text, "analysis", ""})
}

func (d *Dragon) getLockState(out *reply, _ *request) {
	status := "0"
	if d.spec.Locked {
		status = "1"
	}
	out.success("status", status)
}

func (d *Dragon) dna() string {
	h := mix(d.spec.Seed + 77)
	const hex = "0123456789abcdef"
	b := make([]byte, 16)
	for i := range b {
		b[i] = hex[h>>(4*i)&15]
	}
	return string(b)
}

// What a dragon draws at its model's hash rate and without any, in watts: figures of the
// simulation, of no machine.
const (
	fullPower = 2200.0
	idlePower = 60.0
)

// getAll is everything in one answer. The active pool comes first; where none is
// active an empty element stands in its place; without the miner process there are
// no pools and no chains, and success is still true.
func (d *Dragon) getAll(out *reply, a *request) {
	s := a.state
	total, duty := 0.0, 0
	chain, pools := list{}, list{}
	if d.ready(s, a.now) {
		for _, i := range d.listed(s) {
			rate := d.hashRate(a, i) * d.model.Factor
			total += rate
			duty = max(duty, d.fanDuty(s, i))
			chain = append(chain, append(append(object{"Average Temp", decimal{d.temperature(a, i), 2}}, d.scaledRate(rate)...),
				"Hash Rate H", decimal{rate, 2}, "ASC", i, "Temp max", decimal{d.temperature(a, i) + 6, 1}))
		}
		active := d.activePool(s)
		pools = append(pools, list{})
		for i, p := range s.pools {
			shown := object{"url", p.URL, "user", d.label(a.endpoint, p.User), "password", p.Password}
			if i == active {
				pools[0] = shown
			} else {
				pools = append(pools, shown)
			}
		}
	}
	all := object{"type", d.model.Type, "chain", chain, "fansSpeed", duty, "total_hash", append(d.scaledRate(total), "Hash Rate H", decimal{total, 2})}
	if d.model.api >= inno2020 {
		all = append(all, "power", int64(idlePower+(fullPower-idlePower)*total/d.model.Hashrate))
	}
	out.success("all", append(all, "mac", d.spec.MAC, "hwver", d.model.HWVersion, "platform", s.firmware, "uptime", d.uptimeText(a),
		"network", s.network.object(), "running_mode", object{"mode", s.autotune.Mode, "level", s.autotune.Level}, "dna", d.dna(), "pools", pools))
}
