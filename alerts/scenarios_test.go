package alerts

import (
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"
)

// A scenario is something that goes wrong on a farm that is well before and after, and
// the alerts that it must raise and end. What nothing is said about must stay silent.
//
// Values are written for the time while all is well, and behind a bar for the time of
// the trouble: "1|0". A number is a gauge; "+20" is a counter that grows by 20 a minute,
// also over the trouble; "reset" a counter or an uptime that begins at zero with it;
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
	{alert: "DragonDown", with: deaf("timeout"), near: oursNow(deaf("refused"))},
	{alert: "DragonAuthFailed", with: deaf("auth"), near: oursNow(deaf("auth"))},
	{alert: "DragonUnreadable", with: deaf("response"), near: oursNow(deaf("response"))},
	{alert: "BoardDead", with: map[string]string{`dragon_board_up{worker="a",board="1"}`: "1|0", `dragon_board_status{worker="a",board="1",status="Alive"}`: "1|none", `dragon_board_status{worker="a",board="1",status="Dead"}`: "none|1"}, also: []string{"HashrateLow"}, resolved: 16,
		near: map[string]string{`dragon_board_up{worker="a",board="1"}`: "1|0", `mother_healer_device_state{worker="a",state="healthy"}`: "1|none", `mother_healer_device_state{worker="a",state="quarantined"}`: "none|1"}},
	{alert: "BoardLow", lasts: 45, with: boardAt("0.5"), near: boardAt("0.7")},
	{alert: "BoardMissing", with: map[string]string{`dragon_boards{worker="a"}`: "2|1"}},
	{alert: "HashrateLow", with: slow("0.74"), near: slow("0.76")},
	{alert: "HashrateLow", with: slow("0.5"), near: also(slow("0.5"), `dragon_tuning{worker="a"}`, "0|1")},
	{alert: "HashrateLow", with: slow("0.5"), near: also(slow("0.5"), `dragon_miner_uptime_seconds{worker="a"}`, "4000|900")},
	{alert: "EfficiencyLow", with: draws("2000"), near: draws("1800")},
	{alert: "EfficiencyLow", with: draws("2000"), near: also(draws("2000"), `dragon_power_watts{worker="a",source="dragon"}`, "none", `dragon_power_watts{worker="a",source="operator"}`, "1500|2000")},
	{alert: "HashrateFlatline", fires: 20, with: standing, near: also(standing, `dragon_pool_up{worker="a",pool="0"}`, "1|0", `dragon_pool_up{worker="a",pool="1"}`, "1|0")},
	{alert: "NoShares", fires: 20, with: map[string]string{`dragon_pool_shares_total{worker="a",pool="0",result="accepted"}`: "+20|+0"},
		near: map[string]string{`dragon_pool_shares_total{worker="a",pool="0",result="accepted"}`: "+20|reset"}},
	{alert: "TemperatureHigh", with: hot("90"), near: hot("89.9")},
	{alert: "TemperatureHigh", with: hot("99.9")},
	{alert: "TemperatureCritical", with: hot("100"), near: hot("70")},
	{alert: "SensorFault", with: map[string]string{`dragon_sensor_faults{worker="a"}`: "0|1"}, near: hot("none")},
	{alert: "FanFull", lasts: 45, with: also(hot("81"), `dragon_fan_duty_ratio{worker="a"}`, "0.6|1"), near: also(hot("81"), `dragon_fan_duty_ratio{worker="a"}`, "0.6|0.9")},
	{alert: "FanFull", lasts: 45, with: also(hot("81"), `dragon_fan_duty_ratio{worker="a"}`, "0.6|1"), near: map[string]string{`dragon_fan_duty_ratio{worker="a"}`: "0.6|1"}},
	{alert: "RejectRatioHigh", lasts: 90, fires: 85, resolved: 65, with: shares("rejected", "0.6"), near: shares("rejected", "0.3")},
	{alert: "StaleShares", lasts: 90, fires: 85, resolved: 65, with: shares("stale", "0.6"), near: shares("stale", "0.3")},
	{alert: "HardwareErrorsHigh", lasts: 90, fires: 85, resolved: 65, with: map[string]string{`dragon_board_hardware_errors_total{worker="a",board="0"}`: "+10|+9000"}, near: map[string]string{`dragon_board_hardware_errors_total{worker="a",board="0"}`: "+10|+4000"}},
	{alert: "TuningStuck", lasts: 400, fires: 370, with: map[string]string{`dragon_tuning{worker="a"}`: "0|1"},
		near: map[string]string{`dragon_tuning{worker="a"}`: "0|1", `mother_healer_last_action_timestamp_seconds{worker="a",action="configure",outcome="recovered"}`: "none|age"}},
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
	{alert: "PoolForeign", with: map[string]string{`dragon_pool_info{worker="a",pool="0",url="p0",user="farm.a"}`: "1|none", `dragon_pool_info{worker="a",pool="0",url="p9",user="thief.a"}`: "none|1", `mother_desired_pool_info{account="next"}`: "1"},
		near: map[string]string{`dragon_pool_info{worker="a",pool="0",url="p0",user="farm.a"}`: "1|none", `dragon_pool_info{worker="a",pool="0",url="p9",user="next.a"}`: "none|1", `mother_desired_pool_info{account="next"}`: "1"}},

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
	{alert: "EfficacyLatched", with: breaker("efficacy", "ladder/dead_board/T1", "3")},
	{alert: "StepSkipped", with: breaker("efficacy", "reboot/dead_board/T1", "2"), near: breaker("efficacy", "reboot/dead_board/T1", "0")},
	{alert: "HealerWaiting", with: map[string]string{`mother_healer_waiting_seconds{gate="day"}`: "0|90000"}, near: map[string]string{`mother_healer_waiting_seconds{gate="day"}`: "0|86000"}},
	{alert: "DragonUntreated", with: map[string]string{`mother_healer_untreated_seconds`: "0|90000"}, near: map[string]string{`mother_healer_untreated_seconds`: "0|86000"}},
	{alert: "HealerPaused", with: map[string]string{`mother_pauses{scope="site"}`: "0|1"}},
	{alert: "HarmLatched", with: breaker("harm", "", "3")},
	{alert: "LostAfterAction", with: also(deaf("timeout"), `mother_healer_device_state{worker="a",state="healthy"}`, "1|none", `mother_healer_device_state{worker="a",state="lost"}`, "none|1")},
	{alert: "HealerReadOnly", with: map[string]string{`mother_state_writable`: "1|0"}, near: map[string]string{`mother_state_writable`: "1|0", `mother_healer_standby`: "0|1"}},
	{alert: "HealerReadOnly", with: map[string]string{`mother_state_writable`: "1|0", `mother_healer_standby`: "0|none"},
		near: map[string]string{`mother_state_writable`: "1|0", `mother_leader`: "1|0", `mother_healer_standby`: "0|none"}}, // an older version
	{alert: "HealerReadOnly", with: cutOff("/south/"), near: cutOff("/north/")},
	{alert: "NoLeader", with: map[string]string{`mother_ha_leaders`: "1|0"}, near: map[string]string{`mother_leader`: "1|0"}},
	{alert: "TwoLeaders", with: map[string]string{`mother_leader{instance="b"}`: "0|1", `mother_ha_info{instance="b",id="b",prefix="/north/"}`: "1"},
		near: map[string]string{`mother_leader{instance="b"}`: "0|1", `mother_ha_info{instance="b",id="b",prefix="/south/"}`: "1"}},
	{alert: "CoordinatorDown", with: map[string]string{`mother_ha_coordinator_up`: "1|0", `mother_ha_leaders`: "1|none"}},
	{alert: "InstancesDiffer", lasts: 45, with: map[string]string{`mother_ha_member_info{id="b",version="1.0.0",config_hash="b"}`: "none|1"},
		near: map[string]string{`mother_ha_member_info{id="b",version="1.0.0",config_hash="a"}`: "none|1"}},
	{alert: "HealerSafeMode", with: map[string]string{`mother_healer_mode{mode="safe"}`: "0|1"}},
	{alert: "DragonQuarantined", with: map[string]string{`mother_healer_quarantined`: "0|1"}},
	{alert: "QuarantineHigh", lasts: 80, with: map[string]string{`mother_healer_quarantined`: "0|2"}, also: []string{"DragonQuarantined"}},
	{alert: "ForeignActor", with: breaker("foreign", "", "2")},
	{alert: "SchemaDrift", with: breaker("schema", "f2", "2")},
	{alert: "RolloutAborted", with: map[string]string{`mother_rollout_state{rollout="f1",name="t1_2",state="aborted"}`: "0|1"}, near: map[string]string{`mother_rollout_state{rollout="f1",name="t1_2",state="paused"}`: "0|1"}},
	{alert: "RolloutPaused", with: map[string]string{`mother_rollout_state{rollout="f1",name="t1_2",state="paused"}`: "0|1"}, near: map[string]string{`mother_rollout_state{rollout="f1",name="t1_2",state="running"}`: "0|1"}},
	{alert: "EnforceAborted", with: map[string]string{`mother_rollout_state{rollout="r1",name="pools",state="aborted"}`: "0|1"}},
	{alert: "IdentityMismatch", fires: 10, resolved: 35, with: map[string]string{`mother_identity_mismatch_total`: "0|once"}},
	{alert: "ConfigRefused", fires: 10, resolved: 35, with: map[string]string{`mother_config_refused_total`: "0|once"}},
	{alert: "StateCorrupt", with: map[string]string{`mother_state_recovered`: "0|1"}},
	{alert: "GateFailing", lasts: 80, fires: 75, resolved: 17, with: map[string]string{`mother_gate_errors_total`: "0|+1"}, near: map[string]string{`mother_gate_errors_total`: "0|once"}},
	{alert: "ClockUntrusted", lasts: 45, with: map[string]string{`mother_clock_trusted`: "1|0"}},
	{alert: "ClockJump", fires: 10, resolved: 35, with: map[string]string{`mother_clock_jumps_total`: "0|once"}},
	{alert: "HealerStopped", with: map[string]string{`mother_healer_stop`: "0|1"}},

	// The exporter.
	{alert: "ExporterDown", with: everythingGone, also: []string{"HealerDown"}, allFiles: true},
	{alert: "ScanFailing", fires: 75, lasts: 90, with: map[string]string{`mother_discovery_scans_total{outcome="complete"}`: "+0.2|+0", `mother_discovery_scans_total{outcome="cut"}`: "0|+0.2"}, near: map[string]string{`mother_discovery_scans_total{outcome="cut"}`: "0|+0.2"}},
	{alert: "ScanFailing", fires: 75, lasts: 90, with: map[string]string{`mother_discovery_scans_total{outcome="complete"}`: "+0.2|+0", `mother_discovery_scans_total{outcome="failed"}`: "0|+0.2"},
		near: map[string]string{`mother_discovery_scans_total{outcome="complete"}`: "+0.2|+0", `mother_discovery_scans_total{outcome="incomplete"}`: "0|+0.2"}},
	{alert: "ScanFailing", fires: 80, lasts: 90, with: map[string]string{`mother_discovery_last_scan_timestamp_seconds`: "age|stands"}},
	{alert: "ScanIncomplete", lasts: 90, with: map[string]string{`mother_discovery_unanswered_hosts`: "0|36"}},
	{alert: "DragonLocked", with: map[string]string{`mother_discovery_locked_hosts`: "0|12"}},
	{alert: "NewDragonsWait", with: map[string]string{`mother_inventory_waiting_dragons`: "0|65000"}},
	{alert: "ScrapeSlow", with: takes("6"), near: takes("4")},
	{alert: "ScrapeIncomplete", fires: 15, resolved: 17, with: map[string]string{`dragon_scrape_failures_total{worker="a",reason="budget"}`: "0|+1"}},
	{alert: "ScrapeErrors", fires: 15, resolved: 17, with: map[string]string{`mother_scrape_errors_total{cause="panic"}`: "0|+1"}},
	{alert: "StatsdFailing", fires: 20, resolved: 17, with: map[string]string{`mother_statsd_errors_total`: "0|+1"}, near: map[string]string{`mother_statsd_errors_total`: "0|once"}},
	{alert: "NotificationsFailing", fires: 20, resolved: 17, with: map[string]string{`mother_notifications_total{webhook="ops",result="retried"}`: "0|+1"},
		near: map[string]string{`mother_notifications_total{webhook="ops",result="sent"}`: "0|+1", `mother_notifications_total{webhook="ops",result="failed"}`: "0|once"}},
	{alert: "TargetSilent", lasts: 45, with: map[string]string{`mother_target_up{target="192.0.2.77"}`: "none|0"}, near: map[string]string{`mother_target_up{target="192.0.2.77"}`: "1|0"}},
	{alert: "ConfigReloadFailed", with: map[string]string{`mother_config_last_reload_successful`: "1|0"}},
	{alert: "InventoryWriteFailing", fires: 10, resolved: 35, with: map[string]string{`mother_inventory_write_failures_total{file="own"}`: "0|once"}},
}

// world is a farm that is well: the program, and twelve dragons.
func world() map[string]string {
	w := map[string]string{
		`up{}`: "1", `mother_build_info{version="1"}`: "1",
		`mother_healer_last_cycle_timestamp_seconds`: "age", `mother_healer_lock_held`: "1", `mother_healer_standby`: "0", `mother_state_writable`: "1", `mother_leader`: "1", `mother_ha_coordinator_up`: "1", `mother_ha_leaders`: "1",
		`mother_ha_info{id="a",prefix="/north/"}`: "1", `mother_ha_member_info{id="a",version="1.0.0",config_hash="a"}`: "1", `mother_state_recovered`: "0",
		`mother_healer_stop`: "0", `mother_clock_trusted`: "1", `mother_clock_jumps_total`: "0", `mother_healer_quarantined`: "0", `mother_identity_conflicts`: "0",
		`mother_healer_mode{mode="safe"}`: "0", `mother_healer_mode{mode="observe"}`: "1", `mother_healer_isolated`: "0", `mother_site_hot`: "0", `mother_healer_untreated_seconds`: "0",
		`mother_healer_breaker_state{breaker="storm",scope=""}`: "0", `mother_healer_breaker_state{breaker="harm",scope=""}`: "0", `mother_healer_breaker_state{breaker="foreign",scope=""}`: "0",
		`mother_pool_state{pool="p0"}`: "0", `mother_pool_state{pool="p1"}`: "0", `mother_domain_state{domain="hall-a"}`: "0",
		`mother_fleet_boot_events_total`: "0", `mother_identity_mismatch_total`: "0", `mother_config_refused_total`: "0", `mother_gate_errors_total`: "0",
		`mother_config_last_reload_successful`: "1", `mother_statsd_errors_total`: "0", `mother_scrape_errors_total{cause="panic"}`: "0",
		`mother_inventory_write_failures_total{file="own"}`: "0", `mother_target_up{target="192.0.2.10"}`: "1",
		`mother_dragons{state="known"}`: "12", `mother_dragons{state="down"}`: "0", `mother_dragons{state="conflict"}`: "0",
		`mother_discovery_last_scan_timestamp_seconds`: "age", `mother_discovery_scans_total{outcome="complete"}`: "+0.2", `mother_discovery_scans_total{outcome="cut"}`: "0",
		`mother_discovery_unanswered_hosts`: "0", `mother_discovery_locked_hosts`: "0", `mother_inventory_waiting_dragons`: "0",
	}
	maps.Copy(w, dragonA())
	for _, other := range dragons[1:] {
		for series, value := range dragonA() {
			if shownByAll.MatchString(series) {
				w[as(other, series)] = value
			}
		}
	}
	return w
}

// fleet are the workers of the world. Of all but the first there is no more than what
// alerts about many need.
var (
	dragons    = []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"}
	shownByAll = regexp.MustCompile(`^dragon_(up|info|maintenance|power_watts|autotune_info|scrape_duration_seconds|hashrate_expected_hashes_per_second|boards|board_up|board_hashrate_hashes_per_second|miner_uptime_seconds|(pool_info|pool_active)\{.*pool="0".*|restarts_observed_total\{.*kind="system".*)(\{.*)?$`)
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
	of("dragon_info", `,ip="192.0.2.10",model="T1",brand="DragonMint",firmware="f1",site="hall-a",place="rack a12"`, "1")
	of("dragon_maintenance", "", "0")
	of("dragon_last_success_timestamp_seconds", "", "age")
	of("dragon_scrape_duration_seconds", "", "0.1")
	of("dragon_scrape_failures_total", `,reason="budget"`, "0")
	of("dragon_boards", "", "2")
	of("dragon_boards_expected", "", "2")
	of("dragon_hashrate_expected_hashes_per_second", "", "1000")
	of("dragon_miner_uptime_seconds", "", "4000")
	of("dragon_tuning", "", "0")
	of("dragon_autotune_info", `,mode="balanced"`, "1")
	of("dragon_power_watts", `,source="dragon"`, "1500")
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

// oursNow is the same while the healer restarts the dragon.
func oursNow(with map[string]string) map[string]string {
	return also(with, `mother_healer_device_state{worker="a",state="healthy"}`, "1|none", `mother_healer_device_state{worker="a",state="acting"}`, "none|1")
}

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

// draws is the same hash rate for more power than the others need.
func draws(watts string) map[string]string {
	return map[string]string{`dragon_power_watts{worker="a",source="dragon"}`: "1500|" + watts}
}

// boardAt has one board at a part of what it did, while its sister does as before.
func boardAt(ratio string) map[string]string {
	v, _ := strconv.ParseFloat(ratio, 64)
	return map[string]string{`dragon_board_hashrate_hashes_per_second{worker="a",board="0",window="15m"}`: fmt.Sprintf("500|%v", 500*v)}
}

// fleetSlow has each dragon slow, but not so slow that it is an alert of its own.
func fleetSlow(ratio string) map[string]string {
	v, _ := strconv.ParseFloat(ratio, 64)
	with := make(map[string]string)
	for _, d := range dragons {
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

// cutOff is the leader that cannot reach etcd any more (CoordinatorDown is tested elsewhere), while instance b of a site leads.
func cutOff(site string) map[string]string {
	return map[string]string{
		`mother_state_writable`: "1|0", `mother_ha_coordinator_up`: "1|none", `mother_leader`: "1|0",
		`mother_leader{instance="b"}`: "0|1", `mother_ha_info{instance="b",id="b",prefix="` + site + `"}`: "1",
	}
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
	for _, d := range dragons {
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
