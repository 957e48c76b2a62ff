package dragontest

import (
	"net/netip"
	"time"
)

func (n Network) object() object {
	dns := [2]string{}
	copy(dns[:], n.DNS)
	return object{"dhcp", n.DHCP, "ipaddress", n.IPAddress, "netmask", n.Netmask, "gateway", n.Gateway, "dns1", dns[0], "dns2", dns[1]}
}

func (d *Dragon) networkSettings(out *reply, a *request) {
	out.object(append(a.state.network.object(), "success", true)...)
}

// updateNetwork restarts the network inside the request. Where the address becomes
// another one the answer never arrives; the simulation lets the dragon stay where it
// is, see Fleet.Move. A DNS server must be given twice as dns[]: PHP sees only the
// first character of a string.
func (d *Dragon) updateNetwork(out *reply, a *request) {
	next := Network{DHCP: a.form.Get("dhcp")}
	switch next.DHCP {
	case "dhcp":
		next = d.state.network
		next.DHCP = "dhcp"
	case "static":
		next.IPAddress = a.form.Get("ipaddress")
		next.Netmask = a.form.Get("netmask")
		next.Gateway = a.form.Get("gateway")
		next.DNS = a.form["dns[]"]
		nameserver := func(i int) string {
			if i < len(next.DNS) {
				return next.DNS[i]
			}
			return ""
		}
		// The blanks at the ends are the device's.
		for _, check := range []struct{ value, message string }{
			{next.IPAddress, "invalid ip address"},
			{next.Netmask, "invalid netmask "},
			{next.Gateway, "invalid gateway "},
			{nameserver(0), "invalid dns 1 "},
			{nameserver(1), "invalid dns 2 "},
		} {
			if ip, err := netip.ParseAddr(check.value); err != nil || !ip.Is4() {
				out.failure(check.message)
				return
			}
		}
	default:
		out.failure("invalid dhcp setting")
		return
	}
	out.drop = next.IPAddress != d.state.network.IPAddress
	out.wait = min(d.spec.OutageTime, time.Second)
	d.state.network = next
	d.state.outageUntil = a.now.Add(out.wait + d.spec.OutageTime)
	out.success()
}
