package dragontest

import (
	"fmt"
	"strings"
	"time"
)

// overview answers also while the miner process does not.
func (d *Dragon) overview(out *reply, a *request) {
	s := a.state
	// The figures of a board with 250 MB whose cache fills up.
	const total = 250564
	used := int64(60000 + 20000*(0.5+0.5*d.noise(uint64(a.now.Unix()/60), 7)))
	cached := int64(41000 + 2000*d.noise(uint64(a.now.Unix()/60), 8))
	var hardware any = object{
		"status", d.uptimeText(a), "memUsed", used, "memFree", total - used, "memTotal", total, "cacheUsed", cached,
		"cacheFree", total - used + cached, "cacheTotal", total - used + 2*cached,
	}
	if out.arrays {
		hardware = list{}
	}
	out.success("type", d.model.Type, "hardware", hardware, "network", s.network.object(), "version", object{
		"hwver", d.label(a.endpoint, d.model.HWVersion), "ethaddr", d.spec.MAC, "build_date", buildDate(s.firmware),
		"platform_v", d.label(a.endpoint, s.firmware),
	})
}

// uptimeText is busybox's uptime line.
func (d *Dragon) uptimeText(a *request) string {
	up := int(a.now.Sub(a.state.bootedAt) / time.Minute)
	days, hours, minutes := up/(24*60), up/60%24, up%60
	var b strings.Builder
	b.WriteString(a.deviceNow.Format("15:04:05") + " up ")
	if days != 0 {
		s := "s"
		if days == 1 {
			s = ""
		}
		fmt.Fprintf(&b, "%d day%s, ", days, s)
	}
	if hours != 0 {
		fmt.Fprintf(&b, "%2d:%02d", hours, minutes)
	} else {
		fmt.Fprintf(&b, "%d min", minutes)
	}
	load := func(k uint64) float64 { return 0.1 + 0.09*d.noise(uint64(a.now.Unix()/15), k) }
	fmt.Fprintf(&b, ",  load average: %.2f, %.2f, %.2f", load(9), load(10), load(11))
	return b.String()
}

// label is a text that a fault may have spoilt.
func (d *Dragon) label(endpoint, s string) string {
	if d.onEndpoint(HostileLabels, endpoint) != nil {
		return s + "\"}\n{a=\"b\\\",} 1\r\n# HELP |@:" + strings.Repeat("A", 8<<10)
	}
	if d.onEndpoint(InvalidUTF8, endpoint) != nil {
		return s + "\xff\xc3(\xed\xa0\x80"
	}
	return s
}
