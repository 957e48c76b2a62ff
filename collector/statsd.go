package collector

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// StatsdConfig configures a Statsd mirror.
type StatsdConfig struct {
	Fleet            *fleet.Fleet
	Address          string        // host:port; a name is resolved again and again; empty: nothing is mirrored
	Prefix           string        // of every line's name, without a dot at the end; may be empty
	Interval         time.Duration // between two mirrorings of a dragon; default one minute
	OneLinePerPacket bool          // for servers that do not know better; default: as many as fit

	Logger     log.Logger            // default: none
	Registerer prometheus.Registerer // default: none

	Dial func(ctx context.Context, network, address string) (net.Conn, error) // default net.Dialer
}

// Statsd mirrors the dragons to a statsd server: the lines of the original tool, byte
// for byte, from the readings that scrapes take. A nil *Statsd does nothing either.
type Statsd struct {
	StatsdConfig
	metrics statsdMetrics
	queue   chan *message
	slots   int // of the interval

	mu      sync.Mutex // never held across I/O
	dragons map[*fleet.Dragon]*mirrored
	present int // of them
}

type mirrored struct {
	busy    bool      // it is being mirrored
	present bool      // the last try succeeded
	newest  time.Time // when the reading that was mirrored last was taken
}

type statsdMetrics struct{ lines, errors prometheus.Counter }

func newStatsdMetrics(r prometheus.Registerer) statsdMetrics {
	return statsdMetrics{
		lines: promauto.With(r).NewCounter(prometheus.CounterOpts{
			Name: "mother_statsd_lines_total",
			Help: "Lines sent to the statsd server; delivery is not confirmed (UDP).",
		}),
		errors: promauto.With(r).NewCounter(prometheus.CounterOpts{
			Name: "mother_statsd_errors_total",
			Help: "Packets that could not be sent or were refused, and answers that could not be converted to lines.",
		}),
	}
}

const (
	// Each dragon has a fixed slot of the interval, by its MAC: the dragons of a slot are read
	// together, since to wake up for each costs more than to read it. There are at most this
	// many slots, and none is shorter than statsdBeat: more lines at once than a server's socket
	// holds would be lost.
	statsdSlots = 60
	statsdBeat  = 250 * time.Millisecond

	// The mirror waits for this part of the interval before it reads a dragon itself, so
	// that a scrape that is a little late still provides the reading.
	statsdGrace = 10

	// Messages that wait to be sent while a name is being resolved.
	statsdQueue = 1024
)

// NewStatsd returns a Statsd. It sends nothing before Run.
func NewStatsd(c StatsdConfig) *Statsd {
	return newStatsd(c, newStatsdMetrics(c.Registerer))
}

// With returns a new Statsd with another configuration and the metrics of s. At most one
// of the two may Run at a time.
func (s *Statsd) With(c StatsdConfig) *Statsd { return newStatsd(c, s.metrics) }

func newStatsd(c StatsdConfig, m statsdMetrics) *Statsd {
	if c.Interval <= 0 {
		c.Interval = time.Minute
	}
	if c.Logger == nil {
		c.Logger = log.NewNopLogger()
	}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{Timeout: 5 * time.Second}).DialContext
	}
	return &Statsd{
		StatsdConfig: c,
		metrics:      m,
		queue:        make(chan *message, statsdQueue),
		slots:        int(min(max(c.Interval/statsdBeat, 1), statsdSlots)),
		dragons:      map[*fleet.Dragon]*mirrored{},
	}
}

// Run mirrors every dragon once an interval until ctx is done. It returns nil.
func (s *Statsd) Run(ctx context.Context) error {
	if s.off() {
		return nil
	}
	defer s.Fleet.KeepAnswers()() // whose fields the lines are made of
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { s.send(ctx) })

	// Slots are counted from the start, so that delays do not add up.
	start, step := time.Now(), s.Interval/time.Duration(s.slots)
	for n := 0; ; n++ {
		due := start.Add(time.Duration(n) * step)
		if missed := int(time.Since(due) / s.Interval); missed > 0 { // the machine slept
			n += missed * s.slots
			due = start.Add(time.Duration(n) * step)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(due)):
		}
		dragons := s.Fleet.Dragons()
		if n%s.slots == 0 {
			s.forget(dragons)
		}
		for _, d := range dragons {
			if statsdSlot(d.Info().MAC, s.slots) == n%s.slots {
				running.Go(func() { s.mirror(ctx, d) })
			}
		}
	}
}

func (s *Statsd) off() bool { return s == nil || s.Address == "" }

func statsdSlot(mac string, slots int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(mac))
	return int(h.Sum32() % uint32(slots))
}

// Scanned mirrors the end of a scan that found so many dragons, known ones included.
func (s *Statsd) Scanned(took time.Duration, found int) {
	if s.off() {
		return
	}
	m := s.message()
	_ = m.Raw("manager.scan_timed", fmt.Sprintf("%.6f|ms", took.Seconds()*1000), 1)
	_ = m.Gauge("manager.scan.count", int64(found), 1)
	s.enqueue(m)
}

// Action counts an action on a dragon: rebooted, poolsChanged, autotuneChanged or
// upgraded. The mirror itself counts added.
func (s *Statsd) Action(info *fleet.Info, action string) {
	if s.off() {
		return
	}
	m := s.message()
	_ = m.Inc(workerName(info)+".action."+action, 1, 1)
	s.enqueue(m)
}

// mirror sends the lines of a reading that was not sent before.
func (s *Statsd) mirror(ctx context.Context, d *fleet.Dragon) {
	last, ok := s.begin(d)
	if !ok {
		return // it takes longer than an interval
	}
	defer s.end(d)
	r, err := s.read(ctx, d, last)
	busy := (*fleet.BusyError)(nil)
	switch {
	case ctx.Err() != nil, errors.Is(err, context.Canceled), errors.As(err, &busy):
		return // which says nothing about the dragon
	case err != nil:
		s.lost(d)
		return
	}
	info, m := d.Info(), s.message()
	if err := s.lines(m, info, r); err != nil {
		s.metrics.errors.Inc()
		level.Debug(s.Logger).Log("msg", "cannot make statsd lines of answer", "worker", info.Worker, "address", info.Address, "endpoint", "/api/summary", "err", err)
		return
	}
	s.sent(d, info, r.At, m)
}

// read returns a reading of d that is newer than last and no older than an interval. It
// prefers readings of scrapes: with scrapes at the same interval the mirror asks dragons
// nothing.
func (s *Statsd) read(ctx context.Context, d *fleet.Dragon, last time.Time) (*fleet.Reading, error) {
	if r := d.Last(); r != nil && r.Summary.Raw != nil && r.At.After(last) && time.Since(r.At) <= s.Interval {
		return r, nil
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(s.Interval / statsdGrace):
	}
	r, err := d.Read(ctx, min(s.Interval, time.Since(last)-1))
	if err == nil && r.Summary.Raw == nil { // it is from before there was a mirror
		return d.Read(ctx, 0)
	}
	return r, err
}

// lines makes the lines of a reading. A panic must not end the program.
func (s *Statsd) lines(m *message, info *fleet.Info, r *fleet.Reading) (err error) {
	defer func() {
		if v := recover(); v != nil {
			level.Error(s.Logger).Log("msg", "panic in a dragon's answer", "advice", "please report it", "worker", info.Worker, "panic", v, "stack",
				string(debug.Stack()))
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return m.summary(info, r.Summary.Raw)
}

func (s *Statsd) begin(d *fleet.Dragon) (last time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.dragons[d]
	if state == nil {
		state = &mirrored{}
		s.dragons[d] = state
	}
	if state.busy {
		return last, false
	}
	state.busy = true
	return state.newest, true
}

func (s *Statsd) end(d *fleet.Dragon) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state := s.dragons[d]; state != nil {
		state.busy = false
	}
}

// sent sends the lines of a dragon. After a loss it sends the lines for an added dragon
// first, as the original did.
func (s *Statsd) sent(d *fleet.Dragon, info *fleet.Info, at time.Time, m *message) {
	s.mu.Lock()
	state := s.dragons[d]
	if state == nil { // it was forgotten meanwhile
		s.mu.Unlock()
		return
	}
	state.newest = at
	added := !state.present
	if added {
		state.present = true
		s.present++
	}
	present := s.present
	s.mu.Unlock()
	if added {
		s.Action(info, "added")
	}
	s.enqueue(m)
	if added {
		m := s.message()
		_ = m.Gauge("manager.dragons.count", int64(present), 1)
		_ = m.Inc("manager.dragons.added", 1, 1)
		s.enqueue(m)
	}
}

// lost reports once that a dragon can no longer be read.
func (s *Statsd) lost(d *fleet.Dragon) {
	s.mu.Lock()
	state := s.dragons[d]
	was := state != nil && state.present
	if was {
		state.present = false
		s.present--
	}
	present := s.present
	s.mu.Unlock()
	if was {
		m := s.message()
		_ = m.Inc("manager.dragons.exception", 1, 1)
		_ = m.Inc("manager.dragons.stats_exception", 1, 1)
		m.removed(present)
		s.enqueue(m)
	}
}

// forget drops the dragons that have left the fleet.
func (s *Statsd) forget(known []*fleet.Dragon) {
	here := make(map[*fleet.Dragon]bool, len(known))
	for _, d := range known {
		here[d] = true
	}
	var left []int // how many were present after each
	s.mu.Lock()
	for d, state := range s.dragons {
		if !here[d] {
			delete(s.dragons, d)
			if state.present {
				s.present--
				left = append(left, s.present)
			}
		}
	}
	s.mu.Unlock()
	for _, present := range left {
		m := s.message()
		m.removed(present)
		s.enqueue(m)
	}
}

func (m *message) removed(present int) {
	_ = m.Gauge("manager.dragons.count", int64(present), 1)
	_ = m.Inc("manager.dragons.removed", 1, 1)
}

func (s *Statsd) message() *message { return newMessage(s.Prefix, s.OneLinePerPacket) }
