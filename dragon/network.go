package dragon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
)

// Network reads /api/network.
func (c *Client) Network(ctx context.Context) (*Network, error) {
	n, _, err := call(ctx, c, read("network"), nil, &networkFields)
	return n, err
}

// UpdateNetwork sets the network by /api/updateNetwork, which restarts it within the
// request: for about four seconds the dragon is gone, and after a change of address
// the answer cannot arrive. ErrUnknownOutcome is then the usual end; Ping at the new
// address tells. A static network needs an address, a netmask, a gateway within it
// and one or two resolvers; with DHCP nothing else is sent.
func (c *Client) UpdateNetwork(ctx context.Context, n Network) error {
	e := write("updateNetwork")
	if n.DHCP {
		return c.tell(ctx, e, url.Values{"dhcp": {"dhcp"}})
	}
	if err := n.validate(); err != nil {
		return c.refuse(e, "%w", err)
	}
	// The device wants two, as a form's array. One resolver is sent twice.
	first, last := n.DNS[0], n.DNS[len(n.DNS)-1]
	return c.tell(ctx, e, url.Values{
		"dhcp":      {"static"},
		"ipaddress": {n.IPAddress},
		"netmask":   {n.Netmask},
		"gateway":   {n.Gateway},
		"dns[]":     {first, last},
	})
}

// validate rejects settings that would disconnect the dragon.
func (n Network) validate() error {
	address, err := parseIPv4("ip address", n.IPAddress)
	if err != nil {
		return err
	}
	mask, err := parseIPv4("netmask", n.Netmask)
	if err != nil {
		return err
	}
	gateway, err := parseIPv4("gateway", n.Gateway)
	if err != nil {
		return err
	}
	bits, _ := net.IPMask(mask.AsSlice()).Size() // 0: no mask
	if bits == 0 || bits > 30 {
		return fmt.Errorf("invalid netmask %s", n.Netmask)
	}
	subnet := netip.PrefixFrom(address, bits).Masked()
	switch {
	case !subnet.Contains(gateway):
		return fmt.Errorf("the gateway %s is not in the network %s", n.Gateway, subnet)
	case gateway == address:
		return errors.New("the gateway is the dragon's own address")
	case address == subnet.Addr():
		return fmt.Errorf("%s is the address of the network", n.IPAddress)
	case !subnet.Contains(address.Next()):
		return fmt.Errorf("%s is the broadcast address", n.IPAddress)
	case len(n.DNS) == 0 || len(n.DNS) > 2:
		return fmt.Errorf("%d resolvers: one or two are needed", len(n.DNS))
	}
	for _, dns := range n.DNS {
		if _, err := parseIPv4("resolver", dns); err != nil {
			return err
		}
	}
	return nil
}

func parseIPv4(what, s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is4() || a.IsUnspecified() {
		return a, fmt.Errorf("invalid %s %q", what, s)
	}
	return a, nil
}
