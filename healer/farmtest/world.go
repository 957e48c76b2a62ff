package farmtest

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// secret is in the pools' URLs, and must not be in anything that the healer writes.
const secret = "hunter2"

const (
	rescan   = 5 * time.Minute // until the fleet finds a dragon at its new address
	climate  = 22.0            // °C of the air, on average over the day
	swing    = 4.0             // °C by which it differs by night and day
	unending = longest
)

// World is the farm as it really is.
type World struct {
	script  *Script
	Now     time.Duration
	Dragons []*Dragon

	pools       []pool
	switches    []int // how many things keep it down
	domainNames []string
	uplink      int // the same
	gateway     int // the same
	weather     float64
	air         float64
	forgets     map[int]int // that the fleet does not list

	host   Host
	Causes []*Cause
	Writes []Write
	agenda []Event
	lent   map[string]*Dragon // who has an address
	byMAC  map[string]int     // the dragons, by their own MAC
	masked bool               // a dragon has told another MAC than its own
	webbed bool               // a web server has had a fault
	images map[string]image   // by version

	healer  *Healer
	broken  int     // boards, by reboots
	eased   float64 // hashes that the mode efficient has cost
	later   int     // events that were added while it ran
	summary dragon.Summary
	view    healer.View

	decayed   time.Duration
	warm, mhs float64
}

type pool struct {
	name, url  string
	login      string // the same with user and password, as the dragons have it
	down, idle int    // how many things make it so
}

// Host is the machine that the healer runs on.
type Host struct {
	off      bool
	booted   time.Duration
	boots    int
	bootID   string
	skew     time.Duration // of its wall clock
	synced   bool
	readonly int // how many things make it so
	foreign  int // the same: another process holds the store
	stop     int
	external healer.ExternalAnswer
}

// Cause is the truth about something that many dragons have in common.
type Cause struct {
	Kind    string // pool, switch, power, isolation, mass
	Name    string
	Members []bool
	From    time.Duration
	To      time.Duration // unending while it lasts
}

// Write is something that reached a dragon from outside, as the dragon saw it.
type Write struct {
	At      time.Duration
	N       int // of the dragon that it reached; -1: none
	Kind    healer.Kind
	ID      string // of the healer's action; empty: someone else's
	Actor   string
	MAC     string               // that it was meant for
	Image   string               // version of the firmware
	Desired *healer.DesiredState // that a Configure brings
	Items   []healer.Item
	Undo    bool // it gives back what there was

	refused bool // the dragon said no
	told    []healer.Stuck
}

// NewWorld makes the farm of a script.
func NewWorld(s *Script) *World {
	w := &World{
		script: s, lent: make(map[string]*Dragon, s.Dragons), byMAC: make(map[string]int, s.Dragons), forgets: make(map[int]int), images: make(map[string]image),
		host:   Host{booted: -100 * time.Hour, bootID: "boot-0", synced: true},
		agenda: slices.Clone(s.Events),
	}
	w.host.external = healer.ExternalAnswer{Asked: true, Open: true}
	w.air = w.climate()
	for i, name := range s.Pools {
		w.pools = append(w.pools, pool{name: name, url: poolURL(name, i),
			login: strings.Replace(poolURL(name, i), "://", "://farm:"+secret+"@", 1)})
	}
	for i := range s.Switches {
		w.switches = append(w.switches, 0)
		w.domainNames = append(w.domainNames, fmt.Sprintf("sw%d", i))
	}
	for i := range s.Dragons {
		d := newDragon(w, i)
		w.Dragons = append(w.Dragons, d)
		w.lent[d.Address], w.byMAC[d.MAC] = d, i
	}
	w.summary.Boards = make([]dragon.Board, 0, boardsPerDragon)
	w.summary.Pools = make([]dragon.Pool, 0, len(w.pools))
	return w
}

func poolURL(name string, i int) string {
	return fmt.Sprintf("stratum+tcp://%s.example.net:%d", name, 3333+i)
}

func (w *World) climate() float64 {
	hour := math.Mod(w.Now.Hours(), 24)
	return climate + w.weather + swing*math.Sin(2*math.Pi*(hour-9)/24)
}

func (w *World) fan(d *Dragon) float64 {
	return min(1, max(0.3, 0.4+(w.air+d.soak-15)/45))
}

// firmware of a dragon: three of four have the same.
func firmware(n int) string {
	if n%4 == 3 {
		return "t1_20190301_101010"
	}
	return "t1_20180515_060842"
}

// domain is the fault domain that a healer takes a dragon to be in: by its label, else
// by the /24 of its address.
func (w *World) domain(d *Dragon) string {
	if !w.script.Unnamed {
		return w.domainNames[d.Switch]
	}
	return d.Known[:strings.LastIndexByte(d.Known, '.')]
}

// domainSize is the number of dragons in a dragon's fault domain.
func (w *World) domainSize(d *Dragon) int {
	return howMany(w.Dragons, func(x *Dragon) bool { return w.domain(x) == w.domain(d) })
}

func (w *World) at(address string) *Dragon { return w.lent[address] }

// Step lets a tick of time pass: events in their order, then the polls that are due.
func (w *World) Step() {
	to := w.Now + w.script.Cycle
	for len(w.agenda) > 0 && w.agenda[0].At <= to {
		e := w.agenda[0]
		w.agenda = w.agenda[1:]
		w.pass(max(e.At, w.Now))
		e.do(w)
	}
	w.pass(to)
	slots := int(time.Minute / w.script.Cycle)
	slot := int(w.Now/w.script.Cycle) % slots
	for _, d := range w.Dragons {
		if d.N%slots == slot {
			d.poll()
		}
	}
}

func (w *World) pass(to time.Duration) {
	w.Now = to
	w.air = w.climate()
	for _, d := range w.Dragons {
		d.advance(to)
	}
}

// after plans an event; those of one time happen in the order of their planning.
func (w *World) after(wait time.Duration, do func(*World)) {
	if wait >= unending {
		return
	}
	at := w.Now + wait
	w.later++
	i, _ := slices.BinarySearchFunc(w.agenda, at, func(e Event, at time.Duration) int {
		if e.At <= at {
			return -1
		}
		return 1
	})
	w.agenda = slices.Insert(w.agenda, i, Event{At: at, Line: w.later, do: do})
}

// during says that something goes on for a while.
func (w *World) during(span time.Duration, kind, name string, members func(*Dragon) bool, ends func()) {
	c := &Cause{Kind: kind, Name: name, From: w.Now, To: unending, Members: make([]bool, len(w.Dragons))}
	for _, d := range w.Dragons {
		c.Members[d.N] = members(d)
	}
	w.Causes = append(w.Causes, c)
	w.after(span, func(*World) {
		c.To = w.Now
		ends()
	})
}

// mono is the host's monotonic clock.
func (w *World) mono() time.Duration { return w.Now - w.host.booted }

func (w *World) instant() healer.Instant {
	return healer.Instant{Wall: w.script.Begins.Add(w.Now + w.host.skew), Mono: w.mono(), BootID: w.host.bootID}
}

// View is what the fleet shows a healer.
func (w *World) View() *healer.View {
	v := &w.view
	v.Dragons = v.Dragons[:0]
	for _, d := range w.Dragons {
		if d.facts.Status != healer.Untried && w.forgets[d.N] == 0 {
			v.Dragons = append(v.Dragons, d.facts)
		}
	}
	v.Host = w.hostState()
	return v
}

// hostState is what the healer sees of its own host.
func (w *World) hostState() healer.Host {
	return healer.Host{
		ClockSynced: w.host.synced, StateWritable: w.host.readonly == 0, Owner: w.host.foreign == 0, Stop: w.host.stop > 0,
		GatewayDown: w.gateway > 0, External: w.host.external,
	}
}

// Send is a write that arrives at an address. It reports what the sender learns.
func (w *World) Send(address string, write *Write) (healer.Result, string) {
	d := w.at(address)
	write.At, write.N = w.Now, -1
	if d != nil {
		d.remember()
	}
	if d == nil || d.reach() != healer.Reached {
		w.Writes = append(w.Writes, *write)
		return healer.Unknown, "no answer"
	}
	write.N, write.refused = d.N, d.answer == "refused"
	w.Writes = append(w.Writes, *write)
	why := write.Actor
	switch {
	case write.refused:
		return healer.Refusal, "the dragon says no"
	case write.Kind == healer.Upgrade:
		w.after(flashing, func(*World) { d.flash(write.Image, why) })
		if d.answer == "lostreply" {
			return healer.Unknown, "no answer in time"
		}
		return healer.Accepted, ""
	case write.Desired != nil:
		write.told = d.take(write.Desired, write.Items, why)
		if d.dies >= 1 {
			d.phase, d.gone, d.goneAt = off, true, w.Now
			w.broken++
		}
	case write.Kind == healer.Configure:
		return healer.Accepted, ""
	case write.Kind == healer.Restart:
		d.restart(why)
	case d.answer == "ignored":
		return healer.Accepted, ""
	default:
		d.reboot(why)
	}
	if d.answer == "loses" && write.Kind == healer.Reboot {
		slot := (d.wrongSlot() + 1) % boardsPerDragon
		if !d.boards[slot].missing {
			w.broken++
		}
		d.add(&defect{kind: "missing", slot: slot, since: w.Now})
	}
	if d.answer == "lostreply" {
		return healer.Unknown, "no answer in time"
	}
	return healer.Accepted, ""
}

// Lost is the part of what the farm could have earned that it did not.
func (w *World) Lost() float64 {
	could, did := 0.0, 0.0
	for _, d := range w.Dragons {
		could += d.Nominal() * w.Now.Seconds()
		did += d.Earned
	}
	return 1 - did/could
}

// Earned is what the farm has hashed.
func (w *World) Earned() float64 {
	total := 0.0
	for _, d := range w.Dragons {
		total += d.Earned
	}
	return total
}
