package healer

import "time"

// Instant is one reading of the host's clocks.
type Instant struct {
	Wall   time.Time     // for people, windows, and the time between two boots of the host
	Mono   time.Duration // since the host booted; counts while the host sleeps (CLOCK_BOOTTIME)
	BootID string        // tells one boot of the host from another
}

// Moment is a point on the healer's own line of time. It advances with the host's
// monotonic clock, and between two boots of the host by the wall clock once that is
// trusted. So a jump of the wall clock neither refills a budget nor ends a hold, and
// nothing remembered lies in the future.
type Moment time.Duration

// Add returns the moment d later.
func (m Moment) Add(d time.Duration) Moment { return m + Moment(d) }

// Since returns how long before m the moment earlier was, and never less than zero:
// a record that claims to come from the future counts as made now.
func (m Moment) Since(earlier Moment) time.Duration { return max(0, time.Duration(m-earlier)) }

// Anchor ties the healer's line of time to the host's clocks. It survives a restart.
type Anchor struct {
	Moment Moment        `json:"moment"`
	Wall   time.Time     `json:"wall"`
	Mono   time.Duration `json:"mono"`
	BootID string        `json:"boot_id"`
	Synced bool          `json:"synced,omitempty"` // NTP had set Wall: else nothing can be computed from it
	Jumped bool          `json:"jumped,omitempty"` // nor where it has jumped since, in this boot of the host
}

const (
	jumpTolerance = 30 * time.Second // of wall against monotonic clock, between two cycles
	trustAfter    = 15 * time.Minute // alive, without NTP, with a wall clock that did not go back
	anchorEvery   = 30 * time.Minute // rarely, to spare memory cards
)

// timeline is the running side of the healer's time.
type timeline struct {
	started bool
	last    Instant
	moment  Moment
	alive   time.Duration // of this process, by the monotonic clock
	// gap is how long the host was off by the wall clock. It counts if NTP
	// had set the clock before, and has set it again before the healer may act.
	gapFrom   time.Time
	gapOpen   bool
	trusted   bool
	synced    bool
	jumped    bool // a clock that NTP had set
	jumps     int
	lastJump  time.Duration // alive when it was seen; meaningful if jumps > 0
	credited  bool          // in this very advance: everything running is stale
	storedMax time.Time     // the newest wall time that the store holds
}

// advance moves the line of time to now. synced says that NTP has set the wall clock.
func (t *timeline) advance(a Anchor, now Instant, synced bool) {
	t.credited = false
	if !t.started {
		t.started = true
		t.moment = a.Moment
		t.storedMax = a.Wall
		if a.Wall.IsZero() { // what a store that begins now is given first
			t.storedMax = now.Wall
		}
		t.last = Instant{Wall: a.Wall, Mono: a.Mono, BootID: a.BootID}
		if a.BootID != now.BootID || now.Mono < a.Mono {
			t.gapOpen, t.gapFrom = !a.Wall.IsZero() && a.Synced && !a.Jumped, a.Wall
			t.last = now
		} else {
			t.synced, t.jumped = a.Synced, a.Jumped
		}
		// Time that passed while this process was not there is not time it was alive.
		t.alive -= max(0, now.Mono-t.last.Mono)
	}
	passed := max(0, now.Mono-t.last.Mono)
	if jump := now.Wall.Sub(t.last.Wall) - passed; jump.Abs() > jumpTolerance {
		t.jumps++
		t.lastJump = t.alive + passed
		t.jumped = t.jumped || t.synced
	}
	t.moment = t.moment.Add(passed)
	t.alive += passed
	t.last = now

	t.synced = synced
	t.trusted = synced || t.alive >= trustAfter && !now.Wall.Before(t.storedMax)
	// A clock that NTP has not set may claim any gap: until it has, only the time that this
	// process was alive counts. Once it may act without NTP the gap never counts: it would
	// age what was done since.
	if t.trusted && t.gapOpen {
		t.gapOpen = false
		if off := now.Wall.Sub(t.gapFrom) - t.alive; synced && off > 0 {
			t.moment = t.moment.Add(off)
			t.credited = true
		}
	}
}

// countFromHere is for what lasts a certain time from now on: a gap that is not counted yet
// would age it, so it never counts.
func (t *timeline) countFromHere() { t.gapOpen = false }

// at gives the moment of a monotonic reading of the same boot, never later than now.
func (t *timeline) at(mono time.Duration) Moment {
	return t.moment - Moment(max(0, t.last.Mono-mono))
}

// wall gives the time of day of a moment, as the wall clock sees it now.
func (t *timeline) wall(m Moment) time.Time { return t.last.Wall.Add(time.Duration(m - t.moment)) }

// jumpPause is how long the pause after a clock jump still lasts.
func (t *timeline) jumpPause(pause time.Duration) time.Duration {
	if t.jumps == 0 {
		return 0
	}
	return max(0, pause-(t.alive-t.lastJump))
}
