package discovery

import (
	"bufio"
	"io"
	"net/netip"
	"os"
	"strings"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// Neighbour returns the MAC that the kernel has for an address on an attached network,
// empty if it has none. It is a hint only: every host on the network can claim any MAC.
func Neighbour(a netip.Addr) string {
	f, err := os.Open("/proc/net/arp") // Linux; nowhere else is there a hint
	if err != nil {
		return ""
	}
	defer f.Close()
	return neighbourIn(f, a)
}

func neighbourIn(table io.Reader, a netip.Addr) string {
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		// IP address, HW type, flags, HW address, mask, device
		if f := strings.Fields(lines.Text()); len(f) >= 4 && f[0] == a.String() {
			if mac, ok := dragon.ParseMAC(f[3]); ok && dragon.UsableMAC(mac) {
				return mac
			}
		}
	}
	return ""
}
