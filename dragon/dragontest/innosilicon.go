package dragontest

// unit is what the hash rates are counted in.
func (d *Dragon) unit(out *reply, _ *request) {
	out.open()
	out.boolField("success", true)
	out.strField("unit", d.model.Unit)
	out.close()
}

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
	out.open()
	out.boolField("success", true)
	out.strField("code", a.state.errorCode)
	out.strField("errmsg", a.state.errorText)
	out.close()
}

// getErrorDetail has this form in the source of the 2020 user interface.
func (d *Dragon) getErrorDetail(out *reply, a *request) {
	out.open()
	out.boolField("success", true)
	out.strField("code", or(a.state.errorCode, "0"))
	out.key("detail")
	out.open()
	out.strField("msg", a.state.errorText)
	out.strField("description", a.state.errorText)
	out.strField("analysis", "")
	out.close()
	out.close()
}

func (d *Dragon) getFreqVol(out *reply, _ *request) {
	out.open()
	out.boolField("success", true)
	out.strField("freq", "1332")
	out.strField("vol", "414")
	out.close()
}

func (d *Dragon) getLockState(out *reply, _ *request) {
	status := "0"
	if d.spec.Locked {
		status = "1"
	}
	out.open()
	out.boolField("success", true)
	out.strField("status", status)
	out.close()
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

func (d *Dragon) getDNA(out *reply, _ *request) {
	out.open()
	out.boolField("success", true)
	out.strField("dna", d.dna())
	out.close()
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
	ready := d.ready(s, a.now)
	out.open()
	out.boolField("success", true)
	out.key("all")
	out.open()
	out.strField("type", d.model.Type)

	total, duty := 0.0, 0
	out.key("chain")
	if !ready {
		out.raw("[]")
	} else {
		out.list(len(s.boards))
		for i := range s.boards {
			if d.boardMissing(s, i) {
				continue
			}
			rate := d.hashRate(a, i) * d.model.Factor
			total += rate
			duty = max(duty, d.fanDuty(s, i))
			out.item()
			out.open()
			out.floatField("Average Temp", d.temperature(a, i), 2)
			d.scaledRate(&out.php, rate)
			out.floatField("Hash Rate H", rate, 2)
			out.intField("ASC", int64(i))
			out.floatField("Temp max", d.temperature(a, i)+6, 1)
			out.close()
		}
		out.endList()
	}
	out.intField("fansSpeed", int64(duty))
	out.key("total_hash")
	out.open()
	d.scaledRate(&out.php, total)
	out.floatField("Hash Rate H", total, 2)
	out.close()
	if d.model.api >= inno2020 {
		out.intField("power", int64(idlePower+(fullPower-idlePower)*total/d.model.Hashrate))
	}
	out.strField("mac", d.spec.MAC)
	out.strField("hwver", d.model.HWVersion)
	out.strField("platform", s.firmware)
	out.strField("uptime", d.uptimeText(a))
	out.key("network")
	out.open()
	out.networkFields(s.network)
	out.close()
	out.key("running_mode")
	out.open()
	out.strField("mode", s.autotune.Mode)
	out.strField("level", s.autotune.Level)
	out.close()
	out.strField("dna", d.dna())

	out.key("pools")
	if !ready {
		out.raw("[]")
	} else {
		active := d.activePool(s)
		out.list(len(s.pools))
		if active < 0 {
			out.item()
			out.raw("[]")
		} else {
			out.item()
			d.getAllPool(out, a, &s.pools[active])
		}
		for i := range s.pools {
			if i != active {
				out.item()
				d.getAllPool(out, a, &s.pools[i])
			}
		}
		out.endList()
	}
	out.close()
	out.close()
}

func (d *Dragon) getAllPool(out *reply, a *request, p *pool) {
	out.open()
	out.strField("url", p.URL)
	out.strField("user", d.label(a.endpoint, p.User))
	out.strField("password", p.Password)
	out.close()
}
