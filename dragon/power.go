package dragon

import "context"

// Reboot reboots the dragon by /api/reboot. The device answers after four seconds, if it
// still can: ErrUnknownOutcome is the usual end. All its tokens expire.
func (c *Client) Reboot(ctx context.Context) error { return c.tell(ctx, write("reboot"), nil) }

// PowerOff shuts the dragon down by /api/poweroff. Only a power cycle brings it back.
func (c *Client) PowerOff(ctx context.Context) error { return c.tell(ctx, write("poweroff"), nil) }

// FactoryReset deletes the configuration by /api/factoryReset and reboots. Passwords
// and network are the factory's afterwards, and the dragon mines at its vendor's pools,
// for its vendor.
func (c *Client) FactoryReset(ctx context.Context) error {
	return c.tell(ctx, write("factoryReset"), nil)
}

// RestartCgMiner restarts the miner process by /api/restartCgMiner. It answers at
// once; Summary then fails with ErrNotReady until the process is up.
func (c *Client) RestartCgMiner(ctx context.Context) error {
	return c.tell(ctx, write("restartCgMiner"), nil)
}
