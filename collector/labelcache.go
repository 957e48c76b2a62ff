package collector

import (
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// labelCache holds what stays the same in a dragon's series from one scrape to the next:
// labels and the start of counters. Several scrapes may use it at once.
type labelCache struct {
	shared *sharedLabels
	mu     sync.Mutex
	pairs  map[label]*labelPair // those that are its own
	starts map[int]*timestamppb.Timestamp
}

func newLabelCache(c *sharedLabels) *labelCache {
	return &labelCache{shared: c, pairs: map[label]*labelPair{}, starts: map[int]*timestamppb.Timestamp{}}
}

// A dragon has some thirty labels. Beyond maxPairs the cache starts over, because a dragon
// may invent labels.
const maxPairs = 256

// common are the labels that many dragons have: the boards' and pools' numbers, the
// model, the firmware, where they mine. A farm of ten thousand has them once.
type sharedLabels struct {
	mu    sync.RWMutex
	pairs map[label]*labelPair
}

func newSharedLabels() *sharedLabels { return &sharedLabels{pairs: map[label]*labelPair{}} }

// maxCommon bounds the shared labels. Labels beyond it are cached per dragon, so that
// invented labels do not displace the others.
const maxCommon = 4096

// ownLabels are the labels that differ between dragons.
var ownLabels = []string{"worker", "mac", "ip", "user", "name", "place"}

// pair returns the shared label; nil if the label is not shared.
func (c *sharedLabels) pair(l label) *labelPair {
	if slices.Contains(ownLabels, l.name) {
		return nil
	}
	c.mu.RLock()
	p, full := c.pairs[l], len(c.pairs) >= maxCommon
	c.mu.RUnlock()
	if p != nil || full {
		return p
	}
	l.value = strings.Clone(l.value) // the map must not keep alive the answer that it is a part of
	c.mu.Lock()
	defer c.mu.Unlock()
	if p = c.pairs[l]; p == nil {
		p = pair(l.name, clean(l.value))
		c.pairs[l] = p
	}
	return p
}

// pair returns a cleaned label, the same pointer for the same name and value.
func (f *labelCache) pair(name, value string) *labelPair {
	value = value[:min(len(value), 4*maxLabel)]
	l := label{name, value}
	if p := f.shared.pair(l); p != nil {
		return p
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	p, ok := f.pairs[l]
	if !ok {
		if len(f.pairs) >= maxPairs {
			clear(f.pairs)
		}
		l.value = strings.Clone(value) // as above
		p = pair(name, clean(l.value))
		f.pairs[l] = p
	}
	return p
}

// labelPair is a label with its text in a line: name="value".
type labelPair struct {
	*dto.LabelPair
	text string
}

// inQuotes escapes a label's value as both text formats want it.
var inQuotes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

func pair(name, value string) *labelPair {
	return &labelPair{&dto.LabelPair{Name: &name, Value: &value}, name + `="` + inQuotes.Replace(value) + `"`}
}

const (
	miner  = -1 // the slot of the miner process in labelCache.starts
	jitter = 10 * time.Second
)

// start returns when the counters of a board, or of the miner process, began at zero. The
// computed time jitters, and a moved start would look like a restart, so a start close to
// the last one is the last one.
func (f *labelCache) start(slot int, began time.Time, known bool) *timestamppb.Timestamp {
	if !known {
		return nil
	}
	start := began.Truncate(time.Second)
	f.mu.Lock()
	defer f.mu.Unlock()
	last := f.starts[slot]
	if last != nil && start.Sub(last.AsTime()).Abs() <= jitter {
		return last
	}
	if len(f.starts) >= maxPairs {
		clear(f.starts)
	}
	f.starts[slot] = timestamppb.New(start)
	return f.starts[slot]
}

const maxLabel = 160 // bytes; the longest honest ones are pool URLs and users

// clean makes a text printable and bounds its length.
func clean(s string) string {
	s = dragon.Printable(s)
	if len(s) <= maxLabel {
		return s
	}
	end := maxLabel - len("…")
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
