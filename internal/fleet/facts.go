package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/go-kit/log/level"
	"golang.org/x/sync/semaphore"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// Fact is a part of a dragon's state that changes by the hour or the day. Facts are read in
// the background, each at its own interval, never within a scrape. The network configuration
// is not a fact: the overview contains it.
type Fact string

// The facts.
const (
	AutoTune Fact = "autotune" // getAutoTune; default every ten minutes
	Pools    Fact = "pools"    // the configured ones, passwords and all; default every five minutes
	Errors   Fact = "errors"   // getErrorDetail or getErrorMessage, where the firmware has them; default every three minutes
	Firmware Fact = "firmware" // getLatestFirmwareVersion; default once a day, and never more often
	Chips    Fact = "chips"    // getDebugStats, some 40 KB of memory a dragon; default every five minutes
	Power    Fact = "power"    // getAll, where the firmware has it and a power figure in it; default every five minutes
)

const (
	factWorkers   = 32                     // concurrent reads of facts other than firmware
	factBeat      = 5 * time.Second        // at whose whole multiples dragons are asked: to wake up for each costs more than to ask
	factTurn      = 100 * time.Millisecond // between two kinds of facts at one beat
	factSoon      = 2 * time.Minute        // within which a dragon that came up is asked
	factAgain     = 5 * time.Second        // within which one whose lane was taken is asked again
	firmwareLeast = 24 * time.Hour         // between questions to the vendor, whatever is configured
	factRarely    = 24 * time.Hour         // between questions for what the firmware does not offer
	factBackoff   = time.Hour              // between questions that fail, at most, unless the interval is longer
	factExpires   = 3                      // intervals after which a fact that was not read again is forgotten
)

// facts are all of them.
var facts = [...]Fact{AutoTune, Pools, Errors, Firmware, Chips, Power}

// factEvery is how often a fact is read by default.
var factEvery = map[Fact]time.Duration{
	AutoTune: 10 * time.Minute, Pools: 5 * time.Minute, Errors: 3 * time.Minute, Firmware: firmwareLeast, Chips: 5 * time.Minute, Power: 5 * time.Minute,
}

// interval is how often a fact is read; zero for one that is not.
func (c *Config) interval(fact Fact) time.Duration {
	every, wanted := c.Facts[fact]
	if !wanted {
		return 0
	}
	every = cmp.Or(every, factEvery[fact])
	switch {
	case fact == AutoTune, fact == Pools:
		return c.simulated(every)
	case fact == Firmware && c.Jitter == nil: // tests with a jitter choose the time of each question
		return max(every, firmwareLeast)
	}
	return every
}

// simulated is a time by the clock of simulated dragons, which may run faster.
func (c *Config) simulated(d time.Duration) time.Duration {
	return newPace(c.Speed, time.Time{}).ours(d)
}

// Facts are the facts of a dragon. They are shared and never change; news make new ones.
type Facts struct {
	AutoTune Dated[dragon.AutoTune]
	Pools    Dated[[]dragon.PoolConfig]
	Errors   Dated[dragon.ErrorReport] // its Code is empty where the dragon knows of no error
	Firmware Dated[dragon.LatestFirmware]
	Chips    Dated[[]dragon.DebugBoard]
	Power    Dated[dragon.Number] // W
}

// Dated is a fact with the time when it was read: zero if it never was, or so long ago
// that it is forgotten.
type Dated[T any] struct {
	Value T
	At    time.Time
}

// dated is a Dated of any kind.
type dated interface {
	at() time.Time
	forget()
}

func (d *Dated[T]) at() time.Time { return d.At }
func (d *Dated[T]) forget()       { *d = Dated[T]{} }

// of returns a fact of what is known.
func (f *Facts) of(fact Fact) dated {
	return map[Fact]dated{AutoTune: &f.AutoTune, Pools: &f.Pools, Errors: &f.Errors, Firmware: &f.Firmware, Chips: &f.Chips, Power: &f.Power}[fact]
}

// UpgradeAvailable reports whether the vendor has a newer firmware than the running one. It is
// unknown where the dragon did not answer, or answered about another version.
func (f *Facts) UpgradeAvailable(running string) dragon.Number {
	latest := f.Firmware.Value
	upToDate, known := latest.UpToDate.Get()
	switch {
	case f.Firmware.At.IsZero() || running == "":
	case latest.Version == running:
		return dragon.Known(0)
	case latest.CurrentVersion == running && known:
		return dragon.Known(1 - upToDate)
	}
	return dragon.Number{}
}

type factPoll struct {
	next     time.Time // the entry of the queue that counts; zero: none, until the dragon comes up
	failures int       // in a row
	lacking  string    // the firmware that does not offer the fact; empty: it may
	offered  string    // the firmware that did when it was read last
}

type factOf struct {
	dragon *Dragon
	fact   Fact
}

var noFacts Facts

// Facts returns what is known. It is never nil.
func (d *Dragon) Facts() *Facts {
	if f := d.facts.Load(); f != nil {
		return f
	}
	return &noFacts
}

// learnFact makes new facts. The caller holds d.mu.
func (d *Dragon) learnFact(learn func(*Facts)) {
	f := *d.Facts()
	learn(&f)
	d.facts.Store(&f)
}

// planFacts has a dragon that came up asked for its facts. What is known from before
// it went may be long out of date. The caller holds d.mu.
func (d *Dragon) planFacts(now time.Time) {
	for _, fact := range facts {
		every, e := d.fleet.config.interval(fact), d.factPoll(fact)
		if every <= 0 {
			continue
		}
		d.expireFact(fact, now)
		switch {
		case fact == Firmware:
			if e.next.IsZero() {
				d.plan(fact, d.firmwareDue(now, every))
			}
		case e.next.IsZero() || e.failures > 0 && e.lacking != d.Info().Firmware:
			e.failures, e.lacking = 0, ""
			d.plan(fact, now.Add(d.fleet.jitter(min(every, d.fleet.pace.ours(factSoon)))))
		}
	}
}

// firmwareDue is when a dragon may be asked for its vendor's newest firmware. The first
// questions of a fleet are spread over one interval, except its beginning, when the dragons
// have other work.
func (d *Dragon) firmwareDue(now time.Time, every time.Duration) time.Time {
	asked := d.firmwareAsked
	if asked.IsZero() || asked.After(now) { // by a clock that was wrong
		return now.Add(every/48 + d.fleet.jitter(every-every/48))
	}
	if due := asked.Add(d.fleet.jittered(every)); due.After(now) {
		return due
	}
	return now.Add(d.fleet.jitter(every / 12)) // after a long time away; others are in the same position
}

// refreshFactsSoon plans the facts that a write or a restart may have changed. The caller
// holds d.mu.
func (d *Dragon) refreshFactsSoon() {
	now := time.Now()
	for _, fact := range []Fact{AutoTune, Pools, Errors, Power} {
		if d.fleet.config.interval(fact) > 0 && d.health.up && d.factPoll(fact).failures == 0 {
			d.plan(fact, now.Add(d.fleet.pace.ours(time.Second+d.fleet.jitter(factAgain))))
		}
	}
}

// jitter returns a time by chance, shorter than limit.
func (f *Fleet) jitter(limit time.Duration) time.Duration {
	if f.config.Jitter != nil {
		return f.config.Jitter(limit)
	}
	return rand.N(max(limit, 1))
}

// jittered returns every, or up to a tenth more.
func (f *Fleet) jittered(every time.Duration) time.Duration { return every + f.jitter(every/10) }

// turn is when a fact is asked for after a beat: two questions to one dragon would meet.
func (f Fact) turn() time.Duration { return time.Duration(slices.Index(facts[:], f)) * factTurn }

func (d *Dragon) factPoll(fact Fact) *factPoll { return &d.factPolls[slices.Index(facts[:], fact)] }

// plan has a fact asked at the next beat after a time: with others, so that the program
// wakes up for all of them at once. The vendor's is rare, and does not wait for the lane.
// The caller holds d.mu.
func (d *Dragon) plan(fact Fact, at time.Time) {
	if beat := d.fleet.pace.ours(factBeat); fact != Firmware {
		at = at.Add(-at.Sub(d.fleet.began) % beat).Add(beat + d.fleet.pace.ours(fact.turn()))
	}
	d.factPoll(fact).next = at
	d.fleet.factQueue.add(factOf{d, fact}, at)
}

// expireFact forgets a fact that is too old to be shown. The caller holds d.mu.
func (d *Dragon) expireFact(fact Fact, now time.Time) {
	if at := d.Facts().of(fact).at(); !at.IsZero() && now.Sub(at) > factExpires*d.fleet.config.interval(fact) {
		d.learnFact(func(f *Facts) { f.of(fact).forget() })
	}
}

// isDue reports whether an entry of the queue still counts. A dragon that is not up is not
// asked; its facts are planned again when it comes up.
func (d *Dragon) isDue(fact Fact, at time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.factPoll(fact)
	if !e.next.Equal(at) {
		return false
	}
	if !d.health.up || d.endpoint == nil {
		e.next = time.Time{}
		return false
	}
	return true
}

// refresh reads the facts as they become due, until ctx is done.
func (f *Fleet) refresh(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	workers := semaphore.NewWeighted(factWorkers)
	vendors := vendorQueues{waiting: make(map[string][]*Dragon)}
	for {
		e, ok := f.factQueue.next(ctx)
		if !ok {
			return
		}
		d, fact := e.what.dragon, e.what.fact
		if !d.isDue(fact, e.at) {
			continue
		}
		if fact == Firmware {
			site := d.Info().Site
			if vendors.join(site, d) {
				wg.Go(func() {
					for d := d; d != nil && ctx.Err() == nil; d = vendors.next(site) {
						d.askVendor(ctx)
					}
				})
			}
			continue
		}
		if workers.Acquire(ctx, 1) != nil {
			return
		}
		wg.Go(func() {
			defer workers.Release(1)
			d.askFact(ctx, fact)
		})
	}
}

// vendorQueues are the dragons of each site that wait to ask their vendor: one at a
// time does, so that the site's way out is not taken up, and the vendor neither.
type vendorQueues struct {
	mu      sync.Mutex
	waiting map[string][]*Dragon // a site is in it while one of its dragons asks
}

// join adds a dragon to the queue of its site. It reports true if no other dragon of the site
// is being asked: then it is its turn.
func (v *vendorQueues) join(site string, d *Dragon) (first bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	line, busy := v.waiting[site]
	if !busy {
		v.waiting[site] = nil
		return true
	}
	v.waiting[site] = append(line, d)
	return false
}

// next returns the dragon whose turn it is; nil if none waits.
func (v *vendorQueues) next(site string) *Dragon {
	v.mu.Lock()
	defer v.mu.Unlock()
	line := v.waiting[site]
	if len(line) == 0 {
		delete(v.waiting, site)
		return nil
	}
	v.waiting[site] = line[1:]
	return line[0]
}

var errLaneTaken = errors.New("the lane is taken")

// askFact reads one fact if the lane is free now. Waiting for the lane would delay the facts
// of other dragons.
func (d *Dragon) askFact(ctx context.Context, fact Fact) {
	patience := d.fleet.timeout() / 4
	if fact == Chips {
		patience = d.fleet.timeout() / 2 // a second a board on Innosilicon
	}
	var learn func(*Facts)
	err := d.ifFree(ctx, patience, func(ctx context.Context, c *dragon.Client) (err error) {
		learn, err = d.question(ctx, c, fact)
		return err
	}, func(err error) { d.answered(fact, learn, err) })
	if errors.Is(err, errLaneTaken) {
		now := time.Now()
		d.mu.Lock()
		d.expireFact(fact, now) // a lane may be taken for as long as a fact is shown
		d.plan(fact, now.Add(d.fleet.pace.ours(d.fleet.jitter(factAgain))))
		d.mu.Unlock()
	}
	d.fleet.flushLog()
}

// LearnPools stores pools that the holder of the lane has just read.
func (d *Dragon) LearnPools(pools []dragon.PoolConfig) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.learnFact(func(f *Facts) { f.Pools = Dated[[]dragon.PoolConfig]{pools, time.Now()} })
}

// LearnAutoTune is LearnPools for the autotuner's mode.
func (d *Dragon) LearnAutoTune(a dragon.AutoTune) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.learnFact(func(f *Facts) { f.AutoTune = Dated[dragon.AutoTune]{a, time.Now()} })
}

// ifFree runs ask if the lane is free, then done with its error before the lane is released.
// An answer counts only if this dragon gave it.
func (d *Dragon) ifFree(ctx context.Context, patience time.Duration, ask func(context.Context, *dragon.Client) error, done func(error)) error {
	select {
	case d.lane.slot <- struct{}{}:
		defer d.release()
	default:
		return errLaneTaken
	}
	p := d.currentEndpoint()
	if p == nil {
		err := d.Health().downError()
		done(err)
		return err
	}
	err := d.recoverPanic("asking for a fact", func() error {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		defer context.AfterFunc(p.ctx, cancel)() //nolint:contextcheck // both end it: the fleet, and a dragon that moves away
		if err := ask(ctx, p.client); err != nil {
			return err
		}
		if !p.session.holds(p) {
			return d.readOverview(ctx, p)
		}
		return nil
	})
	if stranger := (*strangerError)(nil); errors.As(err, &stranger) {
		d.fleet.replaceAtAddress(d, p, stranger) //nolint:contextcheck // it goes on when this is over
	}
	if err == nil && p.ctx.Err() != nil {
		err = p.ctx.Err()
	}
	done(err)
	return err
}

// question asks for one fact and returns how to learn it. The caller has the lane.
func (d *Dragon) question(ctx context.Context, c *dragon.Client, fact Fact) (func(*Facts), error) {
	switch fact {
	case AutoTune:
		a, err := c.AutoTune(ctx)
		return func(f *Facts) { f.AutoTune = Dated[dragon.AutoTune]{*a, time.Now()} }, err
	case Pools:
		p, err := c.Pools(ctx)
		if errors.Is(err, dragon.ErrRejected) { // "missing configuration": it has none
			p, err = nil, nil
		}
		return func(f *Facts) { f.Pools = Dated[[]dragon.PoolConfig]{p, time.Now()} }, err
	case Errors:
		e, err := d.errorReport(ctx, c)
		if err == nil {
			d.countUnreadable("errors.", e.Unreadable)
		}
		return func(f *Facts) { f.Errors = Dated[dragon.ErrorReport]{*e, time.Now()} }, err
	case Chips:
		s, err := c.DebugStats(ctx)
		if err == nil {
			d.countUnreadable("chips.", s.Unreadable)
		}
		return func(f *Facts) { f.Chips = Dated[[]dragon.DebugBoard]{s.Boards, time.Now()} }, err
	case Power:
		watts, err := d.reportedPower(ctx, c)
		return func(f *Facts) { f.Power = Dated[dragon.Number]{watts, time.Now()} }, err
	}
	return nil, errors.New("no such fact: " + string(fact))
}

// reportedPower reads the power that the dragon reports. Older firmware has getAll without it,
// which counts as not offered. A dragon that answers draws power: 0 is not a figure.
func (d *Dragon) reportedPower(ctx context.Context, c *dragon.Client) (dragon.Number, error) {
	all, err := c.All(ctx)
	if err != nil {
		return dragon.Number{}, err
	}
	if slices.Contains(all.Unreadable, "all.power") {
		d.countUnreadable("power.", []string{"all.power"})
	}
	if all.Power.Or(0) <= 0 {
		return dragon.Number{}, fmt.Errorf("getAll has no power figure: %w", dragon.ErrNotOffered)
	}
	return all.Power, nil
}

func (d *Dragon) countUnreadable(of string, fields []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, field := range fields {
		d.health.unreadable([]string{of + field})
	}
}

// errorReport reads the dragon's error where the firmware has an endpoint for it: in detail
// since 2020, before that as one line, on Innosilicon. A firmware without the detail is not
// asked for it again; one that only failed is.
func (d *Dragon) errorReport(ctx context.Context, c *dragon.Client) (*dragon.ErrorReport, error) {
	if firmware := d.Info().Firmware; d.noDetail != firmware || firmware == "" {
		e, err := c.ErrorDetail(ctx)
		switch {
		case errors.Is(err, dragon.ErrNotOffered):
			d.noDetail = firmware
		case errors.Is(err, dragon.ErrRejected), errors.Is(err, dragon.ErrBadResponse):
			message, second := c.ErrorMessage(ctx)
			if errors.Is(second, dragon.ErrNotOffered) {
				return message, err // which does not mean that the firmware has no such endpoint
			}
			return message, second
		default:
			return e, err
		}
	}
	return c.ErrorMessage(ctx)
}

// answered takes in what came of a question and plans the next one.
func (d *Dragon) answered(fact Fact, learn func(*Facts), err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now, every, e := time.Now(), d.fleet.config.interval(fact), d.factPoll(fact)
	if err == nil {
		d.learnFact(learn)
		e.failures, e.lacking, e.offered = 0, "", d.Info().Firmware
		d.plan(fact, now.Add(d.fleet.jittered(every)))
		return
	}
	if errors.Is(err, context.Canceled) { // the fleet ends, or the dragon moves
		d.plan(fact, now.Add(d.fleet.jitter(factAgain)))
		return
	}
	d.expireFact(fact, now)
	if e.failures++; e.failures == 1 {
		d.fleet.logLater(level.DebugValue(), "fact not read", "worker", d.Info().Worker, "address", d.Info().Address, "fact", fact, "err", err)
	}
	wait := min(every<<min(e.failures, 10), max(every, factBackoff))
	if errors.Is(err, dragon.ErrNotOffered) {
		d.learnFact(func(f *Facts) { f.of(fact).forget() }) // the dragon says that it has none
		if firmware := d.Info().Firmware; firmware == "" || firmware != e.offered {
			e.lacking = firmware
			wait = max(every, factRarely)
		}
	}
	d.plan(fact, now.Add(d.fleet.jittered(wait)))
}

// askVendor has the dragon ask its vendor, outside the lane, since that may take two minutes.
// The time of the question is saved first: a program that restarts often must not ask more
// often.
func (d *Dragon) askVendor(ctx context.Context) {
	every := d.fleet.config.interval(Firmware)
	d.mu.Lock()
	p := d.endpoint
	if !d.health.up || p == nil { // it waited for its turn
		d.factPoll(Firmware).next = time.Time{}
		d.mu.Unlock()
		return
	}
	d.firmwareAsked = time.Now()
	at := d.firmwareAsked
	d.plan(Firmware, at.Add(d.fleet.jittered(every)))
	d.mu.Unlock()
	d.fleet.file.asked(d.mac, at, nil)

	var latest *dragon.LatestFirmware
	err := d.OutOfBand(ctx, func(ctx context.Context, c *dragon.Client) (err error) {
		latest, err = c.LatestFirmware(ctx)
		return err
	})
	if err == nil {
		err = d.confirm(ctx, p)
	}
	d.mu.Lock()
	if err == nil {
		d.learnFact(func(f *Facts) { f.Firmware = Dated[dragon.LatestFirmware]{*latest, time.Now()} })
	} else {
		d.expireFact(Firmware, time.Now())
		d.fleet.logLater(level.DebugValue(), "fact not read", "worker", d.Info().Worker, "address", d.Info().Address, "fact", Firmware, "err", err)
	}
	d.mu.Unlock()
	if err == nil {
		d.fleet.file.asked(d.mac, at, remembered(d.Facts().Firmware))
	}
	d.fleet.flushLog()
}

// inheritFirmware takes over the last question to the vendor and its answer from another entry
// of the same MAC that was the same dragon. The caller holds d.mu.
func (d *Dragon) inheritFirmware(asked time.Time, latest Dated[dragon.LatestFirmware]) {
	every := d.fleet.config.interval(Firmware)
	if every <= 0 {
		return
	}
	if latest.At.After(d.Facts().Firmware.At) {
		d.learnFact(func(f *Facts) { f.Firmware = latest })
	}
	if !asked.After(d.firmwareAsked) {
		return
	}
	d.firmwareAsked = asked
	if e := d.factPoll(Firmware); !e.next.IsZero() {
		d.plan(Firmware, d.firmwareDue(time.Now(), every))
	}
}

// confirm makes sure that the dragon still lives at p, by an overview that is as good
// as the one which the next reading would have asked for.
func (d *Dragon) confirm(ctx context.Context, p *endpoint) error {
	ctx, cancel := context.WithTimeout(ctx, d.fleet.timeout())
	defer cancel()
	if err := d.acquire(ctx, useOther); err != nil {
		return err
	}
	defer d.release()
	if d.currentEndpoint() != p {
		return context.Canceled
	}
	return d.recoverPanic("making sure who answered", func() error {
		err := d.readOverview(ctx, p)
		if stranger := (*strangerError)(nil); errors.As(err, &stranger) {
			d.fleet.replaceAtAddress(d, p, stranger) //nolint:contextcheck // it goes on when this is over
		}
		return err
	})
}
