package dragon

import "strings"

// Model is what is known of a type of dragon beside what it says itself.
type Model struct {
	Algorithm string  // what it mines; empty if unknown
	Factor    float64 // hashes (Equihash: solutions) per unit of the fields named MHS
	Boards    int     // as built; 0 if unknown
	Chips     int     // per board; 0 if unknown or if it varies
	Note      string
}

// models by the type that the device reports. An entry that ends in * stands for
// all types that begin so; the longest that fits is taken. Factors and algorithms:
// vendor backend source (miner list); A10 and A11: a reader's record of an A11MX,
// whose fields are plain H/s. Boards and chips: drivers of the vendor's cgminer forks.
var models = map[string]Model{
	"T1":   {"SHA-256", 1e6, 3, 0, "DragonMint or Innosilicon; up to 68 chips a board"},
	"T2*":  {"SHA-256", 1e6, 0, 0, "Innosilicon"},
	"T2T*": {"SHA-256", 1e6, 3, 93, "Innosilicon T2 Turbo"},
	"T3*":  {"SHA-256", 1e6, 0, 0, "Innosilicon"},
	"T3H+": {"SHA-256", 1e6, 3, 114, "Innosilicon; four fans"},
	"T4":   {"CryptoNight", 1e3, 8, 80, "Innosilicon A8 with old firmware"},
	"B29":  {"Blake256R14", 1e6, 0, 51, "DragonMint; the Innosilicon one is D9; up to six boards"},
	"D9*":  {"Blake256R14", 1e6, 0, 51, "Innosilicon; up to six boards"},
	"B52":  {"Blake2b", 1e6, 3, 45, "DragonMint; the Innosilicon one is S11"},
	"S11":  {"Blake2b", 1e6, 3, 45, "Innosilicon"},
	"A4*":  {"Scrypt", 1e6, 0, 0, "Innosilicon"},
	"A5*":  {"X11", 1e6, 6, 0, "Innosilicon; 33 or 57 chips a board"},
	"A6*":  {"Scrypt", 1e6, 8, 72, "Innosilicon"},
	"A8*":  {"CryptoNight", 1e3, 8, 80, "Innosilicon; its MHS are kH/s"},
	"B29+": {"Equihash", 1, 3, 12, "Innosilicon A9, no DragonMint; its MHS are Sol/s"},
	"A9*":  {"Equihash", 1, 3, 12, "Innosilicon; its MHS are Sol/s"},
	"A10*": {"Ethash", 1, 0, 0, "Innosilicon; its MHS are H/s"},
	"A10L": {"Ethash", 1, 3, 8, "Innosilicon; its MHS are H/s"},
	"A10U": {"Ethash", 1, 3, 8, "Innosilicon; its MHS are H/s"},
	"A10S": {"Ethash", 1, 4, 9, "Innosilicon; its MHS are H/s"},
	"A10X": {"Ethash", 1, 0, 9, "Innosilicon; three or four boards: sources differ"},
	"A11*": {"Ethash", 1, 4, 8, "Innosilicon; its MHS are H/s"},
}

// ModelOf returns what is known of a type as a dragon reports it, e.g. T1 or A8+.
// New types appear without notice: for an unknown one only the Factor is set, to the
// vendor's default of a million.
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

// isAntminer tells the types of an Antminer with the mineralos firmware, which has
// the dragons' pages and API on another machine.
func isAntminer(model string) bool {
	model = strings.ToUpper(strings.TrimSpace(model))
	for _, start := range []string{"ANTMINER", "BM", "S9", "T9", "L3", "D3"} {
		if strings.HasPrefix(model, start) {
			return true
		}
	}
	return false
}
