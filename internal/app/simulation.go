package app

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// healerClock returns the host's clock, or a faster one for a simulation.
func healerClock(c *config.Config, dragons *fleet.Fleet) (agent.Clock, error) {
	if c.SimulationSpeed == 1 {
		return agent.NewHostClock(), nil
	}
	return newSimulatedClock(c.SimulationSpeed), onlyLoopback(c, dragons)
}

// simulatedClock runs faster than the host's. Each process counts as a boot of its own,
// since its time cannot be compared with that of another process.
type simulatedClock struct {
	host  *agent.HostClock
	start healer.Instant
	speed float64
}

func newSimulatedClock(speed float64) *simulatedClock {
	host := agent.NewHostClock()
	return &simulatedClock{host, host.Now(), speed}
}

func (c *simulatedClock) Now() healer.Instant {
	now := c.host.Now()
	passed := time.Duration(float64(now.Mono-c.start.Mono) * c.speed)
	return healer.Instant{
		Wall: c.start.Wall.Add(passed), Mono: c.start.Mono + passed,
		BootID: fmt.Sprintf("simulation-%d-%d", os.Getpid(), c.start.Wall.UnixNano()),
	}
}

// Synced reports true: there is no other source for this time.
func (c *simulatedClock) Synced() bool { return true }

// Speed returns how many times faster than the host's clock it runs.
func (c *simulatedClock) Speed() float64 { return c.speed }

// ErrNotSimulated says that a simulation could reach a real dragon.
var ErrNotSimulated = errors.New("--simulation.speed is for simulated dragons: every network and every dragon must be in 127.0.0.0/8")

// onlyLoopback refuses a configuration or an inventory with addresses outside loopback.
func onlyLoopback(c *config.Config, dragons *fleet.Fleet) error {
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	for _, n := range c.Searched() {
		if !loopback.Contains(n.First) || !loopback.Contains(n.Last) {
			return fmt.Errorf("%w, and %s is not", ErrNotSimulated, n)
		}
	}
	if g := c.Healing.Policy().Causes.Gateway; g != "" && !loopback.Contains(netip.MustParseAddrPort(g).Addr().Unmap()) {
		return fmt.Errorf("%w, and so must healing.causes.gateway: %s is not", ErrNotSimulated, g)
	}
	check := func(target string) error {
		host := target
		if h, _, err := net.SplitHostPort(target); err == nil {
			host = h
		}
		if a, err := netip.ParseAddr(host); err != nil || !loopback.Contains(a.Unmap()) {
			return fmt.Errorf("%w, and %s is not", ErrNotSimulated, target)
		}
		return nil
	}
	for _, t := range c.Targets() {
		if err := check(t.Name); err != nil {
			return err
		}
	}
	for _, d := range dragons.Dragons() {
		if err := check(d.Info().Address); err != nil {
			return fmt.Errorf("the inventory in %s: %w", c.DataDir, err)
		}
	}
	return nil
}
