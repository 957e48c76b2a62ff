package collector

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// A row is one series that each T has. To add a metric is to add a row: HELP, page,
// reference and lint follow from it.
type row[T any] struct {
	name   string
	help   string // one sentence; empty adds a series to the metric of the row above
	typ    dto.MetricType
	unit   string // base unit, the end of the name; empty for counts of things, 0/1 and 1
	source string // the device's own field
	with   label  // a constant label, where the name has one series for each of its values
	labels []labelOf[T]
	more   func(*T) []fleet.Label // labels that only some dragons have; may be nil
	may    []string               // the names of these that are fixed, for the reference
	get    func(*T) dragon.Number
}

const (
	gauge   = dto.MetricType_GAUGE
	counter = dto.MetricType_COUNTER
)

type label struct{ name, value string }

type labelOf[T any] struct {
	name string
	get  func(*T) string
}

// table is the rows of one kind of object and how to list the objects of a sample.
type table[T any] struct {
	title string
	key   string // the label that tells a dragon's objects apart; empty if there is only one
	each  func(*sample) []item[T]
	rows  []row[T]
}

// item is one object with series: a dragon, a board, a pool.
type item[T any] struct {
	of    *T
	key   *labelPair             // nil if the table has no key
	since *timestamppb.Timestamp // when its counters began at zero; nil if unknown
}

// A family is the rows of one name with their T forgotten.
type family struct {
	name, help, unit string
	typ              dto.MetricType
	labels           []string // without worker, sorted
	may              []string // that only some dragons have
	constant         string   // which of them is constant for each row
	values           []string // and its values
	sources          []string
	table            string

	// visit calls emit for each series of a sample, also for those without a value.
	// It makes the label pairs in scratch, which is emit's only until it returns.
	visit func(s *sample, scratch []*labelPair, emit emit)
}

type emit func(source string, value dragon.Number, since *timestamppb.Timestamp, labels []*labelPair)

// families groups the rows by name, in their order.
func (t table[T]) families() []*family {
	var all []*family
	for len(t.rows) > 0 {
		n := 1
		for n < len(t.rows) && t.rows[n].name == t.rows[0].name {
			n++
		}
		all = append(all, t.family(t.rows[:n:n]))
		t.rows = t.rows[n:]
	}
	return all
}

func (t table[T]) family(rows []row[T]) *family {
	first := rows[0]
	f := &family{name: first.name, unit: first.unit, typ: first.typ, table: t.title, constant: first.with.name}
	with := make([]*labelPair, len(rows))
	for i, r := range rows {
		if !slices.Contains(f.sources, r.source) {
			f.sources = append(f.sources, r.source)
		}
		if r.with.name != "" {
			with[i] = pair(r.with.name, r.with.value)
			f.values = append(f.values, r.with.value)
		}
	}
	f.help = fmt.Sprintf("%s (%s)", first.help, strings.Join(f.sources, ", "))
	for _, name := range []string{t.key, first.with.name} {
		if name != "" {
			f.labels = append(f.labels, name)
		}
	}
	for _, l := range first.labels {
		f.labels = append(f.labels, l.name)
	}
	f.may = first.may

	f.visit = func(s *sample, scratch []*labelPair, emit emit) {
		for _, it := range t.each(s) {
			for i := range rows {
				r := &rows[i]
				value := validOrUnknown(r.typ, r.get(it.of))
				labels := scratch[:0]
				if it.key != nil {
					labels = append(labels, it.key)
				}
				if with[i] != nil {
					labels = append(labels, with[i])
				}
				for _, l := range r.labels {
					labels = append(labels, s.labels.pair(l.name, l.get(it.of)))
				}
				if r.more != nil {
					for _, l := range r.more(it.of) {
						labels = append(labels, s.labels.pair(l.Name, l.Value))
					}
				}
				emit(r.source, value, it.since, append(labels, s.worker))
			}
		}
	}
	return f
}

// validOrUnknown makes impossible values unknown: NaN and infinity, and a counter below zero,
// which OpenMetrics forbids.
func validOrUnknown(typ dto.MetricType, n dragon.Number) dragon.Number {
	v, known := n.Get()
	if known && (math.IsNaN(v) || math.IsInf(v, 0) || typ == counter && v < 0) {
		return dragon.Number{}
	}
	return n
}

// grouped is a table whatever its T.
type grouped interface{ families() []*family }

// compile returns the families of the tables sorted by name, as the page has them.
func compile(tables []grouped) []*family {
	var all []*family
	for _, t := range tables {
		all = append(all, t.families()...)
	}
	slices.SortStableFunc(all, func(a, b *family) int { return cmp.Compare(a.name, b.name) })
	return all
}
