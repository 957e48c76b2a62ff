package dragon

import (
	"maps"
	"slices"
	"strings"
)

// Model has the known facts about a type of dragon.
type Model struct {
	Algorithm string  // what it mines; empty if unknown
	Factor    float64 // hashes (Equihash: solutions) per unit of the fields named MHS
	Boards    int     // as built; 0 where the sources are not certain
	Hashrate  float64 // as the maker announced it, in hashes (Equihash: solutions) per second; 0 if unknown
	Note      string
}

// models by the type that the device reports. An entry that ends in * stands for all
// types that begin so, and the longest that fits counts.
//
// Factor and Algorithm: the vendor's backend source (miner list); A10 and A11: a
// published record of an A11MX, whose fields are plain H/s. A8P, A8PM and A8PMX are
// of the A11 family although their names begin like the A8's.
//
// Boards: recorded answers, the vendor's cgminer forks, and the lists of other tools.
// An entry has a number only where all of them agree, and one with * only where that
// holds for each known suffix. What the drivers of A5, A6 and A8 give is the size of an
// array, not a board count.
//
// Hashrate: announcements of Halong (T1, B29, B52) and Innosilicon. A type that names
// several machines, as T3 or A10 do, has none.
var models = map[string]Model{
	"T1":   {"SHA-256", 1e6, 3, 16e12, "DragonMint or Innosilicon"},
	"T2*":  {"SHA-256", 1e6, 0, 0, "Innosilicon"},
	"T2":   {"SHA-256", 1e6, 0, 17.2e12, "Innosilicon"},
	"T2T*": {"SHA-256", 1e6, 0, 0, "Innosilicon T2 Turbo"},
	"T2T":  {"SHA-256", 1e6, 3, 0, "Innosilicon T2 Turbo"},
	"T3*":  {"SHA-256", 1e6, 0, 0, "Innosilicon"},
	"T3H+": {"SHA-256", 1e6, 3, 0, "Innosilicon; four fans"},
	"T4":   {"CryptoNight", 1e3, 0, 0, "Innosilicon A8 with old firmware; its MHS are kH/s"},
	"B29":  {"Blake256R14", 1e6, 0, 2.1e12, "DragonMint; Innosilicon calls it D9; up to six boards"},
	"D9*":  {"Blake256R14", 1e6, 0, 0, "Innosilicon; up to six boards"},
	"D9":   {"Blake256R14", 1e6, 0, 2.1e12, "Innosilicon; up to six boards"},
	"B52":  {"Blake2b", 1e6, 3, 3.83e12, "DragonMint; Innosilicon calls it S11"},
	"S11":  {"Blake2b", 1e6, 3, 4.3e12, "Innosilicon"},
	"A4*":  {"Scrypt", 1e6, 0, 0, "Innosilicon"},
	"A4+":  {"Scrypt", 1e6, 0, 620e6, "Innosilicon"},
	"A5*":  {"X11", 1e6, 0, 0, "Innosilicon; up to six boards"},
	"A5":   {"X11", 1e6, 0, 30.2e9, "Innosilicon; up to six boards"},
	"A6*":  {"Scrypt", 1e6, 0, 0, "Innosilicon; up to eight boards"},
	"A6":   {"Scrypt", 1e6, 0, 1.23e9, "Innosilicon; up to eight boards"},
	"A8*":  {"CryptoNight", 1e3, 0, 0, "Innosilicon; up to eight boards; its MHS are kH/s"},
	"A8P*": {"Ethash", 1, 4, 0, "Innosilicon, of the A11 family; its MHS are H/s"},
	"B29+": {"Equihash", 1, 3, 50e3, "Innosilicon A9, no DragonMint; its MHS are Sol/s"},
	"A9*":  {"Equihash", 1, 0, 0, "Innosilicon; its MHS are Sol/s"},
	"A9":   {"Equihash", 1, 3, 50e3, "Innosilicon; its MHS are Sol/s"},
	"A10*": {"Ethash", 1, 0, 0, "Innosilicon; its MHS are H/s"},
	"A10L": {"Ethash", 1, 3, 0, "Innosilicon; its MHS are H/s"},
	"A10U": {"Ethash", 1, 3, 0, "Innosilicon; its MHS are H/s"},
	"A10S": {"Ethash", 1, 4, 0, "Innosilicon; its MHS are H/s"},
	"A10X": {"Ethash", 1, 3, 0, "Innosilicon; its MHS are H/s"},
	"A11*": {"Ethash", 1, 4, 0, "Innosilicon; its MHS are H/s"},
}

// ModelOf returns the facts about a type as a dragon reports it, e.g. T1 or A8+. New types
// appear without notice: for an unknown one only the Factor is set, to the vendor's
// default of a million.
func ModelOf(model string) Model {
	model = strings.ToUpper(strings.TrimSpace(model))
	if m, ok := models[model]; ok {
		return m
	}
	for n := len(model); n > 0; n-- {
		if m, ok := models[model[:n]+"*"]; ok {
			return m
		}
	}
	return Model{Factor: 1e6}
}

// Models returns the types that ModelOf knows by their whole name, in order.
func Models() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(models)), func(name string) bool { return strings.HasSuffix(name, "*") })
}

// BoardCount is how many hash boards a dragon should have, with the source of the number.
type BoardCount struct {
	Boards int         // 0: unknown
	Source BoardSource // empty where Boards is 0
}

// BoardSource is where a BoardCount comes from.
type BoardSource string

// The sources of a BoardCount.
const (
	BoardsLearned    BoardSource = "learned"  // the dragon has shown so many
	BoardsOfOperator BoardSource = "operator" // the configuration has it
	BoardsOfModel    BoardSource = "model"    // ModelOf has it, and is certain
)

// ExpectedBoards returns how many boards a dragon should have: as many as it has shown, else
// as many as the operator configured, else as many as its model has. An operator who
// configures fewer than the dragon has shown has removed a board, so that number counts. For
// shown and configured, 0 is unknown.
func ExpectedBoards(shown, configured int, model string) BoardCount {
	switch {
	case configured > 0 && (shown == 0 || configured < shown):
		return BoardCount{configured, BoardsOfOperator}
	case shown > 0:
		return BoardCount{shown, BoardsLearned}
	}
	if built := ModelOf(model).Boards; built > 0 {
		return BoardCount{built, BoardsOfModel}
	}
	return BoardCount{}
}

// isAntminer recognises Antminers with the mineralos firmware, which has the same pages
// and API.
func isAntminer(model string) bool {
	model = strings.ToUpper(strings.TrimSpace(model))
	for _, start := range []string{"ANTMINER", "BM", "S9", "T9", "L3", "D3"} {
		if strings.HasPrefix(model, start) {
			return true
		}
	}
	return false
}
