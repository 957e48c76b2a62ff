package config

import (
	"strings"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

func TestTheEntryThatSaysMostGivesThePower(t *testing.T) {
	c := mustParse(t, `networks: [{cidr: 127.5.0.0/16}]
power:
  - {model: t1, watts: 1480}
  - {model: T1, mode: efficient, watts: 1210}
  - {model: T2T, mode: factory, watts: 2000}
  - {model: T2T, mode: factory, level: 0, watts: 1800.5}
`)
	profile := func(mode string, level dragon.Number) dragon.AutoTune {
		return dragon.AutoTune{Mode: mode, Level: level}
	}
	none := dragon.Number{}
	for _, x := range []struct {
		model string
		of    dragon.AutoTune
		want  float64 // 0: unknown
	}{
		{"T1", profile("balanced", none), 1480},
		{"T1", dragon.AutoTune{}, 1480},
		{"T1", profile("efficient", none), 1210},
		{"T1", profile("efficient", dragon.Known(4)), 1210},
		{"T2T", profile("factory", dragon.Known(0)), 1800.5},
		{"T2T", profile("factory", dragon.Known(2)), 2000},
		{"T2T", profile("factory", none), 2000},
		{"T2T", profile("balanced", dragon.Known(0)), 0},
		{"T2T", dragon.AutoTune{}, 0},
		{"T2", profile("factory", dragon.Known(0)), 0},
		{"", dragon.AutoTune{}, 0},
	} {
		if got := c.PowerOf(x.model, x.of); got.Or(0) != x.want || got.IsKnown() != (x.want > 0) {
			t.Errorf("%s %+v: %v, want %v", x.model, x.of, got, x.want)
		}
	}
}

func TestPowerThatIsWrong(t *testing.T) {
	for entry, want := range map[string]string{
		"{watts: 1480}":                                               "power[0].model: is missing",
		"{model: T1}":                                                 "power[0].watts: invalid value 0",
		"{model: T1, watts: 0}":                                       "power[0].watts",
		"{model: T1, watts: 200000}":                                  "power[0].watts",
		"{model: T1, watts: 1480, mode: fast}":                        "power[0].mode",
		"{model: T1, watts: 1480, level: 2}":                          "power[0].level: a level needs a mode",
		"{model: T1, watts: 1480, mode: factory, level: 5}":           "power[0].level",
		"{model: T1, watts: 1480}, {model: t1, watts: 1500}":          "power[1]: is a duplicate of power[0]",
		"{model: T1, kilowatts: 1.48}":                                "kilowatts",
		"{model: T1, watts: 1}, {model: T1, mode: factory, watts: 2}": "",
	} {
		_, err := parseFile(t, "networks: [{cidr: 127.5.0.0/16}]\npower: ["+entry+"]\n")
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", entry, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %s", entry, err, want)
		}
	}
}
