package config

import (
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// longest is more than any duration of a policy is: what is longer is a typing error.
const longest = "9600h"

// longestPoll keeps evidence, which counts samples, from becoming old.
const longestPoll = time.Minute

// healingSections are the keys of healer.Policy. Their defaults are healer.DefaultPolicy.
func healingSections() []section {
	return append([]section{
		{path: "healing", about: "The healer's policy for the whole fleet. [healing.md](healing.md) says what it is for.", rows: []setting{
			{key: "poll", flag: "dragon-health-check-interval", holder: "TIME", from: "1s", to: "1m",
				doc:  "The time between two samples of a dragon. At most a minute, because evidence counts samples.",
				help: "Time between two health checks of a dragon, at most a minute (the default), because the healer counts samples.",
				set: func(s *Settings, text string) (err error) {
					s.CheckInterval, err = ParseInterval(text)
					s.Policy.Poll = min(s.CheckInterval, longestPoll)
					return err
				}},
			{key: "slow_read", from: "0s", to: longest, doc: "A dragon with more than 5 % of its answers slower than this is sampled half as often; 0: never."},
			{key: "start_observe", from: "0s", to: longest, doc: "The healer only observes for this long after its start."},
			{key: "start_samples", from: "1", to: "1000", doc: "After its start, the healer needs this many samples of a dragon before it acts on it."},
			{key: "new_device_observe", from: "0s", to: longest, doc: "A new dragon is only observed for this long."},
			{key: "new_device_samples", from: "1", to: "1000", doc: "The healer needs this many samples of a new dragon before it acts on it."},
			{key: "forget_after", from: "1h", to: longest, doc: "The healer forgets a dragon this long after it was last seen."},
			{key: "jump_pause", from: "0s", to: longest, doc: "The healer does nothing for this long after the host's clock has jumped."},
		}},
		{path: "healing.fleet", rows: []setting{
			{key: "in_flight", doc: "The share of the fleet that may be under an action at the same time, until its effect is known."},
			{key: "in_flight_min", from: "1", to: "1000", doc: "This many dragons may be under an action at the same time even if `in_flight` is less."},
			{key: "in_flight_max", from: "1", to: "1000", doc: "No more dragons than this may be under an action at the same time even if `in_flight` is more."},
			{key: "spacing", from: "0s", to: longest, doc: "The time between two actions in the fleet; less in a fleet so large that the hour's actions need it."},
			{key: "spacing_jitter", doc: "The spacing varies at random by this share, up or down."},
			{key: "per_hour", doc: "The share of the fleet that may be acted on in an hour."},
			{key: "per_hour_min", from: "1", to: "10000", doc: "This many dragons may be acted on in an hour even if `per_hour` is less."},
			{key: "per_day", doc: "The share of the fleet that may be acted on in 24 hours. Several actions on one dragon count as one."},
			{key: "per_day_min", from: "1", to: "10000", doc: "This many dragons may be acted on in 24 hours even if `per_day` is less."},
			{key: "per_domain", from: "1", to: "1000", doc: "The number of dragons of one site that may be under an action at the same time."},
			{key: "big_domain", from: "1", to: "1000000", doc: "A site with this many dragons may have twice `per_domain` under an action."},
			{key: "rollout_share", doc: "The share of the actions at the same time that a rollout may use."},
		}},
		{path: "healing.breakers", about: "A breaker stops the healer when many dragons are sick at once, or when its actions do not help.", rows: []setting{
			{key: "storm", from: "1%", to: "99%", doc: "The healer stops when this share of the fleet is sick."},
			{key: "storm_fresh", from: "1%", to: "99%", doc: "The healer stops when this share of the fleet became sick within `storm_fresh_for`."},
			{key: "storm_fresh_for", from: "1m", to: longest, doc: "The time for `storm_fresh`."},
			{key: "unreachable", from: "1%", to: "99%", doc: "The healer stops when this share of the fleet is unreachable."},
			{key: "floor", from: "1", to: "10000", doc: "The healer does not stop for fewer sick or unreachable dragons than this."},
			{key: "scope", from: "1%", to: "99%", doc: "The healer stops for a pool, site, model or firmware when this share of its dragons is sick."},
			{key: "scope_floor", from: "1", to: "10000", doc: "The healer does not stop for a pool, site, model or firmware with fewer sick dragons than this."},
			{key: "cooldown", from: "1m", to: longest, doc: "The numbers must stay well below the limits for this long before the healer tries one dragon."},
			{key: "reopen", from: "1m", to: longest, doc: "If that dragon does not recover, the healer stops again for this long."},
			{key: "slow_mode_after", from: "1m", to: longest,
				doc: "After a stop of this long without a common cause, the healer goes on in slow mode: one dragon per `slow_mode_every` at first, twice as fast after every two successes, half as fast after a failure, until a dragon was cured."},
			{key: "slow_mode_every", from: "1m", to: longest, doc: "The time between the first two actions in slow mode."},
			{key: "slow_mode_inside", from: "1m", to: longest,
				doc: "A pool, site or firmware that is down for this long no longer stops the healer for its dragons: slow mode applies to them."},
			{key: "efficacy_of", from: "1", to: "10000", doc: "How many of the last outcomes of a step of the ladder `efficacy_min` looks at."},
			{key: "efficacy_min", from: "1", to: "10000",
				doc: "When a step helped in fewer of its last `efficacy_of` tries than this, it is skipped for that model and reason, but for one try in 20 or in a week."},
			{key: "ladder_max", from: "1", to: "10000",
				doc: "When this many dragons of a model are quarantined in a row for one reason and none recovers, the ladder stops for that model and reason until it is acknowledged."},
			{key: "harm_max", from: "1", to: "10000", doc: "When this many dragons are lost or worse after an action in 24 hours, everything stops until it is acknowledged. `harm_share` and `harm_recent` must be reached too."},
			{key: "harm_share", doc: "The share of the actions of 24 hours after which a dragon is lost or worse, for `harm_max` to count."},
			{key: "harm_recent", doc: "The same share of the last 20 actions."},
			{key: "foreign_devices", from: "1", to: "10000",
				doc: "When this many dragons restart in an hour without a known reason, the healer stops: someone else is probably at work."},
			{key: "foreign_share", doc: "The same as a share of the fleet. The larger number counts."},
			{key: "foreign_on_one", from: "1", to: "10000", doc: "The healer leaves a dragon alone after this many restarts in an hour without a known reason."},
			{key: "foreign_hold", from: "1m", to: longest, doc: "How long the healer stops after restarts without a known reason."},
			{key: "safe_mode_starts", from: "1", to: "10000", doc: "After more unclean starts of the program than this in 30 minutes, the healer only observes."},
			{key: "safe_mode_for", from: "1m", to: longest, doc: "How long the healer only observes after too many unclean starts, unless it is acknowledged."},
			{key: "recovered_state_observe", from: "1m", to: longest, doc: "How long the healer only observes after its state was lost, unless it is acknowledged."},
			{key: "config_guard", doc: "A new policy is refused if it makes more than this share of the fleet sick at once."},
			{key: "config_guard_floor", from: "1", to: "10000", doc: "A new policy is not refused for this many dragons or fewer."},
		}},
		{path: "healing.causes", about: "When many dragons suffer from one cause, the cause is reported and the dragons are left alone.", rows: []setting{
			{key: "pool", from: "1%", to: "100%", doc: "A pool is down when this share of its dragons has no work for `pool_idle`."},
			{key: "pool_floor", from: "1", to: "10000", doc: "A pool is not down with fewer dragons without work than this."},
			{key: "pool_idle", from: "1s", to: longest, doc: "How long a dragon must have no new work and no accepted share to count as without work."},
			{key: "pool_hold", from: "1s", to: longest, doc: "The dragons of a pool are left alone for this long after the pool has returned."},
			{key: "pool_stuck", from: "1s", to: longest, doc: "A dragon that still has no work this long after its pool has returned is stuck."},
			{key: "neighbours", from: "1", to: "10000", doc: "A dragon without work is sick only if this many others at the same pool have work."},
			{key: "domain", from: "1%", to: "100%", doc: "A site is down when this share of its dragons is unreachable."},
			{key: "domain_floor", from: "1", to: "10000", doc: "A site is not down with fewer unreachable dragons than this."},
			{key: "domain_hold", from: "1s", to: longest, doc: "A site is left alone for this long after it has returned, in addition to `grace.system_boot`."},
			{key: "isolation", from: "1%", to: "100%",
				doc: "When more than this share of the fleet is unreachable, the healer considers itself disconnected and holds everything."},
			{key: "gateway", doc: "An IP address and port that must answer a TCP connection (a refusal is an answer). " +
				"Without an answer the healer considers itself disconnected; empty: not checked."},
			{key: "boot", from: "1%", to: "100%", doc: "There was a power cut when this share of the fleet booted within `boot_span`."},
			{key: "boot_floor", from: "1", to: "10000", doc: "There was no power cut with fewer booted dragons than this."},
			{key: "boot_span", from: "1s", to: longest, doc: "The time for `boot`."},
			{key: "boot_hold", from: "1s", to: longest, doc: "The healer does nothing for this long after a power cut."},
			{key: "schema", from: "1%", to: "100%", doc: "A firmware version is unreadable when this share of its dragons gives answers that cannot be decoded."},
			{key: "schema_floor", from: "1", to: "10000", doc: "A firmware version is not unreadable with fewer such dragons than this."},
			{key: "site_hot", from: "1%", to: "100%", doc: "The site is reported as hot when this share of the dragons is hot. Nothing is done about it."},
			{key: "baseline_fall", doc: "The largest decrease of a dragon's learned hash rate (its baseline) in a week."},
		}},
		{path: "healing.rollout", about: "How a new desired state (`profiles[].wish`, `--pools`, `--dragon-autotune-mode`) is rolled out: [desired-state.md](desired-state.md).",
			rows: []setting{
				{key: "mode", doc: "enforce: the desired state is written to the dragons. observe: differences are shown in plan and metrics, and nothing is written."},
				{key: "start_observe", from: "0s", to: longest, doc: "Nothing is configured for this long after the healer's start."},
				{key: "samples", from: "1", to: "1000", doc: "A dragon is configured only after this many samples of it."},
				{key: "boot", from: "0s", to: longest, doc: "A dragon is configured only this long after its boot."},
				{key: "canary_wait", from: "1m", to: longest, doc: "A configured dragon must have an accepted share within this time."},
				{key: "wave", from: "0%", to: "100%", doc: "After the canary, this share of the fleet is configured per `every`, until all are in sync."},
				{key: "wave_min", from: "1", to: "1000", doc: "This many dragons are configured per `every` even if `wave` is less."},
				{key: "every", from: "1m", to: longest, doc: "The time for `wave`."},
				{key: "failures", from: "0%", to: "100%",
					doc: "When more than this share of the dragons fails, and more than one, the rollout stops until it is acknowledged."},
				{key: "conflict_after", from: "1", to: "1000", doc: "What someone else has changed back this many times in 24 hours is left as it is."},
			}},
		{path: "healing.firmware", about: "How a firmware rollout proceeds: [firmware.md](firmware.md).", rows: []setting{
			{key: "canaries", from: "1", to: "100", doc: "The number of dragons in the first wave."},
			{key: "second_wave", from: "1", to: "100", doc: "The number of dragons in the second wave."},
			{key: "waves", doc: "How far each later wave goes, as a share of the dragons that the firmware is for. The last one is 100%."},
			{key: "waves[]", from: "0.1%", to: "100%"},
			{key: "uploads", from: "1", to: "100", doc: "The number of dragons that receive an image at the same time."},
			{key: "memory", from: "1", to: "100", doc: "The free memory that a dragon must have, as a multiple of the image's size."},
			{key: "uploading", from: "1m", to: longest, doc: "The longest time of an upload."},
			{key: "rebooting", from: "1m", to: longest, doc: "The longest time to flash the image and reboot."},
			{key: "version", from: "1m", to: longest, doc: "The longest time until the dragon reports the new version."},
			{key: "hashing", from: "1m", to: longest, doc: "The longest time until all boards work again."},
			{key: "verify", from: "1m", to: longest, doc: "The longest time until the dragon has been as good as before for `verify_for`."},
			{key: "verify_for", from: "1m", to: longest, doc: "How long a dragon must be as good as before to pass verification."},
			{key: "hashrate", from: "50%", to: "100%", doc: "The share of its hash rate before that a dragon must reach to be as good as before."},
			{key: "warmer", from: "0.5", to: "50", doc: "How many °C warmer than before, relative to its neighbours, a dragon may be to be as good as before."},
			{key: "errors", from: "1", to: "1000", doc: "How many times the hardware errors of before a dragon may have to be as good as before."},
			{key: "canary_soak", from: "1m", to: longest, doc: "How long a verified canary must go on working well before the second wave."},
			{key: "second_soak", from: "1m", to: longest, doc: "How long the second wave must go on working well before the next wave."},
			{key: "soak", from: "1m", to: longest, doc: "How long each later wave must go on working well before the next wave."},
			{key: "extra_reboot", doc: "Whether a canary is rebooted once more, because some firmware boots only once."},
			{key: "extra_reboot_after", from: "1m", to: longest, doc: "The extra reboot comes when the canary has hashed for this long."},
			{key: "failures", doc: "The share of failures that each wave after the second may have. One failure is always allowed."},
			{key: "lost", from: "1", to: "100", doc: "The rollout is aborted when this many dragons do not come back."},
		}},
		{path: "healing.firmware.windows", rows: windowRows("When firmware may be sent, in addition to `healing.windows`. None: always.",
			`- {days: [Sat, Sun], start: "08:00", length: 10h, zone: Europe/Berlin}`)},
		{path: "healing.gate", about: "An external gate: while the query returns any series, or cannot be asked, nothing is done.", rows: []setting{
			{key: "prometheus", example: "http://127.0.0.1:9090", doc: "The base URL of a Prometheus, such as http://127.0.0.1:9090, that is asked before every action; empty: none."},
			{key: "query", example: `ALERTS{alertname=~"Cooling.*", alertstate="firing"}`, doc: "The PromQL query. Nothing is done while it returns any series."},
			{key: "on_error", as: choice("block", "allow"), doc: "What happens while Prometheus cannot be asked. block: nothing is done. allow: the healer acts."},
			{key: "holds", as: choice(healer.HoldsAll, healer.HoldsRollouts), doc: "What the gate holds. rollouts: configuration and firmware wait for it, and healing goes on."},
		}},
		{path: "healing.windows", rows: windowRows("When healing is allowed. None: always.",
			`- {days: [Mon, Tue, Wed, Thu, Fri], start: "22:00", length: 8h, zone: Europe/Berlin}
- {not: [{months: [december], days_of_month: ["24:31"], location: Europe/Berlin}]}`)},
	}, healingDefaultSections()...)
}

func windowRows(doc, example string) []setting {
	return append([]setting{
		{doc: doc, example: example},
		{key: "[].days", doc: "The days on which the window begins, Mon to Sun. None: every day."},
		{key: "[].start", doc: `The time at which the window begins, such as "22:30".`},
		{key: "[].length", doc: "How long the window lasts, at most 168h."},
		{key: "[].zone", doc: "The IANA time zone, such as Europe/Berlin; empty: UTC."},
		{key: "[].not", doc: "In place of all of these: when it is *not* allowed, as Alertmanager's time_intervals. It holds whatever other windows say."},
	}, intervalRows("[].not[]")...)
}

// healingDefaultSections are the keys of healer.DragonPolicy.
func healingDefaultSections() []section {
	return []section{
		{path: "healing.default", about: "The part of the policy that may differ between dragons: a profile may set any of these keys.", rows: []setting{
			{key: "mode", flag: "dragon-health-reboot", toggle: true, def: "false", doc: "observe: the healer decides and explains, and sends nothing. enforce: it heals.",
				help: "Heal sick dragons: restart their miner process or reboot them, within limits. Without it the healer only explains what it would do.",
				set: func(s *Settings, text string) error {
					s.Policy.Default.Mode = map[string]healer.Mode{"true": healer.Enforce, "false": healer.Observe}[text]
					return nil
				}},
			{key: "boards", from: "0", to: "64", doc: "The number of boards that a dragon should have, where it has not shown fewer. 0: as many as it has shown, else as its model has."},
			{key: "hashrate", as: hashrate, doc: "The hash rate that a dragon should have in total. 0: its baseline, learned while it is healthy."},
		}},
		{path: "healing.default.grace", rows: []setting{
			{key: "system_boot", from: "0s", to: longest, doc: "A dragon is not judged this soon after its boot."},
			{key: "dead_hot", from: "0s", to: longest, doc: "A board that died of heat counts only if the miner process is this old."},
			{key: "dead_board", from: "0s", to: longest, doc: "A dead board counts only if the miner process is this old."},
			{key: "bogus_temp", from: "0s", to: longest, doc: "An impossible temperature counts only if the miner process is this old."},
			{key: "missing_board", from: "0s", to: longest, doc: "A missing board counts only if the miner process is this old."},
			{key: "no_work", from: "0s", to: longest, doc: "Missing work counts only if the miner process is this old."},
			{key: "not_mining", from: "0s", to: longest, doc: "A miner process that does not answer counts only if the system is up for this long."},
			{key: "rate", from: "0s", to: longest, doc: "A low hash rate counts only if the miner process is this old."},
			{key: "tuning_max", from: "0s", to: longest, doc: "A dragon that tunes for longer than this is stuck."},
			{key: "after_config", from: "0s", to: longest, doc: "A dragon is not judged this soon after its configuration was changed."},
		}},
		{path: "healing.default.detect", rows: []setting{
			{key: "low_ratio", doc: "A dragon is sick below this share of its baseline."},
			{key: "warn_ratio", doc: "A dragon below this share of its baseline is shown. Nothing is done about it."},
			{key: "low", doc: "The evidence for a low hash rate."},
			{key: "dead_board", doc: "The evidence for a dead board."},
			{key: "dead_hot", doc: "The evidence for a board that died of heat."},
			{key: "missing_board", doc: "The evidence for a missing board."},
			{key: "flatline", doc: "The evidence for counters that stand still."},
			{key: "bogus_temp", doc: "The evidence for an impossible temperature."},
			{key: "no_work", doc: "The evidence for missing work while neighbours have work."},
			{key: "not_mining", doc: "The evidence for a miner process that does not answer while the web server does."},
			{key: "board_low", doc: "The evidence for a board that is far below its sister boards, or its usual rate."},
			{key: "board_ratio", doc: "A board is low below this share of the median hash rate of its sister boards, or of its usual share."},
			{key: "tuning_stuck", doc: "The evidence for tuning that does not end."},
			{key: "min_hashrate_per_board", as: hashrate, flag: "dragon-health-hashrate-min", def: "1000",
				doc:  "A dragon is sick if any board is below this hash rate, whatever its baseline is; 0: off.",
				help: "Minimum hash rate per board, in GH/s (SHA-256 models).",
				set:  into(func(s *Settings) *float64 { return &s.Policy.Default.Detect.MinPerBoard }, parseGigahashes)},
			{key: "min_hashrate_any_algorithm", doc: "Whether `min_hashrate_per_board` is for all models and not only for SHA-256 models."},
			{key: "min_hashrate", flag: "dragon-health-hashrate-duration", def: "3600", doc: "The evidence for a board below `min_hashrate_per_board`. The flag sets its `for`.",
				help: "How long a board must be below the minimum hash rate for its dragon to be sick.",
				set:  into(func(s *Settings) *time.Duration { return &s.Policy.Default.Detect.Min.For }, ParseDuration)},
		}},
		{path: "healing.default.heat", about: "Temperatures are in °C.", rows: []setting{
			{key: "warn", from: "20", to: "125", doc: "A dragon is hot from this temperature on, and a low hash rate is then attributed to the heat."},
			{key: "crit", from: "20", to: "125", doc: "A dragon is in danger from this temperature on."},
			{key: "dead_hot", from: "20", to: "125", doc: "A board that died at this temperature or above died of heat."},
			{key: "cool_below", from: "20", to: "125", doc: "A board that died of heat is tried again below this temperature."},
			{key: "cool_for", from: "0s", to: longest, doc: "A board that died of heat is not tried again before this time is over."},
			{key: "fan_duty", doc: "A low hash rate at this fan speed or above is attributed to the heat, if a board is within 10 °C of `warn`; 0: never."},
			{key: "warn_for", from: "0s", to: longest, doc: "How long a dragon must be above `warn` to be hot."},
			{key: "crit_for", from: "0s", to: longest, doc: "How long a dragon must be above `crit` to be in danger."},
			{key: "downshift_enabled", doc: "Whether a dragon that stays too hot is set to the autotune mode efficient, and back when it has cooled."},
			{key: "downshift", from: "20", to: "125", doc: "A dragon is set to efficient from this temperature on."},
			{key: "downshift_for", from: "0s", to: longest, doc: "A dragon is set to efficient after this long at `downshift` or above."},
			{key: "restore_below", from: "20", to: "125", doc: "A dragon gets its mode back below this temperature."},
			{key: "restore_after", from: "0s", to: longest, doc: "A dragon gets its mode back after this long below `restore_below`."},
			{key: "frozen_for", from: "0s", to: longest,
				doc: "The sensor of a working board is broken if its value stands still for this long while the other boards vary; 0: never."},
			{key: "frozen_swing", from: "1", to: "100", doc: "By how many °C every other board of the dragon must vary for `frozen_for`."},
		}},
		{path: "healing.default.ladder", about: "The steps that are tried on a sick dragon, one after the other.", rows: []setting{
			{key: "steps", doc: "The steps in order: restart (of the miner process) or reboot. Faults that a reboot must not answer get a restart in any case."},
			{key: "hold", doc: "How long nothing more is done after each step. One duration for each."},
			{key: "hold[]", from: "1m", to: longest},
			{key: "judge", from: "1m", to: longest, doc: "When the effect of a step is judged, in addition to the dragon's tuning time."},
			{key: "judge_board", from: "1m", to: longest, doc: "When the effect of a restart because of a board is judged."},
			{key: "probation", from: "1m", to: longest, doc: "A dragon that is sick again within this time gets the next step."},
			{key: "forget_after", from: "1m", to: longest, doc: "A dragon that was healthy for this long starts at the first step again."},
			{key: "lost_after", from: "1m", to: longest, doc: "A dragon that is not back this long after an action is lost."},
			{key: "release_after", from: "1m", to: longest, doc: "A dragon that was healthy in quarantine for this long is released."},
			{key: "boot", from: "1m", to: longest, doc: "The hashing time that a reboot costs, which is compared with what it may gain."},
			{key: "tune", from: "1m", to: longest, doc: "The tuning time after a reboot, until it is learned."},
		}},
		{path: "healing.default.device", about: "Limits for each dragon.", rows: []setting{
			{key: "restarts_24h", from: "0", to: "100", doc: "The most restarts of the miner process in 24 hours."},
			{key: "reboots_24h", from: "0", to: "100", doc: "The most reboots in 24 hours."},
			{key: "reboots_7d", from: "0", to: "100", doc: "The most reboots in seven days."},
			{key: "config_writes_24h", from: "0", to: "100", doc: "The most changes of the configuration in 24 hours."},
			{key: "min_gap", from: "0s", to: longest, doc: "The least time between two actions."},
			{key: "no_work_gap", from: "0s", to: longest, doc: "The least time between two restarts because of missing work."},
			{key: "dead_hot_gap", from: "0s", to: longest, doc: "The least time between two restarts because of a board that died of heat."},
			{key: "bogus_temp_gap", from: "0s", to: longest, doc: "The least time between two restarts because of an impossible temperature."},
			{key: "tuning_stuck_gap", from: "0s", to: longest, doc: "The least time between two restarts because of tuning that did not end."},
			{key: "flapping_1h", from: "1", to: "1000", doc: "A dragon that restarts this often in an hour by itself is flapping, and is left alone."},
			{key: "flapping_24h", from: "1", to: "1000", doc: "A dragon that restarts this often in 24 hours by itself is flapping."},
			{key: "flapping_stable", from: "0s", to: longest, doc: "A flapping dragon is left alone until it has run for this long."},
		}},
	}
}
