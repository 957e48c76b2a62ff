package collector

import (
	"slices"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// powerTable has at most one series for a dragon: a figure of its own wins over the operator's.
func powerTable() table[sample] {
	return table[sample]{
		title: "Power",
		each:  func(s *sample) []item[sample] { return s.live },
		rows: []row[sample]{
			{
				name: "dragon_power_watts", typ: gauge, unit: "watts", source: "getAll.power", with: label{"source", "dragon"}, get: reportedPower,
				help: "Power that the dragon draws; source: dragon, as it reports; operator, as the configuration says for a dragon that hashes.",
			},
			{name: "dragon_power_watts", typ: gauge, source: "configuration", with: label{"source", "operator"}, get: operatorsPower},
		},
	}
}

func reportedPower(s *sample) dragon.Number { return s.facts().Power.Value }

// operatorsPower is a figure for a dragon that hashes. One whose boards are all dead, or whose
// miner process does not run, draws an unknown amount.
func operatorsPower(s *sample) dragon.Number {
	hashes := slices.ContainsFunc(s.summary().Boards, func(b dragon.Board) bool { return b.Alive() })
	if s.configuredPower == nil || !hashes || reportedPower(s).IsKnown() {
		return dragon.Number{}
	}
	return s.configuredPower(s.info.Model, s.facts().AutoTune.Value)
}
