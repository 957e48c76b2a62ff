package dragontest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// Spec describes a dragon. The zero Spec is a healthy DragonMint T1 with three
// boards and two pools that has been up for three days and lets admin/dragonadmin in.
type Spec struct {
	Model     string       // key or type of one of Models; default t1; any other name is a T1 that calls itself so
	Brand     dragon.Brand // default the model's
	MAC       string       // reported as it stands here, blanks and all; default a0:b0:45:… from Seed
	Firmware  string       // platform_v; default the model's
	HWVersion string       // default the model's
	Boards    int          // default the model's
	Hashrate  float64      // true rate of all boards in mode balanced, hashes per second; default the model's

	Users    map[string]string // name to password; default admin and guest with the brand's passwords
	Password string            // admin's, where Users is nil

	Pools    []Pool // default two; empty but not nil: none
	Locked   bool   // pinned to its pools by the vendor: updatePools answers "lock" and changes nothing that is mined
	AutoTune AutoTune
	Network  Network
	Latest   Release // what the vendor says is the newest firmware; zero: the one that runs

	Seed uint64 // makes dragons differ: rates, temperatures, noise, tokens

	// Now is the simulation's clock; default time.Now, which is also right inside a
	// testing/synctest bubble. Speed is how many times faster than real time it runs,
	// so that waits are as much shorter; default 1. Speed without Now implies SpedUp.
	Now   func() time.Time
	Speed float64

	ClockOffset time.Duration // of the device's clock, to the future

	BootedAt time.Time     // when the system was switched on; default Uptime ago
	Uptime   time.Duration // default 73h2m

	// How long things take, by the simulation's clock. Negative: no time at all.
	BootTime    time.Duration // from power to an answering web server; default 90 s
	MinerStart  time.Duration // until the miner process answers; default 15 s
	TuneTime    time.Duration // the autotuner's run after each start of the miner process; default 20 min
	RestartTime time.Duration // how long updatePools and setAutoTune take to restart the miner process; default 1 s
	SleepTime   time.Duration // before the answer to reboot, poweroff, factoryReset; default 4 s
	OutageTime  time.Duration // of the network after updateNetwork; default 4 s
	FlashTime   time.Duration // from a complete upload to the reboot; default 2 min

	MaxUpload int64 // bytes of a body before 413; default 100 MiB

	Faults []Fault // injected from the start

	// OnRequest is called with the endpoint of each request, before it is looked at. It may block.
	OnRequest func(endpoint string)
}

// Pool is one configured pool.
type Pool struct {
	URL      string
	User     string
	Password string
}

// AutoTune is the profile of the autotuner. The zero value is the brand's default:
// balanced on DragonMint, factory with level 2 on Innosilicon.
type AutoTune struct {
	Mode  string // efficient, balanced, factory, performance
	Level string // Innosilicon only
}

// Network is what the device thinks its network is.
type Network struct {
	DHCP      string // dhcp or static; default dhcp
	IPAddress string // default 127.0.0.1; a fleet fills in the dragon's address
	Netmask   string
	Gateway   string
	DNS       []string
}

// Release is an answer of the vendor's update service.
type Release struct {
	Version string // as in platform_v; empty: the version that runs
	URL     string // default: one without a server
	Info    string
	Fails   bool // the service is gone: "can't fetch firmware versions"
}

func (s Spec) withDefaults() (Spec, Model) {
	m := modelOf(s.Model).ofBrand(s.Brand)
	if s.Boards > 0 {
		// The rate of a board stays when there are more or fewer of them.
		m.Hashrate *= float64(s.Boards) / float64(m.Boards)
		m.Boards = s.Boards
	}
	if s.Hashrate > 0 {
		m.Hashrate = s.Hashrate
	}
	m.Firmware = cmp.Or(s.Firmware, m.Firmware)
	m.HWVersion = cmp.Or(s.HWVersion, m.HWVersion)
	s.Model, s.Brand, s.Boards, s.Hashrate = m.Key, m.Brand, m.Boards, m.Hashrate
	s.Firmware, s.HWVersion = m.Firmware, m.HWVersion
	if s.MAC == "" {
		n := (0x00d1a6 + s.Seed) & 0xffffff
		s.MAC = fmt.Sprintf("a0:b0:45:%02x:%02x:%02x", n>>16, n>>8&0xff, n&0xff)
	}

	if s.Users == nil {
		s.Users = defaultUsers(m.Brand)
		if s.Password != "" {
			s.Users["admin"] = s.Password
		}
	}
	s.Users = maps.Clone(s.Users)
	s.Password = s.Users["admin"]

	if s.Pools == nil {
		worker := dragon.WorkerName(s.MAC)
		s.Pools = []Pool{
			{"stratum+tcp://one.pool.example.com:3333", "farm." + worker, "x"},
			{"stratum+tcp://two.pool.example.com:3333", "farm." + worker, "x"},
		}
	}
	s.Pools = slices.Clone(s.Pools)
	if s.AutoTune.Mode == "" {
		s.AutoTune = m.defaultAutoTune()
	}
	if m.innosilicon() {
		s.AutoTune.Level = cmp.Or(s.AutoTune.Level, "2")
	}
	s.Network = s.Network.withDefaults()
	s.Latest.Info = cmp.Or(s.Latest.Info, "important")

	switch {
	case s.Now != nil:
	case s.Speed > 0 && s.Speed != 1:
		s.Now = SpedUp(s.Speed)
	default:
		s.Now = time.Now
	}
	if s.Speed <= 0 {
		s.Speed = 1
	}

	for t, standard := range map[*time.Duration]time.Duration{
		&s.Uptime:      73*time.Hour + 2*time.Minute,
		&s.BootTime:    90 * time.Second,
		&s.MinerStart:  15 * time.Second,
		&s.TuneTime:    20 * time.Minute,
		&s.RestartTime: time.Second,
		&s.SleepTime:   4 * time.Second,
		&s.OutageTime:  4 * time.Second,
		&s.FlashTime:   2 * time.Minute,
	} {
		switch {
		case *t == 0:
			*t = standard
		case *t < 0:
			*t = 0
		}
	}
	if s.BootedAt.IsZero() {
		s.BootedAt = s.Now().Add(-s.Uptime)
	}
	if s.MaxUpload == 0 {
		s.MaxUpload = 100 << 20
	}
	return s, m
}

func (n Network) withDefaults() Network {
	n.DHCP = cmp.Or(n.DHCP, "dhcp")
	n.IPAddress = cmp.Or(n.IPAddress, "127.0.0.1")
	n.Netmask = cmp.Or(n.Netmask, "255.0.0.0")
	n.Gateway = cmp.Or(n.Gateway, "127.0.0.1")
	if n.DNS == nil {
		n.DNS = []string{n.Gateway}
	}
	return n
}

func (m *Model) defaultAutoTune() AutoTune {
	if m.innosilicon() {
		return AutoTune{"factory", "2"}
	}
	return AutoTune{Mode: "balanced"}
}

// defaultUsers returns the passwords that a brand's firmware ships with.
// (Vendor backend source, configuration of each brand.)
func defaultUsers(b dragon.Brand) map[string]string {
	if b == dragon.DragonMint {
		return map[string]string{"admin": "dragonadmin", "guest": "dragonguest"}
	}
	return map[string]string{"admin": "admin", "guest": "guest"}
}
