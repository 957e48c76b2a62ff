package config

import (
	"fmt"
	"strings"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// ModelPower is what dragons of a model draw, as the operator measured it.
type ModelPower struct {
	Model string  `yaml:"model"`
	Mode  string  `yaml:"mode"`  // of the autotuner; empty: any
	Level int     `yaml:"level"` // of the autotuner
	Watts float64 `yaml:"watts"`

	level dragon.Number // Level if the file has it; unknown: any
}

// PowerOf returns the watts of a model with an autotune profile by the entry that says most
// of it; unknown: none fits. A profile that is not known has no mode and no level.
func (s *Settings) PowerOf(model string, a dragon.AutoTune) dragon.Number {
	best, watts := -1, dragon.Number{}
	for i := range s.Power {
		p := &s.Power[i]
		says := 0
		if p.Mode != "" {
			says++
		}
		if p.level.IsKnown() {
			says++
		}
		if p.fits(model, a) && says > best {
			best, watts = says, dragon.Known(p.Watts)
		}
	}
	return watts
}

func (p *ModelPower) fits(model string, a dragon.AutoTune) bool {
	return normalModel(p.Model) == normalModel(model) && (p.Mode == "" || p.Mode == a.Mode) &&
		(!p.level.IsKnown() || p.level == a.Level)
}

// checkPower says what is wrong with the entries. A level needs a mode, so that two entries
// that say as much of a dragon are the same entry.
func (c *Config) checkPower(r *reader) {
	seen := map[string]int{}
	for i := range c.Power {
		p, path := &c.Power[i], fmt.Sprintf("power[%d]", i)
		if strings.TrimSpace(p.Model) == "" {
			r.at(path+".model", "is missing")
		}
		if p.Mode != "" {
			if _, err := Choice(dragon.AutoTuneModes()...)(p.Mode); err != nil {
				r.at(path+".mode", "%s", err)
			}
		}
		if r.has(path + ".level") {
			p.level = dragon.Known(float64(p.Level))
			if p.Mode == "" {
				r.at(path+".level", "a level needs a mode")
			}
		}
		same := fmt.Sprint(normalModel(p.Model), "/", p.Mode, "/", p.level.Or(-1))
		if j, taken := seen[same]; taken {
			r.at(path, "is a duplicate of power[%d]", j)
		}
		seen[same] = i
	}
}

func powerSection() section {
	return section{path: "power", about: `What dragons draw while they hash, for those that do not report it: [energy.md](energy.md). Measure it at the wall.
For a dragon the entry counts that says most: model, mode and level, then model and mode, then the model alone. Without an entry that fits, and
without a figure of its own, a dragon counts in no sum of energy and cost.`, rows: []setting{
		{doc: "The power of a model by its autotune mode and level, as the operator measured it.", example: powerExample},
		{key: "[].model", doc: "The model, as `dragon_info` has it."},
		{key: "[].mode", doc: "The autotune mode: efficient, balanced, factory or performance. Not set: any."},
		{key: "[].level", from: "0", to: "4", doc: "The autotune level, for models that have levels. Not set: any."},
		{key: "[].watts", from: "1", to: "100000", doc: "The power of one dragon in watts."},
	}}
}

const powerExample = `- {model: T1, watts: 1480}
- {model: T1, mode: efficient, watts: 1210}
- {model: T2T, mode: factory, level: 2, watts: 2050}`
