package dragontest

import (
	"maps"
	"slices"
	"time"
)

// Truth is what a dragon knows about itself, whatever it tells others.
type Truth struct {
	At time.Time // by the simulation's clock, as all times here

	On       bool // has power and is not hung
	Bricked  bool // and no power cycle helps
	Answers  bool // the web server can be reached, were it not for a fault of the connection
	Ready    bool // the miner process answers
	Tuning   bool
	Flashing bool // an image is being written

	BootedAt     time.Time
	MinerStarted time.Time // when the miner process began to answer, or will
	StatsSince   time.Time // what Device Elapsed counts from
	Boots        int       // starts of the system, the first one too
	MinerStarts  int       // starts of the miner process

	Firmware   string
	AutoTune   AutoTune
	Configured []Pool
	Users      map[string]string
	Network    Network
	RedLight   bool

	Hashrate float64 // really hashed, per second
	Hashes   float64 // really hashed since the dragon was made; never starts again
	Boards   []BoardTruth
	Pools    []PoolTruth
}

// BoardTruth is what there is to know about a board. Its counts start again with the
// miner process and when the autotuner ends.
type BoardTruth struct {
	Listed bool // summary shows it
	Alive  bool

	Hashrate       float64 // really hashed, per second
	Hashes         float64
	Accepted       uint64
	Rejected       uint64
	HardwareErrors uint64
}

// PoolTruth is what there is to know about a pool that the miner process uses.
type PoolTruth struct {
	Pool
	Alive    bool
	Active   bool
	Accepted uint64
	Rejected uint64
}

// Truth returns what the dragon knows about itself now.
func (d *Dragon) Truth() Truth {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.advance()
	s := &d.state
	ready := d.ready(s, now)
	active := d.activePool(s)
	t := Truth{
		At:           now,
		On:           !s.off,
		Bricked:      s.bricked,
		Answers:      s.answers(now),
		Ready:        ready,
		Tuning:       ready && s.tuning(now),
		Flashing:     !s.off && !s.flashAt.IsZero(),
		BootedAt:     s.bootedAt,
		MinerStarted: s.minerAt,
		StatsSince:   s.statsAt,
		Boots:        s.boots,
		MinerStarts:  s.starts,
		Firmware:     s.firmware,
		AutoTune:     s.autotune,
		Configured:   slices.Clone(s.configured),
		Users:        maps.Clone(d.users),
		Network:      s.network,
		RedLight:     s.redLight,
	}
	for i := range s.boards {
		b := &s.boards[i]
		bt := BoardTruth{
			Listed:         ready && !d.boardMissing(s, i),
			Alive:          ready && !d.boardMissing(s, i) && !d.boardDead(i),
			Hashes:         b.work * d.model.Factor,
			Accepted:       b.shares - b.rejected,
			Rejected:       b.rejected,
			HardwareErrors: uint64(b.errors),
		}
		if ready {
			_, real := d.boardRates(s, i, s.tuning(now), active >= 0)
			bt.Hashrate = real * d.model.Factor
		}
		t.Hashrate += bt.Hashrate
		t.Hashes += b.lifetime
		t.Boards = append(t.Boards, bt)
	}
	for i := range s.pools {
		p := &s.pools[i]
		t.Pools = append(t.Pools, PoolTruth{
			Pool: p.Pool, Alive: d.poolAlive(i), Active: i == active,
			Accepted: p.accepted, Rejected: p.rejected,
		})
	}
	return t
}
