package alerts

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/brndnmtthws/mother-of-dragons/internal/installed"
)

// A scenario is something that goes wrong on a farm that is well before and after, and
// the alerts that it must raise and end. What nothing is said about must stay silent.
//
// Values are written for the time while all is well, and behind a bar for the time of
// the trouble: "1|0". A number is a gauge; "+20" is a counter that grows by 20 a minute,
// also over the trouble; "anew" a counter or an uptime that begins at zero with it;
// "once" a counter that is 1 higher from then on, "thrice" one that grows by 3;
// "none" no series; "age" the seconds since the epoch.
type scenario struct {
	alert string
	with  map[string]string

	begins   int      // minute of the trouble; default 20
	lasts    int      // minutes of trouble; default 30, or for + 15
	fires    int      // minutes after the trouble began; default for + 3
	resolved int      // minutes after the trouble ended; default keep_firing_for + 7
	also     []string // other alerts that rightly fire then

	near     map[string]string // what must not raise it
	loud     bool              // about a dragon, and not muted by maintenance
	allFiles bool              // it is to be looked at beside all other rules
}

// poolsDiffer is a dragon that has other pools than it is to, and stands somewhere on the way
// to them.
func poolsDiffer(state string) map[string]string {
	return map[string]string{`dragon_config_drift{worker="a",item="pools"}`: "0|1", `mother_enforce_state{worker="a",state="` + state + `"}`: "none|1"}
}

// oldFirmware is a dragon that does not run the version that it is to, and stands somewhere
// in the rollout that brings it.
func oldFirmware(phase string) map[string]string {
	return map[string]string{`dragon_config_drift{worker="a",item="firmware"}`: "0|1", `mother_rollout_device_state{worker="a",rollout="f1",phase="` + phase + `"}`: "none|1"}
}

var scenarios = []scenario{
	// One dragon, a.
	{alert: "DragonDown", with: deaf("timeout"), near: map[string]string{`dragon_busy{worker="a",action="reboot"}`: "none|1", `dragon_down_info{worker="a",reason="refused"}`: "none|1", `dragon_up{worker="a"}`: "1|0"}},
	{alert: "DragonAuthFailed", with: deaf("auth")},
	{alert: "DragonUnreadable", with: deaf("response")},
	{alert: "BoardDead", with: map[string]string{`dragon_board_up{worker="a",board="1"}`: "1|0", `dragon_board_status{worker="a",board="1",status="Alive"}`: "1|none", `dragon_board_status{worker="a",board="1",status="Dead"}`: "none|1"}, also: []string{"HashrateLow"}, resolved: 16,
		near: map[string]string{`dragon_board_up{worker="a",board="1"}`: "1|0", `mother_healer_device_state{worker="a",state="healthy"}`: "1|none", `mother_healer_device_state{worker="a",state="quarantined"}`: "none|1"}},
	{alert: "BoardMissing", with: map[string]string{`dragon_boards{worker="a"}`: "2|1"}},
	{alert: "HashrateLow", with: slow("0.74"), near: slow("0.76")},
	{alert: "HashrateLow", with: slow("0.5"), near: also(slow("0.5"), `dragon_tuning{worker="a"}`, "0|1")},
	{alert: "HashrateLow", with: slow("0.5"), near: also(slow("0.5"), `dragon_miner_uptime_seconds{worker="a"}`, "4000|900")},
	{alert: "HashrateFlatline", fires: 20, with: standing, near: also(standing, `dragon_pool_up{worker="a",pool="0"}`, "1|0", `dragon_pool_up{worker="a",pool="1"}`, "1|0")},
	{alert: "NoShares", fires: 20, with: map[string]string{`dragon_pool_shares_total{worker="a",pool="0",result="accepted"}`: "+20|+0"},
		near: map[string]string{`dragon_pool_shares_total{worker="a",pool="0",result="accepted"}`: "+20|anew"}},
	{alert: "TemperatureHigh", with: hot("90"), near: hot("89.9")},
	{alert: "TemperatureHigh", with: hot("99.9")},
	{alert: "TemperatureCritical", with: hot("100"), near: hot("70")},
	{alert: "SensorFault", with: map[string]string{`dragon_sensor_faults{worker="a"}`: "0|1"}, near: hot("none")},
	{alert: "FanFull", lasts: 45, with: also(hot("81"), `dragon_fan_duty_ratio{worker="a"}`, "0.6|1"), near: also(hot("81"), `dragon_fan_duty_ratio{worker="a"}`, "0.6|0.9")},
	{alert: "FanFull", lasts: 45, with: also(hot("81"), `dragon_fan_duty_ratio{worker="a"}`, "0.6|1"), near: map[string]string{`dragon_fan_duty_ratio{worker="a"}`: "0.6|1"}},
	{alert: "RejectRatioHigh", lasts: 90, fires: 85, resolved: 65, with: shares("rejected", "0.6"), near: shares("rejected", "0.3")},
	{alert: "StaleShares", lasts: 90, fires: 85, resolved: 65, with: shares("stale", "0.6"), near: shares("stale", "0.3")},
	{alert: "HardwareErrorsHigh", lasts: 90, fires: 85, resolved: 65, with: map[string]string{`dragon_board_hardware_errors_total{worker="a",board="0"}`: "+10|+9000"}, near: map[string]string{`dragon_board_hardware_errors_total{worker="a",board="0"}`: "+10|+4000"}},
	{alert: "TuningStuck", lasts: 400, fires: 370, with: map[string]string{`dragon_tuning{worker="a"}`: "0|1"}},
	{alert: "DragonFlapping", fires: 15, resolved: 95, with: map[string]string{`dragon_restarts_observed_total{worker="a",initiator="unknown",kind="miner"}`: "0|thrice"}, near: map[string]string{`dragon_restarts_observed_total{worker="a",initiator="healer",kind="miner"}`: "0|thrice", `dragon_restarts_observed_total{worker="a",initiator="unknown",kind="miner"}`: "0|once"}},
	{alert: "DragonError", with: map[string]string{`dragon_error_info{worker="a",code="23",message="fan",board=""}`: "none|1"}},
	{alert: "DeviceClockSkew", lasts: 45, with: map[string]string{`dragon_clock_offset_seconds{worker="a"}`: "0|-301"}, near: map[string]string{`dragon_clock_offset_seconds{worker="a"}`: "0|299"}},
	{alert: "FirmwareOutdated", lasts: 80, with: map[string]string{`dragon_firmware_upgrade_available{worker="a"}`: "0|1"}},
	{alert: "NewDragon", begins: 70, lasts: 120, fires: 5, resolved: -55, with: map[string]string{`dragon_up{worker="a"}`: "none|1"}, near: map[string]string{`dragon_up{worker="a"}`: "1|0"}, loud: true},

	{alert: "ConfigDrift", lasts: 80, with: poolsDiffer("drifted"), near: poolsDiffer("waiting")},
	{alert: "ConfigDrift", lasts: 80, with: oldFirmware("failed"), near: oldFirmware("waiting")},
	{alert: "ConfigConflict", with: map[string]string{`mother_enforce_state{worker="a",state="conflict"}`: "0|1"}, near: map[string]string{`mother_enforce_state{worker="a",state="drifted"}`: "0|1"}},

	// Pools.
	{alert: "PoolDown", with: map[string]string{`mother_pool_state{pool="p0"}`: "0|2"}, near: map[string]string{`mother_pool_state{pool="p0"}`: "0|1"}},
	{alert: "PoolStuckMiners", lasts: 10, fires: 20, resolved: 125, with: map[string]string{`mother_pool_state{pool="p0"}`: "0|2", `dragon_pool_up{worker="a",pool="0"}`: "1|0 1+20"}},
	{alert: "DragonPoolUnreachable", with: map[string]string{`dragon_pool_up{worker="a",pool="0"}`: "1|0", `dragon_pool_up{worker="a",pool="1"}`: "1|0"},
		near: map[string]string{`dragon_pool_up{worker="a",pool="0"}`: "1|0"}},
	{alert: "PoolFallback", with: map[string]string{`dragon_pool_active{worker="a",pool="0"}`: "1|0", `dragon_pool_active{worker="a",pool="1"}`: "0|1"},
		near: map[string]string{`dragon_pool_active{worker="a",pool="0"}`: "1|0", `dragon_pool_active{worker="a",pool="1"}`: "0|1", `dragon_pool_info{worker="a",pool="0",url="p0",user="farm.a"}`: "none", `dragon_pool_info{worker="a",pool="0",url="p7",user="farm.a"}`: "1", `mother_pool_state{pool="p7"}`: "0|1"}},
	{alert: "PoolForeign", with: map[string]string{`dragon_pool_info{worker="a",pool="0",url="p0",user="farm.a"}`: "1|none", `dragon_pool_info{worker="a",pool="0",url="p9",user="thief.a"}`: "none|1"},
		near: map[string]string{`dragon_pool_info{worker="a",pool="0",url="p0",user="farm.a"}`: "1|none", `dragon_pool_info{worker="a",pool="0",url="p9",user="farm.elsewhere"}`: "none|1"}},

	// Many.
	{alert: "SiteUnreachable", with: map[string]string{`mother_domain_state{domain="hall-a"}`: "0|2"}, near: map[string]string{`mother_domain_state{domain="hall-a"}`: "0|1"}},
	{alert: "HealerIsolated", with: map[string]string{`mother_healer_isolated`: "0|1"}},
	{alert: "FleetHashrateDrop", fires: 20, with: fleetSlow("0.76"), near: fleetSlow("0.9")},
	{alert: "FleetBoot", fires: 10, resolved: 25, with: map[string]string{`mother_fleet_boot_events_total`: "0|once"}},
	{alert: "DragonsNotBack", begins: 245, lasts: 90, fires: 60, resolved: 10, with: map[string]string{`mother_fleet_boot_events_total`: "0|once", `mother_dragons{state="down"}`: "0|2"}, near: map[string]string{`mother_dragons{state="down"}`: "0|2"}},
	{alert: "MassReboot", fires: 10, resolved: 10, with: reboots("b", "c", "d"), near: reboots("b", "c")},
	{alert: "SiteHot", with: map[string]string{`mother_site_hot`: "0|1"}},
	{alert: "DuplicateMAC", with: map[string]string{`mother_identity_conflicts`: "0|2"}},
	{alert: "DuplicateMAC", with: map[string]string{`mother_dragons{state="conflict"}`: "0|2"}},

	// The healer.
	{alert: "HealerDown", fires: 10, with: map[string]string{`mother_healer_last_cycle_timestamp_seconds`: "age|stands"}},
	{alert: "HealerDown", with: map[string]string{`mother_healer_last_cycle_timestamp_seconds`: "age|none"}},
	{alert: "HealerHeld", lasts: 80, with: map[string]string{`mother_healer_breaker_state{breaker="scope",scope="model=T1"}`: "none|2"}, near: map[string]string{`mother_healer_breaker_state{breaker="scope",scope="model=T1"}`: "none|1"}},
	{alert: "StormHold", lasts: 45, with: breaker("storm", "", "2"), near: breaker("storm", "", "1")},
	{alert: "EfficacyLatched", with: breaker("efficacy", "reboot/dead_board/T1", "3"), near: breaker("efficacy", "reboot/dead_board/T1", "2")},
	{alert: "HarmLatched", with: breaker("harm", "", "3")},
	{alert: "LostAfterAction", with: also(deaf("timeout"), `mother_healer_device_state{worker="a",state="healthy"}`, "1|none", `mother_healer_device_state{worker="a",state="lost"}`, "none|1")},
	{alert: "HealerReadOnly", with: map[string]string{`mother_state_writable`: "1|0"}},
	{alert: "HealerSafeMode", with: map[string]string{`mother_healer_mode{mode="safe"}`: "0|1"}},
	{alert: "DragonQuarantined", with: map[string]string{`mother_healer_quarantined`: "0|1"}},
	{alert: "QuarantineHigh", lasts: 80, with: map[string]string{`mother_healer_quarantined`: "0|2"}, also: []string{"DragonQuarantined"}},
	{alert: "ForeignActor", with: breaker("foreign", "", "2")},
	{alert: "SchemaDrift", with: breaker("schema", "f2", "2")},
	{alert: "RolloutAborted", with: map[string]string{`mother_rollout_state{rollout="f1",name="t1_2",state="aborted"}`: "0|1"}, near: map[string]string{`mother_rollout_state{rollout="f1",name="t1_2",state="paused"}`: "0|1"}},
	{alert: "EnforceAborted", with: map[string]string{`mother_rollout_state{rollout="r1",name="pools",state="aborted"}`: "0|1"}},
	{alert: "IdentityMismatch", fires: 10, resolved: 35, with: map[string]string{`mother_identity_mismatch_total`: "0|once"}},
	{alert: "ConfigRefused", fires: 10, resolved: 35, with: map[string]string{`mother_config_refused_total`: "0|once"}},
	{alert: "StateCorrupt", with: map[string]string{`mother_state_recovered`: "0|1"}},
	{alert: "GateFailing", lasts: 80, fires: 75, resolved: 17, with: map[string]string{`mother_gate_errors_total`: "0|+1"}, near: map[string]string{`mother_gate_errors_total`: "0|once"}},
	{alert: "ClockUntrusted", lasts: 45, with: map[string]string{`mother_clock_trusted`: "1|0"}},
	{alert: "ClockJump", fires: 10, resolved: 35, with: map[string]string{`mother_clock_jumps_total`: "0|once"}},
	{alert: "HealerStopped", lasts: 760, with: map[string]string{`mother_healer_stop`: "0|1"}},

	// The exporter.
	{alert: "ExporterDown", with: everythingGone, also: []string{"HealerDown"}, allFiles: true},
	{alert: "ScanFailing", fires: 75, lasts: 90, with: map[string]string{`mother_discovery_scans_total{outcome="complete"}`: "+0.2|+0", `mother_discovery_scans_total{outcome="cut"}`: "0|+0.2"}, near: map[string]string{`mother_discovery_scans_total{outcome="cut"}`: "0|+0.2"}},
	{alert: "ScanFailing", fires: 75, lasts: 90, with: map[string]string{`mother_discovery_scans_total{outcome="complete"}`: "+0.2|+0", `mother_discovery_scans_total{outcome="failed"}`: "0|+0.2"},
		near: map[string]string{`mother_discovery_scans_total{outcome="complete"}`: "+0.2|+0", `mother_discovery_scans_total{outcome="incomplete"}`: "0|+0.2"}},
	{alert: "ScanFailing", fires: 80, lasts: 90, with: map[string]string{`mother_discovery_last_scan_timestamp_seconds`: "age|stands"}},
	{alert: "ScanIncomplete", lasts: 90, with: map[string]string{`mother_discovery_unanswered_hosts`: "0|36"}},
	{alert: "DragonLocked", with: map[string]string{`mother_discovery_locked_hosts`: "0|12"}},
	{alert: "ScrapeSlow", with: takes("6"), near: takes("4")},
	{alert: "ScrapeIncomplete", fires: 15, resolved: 17, with: map[string]string{`dragon_scrape_failures_total{worker="a",reason="budget"}`: "0|+1"}},
	{alert: "ScrapeErrors", fires: 15, resolved: 17, with: map[string]string{`mother_scrape_errors_total{cause="panic"}`: "0|+1"}},
	{alert: "StatsdFailing", fires: 20, resolved: 17, with: map[string]string{`mother_statsd_errors_total`: "0|+1"}, near: map[string]string{`mother_statsd_errors_total`: "0|once"}},
	{alert: "TargetSilent", lasts: 45, with: map[string]string{`mother_target_up{target="192.0.2.77"}`: "none|0"}, near: map[string]string{`mother_target_up{target="192.0.2.77"}`: "1|0"}},
	{alert: "ConfigReloadFailed", with: map[string]string{`mother_config_last_reload_successful`: "1|0"}},
	{alert: "InventoryWriteFailing", fires: 10, resolved: 35, with: map[string]string{`mother_inventory_write_failures_total{file="own"}`: "0|once"}},
}

// world is a farm that is well: the program, and twelve dragons.
func world() map[string]string {
	w := map[string]string{
		`up{}`: "1", `mother_build_info{version="1"}`: "1",
		`mother_healer_last_cycle_timestamp_seconds`: "age", `mother_healer_lock_held`: "1", `mother_state_writable`: "1", `mother_state_recovered`: "0",
		`mother_healer_stop`: "0", `mother_clock_trusted`: "1", `mother_clock_jumps_total`: "0", `mother_healer_quarantined`: "0", `mother_identity_conflicts`: "0",
		`mother_healer_mode{mode="safe"}`: "0", `mother_healer_mode{mode="observe"}`: "1", `mother_healer_isolated`: "0", `mother_site_hot`: "0",
		`mother_healer_breaker_state{breaker="storm",scope=""}`: "0", `mother_healer_breaker_state{breaker="harm",scope=""}`: "0", `mother_healer_breaker_state{breaker="foreign",scope=""}`: "0",
		`mother_pool_state{pool="p0"}`: "0", `mother_pool_state{pool="p1"}`: "0", `mother_domain_state{domain="hall-a"}`: "0",
		`mother_fleet_boot_events_total`: "0", `mother_identity_mismatch_total`: "0", `mother_config_refused_total`: "0", `mother_gate_errors_total`: "0",
		`mother_config_last_reload_successful`: "1", `mother_statsd_errors_total`: "0", `mother_scrape_errors_total{cause="panic"}`: "0",
		`mother_inventory_write_failures_total{file="own"}`: "0", `mother_target_up{target="192.0.2.10"}`: "1",
		`mother_dragons{state="known"}`: "12", `mother_dragons{state="down"}`: "0", `mother_dragons{state="conflict"}`: "0",
		`mother_discovery_last_scan_timestamp_seconds`: "age", `mother_discovery_scans_total{outcome="complete"}`: "+0.2", `mother_discovery_scans_total{outcome="cut"}`: "0",
		`mother_discovery_unanswered_hosts`: "0", `mother_discovery_locked_hosts`: "0",
	}
	maps.Copy(w, dragonA())
	for _, other := range herd[1:] {
		for series, value := range dragonA() {
			if shownByAll.MatchString(series) {
				w[as(other, series)] = value
			}
		}
	}
	return w
}

// herd are the workers of the world. Of all but the first there is no more than what
// alerts about many need.
var (
	herd       = []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"}
	shownByAll = regexp.MustCompile(`^dragon_(up|info|maintenance|scrape_duration_seconds|hashrate_expected_hashes_per_second|boards|board_up|board_hashrate_hashes_per_second|miner_uptime_seconds|(pool_info|pool_active)\{.*pool="0".*|restarts_observed_total\{.*kind="system".*)(\{.*)?$`)
)

// as makes a series of the dragon a one of another.
func as(worker, series string) string {
	series = strings.ReplaceAll(series, `worker="a"`, fmt.Sprintf("worker=%q", worker))
	return strings.ReplaceAll(series, `user="farm.a"`, fmt.Sprintf(`user="farm.%s"`, worker))
}

// dragonA is all that the dragon a shows while it is well.
func dragonA() map[string]string {
	w := make(map[string]string)
	of := func(name, labels, value string) { w[fmt.Sprintf(`%s{worker="a"%s}`, name, labels)] = value }
	of("dragon_up", "", "1")
	of("dragon_info", `,ip="192.0.2.10",model="T1",brand="DragonMint",firmware="f1",site="hall-a"`, "1")
	of("dragon_maintenance", "", "0")
	of("dragon_last_success_timestamp_seconds", "", "age")
	of("dragon_scrape_duration_seconds", "", "0.1")
	of("dragon_scrape_failures_total", `,reason="budget"`, "0")
	of("dragon_boards", "", "2")
	of("dragon_boards_expected", "", "2")
	of("dragon_hashrate_expected_hashes_per_second", "", "1000")
	of("dragon_miner_uptime_seconds", "", "4000")
	of("dragon_tuning", "", "0")
	of("dragon_fan_duty_ratio", "", "0.6")
	of("dragon_clock_offset_seconds", "", "0")
	of("dragon_firmware_upgrade_available", "", "0")
	of("dragon_restarts_observed_total", `,initiator="unknown",kind="miner"`, "0")
	of("dragon_restarts_observed_total", `,initiator="unknown",kind="system"`, "0")
	of("mother_healer_device_state", `,state="healthy"`, "1")
	for _, board := range []string{"0", "1"} {
		of("dragon_board_up", `,board="`+board+`"`, "1")
		of("dragon_board_status", `,board="`+board+`",status="Alive"`, "1")
		of("dragon_board_hashrate_hashes_per_second", `,board="`+board+`",window="15m"`, "500")
		of("dragon_board_temperature_celsius", `,board="`+board+`"`, "70")
		of("dragon_board_hashes_total", `,board="`+board+`"`, "+30000")
		of("dragon_board_hardware_errors_total", `,board="`+board+`"`, "+10")
		of("dragon_board_diff1_work_total", `,board="`+board+`"`, "+70000")
	}
	for pool, accepted := range map[string]string{"0": "+20", "1": "0"} {
		of("dragon_pool_info", `,pool="`+pool+`",url="p`+pool+`",user="farm.a"`, "1")
		of("dragon_pool_active", `,pool="`+pool+`"`, map[string]string{"0": "1", "1": "0"}[pool])
		of("dragon_pool_up", `,pool="`+pool+`"`, "1")
		of("dragon_pool_priority", `,pool="`+pool+`"`, pool)
		of("dragon_pool_shares_total", `,pool="`+pool+`",result="accepted"`, accepted)
		of("dragon_pool_shares_total", `,pool="`+pool+`",result="rejected"`, "0")
		of("dragon_pool_shares_total", `,pool="`+pool+`",result="stale"`, "0")
	}
	return w
}

// deaf is the first dragon down, with none of its data.
func deaf(reason string) map[string]string {
	with := map[string]string{
		`dragon_up{worker="a"}`: "1|0", `dragon_down_info{worker="a",reason="` + reason + `"}`: "none|1",
		`dragon_last_success_timestamp_seconds{worker="a"}`: "age|stands",
	}
	for series, value := range world() {
		if _, ok := with[series]; !ok && ofA.MatchString(series) && !whenDown.MatchString(series) {
			with[series] = value + "|none"
		}
	}
	return with
}

var (
	ofA      = regexp.MustCompile(`^dragon_.*worker="a"`)
	whenDown = regexp.MustCompile(`^dragon_(up|info|maintenance|scrape_.*|restarts_.*|hashrate_expected.*)\{`)
)

var everythingGone = func() map[string]string {
	with := map[string]string{`up{}`: "1|0"}
	for series, value := range world() {
		if series != `up{}` {
			with[series] = value + "|none"
		}
	}
	return with
}()

var standing = map[string]string{
	`dragon_board_hashes_total{worker="a",board="0"}`: "+30000|+0", `dragon_board_hashes_total{worker="a",board="1"}`: "+30000|+0",
}

func slow(ratio string) map[string]string {
	v, _ := strconv.ParseFloat(ratio, 64)
	with := make(map[string]string)
	for _, board := range []string{"0", "1"} {
		with[`dragon_board_hashrate_hashes_per_second{worker="a",board="`+board+`",window="15m"}`] = fmt.Sprintf("500|%v", 500*v)
	}
	return with
}

// fleetSlow has each dragon slow, but not so slow that it is an alert of its own.
func fleetSlow(ratio string) map[string]string {
	v, _ := strconv.ParseFloat(ratio, 64)
	with := make(map[string]string)
	for _, d := range herd {
		with[`dragon_board_hashrate_hashes_per_second{worker="`+d+`",board="0",window="15m"}`] = fmt.Sprintf("500|%v", 500*v)
		with[`dragon_board_hashrate_hashes_per_second{worker="`+d+`",board="1",window="15m"}`] = fmt.Sprintf("500|%v", 500*v)
	}
	return with
}

func hot(celsius string) map[string]string {
	return map[string]string{`dragon_board_temperature_celsius{worker="a",board="1"}`: "70|" + celsius}
}

func shares(result, perMinute string) map[string]string {
	return map[string]string{`dragon_pool_shares_total{worker="a",pool="0",result="` + result + `"}`: "0|+" + perMinute}
}

func breaker(name, scope, state string) map[string]string {
	return map[string]string{fmt.Sprintf(`mother_healer_breaker_state{breaker=%q,scope=%q}`, name, scope): "0|" + state}
}

func reboots(workers ...string) map[string]string {
	with := make(map[string]string)
	for _, d := range workers {
		with[`dragon_restarts_observed_total{worker="`+d+`",initiator="unknown",kind="system"}`] = "0|once"
	}
	return with
}

func takes(seconds string) map[string]string {
	with := make(map[string]string)
	for _, d := range herd {
		with[`dragon_scrape_duration_seconds{worker="`+d+`"}`] = "0.1|" + seconds
	}
	return with
}

func also(with map[string]string, more ...string) map[string]string {
	with = maps.Clone(with)
	for i := 0; i < len(more); i += 2 {
		with[more[i]] = more[i+1]
	}
	return with
}

// values writes out what a series is in each minute.
func (s *scenario) values(t *testing.T, notation string, minutes int) string {
	t.Helper()
	well, trouble, troubled := strings.Cut(notation, "|")
	if !troubled {
		trouble = well
	}
	longer := 0
	if v, after, ok := strings.Cut(trouble, " 1+"); ok { // the trouble of this series lasts longer
		n, err := strconv.Atoi(after)
		if err != nil {
			t.Fatal(notation)
		}
		trouble, longer = v, n
	}
	var out []string
	var counter float64
	there := true
	for m := range minutes {
		now, began := well, m == s.begins && troubled
		if in := m >= s.begins && m < s.begins+s.lasts+longer; in {
			now = trouble
		}
		next := func(v float64) {
			out = append(out, strconv.FormatFloat(v, 'g', -1, 64))
			there = true
		}
		switch rate, grows := strings.CutPrefix(now, "+"); {
		case now == "none":
			if there {
				out = append(out, "stale")
			} else {
				out = append(out, "_")
			}
			there = false
		case now == "age":
			next(float64(m) * 60)
		case now == "stands":
			next(float64(s.begins-1) * 60)
		case now == "once" || now == "thrice":
			if began {
				counter++
			}
			if now == "thrice" && (m == s.begins+3 || m == s.begins+6) {
				counter++
			}
			next(counter)
		case now == "anew":
			if began {
				counter = 0
			}
			v, err := strconv.ParseFloat(strings.TrimPrefix(well, "+"), 64)
			if err != nil {
				t.Fatal(notation)
			}
			counter += v
			next(counter)
		case grows:
			v, err := strconv.ParseFloat(rate, 64)
			if err != nil {
				t.Fatal(notation)
			}
			counter += v
			next(counter)
		default:
			v, err := strconv.ParseFloat(now, 64)
			if err != nil {
				t.Fatalf("%q: %v", notation, err)
			}
			if counted := strings.Contains(trouble, "once") || strings.Contains(trouble, "thrice") || strings.HasPrefix(trouble, "+"); counted {
				v = counter // a counter that stands still
			}
			next(v)
		}
	}
	return strings.Join(out, " ")
}

// unit is one test as promtool reads it.
type unit struct {
	Name   string       `yaml:"name"`
	Step   string       `yaml:"interval"`
	Series []unitSeries `yaml:"input_series"`
	Tests  []unitTest   `yaml:"promql_expr_test"`
}

func (u *unit) add(series, values string) { u.Series = append(u.Series, unitSeries{series, values}) }

type unitSeries struct {
	Series string `yaml:"series"`
	Values string `yaml:"values"`
}

type unitTest struct {
	Expr string       `yaml:"expr"`
	At   string       `yaml:"eval_time"`
	Want []unitSample `yaml:"exp_samples"`
}

type unitSample struct {
	Labels string  `yaml:"labels"`
	Value  float64 `yaml:"value"`
}

// scraped adds what Prometheus adds: the farm in one scrape, or each dragon in its own.
func scraped(series string, probed bool) string {
	name, labels, _ := strings.Cut(strings.TrimSuffix(series, "}"), "{")
	job, instance := "dragons", "mother:9977"
	if m := regexp.MustCompile(`worker="([^"]*)"`).FindStringSubmatch(labels); probed && m != nil &&
		strings.HasPrefix(name, "dragon_") && name != "dragon_maintenance" && name != "dragon_hashrate_expected_hashes_per_second" {
		job, instance = "dragon", m[1]
	}
	if labels != "" {
		labels += ","
	}
	return fmt.Sprintf("%s{%sjob=%q,instance=%q}", name, labels, job, instance)
}

var named = regexp.MustCompile(`\$labels\.(\w+)`)

// at wants an expression to give these series at a minute, each with the value 1.
func at(minute int, expr string, series ...string) unitTest {
	want := []unitSample{}
	for _, s := range slices.Sorted(slices.Values(series)) {
		want = append(want, unitSample{s, 1})
	}
	return unitTest{expr, fmt.Sprintf("%dm", minute), want}
}

// firing wants these alerts to fire at a minute, and no others; of those that select.
func firing(minute int, selecting string, names ...string) unitTest {
	for i, n := range names {
		names[i] = fmt.Sprintf("{alertname=%q}", n)
	}
	return at(minute, fmt.Sprintf(`count by (alertname) (ALERTS{alertstate="firing"%s})`, selecting), names...)
}

// plan fills in what a scenario leaves to its alert.
func (s *scenario) plan(a rule) {
	minutes := func(d model.Duration) int { return int(math.Ceil(time.Duration(d).Minutes())) }
	s.begins = cmp.Or(s.begins, 20)
	s.lasts = cmp.Or(s.lasts, max(30, minutes(a.For)+15))
	s.fires = cmp.Or(s.fires, minutes(a.For)+3)
	s.resolved = cmp.Or(s.resolved, minutes(a.Keep)+7)
}

// tests of one scenario, where selecting selects its alerts.
func (s *scenario) tests(a rule, selecting string) []unitTest {
	// Whatever its annotations speak of is there.
	has := []string{fmt.Sprintf("severity=%q", a.Labels["severity"])}
	for _, m := range named.FindAllStringSubmatch(a.Annotations["description"], -1) {
		if m[1] != "scope" {
			has = append(has, m[1]+`!=""`)
		}
	}
	itself := fmt.Sprintf(`count(ALERTS{alertname=%q,alertstate="firing"%s})`, s.alert, selecting)
	complete := fmt.Sprintf(`count(ALERTS{alertname=%q,alertstate="firing"%s,%s})`, s.alert, selecting, strings.Join(has, ","))
	fires := s.begins + s.fires
	return []unitTest{
		firing(s.begins-1, selecting),
		at(s.begins+int(time.Duration(a.For).Minutes())-1, itself),
		firing(fires, selecting, append([]string{s.alert}, s.also...)...),
		at(fires, complete, "{}"),
		firing(s.begins+s.lasts+s.resolved, selecting),
	}
}

// ends is the minute after which nothing is asked about it any more.
func (s *scenario) ends() int { return s.begins + max(s.lasts, s.fires) + max(s.resolved, 0) + 1 }

// aboutADragon reports whether an alert has one dragon in it.
func aboutADragon(a rule) bool { return strings.Contains(a.Expr, "group_left (model, ip, site)") }

// TestAlertsAboutADragon has all scenarios of one dragon in one farm, each on a dragon of its
// own; beside it one in the same trouble that is in maintenance, and one in trouble
// that is not yet enough.
func TestAlertsAboutADragon(t *testing.T) {
	byName := alertsByName(t)
	// Those that end within these minutes share a farm: each minute asks all rules of all dragons.
	farm := func(name string, after, within int, probed bool) unit {
		all := scenario{begins: 20, lasts: 30}
		total := 0
		in := func(s *scenario) bool {
			return aboutADragon(byName[s.alert]) && s.ends() > after && s.ends() <= within
		}
		for i := range scenarios {
			s := &scenarios[i]
			s.plan(byName[s.alert])
			if in(s) {
				total = max(total, s.ends())
			}
		}
		u := unit{Name: name, Step: "1m"}
		for series, value := range world() {
			u.add(scraped(series, probed), all.values(t, value, total))
		}
		put := func(s *scenario, worker string, with map[string]string, gone int) {
			d := dragonA()
			maps.Copy(d, with)
			for series, value := range d {
				values := s.values(t, value, total)
				if gone > 0 && strings.Contains(series, `worker="a"`) {
					values = cut(values, gone)
				}
				u.add(scraped(as(worker, series), probed), values)
			}
		}
		for i := range scenarios {
			s := &scenarios[i]
			a := byName[s.alert]
			if !in(s) {
				continue
			}
			worker := fmt.Sprintf("%s-%d", s.alert, i)
			selecting := fmt.Sprintf(",worker=%q", worker)
			if probed { // it is taken away in its trouble
				fires := s.begins + s.fires
				put(s, worker, s.with, fires+1)
				u.Tests = append(u.Tests, firing(fires, selecting, append([]string{s.alert}, s.also...)...), firing(fires+1+max(s.resolved, 7), selecting))
				continue
			}
			put(s, worker, s.with, 0)
			u.Tests = append(u.Tests, s.tests(a, selecting)...)
			if !s.loud {
				muted := also(s.with, `dragon_maintenance{worker="a"}`, "1", `mother_healer_device_state{worker="a",state="healthy"}`, "none", `mother_healer_device_state{worker="a",state="lost"}`, "none", `mother_healer_device_state{worker="a",state="maintenance"}`, "1")
				put(s, "muted-"+worker, muted, 0)
				u.Tests = append(u.Tests, firing(s.begins+s.fires, fmt.Sprintf(`,worker="muted-%s"`, worker)))
			}
			if s.near != nil {
				put(s, "near-"+worker, s.near, 0)
				u.Tests = append(u.Tests, at(s.begins+s.fires, fmt.Sprintf(`count(ALERTS{alertname=%q,alertstate="firing",worker="near-%s"})`, s.alert, worker)))
			}
		}
		return u
	}
	promtoolTests(t, []unit{farm("dragons in trouble", 0, 80, false)}, alertFiles(t))
	// Rules about what takes hours are evaluated every other minute, which costs half.
	promtoolTestsEvery(t, "2m", []unit{farm("dragons in trouble for hours", 80, 300, false)}, alertFiles(t))
	promtoolTestsEvery(t, "2m", []unit{farm("dragons in trouble for a day", 300, math.MaxInt, false)}, []string{"thresholds.yml", "recording.yml", "dragon.yml"})
	promtoolTests(t, []unit{farm("dragons taken away, with a scrape each", 0, 80, true)}, alertFiles(t))
	promtoolTestsEvery(t, "2m", []unit{farm("dragons taken away after hours, with a scrape each", 80, 300, true)}, alertFiles(t))
}

// TestAlertsAboutMany has a farm for each scenario, and the rules of its file.
func TestAlertsAboutMany(t *testing.T) {
	byName := alertsByName(t)
	type run struct{ file, every string }
	units := make(map[run][]unit)
	for i := range scenarios {
		s := &scenarios[i]
		a := byName[s.alert]
		if aboutADragon(a) {
			continue
		}
		s.plan(a)
		file := a.file
		if s.allFiles {
			file = ""
		}
		farm := func(name string, with map[string]string, total int, tests ...unitTest) {
			u := unit{Name: name, Step: "1m", Tests: tests}
			all := world()
			maps.Copy(all, with)
			for series, value := range all {
				u.add(scraped(series, false), s.values(t, value, total))
			}
			every := "1m"
			if total > 150 {
				every = "2m"
			}
			units[run{file, every}] = append(units[run{file, every}], u)
		}
		farm(s.alert, s.with, s.ends(), s.tests(a, "")...)
		if s.near != nil {
			fires := s.begins + s.fires
			farm("not yet "+s.alert, s.near, fires+1, at(fires, fmt.Sprintf(`count(ALERTS{alertname=%q,alertstate="firing"})`, s.alert)))
		}
	}
	for run, units := range units {
		files := []string{"thresholds.yml", "recording.yml", run.file}
		switch run.file {
		case "":
			files = alertFiles(t)
		case "healer.yml", "exporter.yml":
			files = []string{"thresholds.yml", run.file}
		}
		for chunk := range slices.Chunk(units, 12) {
			promtoolTestsEvery(t, run.every, chunk, files)
		}
	}
}

// TestNobodyIsWokenForNothing: neither where all is well, nor where counters begin anew
// with the mining process and with the program.
func TestNobodyIsWokenForNothing(t *testing.T) {
	s := scenario{begins: 20, lasts: 120}
	anew := world()
	for series, value := range anew {
		if strings.HasPrefix(value, "+") {
			anew[series] = value + "|anew"
		}
	}
	var units []unit
	for name, all := range map[string]map[string]string{"all is well": world(), "counters begin anew": anew} {
		u := unit{Name: name, Step: "1m", Tests: []unitTest{firing(5, ""), firing(22, ""), firing(36, ""), firing(80, ""), firing(95, "")}}
		for series, value := range all {
			u.add(scraped(series, true), s.values(t, value, 100))
		}
		units = append(units, u)
	}
	promtoolTests(t, units, alertFiles(t))
}

// TestMissingThresholdsAreAnAlert: without them the others are silent.
func TestMissingThresholdsAreAnAlert(t *testing.T) {
	s := scenario{begins: 20, lasts: 30}
	u := unit{Name: "no thresholds", Step: "1m", Tests: []unitTest{firing(8, ""), firing(15, "", "RulesIncomplete")}}
	for series, value := range world() {
		u.add(scraped(series, false), s.values(t, value, 20))
	}
	promtoolTests(t, []unit{u}, slices.DeleteFunc(alertFiles(t), func(f string) bool { return f == "thresholds.yml" }))
}

// TestWhoIsDownMakesNothing: in the mean that the fleet's board opens with, a dragon that is
// down counts as one that makes nothing, also if it was never seen hashing; but not while
// nothing is known of its model.
func TestWhoIsDownMakesNothing(t *testing.T) {
	u := unit{Name: "down", Step: "1m"}
	for worker, up := range map[string]string{"a": "1", "down": "0", "lost": "0"} {
		model := "T1"
		if worker == "lost" {
			model = "B29"
		}
		u.add(scraped(fmt.Sprintf("dragon_info{worker=%q,model=%q,brand=\"DragonMint\",firmware=\"1\",ip=\"10.0.0.1\",mac=%[1]q,site=\"\"}", worker, model), false), "1x30")
		u.add(scraped(fmt.Sprintf("dragon_up{worker=%q}", worker), false), up+"x30")
	}
	u.add(scraped(`dragon_boards{worker="a"}`, false), "1x30")
	u.add(scraped(`dragon_board_up{worker="a",board="0"}`, false), "1x30")
	u.add(scraped(`dragon_board_hashrate_hashes_per_second{worker="a",board="0",window="15m"}`, false), "90x30")
	u.add(scraped(`dragon_hashrate_expected_hashes_per_second{worker="a"}`, false), "_x14 100x15")
	u.Tests = []unitTest{
		at(10, `worker:dragon_hashrate_of_expected:ratio`),
		{Expr: `sum by (worker, model) (worker:dragon_hashrate_of_expected:ratio)`, At: "25m", Want: []unitSample{{`{model="T1", worker="a"}`, 0.9}, {`{model="T1", worker="down"}`, 0}}},
	}
	promtoolTests(t, []unit{u}, []string{"thresholds.yml", "recording.yml", "dashboards.yml"})
}

func TestEveryAlertHasAScenario(t *testing.T) {
	left := alertsByName(t)
	delete(left, "RulesIncomplete") // TestMissingThresholdsAreAnAlert
	for i := range scenarios {
		if _, ok := left[scenarios[i].alert]; !ok && i > 0 && scenarios[i-1].alert != scenarios[i].alert {
			t.Errorf("there is no alert %s", scenarios[i].alert)
		}
		delete(left, scenarios[i].alert)
	}
	for name := range left {
		t.Errorf("no scenario lets %s fire", name)
	}
}

func alertsByName(t *testing.T) map[string]rule {
	t.Helper()
	byName := make(map[string]rule)
	for _, a := range alerts(t) {
		byName[a.Alert] = a
	}
	return byName
}

// alertFiles are the files that alerts need: not what is computed for the boards, which
// costs more than all else.
func alertFiles(t *testing.T) []string {
	return slices.DeleteFunc(ruleFiles(t), func(f string) bool { return f == "dashboards.yml" })
}

// cut ends a series at a minute.
func cut(values string, minute int) string {
	all := strings.Split(values, " ")
	all = all[:min(len(all), minute)]
	return strings.Join(append(all, "stale"), " ")
}

// promtoolTests has promtool run tests of rule files, and evaluate the rules every minute.
func promtoolTests(t *testing.T, units []unit, files []string) {
	t.Helper()
	promtoolTestsEvery(t, "1m", units, files)
}

func promtoolTestsEvery(t *testing.T, every string, units []unit, files []string) {
	t.Helper()
	promtool := installed.Tool(t, "promtool", "prometheus")
	files = slices.Clone(files)
	for i, f := range files {
		path, err := filepath.Abs(f)
		if err != nil {
			t.Fatal(err)
		}
		files[i] = path
	}
	data, err := yaml.Marshal(map[string]any{"rule_files": files, "evaluation_interval": every, "group_eval_order": groupOrder(t, files), "tests": units})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "test.yml")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run(units[0].Name, func(t *testing.T) {
		t.Parallel()
		cmd := exec.CommandContext(t.Context(), promtool, "test", "rules", name)
		cmd.Env = append(os.Environ(), "GOGC=400") // a fifth of its time is collecting garbage
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// groupOrder is the order of the files' groups in which what is recorded comes before who uses it.
func groupOrder(t *testing.T, files []string) []string {
	t.Helper()
	first := []string{"dragon-thresholds", "dragon-pools", "dragon-own-accounts", "dragon-boards", "dragon"}
	var order []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var f struct{ Groups []struct{ Name string } }
		if err := yaml.Unmarshal(data, &f); err != nil {
			t.Fatal(err)
		}
		for _, g := range f.Groups {
			order = append(order, g.Name)
		}
	}
	slices.SortStableFunc(order, func(a, b string) int {
		at := func(n string) int {
			if i := slices.Index(first, n); i >= 0 {
				return i
			}
			return len(first)
		}
		return at(a) - at(b)
	})
	return order
}

func TestPromtoolTakesTheRules(t *testing.T) {
	args := append([]string{"check", "rules"}, ruleFiles(t)...)
	if out, err := exec.CommandContext(t.Context(), installed.Tool(t, "promtool", "prometheus"), args...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
