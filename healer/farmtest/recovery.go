package farmtest

import (
	"fmt"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// Recovery is how a farm gets well of boards that die in many dragons at once, and that
// only a reboot brings back.
type Recovery struct {
	Left    int           // dragons that are still sick at the end
	All     time.Duration // until the last was well
	Lost    float64       // dragon-hours, until 7 hours after that
	Reboots int
	Well    int // writes to dragons that were well
}

// RecoverySize is a row of the recovery table: a farm, how many of it fall sick, and
// within what that has to be over.
type RecoverySize struct {
	Dragons, Sick int
	All           time.Duration
	Lost          float64
}

// RecoverySizes are the rows of the recovery table.
var RecoverySizes = []RecoverySize{
	{10, 1, 40 * time.Minute, 0.5},
	{10, 2, 2 * time.Hour, 1.5},
	{100, 1, 40 * time.Minute, 0.5},
	{100, 5, 2 * time.Hour, 4},
	{100, 20, 28 * time.Hour, 80}, // a storm; the day's budget is 15
	{1000, 10, 49 * time.Minute, 4.5},
	{1000, 50, 3 * time.Hour, 45},
	{1000, 200, 36 * time.Hour, 2000}, // a storm
}

const (
	struckAt  = time.Hour
	afterCure = 7 * time.Hour
	patience  = 72 * time.Hour
)

func (s RecoverySize) script() (*Script, error) {
	return Parse(fmt.Sprintf("farm %d; switches %d; pdus 2; seed 7; run %s; baselines learned\nat %s board d0-d%d/1 dead reboot=1",
		s.Dragons, max(1, s.Dragons/24), struckAt+patience, struckAt, s.Sick-1))
}

// Healed runs a row with this healer.
func (s RecoverySize) Healed() (Recovery, *Oracle, error) {
	script, err := s.script()
	if err != nil {
		return Recovery{}, nil, err
	}
	w := NewWorld(script)
	h := NewHealer(w, script.Policy)
	o := NewOracle(w, h)
	return w.recover(func() { h.Tick(w); o.Step(h) }), o, nil
}

// Kept runs a row with another caretaker of the farm.
func (s RecoverySize) Kept(k Keeper) (Recovery, error) {
	script, err := s.script()
	if err != nil {
		return Recovery{}, err
	}
	w := NewWorld(script)
	w.healer = &Healer{Policy: script.Policy, world: w}
	return w.recover(func() { k.Tick(w) }), nil
}

// recover lets time pass until all are well, and some hours more.
func (w *World) recover(tick func()) Recovery {
	var r Recovery
	well := make([]bool, len(w.Dragons)) // right before a write
	seen, over := 0, time.Duration(-1)
	for w.Now < w.script.Run && (over < 0 || w.Now < over+afterCure) {
		w.Step()
		for i, d := range w.Dragons {
			well[i] = !d.unwell()
		}
		tick()
		r.Left = w.sick()
		if r.Left == 0 && w.Now > struckAt+time.Minute && over < 0 {
			over, r.All = w.Now, w.Now-struckAt
		}
		for _, x := range w.Writes[seen:] {
			if x.Kind == healer.Reboot {
				r.Reboots++
			}
			if x.N >= 0 && well[x.N] {
				r.Well++
			}
		}
		seen = len(w.Writes)
	}
	r.Lost = w.Lost() * w.Now.Hours() * float64(len(w.Dragons))
	return r
}

// sick is the number of dragons with something wrong that a healer should act on.
func (w *World) sick() int {
	return howMany(w.Dragons, (*Dragon).unwell)
}
