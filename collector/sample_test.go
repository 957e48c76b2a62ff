package collector

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// aDragon is a healthy T1 with three boards and three pools that says everything a
// dragon can say; n tells it from others.
func aDragon(n int) (*fleet.Info, fleet.Health, *fleet.Reading) {
	k := func(v float64) dragon.Number { return dragon.Known(v + float64(n)) }
	info := &fleet.Info{
		Worker: fmt.Sprintf("dragon-%08x", 0x21000000+n), MAC: fmt.Sprintf("a0:b0:45:%02x:%02x:%02x", n>>16&255, n>>8&255, n&255),
		Address: fmt.Sprintf("127.1.%d.%d", n>>8&255, n&255), IP: fmt.Sprintf("127.1.%d.%d", n>>8&255, n&255),
		Brand: dragon.DragonMint, Model: "T1", Firmware: "t1_20180515_060842", HWVersion: "g19", Site: "hall 2", FirstSeen: noon, LastSeen: noon,
	}
	s := &dragon.Summary{
		Answer:  dragon.Answer{At: noon, Took: 5 * time.Millisecond, DeviceTime: noon.Add(-2 * time.Second), Raw: []byte(`{"success":true}`)},
		FanDuty: dragon.Known(0.64), Tuning: dragon.Known(0),
	}
	for i := range 3 {
		s.Boards = append(s.Boards, dragon.Board{
			Slot: i, ID: i, Name: "DT1", Enabled: true, Status: "Alive", Temperature: k(70), Hashrate5s: k(4.9e12), Hashrate1m: k(4.93e12),
			Hashrate5m: k(4.92e12), Hashrate15m: k(4.91e12), HashrateAvg: k(4.9e12), Hashrate: k(4.9e12), Hashes: k(286444125e6),
			Accepted: k(1022), Rejected: k(3), HardwareErrors: k(916), DifficultyAccepted: k(67108864), DifficultyRejected: k(196608), Diff1Work: k(66693434),
			LastShareDifficulty: k(65536), LastSharePool: dragon.Known(0), LastShareTime: dragon.Known(float64(noon.Unix() - 20)), LastValidWork: dragon.Known(float64(noon.Unix() - 1)), Elapsed: dragon.Known(2896),
		})
		s.Pools = append(s.Pools, dragon.Pool{
			Index: i, URL: fmt.Sprintf("stratum+tcp://pool%d.example.org:3333", i), User: fmt.Sprintf("farm.%s", info.Worker), Status: "Alive",
			Active: dragon.Known(0), Priority: dragon.Known(float64(i)), Accepted: k(3066), Rejected: k(9), Stale: k(1), Discarded: k(155),
			DifficultyAccepted: k(201326592), DifficultyRejected: k(589824), DifficultyStale: k(65536), Getworks: k(98), Works: k(20771), GetFailures: k(0), RemoteFailures: k(0),
			BadWork: k(2), Diff1Shares: k(199000000), LastShareTime: dragon.Known(float64(noon.Unix() - 20)), LastShareDifficulty: k(65536),
			WorkDifficulty: k(65536), StratumDifficulty: k(65536), BestShare: k(98745123), BlockHeight: dragon.Known(923000),
		})
	}
	for i := range s.Boards { // what a new row reads
		say(&s.Boards[i], k(1))
		say(&s.Pools[i], k(1))
	}
	o := &dragon.Overview{
		Answer: dragon.Answer{At: noon.Add(-time.Minute), Raw: []byte(`{"success":true,"type":"T1"}`)}, Model: "T1", MAC: info.MAC, HWVersion: "g19", Firmware: info.Firmware,
		Uptime: dragon.Known(3540), Load1: dragon.Known(0.07), MemoryUsed: dragon.Known(60e6), MemoryFree: dragon.Known(190e6), MemoryTotal: dragon.Known(250e6),
	}
	health := fleet.Health{Up: true, Since: noon.Add(-time.Hour), LastSuccess: noon, Failures: make([]uint64, len(fleet.Reasons)), ParseErrors: map[string]uint64{"DEVS.Temperature": 2}}
	health.Restarts = fleet.Restarts{Miner: fleet.RestartCount{Healer: 1, Unknown: 2}, System: fleet.RestartCount{Unknown: 1}}
	health.Boards = dragon.BoardCount{Boards: 3, Source: dragon.BoardsLearned}
	said := noon.Add(-3 * time.Minute)
	facts := &fleet.Facts{
		AutoTune: fleet.Dated[dragon.AutoTune]{Value: dragon.AutoTune{Mode: "balanced", Level: dragon.Known(2)}, At: said},
		Errors:   fleet.Dated[dragon.ErrorReport]{Value: dragon.ErrorReport{Code: "32", Message: "temp protect"}, At: said.Add(time.Second)},
		Firmware: fleet.Dated[dragon.LatestFirmware]{Value: dragon.LatestFirmware{Version: "t1_20181101_120000", CurrentVersion: info.Firmware, UpToDate: dragon.Known(0)}, At: noon.Add(-5 * time.Hour)},
		Chips:    fleet.Dated[[]dragon.DebugBoard]{At: said.Add(2 * time.Second)},
		Power:    fleet.Dated[dragon.Number]{Value: k(1480), At: said.Add(3 * time.Second)},
	}
	for i := range 2 {
		b := dragon.DebugBoard{Slot: i}
		for j := range 2 {
			b.Details = append(b.Details, dragon.Chip{Index: j, Temperature: k(71.5), NoncesFound: k(348211), HardwareErrors: k(14), Stales: k(0), Duplicates: k(1), FailCount: k(0), FailReset: k(0), Voltage: k(414.3)})
		}
		facts.Chips.Value = append(facts.Chips.Value, b)
	}
	return info, health, &fleet.Reading{Summary: s, Overview: o, Facts: facts, At: noon, Took: 5 * time.Millisecond}
}

// say gives every number of an answer that has none a value.
func say[T any](answer *T, value dragon.Number) {
	for _, field := range reflect.ValueOf(answer).Elem().Fields() {
		if n, ok := reflect.TypeAssert[*dragon.Number](field.Addr()); ok && !n.IsKnown() {
			*n = value
		}
	}
}

// aFleet is n samples of healthy dragons.
func aFleet(n int) []*sample {
	samples := make([]*sample, n)
	for i := range samples {
		info, health, r := aDragon(i)
		samples[i] = newSample(info, health, newLabelCache(newSharedLabels()), r, nil, 5*time.Millisecond)
	}
	return samples
}

func TestWhatNoDragonCanMeanIsUnknown(t *testing.T) {
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if validOrUnknown(gauge, dragon.Known(v)).IsKnown() || validOrUnknown(counter, dragon.Known(v)).IsKnown() {
			t.Errorf("%v is taken for a number", v)
		}
	}
	if validOrUnknown(counter, dragon.Known(-1)).IsKnown() || !validOrUnknown(gauge, dragon.Known(-1)).IsKnown() || !validOrUnknown(counter, dragon.Known(0)).IsKnown() {
		t.Error("only a counter cannot be below zero")
	}
	if validOrUnknown(gauge, dragon.Number{}).IsKnown() {
		t.Error("unknown became known")
	}
}

func TestEachThingIsThereOnce(t *testing.T) {
	info, health, r := aDragon(0)
	for i := range r.Summary.Boards {
		r.Summary.Boards[i].Slot, r.Summary.Pools[i].Index = 4, 1
	}
	s := newSample(info, health, newLabelCache(newSharedLabels()), r, nil, 0)
	if len(s.boards) != 1 || len(s.pools) != 1 || s.boards[0].of != &r.Summary.Boards[0] {
		t.Errorf("%d boards, %d pools", len(s.boards), len(s.pools))
	}
	again := newSample(info, health, newLabelCache(newSharedLabels()), nil, dragon.ErrTimeout, 0)
	if got := unique([]*sample{s, again, aFleet(2)[1]}); len(got) != 2 || got[0] != s {
		t.Errorf("%d samples of two workers", len(got))
	}
}

func TestADragonCannotFloodThePage(t *testing.T) {
	info, health, r := aDragon(0)
	for i := range 5000 {
		r.Summary.Boards = append(r.Summary.Boards, dragon.Board{Slot: i + 10})
		r.Summary.Pools = append(r.Summary.Pools, dragon.Pool{Index: i + 10})
	}
	for i := range 40 {
		r.Facts.Chips.Value = append(r.Facts.Chips.Value, dragon.DebugBoard{Slot: i + 2, Details: make([]dragon.Chip, 512)})
	}
	s := newSample(info, health, newLabelCache(newSharedLabels()), r, nil, 0)
	if len(s.boards) != maxItems || len(s.pools) != maxItems || len(s.chips()) != maxChips {
		t.Errorf("%d boards, %d pools, %d chips", len(s.boards), len(s.pools), len(s.chips()))
	}
}

// aCollector has everything on.
func aCollector(t testing.TB) *Collector {
	t.Helper()
	f, err := fleet.Open(fleet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	on := map[string]bool{}
	for _, s := range Switches() {
		on[s.Name] = true
	}
	return New(Config{Fleet: f, Switches: on})
}

func withCancel(r *http.Request) (*http.Request, context.CancelFunc) {
	ctx, cancel := context.WithCancel(r.Context())
	return r.WithContext(ctx), cancel
}
