package dragontest

import (
	"regexp"
	"strconv"
)

// VendorPools returns the pools of a dragon after a factory reset: it works for
// its vendor until others are set.
func VendorPools() []Pool {
	return []Pool{{"stratum+tcp://vendor.example.net:3333", "vendor.worker1", "x"}}
}

// configuredPools shows what stands in cgminer.conf, passwords and all.
func (d *Dragon) configuredPools(out *reply, a *request) {
	out.plainSlashes = true
	pools := list{}
	for _, p := range a.state.configured {
		pools = append(pools, object{"url", p.URL, "user", d.label(a.endpoint, p.User), "pass", p.Password})
	}
	out.success("pools", pools)
}

// runtimePools shows what is really mined.
func (d *Dragon) runtimePools(out *reply, a *request) {
	if !d.ready(a.state, a.now) {
		out.raw(noSuccess)
		return
	}
	out.open()
	out.members("success", true)
	out.key("POOLS")
	d.poolEntries(out, a)
	out.close()
}

// poolURL is what newer firmware takes for a pool's URL: it refuses stratum+ssl,
// names of one label, IPv6 and anything without a scheme.
var poolURL = regexp.MustCompile(`^(https?|stratum\+tcp|tcp)://[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+(:[0-9]+)?(/.*)?$`)

// updatePools replaces all pools by those of the form. A slot with an empty field
// is dropped without a word, so that a request without any field, such as one with a
// JSON body, leaves no pool at all.
func (d *Dragon) updatePools(out *reply, a *request) {
	pools := []Pool{}
	for slot := 1; slot <= 3; slot++ {
		n := strconv.Itoa(slot)
		p := Pool{a.form.Get("Pool" + n), a.form.Get("UserName" + n), a.form.Get("Password" + n)}
		if phpEmpty(p.URL) || phpEmpty(p.User) || phpEmpty(p.Password) {
			continue
		}
		if d.model.api >= inno2018b && !poolURL.MatchString(p.URL) {
			out.failure("url error")
			return
		}
		pools = append(pools, p)
	}
	d.state.configured = pools
	out.wait = d.spec.RestartTime
	d.restartMiner(a.now.Add(d.spec.RestartTime))

	switch {
	case d.model.api < inno2018b:
		out.success()
	case d.spec.Locked:
		out.success("message", "lock")
	default:
		out.success("message", "nolock")
	}
}

// phpEmpty is PHP's empty() for a string.
func phpEmpty(s string) bool { return s == "" || s == "0" }
