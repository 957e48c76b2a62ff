package healer

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Device is what a Policy places a dragon by.
type Device struct {
	MAC      string
	Model    string
	IP       string // empty: not known
	Site     string // that its address is in; empty: none
	Conflict bool   // another dragon claims the same MAC
}

// Mode says whether decisions are carried out. They are the same in both.
type Mode string

// The modes.
const (
	Observe Mode = "observe" // decide, explain, send nothing
	Enforce Mode = "enforce"
)

// Ratio is a part of a whole, 0 to 1. In text it may be written 20% or 0.2.
type Ratio float64

// UnmarshalText reads 20% or 0.2.
func (r *Ratio) UnmarshalText(text []byte) error {
	s, percent := strings.CutSuffix(strings.TrimSpace(string(text)), "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v <= 1) {
		return fmt.Errorf("%q is not a ratio: expected 0%% to 100%%, or 0 to 1", text)
	}
	*r = Ratio(v)
	return nil
}

// ceilOf returns ⌈r·n⌉. The epsilon keeps 0.2·5 from being 2.
func (r Ratio) ceilOf(n int) int { return int(math.Ceil(float64(r)*float64(n) - 1e-9)) }

// floorOf returns ⌊r·n⌋.
func (r Ratio) floorOf(n int) int { return int(math.Floor(float64(r)*float64(n) + 1e-9)) }

// Policy is every number that the healer goes by. DefaultPolicy is the start; the
// ceilings in budget.go are above it and no configuration reaches them.
type Policy struct {
	Poll         time.Duration `yaml:"poll"`          // between two samples of one dragon
	SlowRead     time.Duration `yaml:"slow_read"`     // a dragon with more than 5 % of its reads longer is asked half as often; 0: never
	StartObserve time.Duration `yaml:"start_observe"` // after the healer started
	StartSamples int           `yaml:"start_samples"` // fresh ones of a dragon since then
	NewObserve   time.Duration `yaml:"new_device_observe"`
	NewSamples   int           `yaml:"new_device_samples"`
	ForgetAfter  time.Duration `yaml:"forget_after"` // a dragon that is gone
	JumpPause    time.Duration `yaml:"jump_pause"`   // after the wall clock jumped
	Seed         uint64        `yaml:"-"`            // of the jitter; same seed, same decisions

	Fleet    FleetPolicy    `yaml:"fleet"`
	Breakers BreakerPolicy  `yaml:"breakers"`
	Causes   CausePolicy    `yaml:"causes"`
	Rollout  RolloutPolicy  `yaml:"rollout"`
	Firmware FirmwarePolicy `yaml:"firmware"`
	External External       `yaml:"gate"`
	Windows  []Window       `yaml:"windows"` // for healing; none: always

	Default  DragonPolicy             `yaml:"default"`
	Profiles map[string]*DragonPolicy `yaml:"-"` // by Facts.Profile, complete: made by Override

	// Place says which fault domain a dragon is in and which of the profiles applies to
	// it. Nil, or an empty domain: the /24 of its address. It comes and goes with the
	// policy: a profile's name means nothing to another one.
	Place func(Device) (domain, profile string) `yaml:"-" json:"-"`
	// Matches says in words what Place goes by, so that two policies that differ in
	// that go by different names in the audit.
	Matches string `yaml:"-"`
	// Desired returns what a dragon is to be: the same for the same dragon, and what it has
	// returned does not change any more. Nil, or nil for a dragon: it is left as it is.
	Desired func(Device) *DesiredState `yaml:"-" json:"-"`

	without Gate // switched off by a test, see WithoutGate
}

// DragonPolicy is what may differ from profile to profile.
type DragonPolicy struct {
	Mode     Mode         `yaml:"mode"`
	Grace    GracePolicy  `yaml:"grace"`
	Detect   DetectPolicy `yaml:"detect"`
	Heat     HeatPolicy   `yaml:"heat"`
	Ladder   LadderPolicy `yaml:"ladder"`
	Device   DevicePolicy `yaml:"device"`
	Boards   int          `yaml:"boards"`   // expected; 0: as the model is built, else as learned
	Hashrate float64      `yaml:"hashrate"` // expected, hashes per second of the whole dragon; 0: as learned
}

// GracePolicy says how old things must be before they are judged.
type GracePolicy struct {
	SystemBoot   time.Duration `yaml:"system_boot"`
	DeadHot      time.Duration `yaml:"dead_hot"`      // these are ages of the miner process
	DeadBoard    time.Duration `yaml:"dead_board"`    //
	BogusTemp    time.Duration `yaml:"bogus_temp"`    //
	MissingBoard time.Duration `yaml:"missing_board"` //
	NoWork       time.Duration `yaml:"no_work"`       //
	NotMining    time.Duration `yaml:"not_mining"`    // this is an age of the system
	Rate         time.Duration `yaml:"rate"`          //
	TuningMax    time.Duration `yaml:"tuning_max"`
	AfterConfig  time.Duration `yaml:"after_config"`
}

// DetectPolicy holds the detectors' thresholds, and how much evidence each wants.
type DetectPolicy struct {
	LowRatio    Ratio    `yaml:"low_ratio"`  // of the baseline
	WarnRatio   Ratio    `yaml:"warn_ratio"` // shown, never acted on
	Low         Evidence `yaml:"low"`
	DeadBoard   Evidence `yaml:"dead_board"`
	DeadHot     Evidence `yaml:"dead_hot"`
	Missing     Evidence `yaml:"missing_board"`
	Flatline    Evidence `yaml:"flatline"`
	BogusTemp   Evidence `yaml:"bogus_temp"`
	NoWork      Evidence `yaml:"no_work"`
	NotMining   Evidence `yaml:"not_mining"`
	BoardLow    Evidence `yaml:"board_low"`
	BoardRatio  Ratio    `yaml:"board_ratio"` // of the rate of its sister boards, or of its usual share
	TuningStuck Evidence `yaml:"tuning_stuck"`

	// The original's rule. MinPerBoard is in hashes per second and board; 0: off.
	// Without MinAnyAlgorithm it holds for SHA-256 models only, since a minimum for
	// one algorithm says nothing about another.
	MinPerBoard     float64  `yaml:"min_hashrate_per_board"`
	MinAnyAlgorithm bool     `yaml:"min_hashrate_any_algorithm"`
	Min             Evidence `yaml:"min_hashrate"`
}

// Evidence is how long, and in how many of the last samples, something must be bad.
// The last three must be bad in any case.
type Evidence struct {
	For time.Duration `yaml:"for"`
	Bad int           `yaml:"bad"`
	Of  int           `yaml:"of"` // at most 64
}

// HeatPolicy holds temperatures in °C.
type HeatPolicy struct {
	Warn      float64       `yaml:"warn"`
	Crit      float64       `yaml:"crit"`
	DeadHot   float64       `yaml:"dead_hot"`   // a board that died this hot died of heat
	CoolBelow float64       `yaml:"cool_below"` // before it is tried again
	CoolFor   time.Duration `yaml:"cool_for"`   // and at least so long after it died
	FanDuty   Ratio         `yaml:"fan_duty"`   // at which a low rate is attributed to heat
	WarnFor   time.Duration `yaml:"warn_for"`
	CritFor   time.Duration `yaml:"crit_for"`

	// A working board's sensor is frozen when it has said the same for so long, while
	// every other board of the dragon went through so many degrees. 0: never.
	FrozenFor   time.Duration `yaml:"frozen_for"`
	FrozenSwing float64       `yaml:"frozen_swing"`

	// With DownshiftEnabled a dragon that is at Downshift for so long is set to the
	// autotuner's mode efficient, and gets back what it had when it has been cool for
	// RestoreAfter.
	DownshiftEnabled bool          `yaml:"downshift_enabled"`
	Downshift        float64       `yaml:"downshift"`
	DownshiftFor     time.Duration `yaml:"downshift_for"`
	RestoreBelow     float64       `yaml:"restore_below"`
	RestoreAfter     time.Duration `yaml:"restore_after"`
}

// LadderPolicy is what is tried, in order, and how long is waited after each step.
type LadderPolicy struct {
	Steps       []Kind          `yaml:"steps"`
	Hold        []time.Duration `yaml:"hold"`
	Judge       time.Duration   `yaml:"judge"`       // after an action; learned tune time comes on top
	JudgeBoards time.Duration   `yaml:"judge_board"` // after a restart for a board that was gone
	Probation   time.Duration   `yaml:"probation"`
	ForgetAfter time.Duration   `yaml:"forget_after"` // healthy for so long: back to the first step
	LostAfter   time.Duration   `yaml:"lost_after"`
	ReleaseAt   time.Duration   `yaml:"release_after"` // clean for so long in quarantine: released
	Boot        time.Duration   `yaml:"boot"`          // what a reboot costs, for the benefit test
	Tune        time.Duration   `yaml:"tune"`          // the same, as long as nothing is learned
}

// DevicePolicy bounds what is done to one dragon.
type DevicePolicy struct {
	Restarts24h     int           `yaml:"restarts_24h"`
	Reboots24h      int           `yaml:"reboots_24h"`
	Reboots7d       int           `yaml:"reboots_7d"`
	ConfigWrites24h int           `yaml:"config_writes_24h"`
	MinGap          time.Duration `yaml:"min_gap"`
	NoWorkGap       time.Duration `yaml:"no_work_gap"`      // between two restarts for these reasons
	DeadHotGap      time.Duration `yaml:"dead_hot_gap"`     //
	BogusTempGap    time.Duration `yaml:"bogus_temp_gap"`   //
	TuningStuckGap  time.Duration `yaml:"tuning_stuck_gap"` //
	Flapping1h      int           `yaml:"flapping_1h"`      // unexplained restarts
	Flapping24h     int           `yaml:"flapping_24h"`
	FlappingStable  time.Duration `yaml:"flapping_stable"`
}

// FleetPolicy bounds what is done to the fleet. N is the number of dragons that
// are known, seen in 24 h, and neither in maintenance nor quarantined.
type FleetPolicy struct {
	InFlight      Ratio         `yaml:"in_flight"`
	InFlightMin   int           `yaml:"in_flight_min"`
	InFlightMax   int           `yaml:"in_flight_max"`
	Spacing       time.Duration `yaml:"spacing"`
	SpacingJitter Ratio         `yaml:"spacing_jitter"`
	PerHour       Ratio         `yaml:"per_hour"`
	PerHourMin    int           `yaml:"per_hour_min"`
	PerDay        Ratio         `yaml:"per_day"`
	PerDayMin     int           `yaml:"per_day_min"`
	PerDomain     int           `yaml:"per_domain"`
	BigDomain     int           `yaml:"big_domain"` // from so many dragons on, a domain has twice PerDomain
	RolloutShare  Ratio         `yaml:"rollout_share"`
}

// BreakerPolicy says when the healer stops.
type BreakerPolicy struct {
	Storm            Ratio         `yaml:"storm"`
	StormFresh       Ratio         `yaml:"storm_fresh"`
	StormFreshFor    time.Duration `yaml:"storm_fresh_for"`
	Unreachable      Ratio         `yaml:"unreachable"`
	Floor            int           `yaml:"floor"`
	Scope            Ratio         `yaml:"scope"`
	ScopeFloor       int           `yaml:"scope_floor"`
	Cooldown         time.Duration `yaml:"cooldown"`
	Reopen           time.Duration `yaml:"reopen"` // after a failed trial
	SlowAfter        time.Duration `yaml:"slow_mode_after"`
	SlowEvery        time.Duration `yaml:"slow_mode_every"`
	SlowInside       time.Duration `yaml:"slow_mode_inside"` // of a pool, domain, firmware or dragon that is held
	EfficacyOf       int           `yaml:"efficacy_of"`
	EfficacyMin      int           `yaml:"efficacy_min"`
	LadderMax        int           `yaml:"ladder_max"`  // dragons of a model and reason quarantined in a row latch its ladder
	HarmMax          int           `yaml:"harm_max"`    // lost or worse after an action in 24 h
	HarmShare        Ratio         `yaml:"harm_share"`  // and at least this part of the writes of 24 h
	HarmRecent       Ratio         `yaml:"harm_recent"` // and of the last 20 writes: latches
	ForeignDevices   int           `yaml:"foreign_devices"`
	ForeignShare     Ratio         `yaml:"foreign_share"`
	ForeignOnOne     int           `yaml:"foreign_on_one"`
	ForeignHold      time.Duration `yaml:"foreign_hold"`
	SafeStarts       int           `yaml:"safe_mode_starts"` // more unclean ones than this in 30 min
	SafeFor          time.Duration `yaml:"safe_mode_for"`
	RecoveredObserve time.Duration `yaml:"recovered_state_observe"`
	GuardShare       Ratio         `yaml:"config_guard"`
	GuardFloor       int           `yaml:"config_guard_floor"`
}

// CausePolicy says when many dragons suffer from one thing.
type CausePolicy struct {
	Pool         Ratio         `yaml:"pool"`
	PoolFloor    int           `yaml:"pool_floor"`
	PoolIdle     time.Duration `yaml:"pool_idle"` // no new work and no accepted share
	PoolHold     time.Duration `yaml:"pool_hold"` // after its recovery
	PoolStuck    time.Duration `yaml:"pool_stuck"`
	Neighbours   int           `yaml:"neighbours"` // that must be fine before a dragon alone is blamed
	Domain       Ratio         `yaml:"domain"`
	DomainFloor  int           `yaml:"domain_floor"`
	DomainHold   time.Duration `yaml:"domain_hold"` // after its return, on top of the boot grace
	Isolation    Ratio         `yaml:"isolation"`
	Gateway      string        `yaml:"gateway"` // address and port of what the healer reaches the dragons by; empty: not asked
	BootFleet    Ratio         `yaml:"boot"`
	BootFloor    int           `yaml:"boot_floor"`
	BootSpan     time.Duration `yaml:"boot_span"`
	BootHold     time.Duration `yaml:"boot_hold"`
	Schema       Ratio         `yaml:"schema"`
	SchemaFloor  int           `yaml:"schema_floor"`
	SiteHot      Ratio         `yaml:"site_hot"`
	BaselineFall Ratio         `yaml:"baseline_fall"` // per week at most
}

// External is a gate outside the program: a query that is to return no series.
type External struct {
	Prometheus string `yaml:"prometheus"` // base URL of who is asked
	Query      string `yaml:"query"`      // empty: there is none
	OnError    string `yaml:"on_error"`   // block, or allow
	Holds      string `yaml:"holds"`      // HoldsAll, or HoldsRollouts
}

// What the external gate can hold.
const (
	HoldsAll      = "everything"
	HoldsRollouts = "rollouts" // configuration and firmware; healing and rollbacks go on
)

// DefaultPolicy returns the numbers that the healer is shipped with.
func DefaultPolicy() Policy {
	const minute, hour, day = time.Minute, time.Hour, 24 * time.Hour
	return Policy{
		Poll: minute, SlowRead: 5 * time.Second, StartObserve: 15 * minute, StartSamples: 10,
		NewObserve: 60 * minute, NewSamples: 30,
		ForgetAfter: 30 * day, JumpPause: 10 * minute,
		Fleet: FleetPolicy{
			InFlight: 0.02, InFlightMin: 1, InFlightMax: 100,
			Spacing: 30 * time.Second, SpacingJitter: 0.2,
			PerHour: 0.03, PerHourMin: 2, PerDay: 0.15, PerDayMin: 4,
			PerDomain: 1, BigDomain: 50, RolloutShare: 0.5,
		},
		Breakers: BreakerPolicy{
			Storm: 0.20, StormFresh: 0.10, StormFreshFor: 15 * minute, Unreachable: 0.20, Floor: 2,
			Scope: 0.30, ScopeFloor: 3, Cooldown: 15 * minute, Reopen: hour,
			SlowAfter: 30 * minute, SlowEvery: 30 * minute, SlowInside: day,
			EfficacyOf: 10, EfficacyMin: 2, LadderMax: 10, HarmMax: 2, HarmShare: 0.005, HarmRecent: 0.10,
			ForeignDevices: 3, ForeignShare: 0.02, ForeignOnOne: 2, ForeignHold: hour,
			SafeStarts: 3, SafeFor: 6 * hour, RecoveredObserve: day,
			GuardShare: 0.20, GuardFloor: 2,
		},
		Causes: CausePolicy{
			Pool: 0.30, PoolFloor: 2, PoolIdle: 5 * minute, PoolHold: 15 * minute, PoolStuck: 20 * minute, Neighbours: 2,
			Domain: 0.30, DomainFloor: 3, DomainHold: 10 * minute, Isolation: 0.50,
			BootFleet: 0.20, BootFloor: 3, BootSpan: 5 * minute, BootHold: 45 * minute,
			Schema: 0.20, SchemaFloor: 2, SiteHot: 0.20, BaselineFall: 0.05,
		},
		Rollout: RolloutPolicy{
			Mode: Enforce, Start: 5 * minute, Samples: 3, Boot: 5 * minute, CanaryWait: 15 * minute,
			Wave: 0.05, WaveMin: 2, Every: 10 * minute, Failures: 0.02, ConflictAfter: 2,
		},
		Firmware: defaultFirmwarePolicy(),
		External: External{OnError: "block", Holds: HoldsAll},
		Default: DragonPolicy{
			Mode: Observe,
			Grace: GracePolicy{
				SystemBoot: 15 * minute, DeadHot: 2 * minute, DeadBoard: 5 * minute, BogusTemp: 5 * minute,
				MissingBoard: 10 * minute, NoWork: 10 * minute, NotMining: 30 * minute, Rate: 15 * minute,
				TuningMax: 6 * hour, AfterConfig: 30 * minute,
			},
			Detect: DetectPolicy{
				LowRatio: 0.60, WarnRatio: 0.80,
				Low:         Evidence{30 * minute, 24, 30},
				Min:         Evidence{30 * minute, 24, 30},
				DeadBoard:   Evidence{10 * minute, 8, 10},
				DeadHot:     Evidence{5 * minute, 4, 5},
				Missing:     Evidence{10 * minute, 8, 10},
				Flatline:    Evidence{0, 3, 3}, // the counters themselves look back 15 minutes
				BogusTemp:   Evidence{10 * minute, 8, 10},
				NoWork:      Evidence{15 * minute, 12, 15},
				NotMining:   Evidence{10 * minute, 8, 10},
				BoardLow:    Evidence{30 * minute, 24, 30},
				BoardRatio:  0.60,
				TuningStuck: Evidence{0, 3, 3},
			},
			Heat: HeatPolicy{
				Warn: 90, Crit: 100, DeadHot: 100, CoolBelow: 75, CoolFor: hour, FanDuty: 0.95,
				WarnFor: 10 * minute, CritFor: 5 * minute,
				FrozenFor: 30 * minute, FrozenSwing: 5,
				Downshift: 95, DownshiftFor: 15 * minute, RestoreBelow: 80, RestoreAfter: day,
			},
			Ladder: LadderPolicy{
				Steps: []Kind{Restart, Reboot, Reboot, Reboot},
				Hold:  []time.Duration{30 * minute, 30 * minute, 2 * hour, 8 * hour},
				Judge: 30 * minute, JudgeBoards: 5 * minute, Probation: 60 * minute,
				ForgetAfter: day, LostAfter: 15 * minute, ReleaseAt: day,
				Boot: 5 * minute, Tune: 30 * minute,
			},
			Device: DevicePolicy{
				Restarts24h: 3, Reboots24h: 3, Reboots7d: 6, ConfigWrites24h: 2, MinGap: 30 * minute,
				NoWorkGap: 6 * hour, DeadHotGap: 6 * hour, BogusTempGap: day, TuningStuckGap: day,
				Flapping1h: 3, Flapping24h: 6, FlappingStable: day,
			},
		},
	}
}

// Override makes the profile name from a copy of the default, changed by change.
func (p *Policy) Override(name string, change func(*DragonPolicy)) {
	d := p.Default
	d.Ladder.Steps = append([]Kind(nil), d.Ladder.Steps...)
	d.Ladder.Hold = append([]time.Duration(nil), d.Ladder.Hold...)
	change(&d)
	if p.Profiles == nil {
		p.Profiles = make(map[string]*DragonPolicy)
	}
	p.Profiles[name] = &d
}

// For returns what applies to a dragon with the given profile.
func (p *Policy) For(profile string) *DragonPolicy {
	if d, ok := p.Profiles[profile]; ok {
		return d
	}
	return &p.Default
}

// Enforcing reports whether the healer may act on any dragon.
func (p *Policy) Enforcing() bool {
	for _, d := range p.Profiles {
		if d.Mode == Enforce {
			return true
		}
	}
	return p.Default.Mode == Enforce
}

// Hash names a policy in the audit.
func (p *Policy) Hash() string {
	data, err := json.Marshal(p)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:6])
}
