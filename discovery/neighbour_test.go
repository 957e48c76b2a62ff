package discovery

import (
	"net/netip"
	"strings"
	"testing"
)

func TestNeighboursMACIsTheKernels(t *testing.T) {
	const table = `IP address       HW type     Flags       HW address            Mask     Device
192.0.2.17       0x1         0x2         A0:b0:45:00:d1:a7     *        eth0
192.0.2.18       0x1         0x0         00:00:00:00:00:00     *        eth0
short
`
	for ip, want := range map[string]string{"192.0.2.17": "a0:b0:45:00:d1:a7", "192.0.2.18": "", "192.0.2.1": ""} {
		if got := neighboursIn(strings.NewReader(table))[netip.MustParseAddr(ip)]; got != want {
			t.Errorf("%s: %q, want %q", ip, got, want)
		}
	}
}
