package collector

import "github.com/brndnmtthws/mother-of-dragons/internal/fleet"

// A Switch turns a part of the series on or off. A part that is off has no series, and its
// facts are not read from the dragons.
type Switch struct {
	Name string
	Help string // what it is about
	On   bool   // unless told otherwise
}

// A part is tables that are switched together.
type part struct {
	Switch
	needs  fleet.Fact // beside readings; empty: nothing
	tables []grouped
}

// parts are all series of a dragon, in the order of the reference. The first has no
// switch: dragon_up must always exist.
func parts() []part {
	return []part{
		{tables: []grouped{healthTable(), parseErrorTable()}},
		{Switch{"system", "System, fans and tuning of a dragon.", true}, "", []grouped{dragonTable()}},
		{Switch{"boards", "Hash boards.", true}, "", []grouped{boardTable()}},
		{Switch{"pools", "Pools, as the miner process uses them.", true}, "", []grouped{poolTable()}},
		{Switch{"restarts", "Observed restarts.", true}, "", []grouped{restartTable()}},
		{Switch{"autotune", "Autotune profile.", true}, fleet.AutoTune, []grouped{autotuneTable()}},
		{Switch{"errors", "Errors that a dragon reports.", true}, fleet.Errors, []grouped{errorTable()}},
		{Switch{"firmware", "Whether the vendor has a newer firmware. Each dragon asks its vendor once a day.", true}, fleet.Firmware, []grouped{firmwareTable()}},
		{Switch{"power", "Power that a dragon draws, where it or the configuration says so.", true}, fleet.Power, []grouped{powerTable()}},
		{Switch{"facts", "When each fact was last read.", true}, "", []grouped{factTable()}},
		{Switch{"chips", "Each chip: some thousand series a dragon.", false}, fleet.Chips, []grouped{chipTable()}},
	}
}

// Switches returns what can be switched, in a fixed order.
func Switches() []Switch {
	var all []Switch
	for _, p := range parts() {
		if p.Name != "" {
			all = append(all, p.Switch)
		}
	}
	return all
}

// isOn reports whether a part is on; a choice without the part leaves its default.
func (p *part) isOn(choice map[string]bool) bool {
	on, chosen := choice[p.Name]
	return p.Name == "" || chosen && on || !chosen && p.On
}

// Facts returns the facts that the active parts of a choice need; see Config.Switches.
func Facts(choice map[string]bool) []fleet.Fact {
	var facts []fleet.Fact
	for _, p := range parts() {
		if p.needs != "" && p.isOn(choice) {
			facts = append(facts, p.needs)
		}
	}
	return facts
}

// chosen returns the tables of the parts that are on.
func chosen(choice map[string]bool) []grouped {
	var all []grouped
	for _, p := range parts() {
		if p.isOn(choice) {
			all = append(all, p.tables...)
		}
	}
	return all
}
