package healer

import (
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// ReadStatus says how the last attempt to read a dragon went. The failures are named as
// in dragon_scrape_failures_total.
type ReadStatus string

// The outcomes of an attempt.
const (
	Untried     ReadStatus = ""
	Reached     ReadStatus = "ok"
	Timeout     ReadStatus = "timeout"
	Refused     ReadStatus = "refused"
	Unreachable ReadStatus = "unreachable"
	AuthFailed  ReadStatus = "auth"
	BadResponse ReadStatus = "response"
	Busy        ReadStatus = "busy"   // a write of ours holds its lane
	Budget      ReadStatus = "budget" // the scrape had no time left to ask it
	Absent      ReadStatus = "absent" // remembered, but not in the view
)

// silent reports whether nothing was heard from the dragon's address. A refused
// connection counts: a dragon whose web server is gone cannot be told from one that
// is booting.
func (r ReadStatus) silent() bool {
	return r == Timeout || r == Refused || r == Unreachable || r == Absent
}

// Who names a dragon and says where it belongs.
type Who struct {
	MAC      string `json:"mac"` // lower case with colons: the identity
	Worker   string `json:"worker"`
	Address  string `json:"address"` // host or host:port
	Model    string `json:"model,omitempty"`
	Firmware string `json:"firmware,omitempty"`
	HWVer    string `json:"hw_version,omitempty"`
	Domain   string `json:"domain,omitempty"`   // site or switch; empty: the /24 (IPv6: /64) of the address
	Profile  string `json:"profile,omitempty"`  // whose DragonPolicy applies; empty: the default
	Mode     string `json:"mode,omitempty"`     // autotune mode and level, where known: a baseline holds for one mode
	Conflict bool   `json:"conflict,omitempty"` // another dragon claims the same MAC, or it is invalid
}

// Named is what the operator says of a dragon: its name, its labels, and both in one text.
// The labels are shared and never changed.
type Named struct {
	Name   string            `json:"name,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	Place  string            `json:"place,omitempty"`
}

// HasLabel reports whether it has a label, as in rack=a12.
func (n *Named) HasLabel(label string) bool {
	name, value, _ := strings.Cut(label, "=")
	return value != "" && n.Labels[name] == value
}

// Facts is what is known of one dragon now: what the newest reading says, or that
// there was none. It is never changed once made.
type Facts struct {
	Who
	Named
	Status ReadStatus

	// At is when the reading was complete, by the monotonic clock of Instant. The
	// rest is valid only where HasSample is set. A dragon that answers, but whose
	// miner process does not (ErrNotReady), has no sample and is Reached.
	At        time.Duration
	HasSample bool

	// Pace is in how many polls the healer asks it once: more than one where its
	// answers take long. Zero counts as one.
	Pace int

	Uptime  dragon.Number // of the system, seconds, at the time of the sample
	Elapsed dragon.Number // age of the miner process, seconds; see Summary.Elapsed
	Tuning  dragon.Number
	FanDuty dragon.Number // ratio
	// MemoryFree is in bytes, and as old as the overview is.
	MemoryFree dragon.Number
	Boards     []BoardFacts // by slot
	Shown      int          // the most boards that the dragon has ever shown, also without a sample; 0: unknown
	Pools      []PoolFacts  // by index

	Desired    *DesiredState // nil: none
	Configured *Configured   // nil: it has not said

	Unreadable  []string      // fields that made no sense or were missing
	ClockOffset dragon.Number // seconds that the device's clock is ahead of ours
}

// BoardFacts is one hash board in a sample.
type BoardFacts struct {
	Slot        int
	Status      string
	Temperature dragon.Number // °C; unknown where the device gives no credible number
	Hashes      dragon.Number // Total MH, in hashes, since the miner process started
	Elapsed     dragon.Number // Device Elapsed, seconds
	Accepted    dragon.Number
	Errors      dragon.Number // hardware errors, since the miner process started
}

func (b *BoardFacts) dead() bool { return b.Status == "Dead" }

// PoolFacts is one pool in a sample.
type PoolFacts struct {
	URL      string
	User     string
	Status   string
	Active   bool
	Works    dragon.Number
	Accepted dragon.Number
}

func (p *PoolFacts) alive() bool { return p.Status == "Alive" }

// FactsOf makes facts of a reading that was complete at the monotonic time at.
// Summary and Overview are nil where the dragon did not give them. An overview may be
// minutes older than the summary; without a summary its uptime is taken as it is.
func FactsOf(who Who, reach ReadStatus, s *dragon.Summary, o *dragon.Overview, at time.Duration) Facts {
	f := Facts{Who: who, Status: reach, At: at}
	if f.Domain == "" {
		f.Domain = DomainOf(f.Address)
	}
	if s == nil || reach != Reached {
		if o != nil && reach == Reached {
			f.Uptime, f.MemoryFree = sane(o.Uptime), sane(o.MemoryFree)
		}
		return f
	}
	f.HasSample = true
	f.Elapsed, f.Tuning, f.FanDuty = sane(s.Elapsed()), sane(s.Tuning), sane(s.FanDuty)
	f.Unreadable = s.Unreadable
	if !s.DeviceTime.IsZero() && !s.At.IsZero() {
		f.ClockOffset = dragon.Known(s.DeviceTime.Sub(s.At).Seconds())
	}
	if o != nil {
		f.Uptime, f.MemoryFree = uptimeAt(s, o, f.Elapsed), sane(o.MemoryFree)
	}
	f.Boards = make([]BoardFacts, len(s.Boards))
	for i := range s.Boards {
		b := &s.Boards[i]
		f.Boards[i] = BoardFacts{b.Slot, b.Status, sane(b.Temperature), hashesOf(b), sane(b.Elapsed), sane(b.Accepted), sane(b.HardwareErrors)}
	}
	slices.SortStableFunc(f.Boards, func(a, b BoardFacts) int { return a.Slot - b.Slot })
	f.Pools = make([]PoolFacts, len(s.Pools))
	for i := range s.Pools {
		p := &s.Pools[i]
		f.Pools[i] = PoolFacts{Text(dragon.PoolWithoutLogin(p.URL)), p.User, p.Status, p.Active.Or(0) == 1, sane(p.Works), sane(p.Accepted)}
	}
	return f
}

// hashesOf is what a board has done since its miner process started. The A8+ leaves
// Total MH out; MHS av, which is that by Device Elapsed, gives it back.
func hashesOf(b *dragon.Board) dragon.Number {
	if b.Hashes.IsKnown() {
		return sane(b.Hashes)
	}
	elapsed, known := sane(b.Elapsed).Get()
	if !known {
		return dragon.Number{}
	}
	return sane(b.HashrateAvg.Times(elapsed))
}

// uptimeAt carries the overview's uptime forward to the time of the summary. A mining
// process that is younger than the overview may have started because the whole
// system did: then the uptime is unknown until the overview is read again.
func uptimeAt(s *dragon.Summary, o *dragon.Overview, elapsed dragon.Number) dragon.Number {
	up, ok := sane(o.Uptime).Get()
	if !ok {
		return dragon.Number{}
	}
	age := max(0, s.At.Sub(o.At).Seconds()) // 0: the overview was read after the summary
	if e, known := elapsed.Get(); !known && age > 60 || known && e < age {
		return dragon.Number{}
	}
	return dragon.Known(up + age)
}

// sane makes values unknown that no counter, temperature or clock can have.
func sane(n dragon.Number) dragon.Number {
	if v, ok := n.Get(); !ok || math.IsNaN(v) || math.IsInf(v, 0) {
		return dragon.Number{}
	}
	return n
}

// DomainOf returns the site of an address for which none is configured: its
// /24, or /64 for IPv6; the host itself where it is a name.
func DomainOf(address string) string {
	host := address
	if ap, err := netip.ParseAddrPort(address); err == nil {
		host = ap.Addr().String()
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	a = a.Unmap()
	bits := 64
	if a.Is4() {
		bits = 24
	}
	p, err := a.WithZone("").Prefix(bits)
	if err != nil {
		return host
	}
	return p.String()
}

// View is what is seen of the fleet and of the healer's own host in one cycle.
type View struct {
	Dragons []Facts // in any order
	Host    Host
}

// Of returns what is known of the dragon with a MAC; nil: nothing.
func (v *View) Of(mac string) *Facts {
	return find(v.Dragons, func(f *Facts) bool { return f.MAC == mac })
}

// Host is the healer's own preconditions: clock, lock, disk, STOP. Its zero value closes every gate
// that depends on it.
type Host struct {
	ClockSynced   bool // the kernel says that NTP keeps the clock
	StateWritable bool
	Owner         bool // this process holds the lock of the store
	Stop          bool // the STOP file is there
	GatewayDown   bool // the probe of the gateway failed; false where there is none
	External      ExternalAnswer
}

// ExternalAnswer is what the gate of Policy.External said.
type ExternalAnswer struct {
	Asked  bool
	Open   bool
	Detail string
	Err    string // why it could not be asked
}
