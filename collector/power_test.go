package collector

import (
	"strings"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// Nothing is invented: without a source there is no series, and never two of one dragon.
func TestPowerHasOneSourceOrNone(t *testing.T) {
	figures := func(model string, a dragon.AutoTune) dragon.Number {
		return knownIf(model == "T1" && a.Mode == "balanced", 1500)
	}
	for name, c := range map[string]struct {
		reported dragon.Number
		figures  func(string, dragon.AutoTune) dragon.Number
		change   func(*fleet.Info, *fleet.Reading)
		want     string // source and value; empty: no series
	}{
		"the dragon's own figure wins":         {reported: dragon.Known(1482), figures: figures, want: `source="dragon"} 1482`},
		"the dragon's own figure alone":        {reported: dragon.Known(1482), want: `source="dragon"} 1482`},
		"else the operator's":                  {figures: figures, want: `source="operator"} 1500`},
		"no source":                            {},
		"no figure for the model":              {figures: figures, change: func(i *fleet.Info, _ *fleet.Reading) { i.Model = "T2" }},
		"no figure for the mode":               {figures: figures, change: func(_ *fleet.Info, r *fleet.Reading) { r.Facts.AutoTune.Value.Mode = "efficient" }},
		"a dragon that does not hash":          {figures: figures, change: func(_ *fleet.Info, r *fleet.Reading) { r.Summary.Boards = nil }},
		"a dragon with one board alive":        {figures: figures, change: dead(2), want: `source="operator"} 1500`},
		"a dragon with no board alive":         {figures: figures, change: dead(3)},
		"what a dragon without boards reports": {reported: dragon.Known(70), figures: figures, change: dead(3), want: `source="dragon"} 70`},
	} {
		t.Run(name, func(t *testing.T) {
			info, health, r := aDragon(0)
			r.Facts.Power.Value = c.reported
			if c.change != nil {
				c.change(info, r)
			}
			s := newSample(info, health, newLabelCache(newSharedLabels()), r, nil, 0)
			s.configuredPower = c.figures
			var got []string
			for line := range strings.Lines(pageOf(t, aCollector(t), []*sample{s})) {
				if rest, ok := strings.CutPrefix(line, "dragon_power_watts{"); ok {
					got = append(got, strings.TrimSpace(strings.Replace(rest, `,worker="`+info.Worker+`"`, "", 1)))
				}
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// dead makes the first boards dead.
func dead(n int) func(*fleet.Info, *fleet.Reading) {
	return func(_ *fleet.Info, r *fleet.Reading) {
		for i := range n {
			r.Summary.Boards[i].Status = "Dead"
		}
	}
}
