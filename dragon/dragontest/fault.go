package dragontest

import (
	"slices"
	"time"
)

// Fault is something that goes wrong with a dragon: injected and cleared while it
// runs, alone or together with others.
type Fault string

// Faults of the connection and of the web server. They concern every request, the
// start page too, unless On says which.
const (
	Hang        Fault = "hang"         // reads the request and never answers
	HangReading Fault = "hang-reading" // stops reading the request after its header; gives up after 60 s as nginx does
	Trickle     Fault = "trickle"      // one byte of the answer every Delay (1 s), blanks forever after the last
	Endless     Fault = "endless"      // an answer that goes on forever, at the 12 MB a second of the device's network
	Reset       Fault = "reset"        // the connection is reset in place of an answer; an open upgrade/ws is closed
	Redirect    Fault = "redirect"     // 302 to a port of loopback without a listener
	Slow        Fault = "slow"         // each answer takes Delay (2 s) longer
	Status500   Fault = "status-500"   // nginx's page, the answer of a dead PHP
	Status502   Fault = "status-502"   // nginx's page, no PHP at all
	Unplugged   Fault = "unplugged"    // no network: nothing is answered, the dragon mines nothing and knows nothing of it
)

// Faults of the API's answers. They concern /api/ only, and there every endpoint
// unless On says which. The answer is a 200 in its usual form.
const (
	Garbage          Fault = "garbage"            // bytes without meaning
	Cut              Fault = "cut"                // the connection ends in the middle of the answer
	Truncated        Fault = "truncated"          // half of the answer, in an HTTP message that is whole
	Huge             Fault = "huge"               // the right answer after Amount (64) MiB of blanks, at 12 MB a second
	Empty            Fault = "empty"              // nothing
	HTML             Fault = "html"               // the start page
	NumbersAsStrings Fault = "numbers-as-strings" // every number in quotes
	PHPArrays        Fault = "php-arrays"         // lists as objects with keys from 1, objects without members as []
	InvalidUTF8      Fault = "invalid-utf8"       // in pool users, driver names and versions
	HostileLabels    Fault = "hostile-labels"     // quotes, braces, newlines and 8 KiB of it in the same places
	DuplicateBoards  Fault = "duplicate-boards"   // all boards say ASC 0 and ID 0, all pools POOL 0
	Frozen           Fault = "frozen"             // the answers stay what they were at this moment; only Date goes on
	WrongPassword    Fault = "wrong-password"     // no password is right and no token is valid any more
	AlwaysExpired    Fault = "always-expired"     // logins succeed, and every token is expired
	LockedOut        Fault = "locked-out"         // every login is refused, whatever the password, and no token is valid any more
	PasswordChange   Fault = "password-change"    // the right password gets no token, it is to be changed first; no token is valid any more
)

// Faults of the mining.
const (
	NotReady         Fault = "not-ready"         // the miner process never answers
	DeadBoard        Fault = "dead-board"        // Board (the last) is Dead; its averages decay
	DeadBoardHot     Fault = "dead-board-hot"    // Board (the last) is Dead at 111 °C, fan at 100 %
	DeadBoardFrozen  Fault = "dead-board-frozen" // Board (the last) is Dead and keeps its averages forever, as one recorded T1 did
	MissingBoard     Fault = "missing-board"     // Board (the last) is not listed
	LowHashrate      Fault = "low-hashrate"      // Board (all) hashes at Amount (0.4) of its rate
	Flatline         Fault = "flatline"          // averages as always, counters stand still: nothing is mined
	BogusTemperature Fault = "bogus-temperature" // Board (the last) reports Amount (9999) °C
	Overheat         Fault = "overheat"          // Board (all) is Alive at Amount (98) °C, fan at 100 %
	HardwareErrors   Fault = "hardware-errors"   // Board (all) has Amount (50) times as many
	PoolDead         Fault = "pool-dead"         // Pool (all) is Dead; without any pool nothing is mined
)

// Faults of writes to a dragon, and of its system.
const (
	RebootIgnored      Fault = "reboot-ignored"       // success, and nothing happens
	RebootNeverReturns Fault = "reboot-never-returns" // goes down, and stays down until its power is cycled
	RebootUnanswered   Fault = "reboot-unanswered"    // reboots, and the connection dies before the answer
	RebootLoop         Fault = "reboot-loop"          // reboots by itself after Delay (10 min) of uptime
	WrongClock         Fault = "wrong-clock"          // the device's clock is off by Delay (-5 h)
)

// Class says what a fault is about.
type Class string

// The classes of faults, as they are grouped above.
const (
	OfConnection Class = "connection"
	OfAnswer     Class = "answer"
	OfMining     Class = "mining"
	OfSystem     Class = "system"
)

// FaultInfo tells about a fault.
type FaultInfo struct {
	Fault Fault
	Class Class
}

// Faults returns every fault there is, in a fixed order, so that a test can go
// through them all.
func Faults() []FaultInfo {
	var all []FaultInfo
	add := func(c Class, faults ...Fault) {
		for _, f := range faults {
			all = append(all, FaultInfo{f, c})
		}
	}
	add(OfConnection, Hang, HangReading, Trickle, Endless, Reset, Redirect, Slow, Status500, Status502, Unplugged)
	add(OfAnswer, Garbage, Cut, Truncated, Huge, Empty, HTML, NumbersAsStrings, PHPArrays, InvalidUTF8,
		HostileLabels, DuplicateBoards, Frozen, WrongPassword, AlwaysExpired, LockedOut, PasswordChange)
	add(OfMining, NotReady, DeadBoard, DeadBoardHot, DeadBoardFrozen, MissingBoard, LowHashrate, Flatline,
		BogusTemperature, Overheat, HardwareErrors, PoolDead)
	add(OfSystem, RebootIgnored, RebootNeverReturns, RebootUnanswered, RebootLoop, WrongClock)
	return all
}

// Cure is what ends a fault besides Clear.
type Cure int

// The cures. Each works where a weaker one works.
const (
	NoCure            Cure = iota
	CuredByRestart         // of the miner process
	CuredByReboot          // of the system
	CuredByPowerCycle      // see Dragon.PowerOff
)

// FaultOption narrows a fault down.
type FaultOption func(*fault)

// On limits a fault to endpoints: summary, overview, auth, …, upgrade/upload,
// upgrade/ws, stream/logs, index for all paths that are none of these.
func On(endpoints ...string) FaultOption {
	return func(f *fault) { f.endpoints = endpoints }
}

// Board says which board, by its index from 0.
func Board(i int) FaultOption { return func(f *fault) { f.index = i } }

// PoolAt says which pool, by its index from 0.
func PoolAt(i int) FaultOption { return func(f *fault) { f.index = i } }

// Amount sets the figure that the fault's comment calls Amount.
func Amount(a float64) FaultOption { return func(f *fault) { f.amount = a } }

// Delay sets the time that the fault's comment calls Delay.
func Delay(t time.Duration) FaultOption { return func(f *fault) { f.delay = t } }

// Lasting ends the fault after a time.
func Lasting(t time.Duration) FaultOption { return func(f *fault) { f.lasting = t } }

// CuredBy ends the fault when that is done to the dragon.
func CuredBy(c Cure) FaultOption { return func(f *fault) { f.cure = c } }

type fault struct {
	kind      Fault
	endpoints []string // empty: all
	index     int      // of a board or pool; anyIndex: the fault's default
	amount    float64
	delay     time.Duration
	lasting   time.Duration
	until     time.Time // zero: forever
	cure      Cure
}

const anyIndex = -1

func (f *fault) withDefaults() {
	amounts := map[Fault]float64{Huge: 64, LowHashrate: 0.4, BogusTemperature: 9999, Overheat: 98, HardwareErrors: 50}
	delays := map[Fault]time.Duration{
		Trickle: time.Second, Slow: 2 * time.Second, RebootLoop: 10 * time.Minute, WrongClock: -5 * time.Hour,
	}
	if f.amount == 0 {
		f.amount = amounts[f.kind]
	}
	if f.delay == 0 {
		f.delay = delays[f.kind]
	}
}

// Inject makes a fault begin. A fault that is there already, on the same board or
// pool, is replaced.
func (d *Dragon) Inject(kind Fault, options ...FaultOption) {
	f := fault{kind: kind, index: anyIndex}
	for _, o := range options {
		o(&f)
	}
	f.withDefaults()

	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.advance()
	if f.lasting > 0 {
		f.until = now.Add(f.lasting)
	}
	d.dropFaults(func(g *fault) bool { return g.kind == f.kind && g.index == f.index })
	d.faults = append(d.faults, f)
	if kind == Frozen {
		d.frozen = d.state.clone()
	}
}

// Clear ends faults of these kinds; without any, all.
func (d *Dragon) Clear(kinds ...Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.advance()
	d.dropFaults(func(f *fault) bool { return len(kinds) == 0 || slices.Contains(kinds, f.kind) })
}

// ActiveFaults returns the kinds of the faults that there are now.
func (d *Dragon) ActiveFaults() []Fault {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.advance()
	kinds := make([]Fault, len(d.faults))
	for i := range d.faults {
		kinds[i] = d.faults[i].kind
	}
	return kinds
}

func (d *Dragon) dropFaults(drop func(*fault) bool) {
	before := len(d.faults)
	kept := d.faults[:0]
	for i := range d.faults {
		if !drop(&d.faults[i]) {
			kept = append(kept, d.faults[i])
		} else if d.faults[i].kind == Frozen {
			d.frozen = nil
		}
	}
	clear(d.faults[len(kept):before])
	d.faults = kept
	if len(kept) < before {
		// Requests that hang because of the fault look again.
		close(d.changed)
		d.changed = make(chan struct{})
	}
}

// cured ends the faults that c cures.
func (d *Dragon) cured(c Cure) {
	d.dropFaults(func(f *fault) bool { return f.cure != NoCure && f.cure <= c })
}

// find returns the fault of a kind that concerns something, nil if none does.
func (d *Dragon) find(kind Fault, concerns func(*fault) bool) *fault {
	for i := range d.faults {
		if f := &d.faults[i]; f.kind == kind && concerns(f) {
			return f
		}
	}
	return nil
}

// has returns the fault of a kind, nil if there is none.
func (d *Dragon) has(kind Fault) *fault { return d.find(kind, func(*fault) bool { return true }) }

// onBoard returns the fault of a kind that concerns board i; otherwise says which
// board a fault without a number means: the last one, or all.
func (d *Dragon) onBoard(kind Fault, i int, otherwise func(*Dragon, int) bool) *fault {
	return d.find(kind, func(f *fault) bool { return f.index == i || f.index == anyIndex && otherwise(d, i) })
}

func theLast(d *Dragon, i int) bool { return i == d.model.Boards-1 }
func theWhole(*Dragon, int) bool    { return true }

// onEndpoint returns the fault of a kind that concerns an endpoint, nil if none does.
func (d *Dragon) onEndpoint(kind Fault, endpoint string) *fault {
	return d.find(kind, func(f *fault) bool { return f.strikes(endpoint) })
}

func (f *fault) strikes(endpoint string) bool {
	return len(f.endpoints) == 0 || slices.Contains(f.endpoints, endpoint)
}
