package collector

import (
	"slices"
	"strconv"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// maxChips of a dragon are shown; the most that was built is 8 boards of 80.
const maxChips = 1024

// chipTable has the series of a chip. Voltage and PLL are left out: the vendor gives no unit.
func chipTable() table[dragon.Chip] {
	type chip = dragon.Chip
	place := []labelOf[chip]{{"chip", func(c *chip) string { return strconv.Itoa(c.Index) }}}
	return table[chip]{
		title: "A chip",
		key:   "board",
		each:  (*sample).chips,
		rows: []row[chip]{
			{name: "dragon_chip_temperature_celsius", help: "Temperature of the chip.", typ: gauge, unit: "celsius", source: "getDebugStats.chips.Temp", labels: place, get: func(c *chip) dragon.Number { return c.Temperature }},
			{name: "dragon_chip_nonces_total", help: "Nonces that the chip found.", typ: counter, source: "getDebugStats.chips.Nonces found", labels: place, get: func(c *chip) dragon.Number { return c.NoncesFound }},
			{name: "dragon_chip_hardware_errors_total", help: "Nonces that failed the dragon's own check.", typ: counter, source: "getDebugStats.chips.HW errors", labels: place, get: func(c *chip) dragon.Number { return c.HardwareErrors }},
			{name: "dragon_chip_stale_nonces_total", help: "Nonces for stale work.", typ: counter, source: "getDebugStats.chips.Stales", labels: place, get: func(c *chip) dragon.Number { return c.Stales }},
			{name: "dragon_chip_duplicate_nonces_total", help: "Duplicate nonces.", typ: counter, source: "getDebugStats.chips.Duplicates", labels: place, get: func(c *chip) dragon.Number { return c.Duplicates }},
			{name: "dragon_chip_failures_total", help: "How often the chip failed.", typ: counter, source: "getDebugStats.chips.Fail count", labels: place, get: func(c *chip) dragon.Number { return c.FailCount }},
		},
	}
}

// chips are the chips of the last reading. They are made on demand: there may be
// thousands, and most scrapes do not need them.
func (s *sample) chips() []item[dragon.Chip] {
	if s.reading == nil || len(s.facts().Chips.Value) == 0 {
		return nil
	}
	if s.chipItems == nil {
		for i := range s.facts().Chips.Value {
			b := &s.facts().Chips.Value[i]
			board := s.labels.pair("board", strconv.Itoa(b.Slot))
			if slices.ContainsFunc(s.chipItems, func(it item[dragon.Chip]) bool { return it.key.GetValue() == board.GetValue() }) {
				continue
			}
			for k := range b.Details[:min(len(b.Details), maxChips-len(s.chipItems))] {
				s.chipItems = append(s.chipItems, item[dragon.Chip]{of: &b.Details[k], key: board})
			}
		}
	}
	return s.chipItems
}
