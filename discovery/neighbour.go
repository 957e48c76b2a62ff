package discovery

import (
	"bufio"
	"io"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// kernelTable is the neighbour table as it was read last.
var kernelTable struct {
	sync.Mutex
	macs map[netip.Addr]string
	at   time.Time
}

// How long a table that was read will do: ten thousand dragons may log in at once. An address that it
// does not have may come at any moment.
const (
	tableHolds = time.Second
	tableLacks = tableHolds / 10
)

// Neighbour returns the MAC that the kernel has for a host (address, or address:port) on an
// attached network, empty if it has none. It is a hint only: every host on the network can
// claim any MAC.
func Neighbour(host string) string {
	a := endpoint(host).Addr()
	if !a.IsValid() {
		return ""
	}
	t := &kernelTable
	t.Lock()
	defer t.Unlock()
	if age := time.Since(t.at); age >= 0 && (age < tableLacks || t.macs[a] != "" && age < tableHolds) {
		return t.macs[a]
	}
	f, err := os.Open("/proc/net/arp") // Linux; nowhere else is there a hint
	if err != nil {
		return ""
	}
	defer f.Close()
	t.macs, t.at = neighboursIn(f), time.Now()
	return t.macs[a]
}

func neighboursIn(table io.Reader) map[netip.Addr]string {
	macs := make(map[netip.Addr]string)
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		// IP address, HW type, flags, HW address, mask, device
		f := strings.Fields(lines.Text())
		if len(f) < 4 {
			continue
		}
		a, err := netip.ParseAddr(f[0])
		if mac, ok := dragon.ParseMAC(f[3]); err == nil && ok && dragon.UsableMAC(mac) {
			macs[a] = mac
		}
	}
	return macs
}
