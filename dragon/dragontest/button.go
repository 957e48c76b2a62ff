package dragontest

import (
	"context"
	"net"
	"net/netip"
	"strings"
)

// PressButton presses the front button of dragon i: it sends its address and MAC to
// report and a greeting to hello, where a real one broadcasts to the UDP ports 14235 and
// 8001. Both must be on loopback. (Vendor source, dm-monitor.)
func (h *Fleet) PressButton(ctx context.Context, i int, report, hello netip.AddrPort) error {
	from := h.Host(i)
	for _, m := range []struct {
		to   netip.AddrPort
		text string
	}{
		{hello, "Hello, I'm a Miner."},
		{report, from.String() + "," + strings.ToUpper(h.Dragon(i).Spec().MAC)},
	} {
		if err := loopback(m.to.Addr()); err != nil {
			return err
		}
		dialer := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
		c, err := dialer.DialContext(ctx, "udp4", m.to.String())
		if err != nil {
			return err
		}
		_, err = c.Write([]byte(m.text))
		_ = c.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
