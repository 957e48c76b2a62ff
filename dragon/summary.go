package dragon

import "time"

// Answer says when and how fast a dragon answered.
type Answer struct {
	At         time.Time     // when the answer was complete, by our clock
	Took       time.Duration // from sending the request to the end of the answer
	DeviceTime time.Time     // the HTTP Date header (whole seconds); zero if unreadable
	Raw        []byte        // the body as the device sent it
}

// Summary is the state of the mining process: /api/summary. All figures are in
// base units; what the device did not say, or said unreadably, is unknown.
type Summary struct {
	Answer

	Boards []Board // DEVS; may hold fewer than are installed
	Pools  []Pool  // POOLS

	FanDuty  Number // HARDWARE."Fan duty", as a ratio 0–1: one figure for all fans
	Tuning   Number // tuning: 1 while the autotuner runs, else 0
	Hashrate Number // TotalHash in hashes (or solutions) per second; Innosilicon since 2018-06-27

	// Unreadable names the fields that were there and made no sense, and those that
	// every firmware sends and that were missing, as "DEVS.Temperature".
	Unreadable []string
}

// Board is one hash board as cgminer reports it: an element of DEVS.
type Board struct {
	Slot    int    // ASC: the physical chain where the firmware knows it, else the index; unique in a Summary
	ID      int    // ID
	Name    string // Name: the driver, the same on all boards
	Enabled bool   // Enabled == "Y"
	Status  string // Status: Alive, Sick, Dead, NoStart, Initialising, Unknown

	Temperature Number // Temperature, °C; unknown where impossible (9999, > 200, < -40)

	// Hash rates in hashes (Equihash: solutions) per second. "MHS …" times the
	// factor of the model's algorithm, or what "Hash Rate H" shows the factor to be.
	Hashrate5s, Hashrate1m, Hashrate5m, Hashrate15m Number
	HashrateAvg                                     Number // MHS av: since the mining process started
	Hashrate                                        Number // "Hash Rate H", else "Hash Rate": the window that the device thinks fit for its age
	Hashes                                          Number // Total MH, in hashes

	Accepted, Rejected  Number // shares
	HardwareErrors      Number // nonces that failed the device's own check
	DifficultyAccepted  Number
	DifficultyRejected  Number
	Diff1Work           Number
	LastShareDifficulty Number
	LastSharePool       Number // index of a pool; unknown where the device says -1
	LastShareTime       Number // Unix seconds by the device's clock; unknown where it says 0
	LastValidWork       Number // Unix seconds by the device's clock; unknown where it says 0
	Elapsed             Number // Device Elapsed, seconds since the mining process started or finished tuning
}

// Alive reports whether the device calls the board Alive.
func (b *Board) Alive() bool { return b.Status == "Alive" }

// Pool is one pool as the mining process uses it: an element of POOLS.
type Pool struct {
	Index  int // POOL; unique in a Summary
	URL    string
	User   string
	Status string // Alive, Dead, Disabled, Rejecting

	Active   Number // Stratum Active: 1 for the pool in use, else 0
	Priority Number

	Accepted, Rejected, Stale, Discarded Number // shares
	DifficultyAccepted                   Number
	DifficultyRejected                   Number
	DifficultyStale                      Number
	Getworks, Works                      Number
	GetFailures, RemoteFailures          Number
	BadWork, Diff1Shares                 Number
	LastShareTime                        Number // Unix seconds by the device's clock; unknown where it says 0
	LastShareDifficulty                  Number
	WorkDifficulty, StratumDifficulty    Number
	BestShare                            Number // difficulty
	BlockHeight                          Number // Current Block Height; unknown where it says 0
}

// Alive reports whether the device calls the pool Alive.
func (p *Pool) Alive() bool { return p.Status == "Alive" }

// Elapsed is the age of the mining process in seconds: the largest Device Elapsed.
func (s *Summary) Elapsed() Number {
	var largest Number
	for i := range s.Boards {
		if e, ok := s.Boards[i].Elapsed.Get(); ok && e >= largest.Or(e) {
			largest = Known(e)
		}
	}
	return largest
}
