//go:build !linux

package agent

import (
	"crypto/rand"
	"time"
)

// HostClock reads the clocks of this host, as far as Go gives them everywhere. Each
// process counts as a boot of the host, and the wall clock as not kept.
type HostClock struct {
	boot  string
	start time.Time
}

// NewHostClock returns a HostClock.
func NewHostClock() *HostClock { return &HostClock{boot: rand.Text(), start: time.Now()} }

// Now reads the wall clock, and the time since the process started.
func (c *HostClock) Now() Instant {
	return Instant{Wall: time.Now().Round(0), Mono: time.Since(c.start), BootID: c.boot}
}

// Synced reports false.
func (c *HostClock) Synced() bool { return false }
