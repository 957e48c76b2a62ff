package collector

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// A sample is one dragon in one scrape: its data, if it answered, and apart from them
// its health.
type sample struct {
	info    *fleet.Info
	health  fleet.Health
	reading *fleet.Reading // nil if the dragon was not read
	err     error          // why not
	took    time.Duration
	busy    string // the action that holds the lane

	configuredPower func(model string, a dragon.AutoTune) dragon.Number // nil: none

	labels *labelCache
	worker *labelPair

	self        [1]item[sample]
	live        []item[sample] // self if read, else nothing
	boards      []item[dragon.Board]
	pools       []item[dragon.Pool]
	parseErrors []item[parseError]
	restarts    [4]item[restarts]
	chipItems   []item[dragon.Chip] // see chips
}

// A dragon has at most eight boards and three pools.
const maxItems = 32

// newSample makes the sample of a reading. It ensures that each series exists once.
func newSample(info *fleet.Info, health fleet.Health, f *labelCache, r *fleet.Reading, err error, took time.Duration) *sample {
	if err == nil && (r == nil || r.Summary == nil) {
		r, err = nil, errors.New("read nothing")
	}
	if err != nil {
		r = nil
	}
	s := &sample{info: info, health: health, reading: r, err: err, took: took, labels: f}
	s.worker = f.pair("worker", s.info.Worker)
	s.self[0].of = s
	s.busy = s.health.Busy
	if busy := (*fleet.BusyError)(nil); errors.As(err, &busy) {
		s.busy = busy.Action
	}
	for _, field := range slices.Sorted(maps.Keys(s.health.ParseErrors)) {
		key, count := f.pair("field", field), s.health.ParseErrors[field]
		same := func(e item[parseError]) bool { return e.key.GetValue() == key.GetValue() }
		if i := slices.IndexFunc(s.parseErrors, same); i >= 0 { // once cleaned
			s.parseErrors[i].of.count += count
			continue
		}
		s.parseErrors = append(s.parseErrors, item[parseError]{of: &parseError{count}, key: key})
	}
	counts := restartsOf(s.health.Restarts)
	for i := range counts {
		s.restarts[i].of = &counts[i]
	}
	if r == nil {
		return s
	}

	s.live = s.self[:]
	s.boards = make([]item[dragon.Board], 0, min(len(r.Summary.Boards), maxItems))
	for i := range r.Summary.Boards {
		b := &r.Summary.Boards[i]
		s.boards = add(s.boards, item[dragon.Board]{b, f.pair("board", strconv.Itoa(b.Slot)), since(f, b.Slot, r, b.Elapsed)})
	}
	s.pools = make([]item[dragon.Pool], 0, min(len(r.Summary.Pools), maxItems))
	started := since(f, miner, r, r.Summary.Elapsed())
	for i := range r.Summary.Pools {
		p := &r.Summary.Pools[i]
		s.pools = add(s.pools, item[dragon.Pool]{p, f.pair("pool", strconv.Itoa(p.Index)), started})
	}
	return s
}

// since is when the counters of a slot were zero, computed from their age.
func since(f *labelCache, slot int, r *fleet.Reading, age dragon.Number) *timestamppb.Timestamp {
	began, known := r.Began(age)
	return f.start(slot, began, known)
}

// add appends an item, unless its key exists already or there are too many.
func add[T any](items []item[T], it item[T]) []item[T] {
	for _, other := range items {
		if other.key.GetValue() == it.key.GetValue() {
			return items
		}
	}
	if len(items) == maxItems {
		return items
	}
	return append(items, it)
}

func (s *sample) summary() *dragon.Summary { return s.reading.Summary }

func (s *sample) overview() *dragon.Overview {
	if s.reading.Overview == nil {
		return &dragon.Overview{}
	}
	return s.reading.Overview
}

func (s *sample) facts() *fleet.Facts {
	if s.reading.Facts == nil {
		return &fleet.Facts{}
	}
	return s.reading.Facts
}

func (s *sample) failures(reason int) dragon.Number {
	if reason >= len(s.health.Failures) {
		return dragon.Known(0)
	}
	return dragon.Known(float64(s.health.Failures[reason]))
}
