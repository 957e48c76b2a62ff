package farmtest

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// Script is a farm and what befalls it.
type Script struct {
	Dragons  int
	Switches int
	PDUs     int
	Pools    []string // a dragon mines at the first that works
	Model    string
	Run      time.Duration
	Cycle    time.Duration // between two decisions; every dragon is read once a minute
	Seed     uint64
	TuneMin  time.Duration // how long a dragon tunes after a start of its system
	TuneMax  time.Duration
	Begins   time.Time
	Unnamed  bool // fault domains are not configured: the /24 has to do
	Learned  bool // baselines of a week are already learned
	// Efficient is what a dragon does in that mode, of what it does otherwise; 0: all.
	Efficient float64
	Policy    healer.Policy
	Built     map[int]int // how many boards dragons were built with, where it is not as many as the model has

	Events []Event // by time, then line
}

// Event is one thing that happens.
type Event struct {
	At   time.Duration
	Line int
	Text string
	do   func(*World)
}

const (
	most    = 5000                 // dragons
	longest = 365 * 24 * time.Hour // script
	nominal = 5e12                 // hashes per second of a board of a T1
)

// Parse reads a script: settings, then events. Statements are separated by newlines
// or semicolons, # starts a comment. Errors name the line.
func Parse(text string) (*Script, error) {
	s := &Script{
		Dragons: 20, Switches: 4, PDUs: 2, Pools: []string{"slush"}, Model: "T1",
		Run: 24 * time.Hour, Cycle: time.Minute, Seed: 1, Policy: healer.DefaultPolicy(),
		TuneMin: 10 * time.Minute, TuneMax: 20 * time.Minute,
		Built:  make(map[int]int),
		Begins: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC), // a Monday
	}
	s.Policy.Default.Mode = healer.Enforce
	line := 0
	for l := range strings.Lines(text) {
		line++
		l, _, _ = strings.Cut(l, "#")
		for statement := range strings.SplitSeq(l, ";") {
			words := strings.Fields(statement)
			if len(words) == 0 {
				continue
			}
			if err := s.statement(words, line); err != nil {
				return nil, fmt.Errorf("line %d: %q: %w", line, strings.Join(words, " "), err)
			}
		}
	}
	slices.SortStableFunc(s.Events, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
	return s, nil
}

func (s *Script) statement(words []string, line int) error {
	if words[0] != "at" {
		if len(s.Events) > 0 {
			return fmt.Errorf("settings come before the first event")
		}
		return s.setting(words)
	}
	p := &command{words: slices.Clone(words[1:]), script: s}
	p.at = p.duration()
	if at := p.at; p.err == nil && (at < 0 || at > longest) {
		p.fail("a time between 0 and %s", longest)
	}
	e := Event{At: p.at, Line: line, Text: strings.Join(words, " ")}
	if e.do = p.does(); p.err == nil && len(p.words) > 0 {
		p.fail("nothing after that, got %q", p.words[0])
	}
	if p.err != nil {
		return p.err
	}
	s.Events = append(s.Events, e)
	return nil
}

func (s *Script) setting(words []string) error {
	p := &command{words: words[1:], script: s}
	switch words[0] {
	case "farm":
		s.Dragons = p.number(1, most)
	case "switches":
		s.Switches = p.number(1, 200)
	case "pdus":
		s.PDUs = p.number(1, 200)
	case "pools":
		s.Pools = slices.Clone(p.words)
		p.words = nil
		for i, name := range s.Pools {
			if !isName(name) || slices.Contains(s.Pools[:i], name) {
				p.fail("different names of small letters, got %q", name)
			}
		}
		if len(s.Pools) == 0 || len(s.Pools) > 4 {
			p.fail("one to four pools")
		}
	case "model":
		s.Model = strings.ToUpper(p.word())
	case "run":
		s.Run = p.positive()
	case "cycle":
		if s.Cycle = p.positive(); p.err == nil && (s.Cycle > time.Minute || s.Cycle < time.Second || time.Minute%s.Cycle != 0) {
			p.fail("a cycle that a minute is a multiple of")
		}
	case "seed":
		s.Seed = uint64(p.number(0, 1<<30))
		s.Policy.Seed = s.Seed
	case "tune":
		low, high, both := strings.Cut(p.word(), "..")
		if !both {
			high = low
		}
		s.TuneMin, s.TuneMax = p.parse(low), p.parse(high)
		if p.err == nil && (s.TuneMin < 0 || s.TuneMax < s.TuneMin || s.TuneMax > 48*time.Hour) {
			p.fail("a time, or two as in 10m..2h, up to 48h")
		}
	case "begins":
		w := p.word()
		t, err := time.Parse(time.DateOnly, w)
		if s.Begins = t; p.err == nil && err != nil {
			p.fail("a date such as 2026-03-28, got %q", w)
		}
	case "domains":
		s.Unnamed = p.oneOf("labels", "subnets") == "subnets"
	case "baselines":
		s.Learned = p.oneOf("new", "learned") == "learned"
	case "efficient": // what a dragon does in that mode, of what it does otherwise
		s.Efficient = p.ratio()
	case "built": // built d3-d5 2
		for _, i := range p.dragons() {
			s.Built[i] = 0
		}
		n := p.number(1, boardsPerDragon)
		for i, boards := range s.Built {
			if boards == 0 {
				s.Built[i] = n
			}
		}
	case "policy":
		p.policy(&s.Policy)
	default:
		return fmt.Errorf("expected a setting, or at and a time")
	}
	if p.err == nil && len(p.words) > 0 {
		p.fail("nothing after that, got %q", p.words[0])
	}
	return p.err
}

// command is what is left to read of a statement. After the first error it reads
// nothing more.
type command struct {
	words  []string
	script *Script
	at     time.Duration // of an event
	verb   string        // of an event
	err    error
}

func (p *command) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("expected "+format, args...)
	}
}

func (p *command) word() string {
	if p.err != nil {
		return ""
	}
	if len(p.words) == 0 {
		p.fail("more words")
		return ""
	}
	w := p.words[0]
	p.words = p.words[1:]
	return w
}

// next takes a word if it is the wanted one.
func (p *command) next(want string) bool {
	if p.err != nil || len(p.words) == 0 || p.words[0] != want {
		return false
	}
	p.words = p.words[1:]
	return true
}

func (p *command) oneOf(words ...string) string {
	w := p.word()
	if p.err == nil && !slices.Contains(words, w) {
		p.fail("one of %s, got %q", strings.Join(words, ", "), w)
	}
	return w
}

func (p *command) number(least, most int) int {
	w := p.word()
	n, err := strconv.Atoi(w)
	if p.err == nil && (err != nil || n < least || n > most) {
		p.fail("a number from %d to %d, got %q", least, most, w)
		return least
	}
	return n
}

func (p *command) float() float64 {
	w := p.word()
	v, err := strconv.ParseFloat(w, 64)
	if p.err == nil && (err != nil || v != v || v > 1e18 || v < -1e18) {
		p.fail("a number, got %q", w)
		return 0
	}
	return v
}

// ratio reads 20%, or 0.2.
func (p *command) ratio() float64 {
	var r healer.Ratio
	if w := p.word(); p.err == nil && r.UnmarshalText([]byte(w)) != nil {
		p.fail("a part such as 20%%, got %q", w)
	}
	return float64(r)
}

func (p *command) duration() time.Duration { return p.parse(p.word()) }

// parse reads a duration, with days, and with a sign where it may be negative.
func (p *command) parse(w string) time.Duration {
	if p.err != nil {
		return 0
	}
	d, err := time.ParseDuration(w)
	if days, ok := strings.CutSuffix(w, "d"); ok {
		var n float64
		if n, err = strconv.ParseFloat(days, 64); err == nil {
			if n != n || n > 4000 || n < -4000 {
				err = strconv.ErrRange
			}
			d = time.Duration(n * 24 * float64(time.Hour))
		}
	}
	if err != nil {
		p.fail("a time such as 90s, 20m, 2h or 7d, got %q", w)
		return 0
	}
	return d
}

func (p *command) positive() time.Duration {
	d := p.duration()
	if p.err == nil && (d <= 0 || d > longest) {
		p.fail("a time above 0 and up to %s", longest)
	}
	return d
}

// span reads an optional duration; forever if there is none.
func (p *command) span() time.Duration {
	p.next("for")
	if p.err != nil || len(p.words) == 0 || strings.Contains(p.words[0], "=") {
		return longest
	}
	return p.positive()
}

// dragons reads d3, d3-d7, d3,d5, 20% or all, as indices. A percentage is drawn from the
// seed and the line's words, so that the same line strikes the same dragons.
func (p *command) dragons() []int {
	w := p.word()
	if p.err != nil {
		return nil
	}
	n := p.script.Dragons
	if strings.Contains(w, ",") {
		var out []int
		for one := range strings.SplitSeq(w, ",") {
			out = append(out, p.index(one, "d", n))
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	switch {
	case w == "all":
		return upTo(0, n)
	case strings.HasSuffix(w, "%"):
		var r healer.Ratio
		if r.UnmarshalText([]byte(w)) != nil {
			p.fail("a part such as 20%%, got %q", w)
			return nil
		}
		all := upTo(0, n)
		slices.SortStableFunc(all, func(a, b int) int {
			return cmp.Compare(draw(p.script.Seed, a, w, len(p.words)), draw(p.script.Seed, b, w, len(p.words)))
		})
		chosen := all[:int(float64(r)*float64(n)+0.5)]
		slices.Sort(chosen)
		return chosen
	}
	from, to, both := strings.Cut(w, "-")
	a := p.index(from, "d", n)
	if !both {
		return []int{a}
	}
	b := p.index(to, "d", n)
	if p.err == nil && b < a {
		p.fail("a range such as d3-d7, got %q", w)
		return nil
	}
	return upTo(a, b+1)
}

func (p *command) dragon() int {
	return p.index(p.word(), "d", p.script.Dragons)
}

func (p *command) index(w, prefix string, n int) int {
	digits, ok := strings.CutPrefix(w, prefix)
	i, err := strconv.Atoi(digits)
	if p.err == nil && (!ok || err != nil || i < 0 || i >= n) {
		p.fail("%s0 to %s%d, got %q", prefix, prefix, n-1, w)
		return 0
	}
	return i
}

// board reads d3/1, or d3-d7/1.
func (p *command) board() ([]int, int) {
	if p.err != nil || len(p.words) == 0 {
		p.fail("a board such as d3/1")
		return nil, 0
	}
	who, slot, ok := strings.Cut(p.words[0], "/")
	if !ok {
		p.fail("a board such as d3/1, got %q", p.words[0])
		return nil, 0
	}
	p.words[0] = who
	return p.dragons(), p.index(slot, "", boardsPerDragon)
}

func (p *command) pool() string {
	w := p.word()
	if p.err == nil && !slices.Contains(p.script.Pools, w) {
		p.fail("a pool of %s, got %q", strings.Join(p.script.Pools, " "), w)
	}
	return w
}

func upTo(from, to int) []int {
	out := make([]int, 0, max(0, to-from))
	for i := from; i < to; i++ {
		out = append(out, i)
	}
	return out
}

func isName(s string) bool {
	for _, r := range s {
		if r < 'a' || r > 'z' {
			return false
		}
	}
	return s != "" && len(s) < 20
}

// draw is a number from 0 to 1 that depends on nothing but its arguments: what chance
// does to one dragon must not depend on what is done to another.
func draw(seed uint64, dragon int, what string, n int) float64 {
	h := seed*0x9e3779b97f4a7c15 + uint64(dragon)*0xbf58476d1ce4e5b9 + uint64(n)*0x94d049bb133111eb
	for i := range len(what) {
		h = (h ^ uint64(what[i])) * 0x100000001b3
	}
	h ^= h >> 30
	h *= 0xbf58476d1ce4e5b9
	h ^= h >> 27
	h *= 0x94d049bb133111eb
	h ^= h >> 31
	return float64(h>>11) / (1 << 53)
}
