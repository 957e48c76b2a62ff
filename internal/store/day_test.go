package store_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/store"
)

// calmFarm shows a healer well dragons.
type calmFarm struct {
	dragons []healer.Who
	now     healer.Instant
}

func newCalmFarm(n int) *calmFarm {
	f := &calmFarm{now: healer.Instant{Wall: time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC), Mono: 1000 * time.Hour, BootID: "boot"}}
	for i := range n {
		mac := fmt.Sprintf("a0:b0:45:00:%02x:%02x", i/256, i%256)
		f.dragons = append(f.dragons, healer.Who{MAC: mac, Worker: dragon.WorkerName(mac), Address: fmt.Sprintf("127.1.%d.%d", i/200, i%200+1),
			Model: "T1", HWVer: "g19", Firmware: "t1_20180515_060842", Domain: fmt.Sprintf("row-%d", i/100)})
	}
	return f
}

func (f *calmFarm) view() *healer.View {
	v := &healer.View{Host: healer.Host{ClockSynced: true, StateWritable: true, Owner: true}}
	up := dragon.Known(f.now.Mono.Seconds())
	for _, who := range f.dragons {
		x := healer.Facts{Who: who, Status: healer.Reached, At: f.now.Mono, HasSample: true, Uptime: up, Elapsed: up,
			Tuning: dragon.Known(0), FanDuty: dragon.Known(0.6), MemoryFree: dragon.Known(150e6)}
		for slot := range 3 {
			x.Boards = append(x.Boards, healer.BoardFacts{Slot: slot, Status: "Alive", Temperature: dragon.Known(75),
				Hashes: dragon.Known(f.now.Mono.Seconds() * 5e12), Elapsed: up, Accepted: up, Errors: dragon.Known(0)})
		}
		x.Pools = []healer.PoolFacts{{URL: "stratum+tcp://pool.example.com:3333", Status: "Alive", Active: true, Works: up, Accepted: up}}
		v.Dragons = append(v.Dragons, x)
	}
	return v
}

// A calm day of a farm that was watched for a week writes little, and a memory card
// lasts. A third of it is counted, in which each cold record is written once.
func TestACalmDayWritesLittle(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and nothing in it is new to the race detector")
	}
	for dragons, most := range map[int]int64{1000: 5e6, 10000: 50e6} {
		if dragons > 1000 && !flag.Lookup("soak").Value.(flag.Getter).Get().(bool) {
			continue // it takes a minute
		}
		t.Run(fmt.Sprint(dragons), func(t *testing.T) {
			f, policy := newCalmFarm(dragons), healer.DefaultPolicy()
			s, _, err := store.Open(t.TempDir(), 0)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			memory := healer.NewMemory()
			memory.Start(f.now, &policy)
			step := func() (keys int) {
				healer.Decide(f.now, f.view(), memory, &policy)
				c, err := memory.Changes()
				if err != nil {
					t.Fatal(err)
				}
				if keys = len(c.Dragons) + len(c.Cold); keys > 0 || c.Fleet != nil {
					if err := s.Commit(store.Records(c)); err != nil {
						t.Fatal(err)
					}
				}
				f.now.Wall, f.now.Mono = f.now.Wall.Add(time.Minute), f.now.Mono+time.Minute
				return keys
			}
			step()
			learned := make(map[string][]byte)
			for mac, r := range memory.Dragons {
				var slots []float64
				for i := range 42 {
					slots = append(slots, 15000+float64(i)*10)
				}
				learned[mac], _ = json.Marshal(map[string]any{
					"observe": r.Observe, "samples": 30, "last_seen": r.LastSeen, "slots": slots, "value": 15120, "at": r.FirstSeen,
				})
			}
			memory.LoadCold(learned)
			memory.Everything()
			for range 120 { // until no dragon is new
				step()
			}
			before, generation, keys := s.Written(), s.Generation(), 0
			for range 8 * 60 {
				keys += step()
			}
			written := 3 * (s.Written() - before)
			t.Logf("%.1f MB a day in %d commits of %d keys", float64(written)/1e6, 3*(s.Generation()-generation), 3*keys)
			if written > most || keys == 0 {
				t.Errorf("%d bytes a day, expected at most %d", written, most)
			}
		})
	}
}
