package dragontest

import (
	"strings"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// AntMiner is what modified Antminers call themselves in their tokens. Their start
// page says DragonMint. They are not dragons. (Vendor backend source, Antminer port.)
const AntMiner dragon.Brand = "AntMiner"

// API generations. Each knows what the one before it knows.
const (
	halong    = iota // DragonMint 2018
	inno2018         // Innosilicon, August 2018: units, autotune levels, SetMonitor, error file
	inno2018b        // Innosilicon, September 2018: getAll, getRuntimePools, pool URL check, lock
	inno2020         // Innosilicon 2020: getErrorDetail
)

// Model is a kind of dragon: what tells its answers from those of another kind.
type Model struct {
	Key       string       // names it in Spec.Model and in golden files, e.g. t1, t1-innosilicon, a9
	Type      string       // what the device says it is, e.g. T1; an A9 says B29+
	Brand     dragon.Brand // whose firmware it runs
	HWVersion string       // g19, soc
	Firmware  string       // platform_v as shipped

	Boards, Chips, Cores int

	Hashrate float64 // true rate of all boards in mode balanced, hashes (Equihash: solutions) per second
	Factor   float64 // hashes in one unit of the fields called MHS
	Unit     string  // H/s or Sol/s

	driver string  // Name of a DEVS element
	diff1  float64 // units of the MHS fields in one share of difficulty 1
	api    int

	// What DEVS and POOLS hold beside or without the fields of a T1.
	chipCore   bool // CHIP, CORE and DUTY, and nothing from Last Share Pool to Device Rejected%
	tuneHash   bool // Tune hash, no Diff1 Work, one value for the 1, 5 and 15 minute averages
	shortAvg   bool // no 5 and 15 minute averages
	leanPools  bool // no Diff1 Shares, Work Difficulty … Current Block Version
	fanObjects bool // Fan duty as an object of speeds, one per fan
}

const (
	diff1SHA256     = 4294.967296 // mega hashes
	diff1CryptoNote = 0.001       // kilo hashes
	diff1Equihash   = 8192        // solutions
	diff1Ethash     = 4294967296  // hashes
)

// Models returns every model that is ready made, in a fixed order, the plain T1
// first. Rates, boards and the fields that are there or missing follow the vendor
// backend source and the answers that others published.
func Models() []Model {
	t1 := Model{
		Key: "t1", Type: "T1", Brand: dragon.DragonMint, HWVersion: "g19", Firmware: "t1_20180515_060842",
		Boards: 3, Chips: 63, Cores: 32, Hashrate: 16e12, Factor: 1e6, Unit: "H/s",
		driver: "DT1", diff1: diff1SHA256, api: halong,
	}
	var all []Model
	add := func(key, typ, firmware string, change func(*Model)) {
		m := t1
		m.Key, m.Type, m.Firmware = key, typ, firmware
		if change != nil {
			change(&m)
		}
		all = append(all, m)
	}
	inno := func(m *Model, api int) { m.Brand, m.api = dragon.AsicMiner, api }

	add("t1", "T1", t1.Firmware, nil)
	add("t1-innosilicon", "T1", "t1_20180803_143208", func(m *Model) { inno(m, inno2018) })
	add("t2t", "T2T", "t2t_20190412_081530", func(m *Model) {
		inno(m, inno2018b)
		m.Chips, m.Hashrate = 93, 24.5e12
	})
	add("t3+", "T3+", "t3+_soc_20200611_102233", func(m *Model) {
		inno(m, inno2020)
		m.HWVersion, m.Chips, m.Hashrate = "soc", 114, 52e12
	})
	add("b29", "B29", "b29_20180711_091500", func(m *Model) {
		m.driver, m.shortAvg = "HLT", true
		m.Chips, m.Hashrate = 51, 2.1e12
	})
	add("b52", "B52", "b52_20180720_160405", func(m *Model) {
		m.driver, m.shortAvg = "HLT", true
		m.Chips, m.Hashrate = 45, 3.8e12
	})
	add("a8+", "A8+", "a8+_20180822_101112", func(m *Model) {
		inno(m, inno2018)
		m.driver, m.chipCore = "BA1", true
		m.Boards, m.Chips, m.Hashrate, m.Factor, m.diff1 = 8, 80, 248e3, 1e3, diff1CryptoNote
	})
	add("a9", "B29+", "b29+_20180901_120000", func(m *Model) {
		inno(m, inno2018)
		m.driver, m.leanPools = "HLT", true
		m.Chips, m.Hashrate, m.Factor, m.Unit, m.diff1 = 12, 50e3, 1, "Sol/s", diff1Equihash
	})
	add("a10", "A10", "a10_20190520_073000", func(m *Model) {
		inno(m, inno2018b)
		m.driver = "HLT"
		m.Chips, m.Hashrate, m.Factor, m.diff1 = 8, 432e6, 1, diff1Ethash
	})
	add("a11mx", "A11MX", "a11mx_20230912_180000", func(m *Model) {
		inno(m, inno2020)
		m.driver, m.tuneHash = "HLT", true
		m.Boards, m.Chips, m.Hashrate, m.Factor, m.diff1 = 4, 8, 1880e6, 1, diff1Ethash
	})
	return all
}

// modelOf finds the model that key names, by its key or by the type that the device
// reports, in any case. Any other name, and empty, is a T1 that says
// it is that: model names are open-ended.
func modelOf(key string) Model {
	all := Models()
	for _, m := range all {
		if strings.EqualFold(m.Key, key) {
			return m
		}
	}
	for _, m := range all {
		if strings.EqualFold(m.Type, key) {
			return m
		}
	}
	m := all[0]
	if key != "" {
		m.Key, m.Type = strings.ToLower(key), strings.ToUpper(key)
		m.Firmware = m.Key + strings.TrimPrefix(m.Firmware, "t1")
	}
	return m
}

// ofBrand returns the model as another firmware would run it.
func (m Model) ofBrand(b dragon.Brand) Model {
	switch b {
	case "", m.Brand:
	case dragon.AsicMiner:
		m.Brand, m.api = b, max(m.api, inno2018)
	case AntMiner:
		m.Brand, m.api, m.fanObjects = b, halong, true
	default:
		m.Brand = b
	}
	return m
}

// innosilicon reports whether the backend is Innosilicon's, whatever the brand is called.
func (m *Model) innosilicon() bool { return m.api >= inno2018 }

func (m *Model) title() string {
	if m.Brand == AntMiner {
		return string(dragon.DragonMint)
	}
	return string(m.Brand)
}
