package dragon

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Brand is the maker of the firmware: the title of the dragon's start page.
type Brand string

// The brands that are dragons.
const (
	DragonMint Brand = "DragonMint" // Halong; Innosilicon before 2018-05-19
	InnoMiner  Brand = "InnoMiner"  // Innosilicon 2018-05-19 to 2018-07-04
	AsicMiner  Brand = "AsicMiner"  // Innosilicon since 2018-07-04
)

// Overview is the identity and the system of a dragon: /api/overview. It answers
// also while the miner process does not.
type Overview struct {
	Answer

	Model     string // type, upper case as reported, e.g. T1, A8+; may be empty
	MAC       string // version.ethaddr, lower case without spaces; empty if unreadable
	HWVersion string // version.hwver: g19, soc, g9
	Firmware  string // version.platform_v, e.g. t1_20180515_060842
	BuildDate string // version.build_date as reported

	Network Network

	Uptime      Number // seconds since the system booted, from hardware.status
	Load1       Number
	MemoryUsed  Number // bytes
	MemoryFree  Number // bytes
	MemoryTotal Number // bytes
	CacheUsed   Number // bytes
	CacheFree   Number // bytes
	CacheTotal  Number // bytes

	Unreadable []string // as in Summary
}

// Network is a dragon's network configuration.
type Network struct {
	DHCP      bool   // dhcp == "dhcp"
	IPAddress string // ipaddress
	Netmask   string
	Gateway   string
	DNS       []string // dns1, dns2, without empty ones
}

var overviewFields = table(
	own("type", func(r *reader, o *Overview) (ok bool) {
		o.Model, ok = r.text(maxText) // very old firmware sends a number
		o.Model = upper(o.Model)
		return ok
	}).always(),
	object("hardware", &hardwareFields, func(o *Overview) *Overview { return o }).always(),
	object("network", &networkFields, func(o *Overview) *Network { return &o.Network }).always(),
	object("version", &versionFields, func(o *Overview) *Overview { return o }).always(),
)

var hardwareFields = table(
	own("status", func(r *reader, o *Overview) bool {
		line, _ := r.text(maxText)
		o.Uptime, o.Load1 = parseUptime(line)
		return o.Uptime.IsKnown()
	}).always(),
	number("memUsed", kilobytes, func(o *Overview) *Number { return &o.MemoryUsed }).always(),
	number("memFree", kilobytes, func(o *Overview) *Number { return &o.MemoryFree }).always(),
	number("memTotal", kilobytes, func(o *Overview) *Number { return &o.MemoryTotal }).always(),
	number("cacheUsed", kilobytes, func(o *Overview) *Number { return &o.CacheUsed }),
	number("cacheFree", kilobytes, func(o *Overview) *Number { return &o.CacheFree }),
	number("cacheTotal", kilobytes, func(o *Overview) *Number { return &o.CacheTotal }),
)

var networkFields = table(
	own("dhcp", func(r *reader, n *Network) bool {
		how, ok := r.text(maxText)
		n.DHCP = how == "dhcp"
		return ok && (how == "dhcp" || how == "static")
	}).always(),
	text("ipaddress", func(n *Network) *string { return &n.IPAddress }).always(),
	text("netmask", func(n *Network) *string { return &n.Netmask }),
	text("gateway", func(n *Network) *string { return &n.Gateway }),
	own("dns1", resolver),
	own("dns2", resolver),
)

func resolver(r *reader, n *Network) bool {
	dns, ok := r.text(maxText)
	if dns != "" && len(n.DNS) < 2 {
		n.DNS = append(n.DNS, dns)
	}
	return ok
}

var versionFields = table(
	own("ethaddr", func(r *reader, o *Overview) (ok bool) {
		text, _ := r.text(maxText)
		o.MAC, ok = ParseMAC(text)
		return ok
	}).always(),
	text("hwver", func(o *Overview) *string { return &o.HWVersion }),
	text("build_date", func(o *Overview) *string { return &o.BuildDate }),
	text("platform_v", func(o *Overview) *string { return &o.Firmware }).always(),
)

// Overview reads /api/overview.
func (c *Client) Overview(ctx context.Context) (*Overview, error) {
	return c.overview(ctx, read("overview"))
}

func (c *Client) overview(ctx context.Context, e endpoint) (*Overview, error) {
	o, a, err := call(ctx, c, e, nil, &overviewFields)
	if err != nil {
		return nil, err
	}
	o.Answer, o.Unreadable = a.Answer, a.unreadable
	c.setModel(o.Model)
	return o, nil
}

// KnownOverview reduces an answer of /api/overview to success and the keys that Overview
// reads: JSON of a few hundred bytes, whatever the device sent. It is nil if the answer is
// not a JSON object.
func KnownOverview(answer []byte) []byte {
	var kept knownOverview
	if _, err := readAnswer(answer, &knownFields, &kept); err != nil {
		return nil
	}
	out, err := json.Marshal(kept.values())
	if err != nil { // there is nothing in it that could fail
		return nil
	}
	return out
}

// knownOverview is a tree of scalars.
type knownOverview struct {
	of map[string]any
	in map[string]*knownOverview
}

func (k *knownOverview) values() map[string]any {
	all := make(map[string]any, len(k.of)+len(k.in))
	maps.Copy(all, k.of)
	for name, inner := range k.in {
		all[name] = inner.values()
	}
	return all
}

// knownFields are those of an overview, and success.
var knownFields = table(slices.Concat(
	keep("success"), keep(overviewFields.keys()...),
	[]field[knownOverview]{
		keepObject("hardware", table(keep(hardwareFields.keys()...)...)),
		keepObject("network", table(keep(networkFields.keys()...)...)),
		keepObject("version", table(keep(versionFields.keys()...)...)),
	})...)

// keep makes the fields of keys whose scalars are kept as the device wrote them.
func keep(keys ...string) (rows []field[knownOverview]) {
	for _, key := range keys {
		rows = append(rows, own(key, func(r *reader, k *knownOverview) bool {
			if k.of == nil {
				k.of = make(map[string]any)
			}
			switch kind, v := r.scalar(); kind {
			case '"':
				k.of[key] = clean(v, maxText)
			case '0':
				if len(v) <= maxDigits {
					k.of[key] = json.RawMessage(bytes.Clone(v))
				}
			case 't', 'f':
				k.of[key] = kind == 't'
			case 'n':
				k.of[key] = nil
			}
			return true
		}))
	}
	return rows
}

func keepObject(key string, f fields[knownOverview]) field[knownOverview] {
	return own(key, func(r *reader, k *knownOverview) bool {
		inner := &knownOverview{}
		if k.in == nil {
			k.in = make(map[string]*knownOverview)
		}
		k.in[key] = inner
		return readObject(r, key, &f, inner)
	})
}

// maxDigits bounds a number that is kept as it was written.
const maxDigits = 64

func upper(model string) string { return strings.ToUpper(strings.TrimSpace(model)) }
