package agent

import (
	"crypto/rand"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// HostClock reads the clocks of this host.
type HostClock struct {
	boot  string
	start time.Time
}

// NewHostClock returns a HostClock.
func NewHostClock() *HostClock {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	c := &HostClock{boot: strings.TrimSpace(string(boot)), start: time.Now()}
	if err != nil || c.boot == "" {
		c.boot = rand.Text()
	}
	return c
}

// Now reads the wall clock and the one that counts since the host booted, also while
// it sleeps.
func (c *HostClock) Now() healer.Instant {
	i := healer.Instant{Wall: time.Now().Round(0), Mono: time.Since(c.start), BootID: c.boot}
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) == nil {
		i.Mono = time.Duration(t.Nano())
	}
	return i
}

// Synced reports whether the kernel says that NTP, or the like, keeps its
// clock right. In a container that may not ask, it reports false.
func (c *HostClock) Synced() bool {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	return err == nil && state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0
}
