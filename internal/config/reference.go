package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/discovery"
	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/firmware"
)

// meanings says what each key of the file is for, in the order of the reference. A
// test holds it against the document: every key is here, and nothing else.
var meanings = []struct{ path, meaning string }{
	{"networks", "Where dragons are looked for. `--network`"},
	{"networks[].cidr", "The network, in CIDR notation or as first-last, /12 at the widest."},
	{"networks[].site", "Name of the site, which is the fault domain: what shares a switch or a fuse. Without one the network's CIDR is the name."},

	{"dragons", "Dragons that need no search. `--dragon`"},
	{"dragons[].address", "`host` or `host:port`."},
	{"dragons[].site", "Its site; for an IP address only."},

	{"credentials", "What is tried at a dragon's login, in place of the passwords that dragons are delivered with: admin with dragonadmin, then admin with admin."},
	{"credentials[].username", "The user."},
	{"credentials[].password", "Its password; or better:"},
	{"credentials[].password_file", "A file with the password in its only line. A relative path starts at the directory of the configuration file."},
	{"credentials[].match.all", "Every dragon, which is also what a credential without a match is for."},
	{"credentials[].match.mac", "For dragons by MAC,"},
	{"credentials[].match.network", "by address,"},
	{"credentials[].match.site", "by site,"},
	{"credentials[].match.model", "by type, as `dragon_info` has it."},

	{"data_dir", "Directory of what must survive a restart. `--data-dir`"},
	{"inventory.file", "Also write the inventory here, in the original tool's form; empty for none. `--inventory-file`"},
	{"inventory.retention", "Forget a dragon that has been gone for this long. `--inventory-retention`"},

	{"discovery.interval", "Time between scans. `--scan-interval`"},
	{"discovery.port", "TCP port of the dragons' HTTP API. `--dragon-port`"},
	{"discovery.timeout", "Longest time that identifying one host may take. `--scan-timeout`"},
	{"discovery.connect_timeout", "Pace of the connects: at least four times the longest round trip. `--scan-connect-timeout`"},
	{"discovery.listen", "Listen for dragons whose front button is pressed, and look at once who they are. `--discovery.listen`"},

	{"scrape.dragon_timeout", "Longest time that a read of one dragon may take. `--dragon-timeout`"},
	{"scrape.timeout_offset", "Taken off Prometheus' scrape timeout, so that an answer leaves in time. `--scrape-timeout-offset`"},
	{"scrape.workers", "Dragons read at once in a scrape. `--scrape-workers`"},
	{"scrape.max_requests", "Scrapes served at once; more get 503. 0: no limit. `--web.max-requests`"},
	{"scrape.openmetrics_created", "Write when counters began as `_created` lines too, which a Prometheus stores as series unless told otherwise. `--web.openmetrics-created`"},

	{"collectors.system", "System, fans and tuning of a dragon. `--collector.system`"},
	{"collectors.boards", "Hash boards. `--collector.boards`"},
	{"collectors.pools", "Pools, as the mining process uses them. `--collector.pools`"},
	{"collectors.restarts", "Restarts that readings showed. `--collector.restarts`"},
	{"collectors.autotune", "Autotune profile. `--collector.autotune`"},
	{"collectors.errors", "Errors that a dragon found in itself. `--collector.errors`"},
	{"collectors.firmware", "Whether the vendor has a newer firmware. Each dragon asks its vendor once a day. `--collector.firmware`"},
	{"collectors.facts", "When what is not read in each scrape was read. `--collector.facts`"},
	{"collectors.chips", "Chips, each of them: some thousand series a dragon. `--collector.chips`"},

	{"statsd.host", "Mirror to the statsd server here; empty: to none. `--statsd-host`"},
	{"statsd.port", "Its UDP port. `--statsd-port`"},
	{"statsd.prefix", "First part of every statsd name. `--statsd-prefix`"},
	{"statsd.interval", "Time between two mirrorings of a dragon. `--statsd-interval`"},
	{"statsd.one_line_per_packet", "For a statsd server that reads no more. `--statsd-one-line`"},

	{"healing.poll", "Time between two samples of a dragon, a minute at most: evidence counts samples. `--dragon-health-check-interval`"},
	{"healing.slow_read", "A dragon with more than 5 % of its answers longer than this is asked half as often; 0: never."},
	{"healing.start_observe", "The healer only watches for so long after its start,"},
	{"healing.start_samples", "and until it has seen so many fresh samples of a dragon."},
	{"healing.new_device_observe", "A dragon that has never been seen is only watched for so long,"},
	{"healing.new_device_samples", "and for so many samples."},
	{"healing.forget_after", "Forget what was done to a dragon that has been gone for this long."},
	{"healing.jump_pause", "Nothing is done for so long after the clock jumped."},

	{"healing.fleet.in_flight", "Share of the fleet that may be under an action at one time, until its effect is known,"},
	{"healing.fleet.in_flight_min", "but at least so many dragons,"},
	{"healing.fleet.in_flight_max", "and at most so many."},
	{"healing.fleet.spacing", "Time between two actions anywhere,"},
	{"healing.fleet.spacing_jitter", "more or less by this share of it."},
	{"healing.fleet.per_hour", "Share of the fleet that may be acted on in an hour,"},
	{"healing.fleet.per_hour_min", "but at least so many dragons."},
	{"healing.fleet.per_day", "The same in 24 hours,"},
	{"healing.fleet.per_day_min", "but at least so many."},
	{"healing.fleet.per_domain", "Dragons of one fault domain under an action at one time;"},
	{"healing.fleet.big_domain", "twice as many in a domain of so many dragons."},
	{"healing.fleet.rollout_share", "Share of the places in flight that a rollout may take."},

	{"healing.breakers.storm", "Stop when this share of the fleet is sick,"},
	{"healing.breakers.storm_fresh", "or this share fell sick"},
	{"healing.breakers.storm_fresh_for", "within this time,"},
	{"healing.breakers.unreachable", "or this share is out of reach;"},
	{"healing.breakers.floor", "but not for fewer dragons than this."},
	{"healing.breakers.scope", "Stop for a pool, site, model or firmware when this share of it is sick,"},
	{"healing.breakers.scope_floor", "and at least so many."},
	{"healing.breakers.cooldown", "All must be well below its limit for so long before one dragon is tried."},
	{"healing.breakers.reopen", "If that does not help, stop for so long again."},
	{"healing.breakers.slow_mode_after", "After so long without a common cause in sight, heal slowly: one dragon at a time,"},
	{"healing.breakers.slow_mode_every", "one in so long."},
	{"healing.breakers.efficacy_of", "Of so many last outcomes of a kind of action,"},
	{"healing.breakers.efficacy_min", "so many must have helped, or the kind is stopped until a human looks."},
	{"healing.breakers.harm_max", "So many dragons lost or made worse in 24 hours stop everything until a human looks."},
	{"healing.breakers.foreign_devices", "So many dragons that restarted in an hour and nobody knows why: somebody else is at work,"},
	{"healing.breakers.foreign_share", "or this share of the fleet, if that is more;"},
	{"healing.breakers.foreign_on_one", "or so many such restarts of one dragon."},
	{"healing.breakers.foreign_hold", "Stop for so long then."},
	{"healing.breakers.safe_mode_starts", "After more unclean starts than this in 30 minutes, only observe"},
	{"healing.breakers.safe_mode_for", "for so long, or until a human looks."},
	{"healing.breakers.recovered_state_observe", "After its memory was lost, only observe for so long, or until a human looks."},
	{"healing.breakers.config_guard", "Refuse a new policy that makes more than this share of the fleet sick at once,"},
	{"healing.breakers.config_guard_floor", "and more dragons than this."},

	{"healing.causes.pool", "A pool is down when this share of its members have no work,"},
	{"healing.causes.pool_floor", "and at least so many,"},
	{"healing.causes.pool_idle", "for so long."},
	{"healing.causes.pool_hold", "Its members are left alone for so long after its return."},
	{"healing.causes.pool_stuck", "Who has no work so long after its return is stuck."},
	{"healing.causes.neighbours", "So many others at the same pool must have work before a dragon alone is blamed."},
	{"healing.causes.domain", "A fault domain is down when this share of it is out of reach,"},
	{"healing.causes.domain_floor", "and at least so many dragons."},
	{"healing.causes.domain_hold", "It is left alone for so long after its return, on top of the boot's grace."},
	{"healing.causes.isolation", "The healer itself is cut off when more than this share of the fleet is out of reach,"},
	{"healing.causes.gateway", "or when nothing answers a TCP connection to this IP address and port, a refusal being an answer too; empty: nothing is asked."},
	{"healing.causes.boot", "The power was off when this share of the fleet booted"},
	{"healing.causes.boot_floor", "(at least so many dragons)"},
	{"healing.causes.boot_span", "within this time."},
	{"healing.causes.boot_hold", "Nothing is done for so long then."},
	{"healing.causes.schema", "A firmware version cannot be read when this share of its dragons' answers make no sense,"},
	{"healing.causes.schema_floor", "and at least so many."},
	{"healing.causes.site_hot", "The site is hot when this share of it is: said, never acted on."},
	{"healing.causes.baseline_fall", "What a dragon is measured by falls by at most this share in a week."},

	{"healing.rollout.mode", "enforce: what is wished of the dragons is brought to them. observe: plan and metrics say what differs, and nothing is written."},
	{"healing.rollout.start_observe", "Nothing is configured for so long after the healer's start,"},
	{"healing.rollout.samples", "nor a dragon before so many fresh samples of it,"},
	{"healing.rollout.boot", "nor so soon after its boot."},
	{"healing.rollout.canary_wait", "A dragon that was configured must have a share accepted within this time."},
	{"healing.rollout.wave", "Once the first one has, this share of the fleet follows"},
	{"healing.rollout.wave_min", "(so many dragons at least)"},
	{"healing.rollout.every", "within this time, until all are as wished."},
	{"healing.rollout.failures", "When more than this share of those that are to be so fail, and more than one, it is stopped until a human looks."},
	{"healing.rollout.conflict_after", "What somebody else has changed back so many times in 24 hours is left so."},
	{"healing.firmware.canaries", "Dragons of the first wave of a firmware rollout,"},
	{"healing.firmware.second_wave", "and of the second."},
	{"healing.firmware.waves", "The waves after them, up to which share of the dragons that the firmware is for."},
	{"healing.firmware.uploads", "Dragons that are sent an image at one time."},
	{"healing.firmware.memory", "Free memory that a dragon must have, in sizes of the image."},
	{"healing.firmware.uploading", "Longest time of an upload,"},
	{"healing.firmware.rebooting", "of flashing and the reboot after it,"},
	{"healing.firmware.version", "until it tells the new version,"},
	{"healing.firmware.hashing", "until all its boards work again,"},
	{"healing.firmware.verify", "and until it has been as good as before"},
	{"healing.firmware.verify_for", "for so long:"},
	{"healing.firmware.hashrate", "at least this share of the hash rate,"},
	{"healing.firmware.warmer", "at most so many °C warmer, the weather aside,"},
	{"healing.firmware.errors", "and so many times the hardware errors."},
	{"healing.firmware.canary_soak", "How long a canary must go on like that,"},
	{"healing.firmware.second_soak", "the second wave,"},
	{"healing.firmware.soak", "and the others, before the next wave begins."},
	{"healing.firmware.extra_reboot", "Reboot a canary once more: there is firmware that boots once only."},
	{"healing.firmware.extra_reboot_after", "When it has hashed for so long."},
	{"healing.firmware.failures", "A wave after the second may have this share of failures, or one."},
	{"healing.firmware.lost", "So many dragons that do not come back abort a rollout."},
	{"healing.firmware.windows", "When firmware is sent, besides `healing.windows`; none: always."},
	{"healing.firmware.windows[].days", "Days on which it begins, Mon to Sun; none: every day."},
	{"healing.firmware.windows[].start", "The time of its begin, such as \"22:30\"."},
	{"healing.firmware.windows[].length", "How long it lasts, up to 168h."},
	{"healing.firmware.windows[].zone", "IANA time zone, such as Europe/Berlin; empty: UTC."},

	{"healing.gate.prometheus", "Base URL of a Prometheus that is asked before anything is done, such as http://127.0.0.1:9090; empty: none."},
	{"healing.gate.query", "Nothing is done while this PromQL query returns any series."},
	{"healing.gate.on_error", "What holds while it cannot be asked: block (nothing is done) or allow."},

	{"healing.windows", "When healing is allowed; none: always."},
	{"healing.windows[].days", "Days on which it begins, Mon to Sun; none: every day."},
	{"healing.windows[].start", "The time of its begin, such as \"22:30\"."},
	{"healing.windows[].length", "How long it lasts, up to 168h."},
	{"healing.windows[].zone", "IANA time zone, such as Europe/Berlin; empty: UTC."},

	{"healing.default.mode", "observe: decide, explain, send nothing. enforce: heal. `--dragon-health-reboot`"},
	{"healing.default.boards", "Boards that a dragon should have; 0: as its model is built, else as many as it has shown."},
	{"healing.default.hashrate", "What a dragon should do in all; 0: what it does when it is well."},

	{"healing.default.grace.system_boot", "No dragon is judged this soon after its boot."},
	{"healing.default.grace.dead_hot", "Age of the mining process before a board that died of heat counts,"},
	{"healing.default.grace.dead_board", "a dead board,"},
	{"healing.default.grace.bogus_temp", "an impossible temperature,"},
	{"healing.default.grace.missing_board", "a board that is not there,"},
	{"healing.default.grace.no_work", "no work while the neighbours have some,"},
	{"healing.default.grace.rate", "a low hash rate."},
	{"healing.default.grace.tuning_max", "A dragon that has tuned for longer is stuck."},
	{"healing.default.grace.after_config", "Nothing is judged this soon after a change of configuration."},

	{"healing.default.detect.low_ratio", "Sick below this share of what the dragon does when it is well."},
	{"healing.default.detect.warn_ratio", "Shown below this share; never acted on."},
	{"healing.default.detect.low", "Evidence that a low hash rate wants."},
	{"healing.default.detect.dead_board", "The same for a dead board,"},
	{"healing.default.detect.dead_hot", "a board that died of heat,"},
	{"healing.default.detect.missing_board", "a board that is not there,"},
	{"healing.default.detect.flatline", "counters that stand still,"},
	{"healing.default.detect.bogus_temp", "an impossible temperature,"},
	{"healing.default.detect.no_work", "no work while the neighbours have some,"},
	{"healing.default.detect.tuning_stuck", "tuning that does not end."},
	{"healing.default.detect.min_hashrate_per_board", "Sick below this on any board, whatever it did before; 0: off. `--dragon-health-hashrate-min`"},
	{"healing.default.detect.min_hashrate_any_algorithm", "That holds for SHA-256 models only, unless this is true."},
	{"healing.default.detect.min_hashrate", "Evidence that it wants. Its `for` is `--dragon-health-hashrate-duration`"},

	{"healing.default.heat.warn", "°C from which a dragon is hot, and a low rate is put down to the heat,"},
	{"healing.default.heat.crit", "and from which it is in danger."},
	{"healing.default.heat.dead_hot", "A board that died at this or above died of heat."},
	{"healing.default.heat.cool_below", "It is tried again below this,"},
	{"healing.default.heat.cool_for", "and after so long."},
	{"healing.default.heat.fan_duty", "A low rate at this fan speed is put down to the heat too."},
	{"healing.default.heat.warn_for", "How long it must be hot,"},
	{"healing.default.heat.crit_for", "in danger."},
	{"healing.default.heat.downshift_enabled", "Set a dragon that stays too hot to the autotune mode efficient, and take that back when it has cooled,"},
	{"healing.default.heat.downshift", "from this many °C on,"},
	{"healing.default.heat.downshift_for", "for so long,"},
	{"healing.default.heat.restore_below", "until it has been below this"},
	{"healing.default.heat.restore_after", "for so long."},
	{"healing.default.heat.frozen_for", "A working board's sensor is taken for broken when it has said the same for so long; 0: never,"},
	{"healing.default.heat.frozen_swing", "while every other board of the dragon went through so many °C."},

	{"healing.default.ladder.steps", "What is tried, in this order: restart (of the mining process) and reboot."},
	{"healing.default.ladder.hold", "How long nothing more is done after each step."},
	{"healing.default.ladder.judge", "When a step is judged, beside the time that tuning takes."},
	{"healing.default.ladder.judge_board", "The same for a restart because of a board."},
	{"healing.default.ladder.probation", "Sick again within this time is a relapse: the next step."},
	{"healing.default.ladder.forget_after", "Healthy for so long: the next illness begins at the first step."},
	{"healing.default.ladder.lost_after", "Not back for so long after an action is lost."},
	{"healing.default.ladder.release_after", "Clean for so long in quarantine: released."},
	{"healing.default.ladder.boot", "Hashing time that a reboot costs, to weigh it against what it may bring,"},
	{"healing.default.ladder.tune", "and the tuning after it, until that is learned."},

	{"healing.default.device.restarts_24h", "Restarts of one dragon in 24 hours."},
	{"healing.default.device.reboots_24h", "Reboots of one dragon in 24 hours,"},
	{"healing.default.device.reboots_7d", "and in seven days."},
	{"healing.default.device.config_writes_24h", "Configuration changes of one dragon in 24 hours."},
	{"healing.default.device.min_gap", "Time between two actions on one dragon,"},
	{"healing.default.device.no_work_gap", "between two restarts because it had no work,"},
	{"healing.default.device.dead_hot_gap", "because a board died of heat,"},
	{"healing.default.device.bogus_temp_gap", "because of an impossible temperature,"},
	{"healing.default.device.tuning_stuck_gap", "because tuning did not end."},
	{"healing.default.device.flapping_1h", "So many restarts in an hour that nobody did: it flaps, and is left alone,"},
	{"healing.default.device.flapping_24h", "or so many in 24 hours,"},
	{"healing.default.device.flapping_stable", "until it has been up for so long."},

	{"firmware.path", "Directory of firmware images, pinned by a SHA256SUMS in it; empty: none. `--firmwares-path`"},
	{"firmware.allowed_hosts", "Hosts that firmware may be fetched from, `HOST` or `HOST:PORT`, if a vendor names them; []: no host. `--firmware.allowed-hosts`"},
	{"firmware.auto_upgrade", "Bring dragons to the latest firmware, of the directory or what their vendors offer from these hosts, wave by wave. `--dragon-auto-upgrade`"},

	{"profiles", "What is different for some dragons."},
	{"profiles[].name", "Its name in plan and audit: a-z, 0-9, - and _."},
	{"profiles[].match.all", "Every dragon. Nothing else means that; an empty match is an error."},
	{"profiles[].match.mac", "Dragons by MAC."},
	{"profiles[].match.network", "Dragons by address."},
	{"profiles[].match.site", "Dragons by site."},
	{"profiles[].match.model", "Dragons by type, as `dragon_info` has it."},
	{"profiles[].healing", "Any of the keys of `healing.default`."},
	{"profiles[].wish.pools", "The pools that the dragons are to have, one to three, in their order; they take the place of all others. `--pools`"},
	{"profiles[].wish.pools[].url", "Such as `stratum+tcp://pool.example.com:3333`."},
	{"profiles[].wish.pools[].username", "The account; the worker's name is added to it."},
	{"profiles[].wish.pools[].password", "Its password, x if the pool wants none; or better:"},
	{"profiles[].wish.pools[].password_file", "A file with the password in its only line. A relative path starts at the directory of the configuration file."},
	{"profiles[].wish.worker_name", "How a dragon logs in to its pools, of {user}, {worker} (`dragon-` and the end of its MAC) and {mac}. Not set: `{user}.{worker}`."},
	{"profiles[].wish.autotune.mode", "efficient, balanced, factory or performance. `--dragon-autotune-mode`"},
	{"profiles[].wish.autotune.level", "0 to 4, where a dragon has levels; not set: as it is."},
	{"profiles[].wish.firmware", "The exact version that dragons of its model are to run, such as t1_20180803_143208. What differs is shown; only `firmware rollout start` brings it."},
}

// entry is a key of the file as the reference shows it.
type entry struct {
	path, wants, standard string
}

// key is the last part of the path.
func (e *entry) key() string { return e.path[strings.LastIndexByte(e.path, '.')+1:] }

// defaults are what stands where neither flags nor a file say anything; a test holds
// them against the flags.
func defaults() *Config {
	return &Config{
		Probing:      Probing{Port: 80, ScanTimeout: 10 * time.Second, ConnectTimeout: time.Second},
		ScanInterval: 5 * time.Minute, DragonTimeout: 10 * time.Second,
		DataDir: "data", InventoryFile: "dragon-inventory.json", InventoryRetention: 720 * time.Hour,
		ScrapeWorkers: 256, ScrapeOffset: 500 * time.Millisecond, MaxRequests: 40,
		Health: Health{HashrateMin: 1000e9, HashrateDuration: time.Hour},
		Wish:   Wish{FirmwaresPath: "firmwares/", FirmwareHosts: firmware.VendorHosts()},
		Statsd: Statsd{Port: 8125, Prefix: "dragons", Interval: time.Minute},
	}
}

// sections returns every key of the file, with what stands where it says nothing.
func sections() []entry {
	c := defaults()
	var entries []entry
	doc := documentOf(c)
	walkDocument(&entries, &doc)
	return entries
}

func walk(to *[]entry, path string, v reflect.Value) {
	switch {
	case isScalar(v.Type()):
		*to = append(*to, entry{path, wants(path, v), standard(path, v)})
	case v.Kind() == reflect.Slice:
		of := reflect.New(v.Type().Elem()).Elem()
		if !isScalar(of.Type()) {
			*to = append(*to, entry{path, "a list", ""})
			walk(to, path+"[]", of)
			return
		}
		var items []string
		for i := range v.Len() {
			items = append(items, standard(path, v.Index(i)))
		}
		e := entry{path, "a list; each " + wants(path, of), strings.Join(items, ", ")}
		if len(items) > 0 {
			e.standard = "[" + e.standard + "]"
		}
		*to = append(*to, e)
	case v.Type() == reflect.TypeFor[healer.Evidence]():
		e := v.Interface().(healer.Evidence)
		*to = append(*to, entry{path, "evidence", fmt.Sprintf("{for: %s, bad: %d, of: %d}", Span(e.For), e.Bad, e.Of)})
	case v.Type() == reflect.TypeFor[healer.DragonPolicy]() && strings.Contains(path, "[]"):
		*to = append(*to, entry{path, "a section", ""})
	default:
		for i := range v.NumField() {
			if key := keyOf(v.Type().Field(i)); key != "" {
				walk(to, join(path, key), v.Field(i))
			}
		}
	}
}

// standard writes a value as the file would have it; empty where nothing stands.
func standard(path string, v reflect.Value) string {
	switch v := v.Interface().(type) {
	case time.Duration:
		return Span(v)
	case healer.Ratio:
		return strconv.FormatFloat(float64(v)*100, 'g', 6, 64) + "%"
	case healer.Kind:
		if v == healer.Restart {
			return "restart"
		}
		return string(v)
	case netip.Prefix, discovery.Range, dragon.Secret:
		return ""
	case float64:
		if isRate(path) && v > 0 {
			return strconv.FormatFloat(v/1e9, 'g', -1, 64) + " GH/s"
		}
	}
	return fmt.Sprint(v)
}

// Reference is docs/configuration.md.
func Reference() string {
	var b strings.Builder
	b.WriteString(`# Configuration file

Made from the program by ` + "`make golden`" + `; change internal/config/reference.go, not this page.

` + "`--config.file=mother-of-dragons.yml`" + ` names the file. It is YAML, and strict: a key that is not known, is there twice or
has a value that will not do is an error with its line, and all errors are shown at once. What the file says wins over the flags;
what it leaves out is as the flags have it, and then as this page has it. A list in the file, such as ` + "`networks`" + `,
takes the place of the flags' list. [A file with everything in it](../examples/mother-of-dragons.yml) is there to start from, and
[a schema](../examples/mother-of-dragons.schema.json) by which editors complete keys and say what they mean.

` + "```sh" + `
mother-of-dragons check-config mother-of-dragons.yml                  # every error with its line; the exit status tells
mother-of-dragons --config.file=mother-of-dragons.yml --print-config  # what would be in force, every default included, as a file
mother-of-dragons convert-config config.toml -o mother-of-dragons.yml # from the Python tool's config.toml or config.json
` + "```" + `

The file is read again at ` + "`SIGHUP` (`systemctl reload` checks it before)" + `, and at a POST to ` + "`/-/reload` with `--web.enable-lifecycle`" + `, which answers with what is wrong. It is taken over whole or
not at all, and nothing restarts. Only ` + "`data_dir`, `inventory.file`, `discovery.listen`, `collectors`, `scrape.openmetrics_created`" + ` and the flags take a restart (and
` + "`firmware.auto_upgrade`, where `collectors.firmware` is off: it has dragons ask their vendors);" + `
a file that changes them is refused, and so is a healing policy that would call too many dragons sick at once. ` + "`mother_config_last_reload_successful`" + ` tells how the last time went.

Time spans are written ` + "`90s`, `15m`, `6h`" + `, bare numbers are seconds. Shares are written ` + "`20%` or `0.2`" + `. Hash rates have their
unit: ` + "`14.7 TH/s`" + `. Evidence is ` + "`{for: 30m, bad: 24, of: 30}`" + `: something must have been bad for so long, and in so many of the
last samples (3 to 64). The hard limits of the healer are in [healing.md](healing.md); no configuration reaches them.
`)
	entries := sections()
	heading := ""
	for _, m := range meanings {
		h := headingOf(m.path)
		if h != heading {
			fmt.Fprintf(&b, "\n## %s\n\n", h)
			if about[h] != "" {
				fmt.Fprintf(&b, "%s\n\n", about[h])
			}
			b.WriteString("| key | value | default | meaning |\n|---|---|---|---|\n")
			heading = h
		}
		i := slices.IndexFunc(entries, func(e entry) bool { return e.path == m.path })
		if i < 0 {
			continue // a test says so
		}
		e := entries[i]
		if e.standard != "" {
			e.standard = "`" + e.standard + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", e.path, e.wants, e.standard, m.meaning)
	}
	return b.String()
}

// headingOf is the section of the reference that a key is shown in.
func headingOf(path string) string {
	parts := strings.Split(strings.ReplaceAll(path, "[]", ""), ".")
	switch {
	case parts[0] == "healing" && len(parts) > 3:
		return strings.Join(parts[:3], ".")
	case parts[0] == "healing" && len(parts) == 3:
		return strings.Join(parts[:2], ".")
	}
	return parts[0]
}

// about is what is to be known of a section as a whole.
var about = map[string]string{ //nolint:gosec // a text about credentials, without any
	"credentials": `A dragon is tried with what matches it, the most specific first, as of the profiles below, and then in the order of the file; where
nothing matches, with what it was delivered with. At an address whose dragon is not known yet, what names no MAC and no model is tried first, and then at most
eight of those that do and fit the address. Nothing is sent to what does not answer as a dragon.`,
	"healing":         "The healer's policy: [healing.md](healing.md) says what it is for. These keys are for the fleet as a whole.",
	"collectors":      "What there are series of. What is off is neither on the pages nor, where it needs a question of its own, asked of the dragons.",
	"firmware":        "Where firmware comes from, and whether it comes by itself: [firmware.md](firmware.md). How carefully it comes is `healing.firmware`.",
	"healing.default": "What may differ from dragon to dragon. A profile may set each of these keys for some of them.",
	"profiles": `A profile changes keys of ` + "`healing.default`" + ` for the dragons that it matches: those that fit every list of its ` + "`match`" + `, of which one
entry must fit. Of several profiles for one dragon the most specific wins, key by key: one that names a MAC before one that names a
network (the narrower first), before a site, before a model, before ` + "`all`" + `. Two that are equally specific, may match the same dragon and set
the same key are an error. ` + "`mother-of-dragons plan --why WORKER`" + ` shows what came of it.`,
}

func walkDocument(to *[]entry, d *document) { walk(to, "", reflect.ValueOf(d).Elem()) }
