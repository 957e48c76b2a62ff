package healer

import (
	"math"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

func reading(elapsed float64, up float64, overviewAge time.Duration) (*dragon.Summary, *dragon.Overview) {
	at := noon.Add(time.Hour)
	s := &dragon.Summary{
		Answer: dragon.Answer{At: at, DeviceTime: at.Add(-7 * time.Minute)},
		Tuning: dragon.Known(0), FanDuty: dragon.Known(0.7),
		Boards: []dragon.Board{
			{Slot: 2, Status: "Alive", Temperature: dragon.Known(math.NaN()), Hashes: dragon.Known(5e15), Elapsed: dragon.Known(elapsed)},
			{Slot: 0, Status: "Dead", Temperature: dragon.Known(111), Hashes: dragon.Known(1e15), Elapsed: dragon.Known(elapsed - 1)},
		},
		Pools: []dragon.Pool{{URL: poolA, Status: "Alive", Active: dragon.Known(1), Works: dragon.Known(9)}, {URL: "b", Status: "Dead"}},
	}
	return s, &dragon.Overview{Answer: dragon.Answer{At: at.Add(-overviewAge)}, Uptime: dragon.Known(up)}
}

func TestFactsOfAReading(t *testing.T) {
	s, o := reading(3600, 7200, 4*time.Minute)
	f := FactsOf(Who{MAC: "m", Address: "127.0.7.9:8080", Model: "T1"}, Reached, s, o, 5*time.Hour)
	if !f.HasSample || !f.valid() || f.At != 5*time.Hour {
		t.Errorf("sample %v, valid %v, at %s", f.HasSample, f.valid(), f.At)
	}
	if f.Uptime != dragon.Known(7440) {
		t.Errorf("uptime %v, want it carried forward to 7440", f.Uptime)
	}
	if f.Elapsed != dragon.Known(3600) || f.Boards[0].Slot != 0 || f.Boards[1].Temperature.IsKnown() {
		t.Errorf("elapsed %v, boards %+v: want the largest, sorted, NaN unknown", f.Elapsed, f.Boards)
	}
	if f.Domain != "127.0.7.0/24" || f.ClockOffset != dragon.Known(-420) {
		t.Errorf("domain %q, clock offset %v", f.Domain, f.ClockOffset)
	}
	if !f.Pools[0].Active || f.Pools[1].Active || f.Pools[1].Works.IsKnown() {
		t.Errorf("pools %+v", f.Pools)
	}
	if f.alive() != 1 {
		t.Errorf("%d alive, want 1", f.alive())
	}
}

// An overview that is older than the miner process may be older than the boot.
func TestUptimeIsUnknownAfterAStartSinceTheOverview(t *testing.T) {
	s, o := reading(120, 100_000, 4*time.Minute)
	if f := FactsOf(Who{}, Reached, s, o, 0); f.Uptime.IsKnown() {
		t.Errorf("uptime %v, want unknown", f.Uptime)
	}
}

func TestFactsWithoutAReading(t *testing.T) {
	for _, f := range []Facts{
		FactsOf(Who{Address: "127.0.0.1"}, Timeout, nil, nil, 0),
		FactsOf(Who{}, Reached, nil, nil, 0),
		FactsOf(Who{}, BadResponse, &dragon.Summary{}, nil, 0),
	} {
		if f.HasSample || f.valid() {
			t.Errorf("%+v has a sample", f)
		}
	}
	s, _ := reading(3600, 0, 0)
	s.Boards[0].Hashes = dragon.Number{}
	if f := FactsOf(Who{}, Reached, s, nil, 0); f.valid() {
		t.Error("a sample without a counter is valid")
	}
	s, _ = reading(3600, 0, 0)
	s.Boards, s.Unreadable = nil, []string{"DEVS"}
	if f := FactsOf(Who{}, Reached, s, nil, 0); f.valid() {
		t.Error("a sample with an unreadable DEVS is valid")
	}
	s, _ = reading(3600, 0, 0) // one of several boards is null: it may be there
	s.Unreadable = []string{"DEVS"}
	if f := FactsOf(Who{}, Reached, s, nil, 0); f.valid() {
		t.Error("a sample with an unreadable board is valid")
	}
}

func TestDomainOf(t *testing.T) {
	for address, want := range map[string]string{
		"127.1.2.3": "127.1.2.0/24", "127.1.2.3:80": "127.1.2.0/24", "::ffff:127.1.2.3": "127.1.2.0/24",
		"fd00:1:2:3:4:5:6:7": "fd00:1:2:3::/64", "[fe80::1%eth0]:80": "fe80::/64", "dragon.example": "dragon.example", "": "",
	} {
		if got := DomainOf(address); got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
}

func TestPoolURLsShowNoLogin(t *testing.T) {
	for url, want := range map[string]string{
		poolA: poolA, "stratum+tcp://bob:hunter2@a.example:3333": poolA, "bob:x@a.example:1": "a.example:1", "": "",
		"stratum+tcp://bob:hun/ter@2@a.example:3333": poolA, "stratum+tcp://bob:hunter://2@a.example:3333": poolA,
	} {
		if got := dragon.PoolWithoutLogin(url); got != want {
			t.Errorf("%q: %q, want %q", url, got, want)
		}
	}
}

// An A8+ has no Total MH. Its average since the start, by its age, is the same.
func TestWhatABoardHasDoneIsKnownWithoutTotalMH(t *testing.T) {
	s, o := reading(3600, 7200, 4*time.Minute)
	for i := range s.Boards {
		s.Boards[i].Hashes, s.Boards[i].HashrateAvg = dragon.Number{}, dragon.Known(31e3)
	}
	f := FactsOf(Who{}, Reached, s, o, 0)
	if got := f.Boards[1].Hashes; got != dragon.Known(31e3*3600) || !f.valid() {
		t.Errorf("%v hashes, valid %t", got, f.valid())
	}
	s.Boards[0].HashrateAvg = dragon.Number{}
	if f := FactsOf(Who{}, Reached, s, o, 0); f.valid() {
		t.Error("a board of which nothing is known is a valid sample")
	}
}
