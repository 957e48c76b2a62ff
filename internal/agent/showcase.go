package agent

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// statusCollector makes series of the published status. It is a collector of its own, so
// that a scrape sees one cycle or the other and never half of each, and never waits.
type statusCollector struct {
	status *atomic.Pointer[Status]
	looked *atomic.Pointer[time.Time] // when the last look ended, or the healer began
}

const lastCycleName = "mother_healer_last_cycle_timestamp_seconds"

// StatusMetric is a gauge that a status may have, also one for which something must
// happen first.
type StatusMetric struct {
	Name, Help string
	Labels     []string

	desc *prometheus.Desc
}

// StatusMetrics returns them all.
func StatusMetrics() (all []StatusMetric) {
	for i := range shown {
		all = append(all, shown[i].StatusMetric)
	}
	return all
}

func gauge(name, help string, labels ...string) StatusMetric {
	return StatusMetric{name, help, labels, prometheus.NewDesc(name, help, labels, nil)}
}

// putter takes a value of a series.
type putter func(v float64, labels ...string)

type statusRow struct {
	StatusMetric
	show func(s *Status, put putter)
}

// one is a row with one value.
func one(name, help string, of func(*Status) float64) statusRow {
	return statusRow{gauge(name, help), func(s *Status, put putter) { put(of(s)) }}
}

// each shows something of every dragon.
func each(show func(d *healer.Decision, put putter)) func(*Status, putter) {
	return func(s *Status, put putter) {
		for i := range s.Plan.Dragons {
			show(&s.Plan.Dragons[i], put)
		}
	}
}

var shown = []statusRow{
	{gauge("mother_healer_mode", "1 for the mode that the healer is in: safe is observe after a panic or too many unclean starts.", "mode"), func(s *Status, put putter) {
		for _, mode := range []string{string(healer.Observe), string(healer.Enforce), "safe"} {
			put(truth(s.Mode == mode), mode)
		}
	}},
	{gauge(lastCycleName, "When the healer last looked at the fleet and decided; before its first look, when it began."), func(s *Status, put putter) {
		put(float64(s.LastCycle.UnixNano()) / 1e9)
	}},
	one("mother_healer_lock_held", "1: this process owns the healer's state; 0: another does, or there is none.", func(s *Status) float64 { return truth(s.Owner) }),
	one("mother_healer_standby", "1: another instance owns the healer's state, and this one takes over when that ends. 0: this one owns it, or it cannot be opened.", func(s *Status) float64 { return truth(s.Standby) }),
	one("mother_leader", "1: this instance leads: it heals. 0: another one does, or none. Of instances that share their state one leads.", func(s *Status) float64 { return truth(s.Owner) }),
	{gauge("mother_ha_lease_remaining_seconds", "Time that the lease on the shared state still holds if it is not renewed. Only of instances that share their state."), func(s *Status, put putter) {
		if s.Shared {
			put(s.remaining().Seconds())
		}
	}},
	{gauge("mother_ha_coordinator_up", "1: etcd, which the instances share their state in, answered within the last seconds; 0: it did not. Only of instances that share their state."), func(s *Status, put putter) {
		if m := s.meeting(); m != nil {
			put(truth(m.up))
		}
	}},
	{gauge("mother_ha_leaders", "Instances that lead according to etcd: 1, or 0 while none does. Only while etcd answers."), func(s *Status, put putter) {
		if m := s.meeting(); m != nil && m.up {
			put(truth(m.leader.ID != ""))
		}
	}},
	{gauge("mother_ha_member_info", "An instance that shares the state, this one included, as etcd knows it. The value is 1.", "id", "version", "config_hash"), func(s *Status, put putter) {
		if m := s.meeting(); m != nil {
			for i := range m.all {
				put(1, m.all[i].ID, m.all[i].Version, m.all[i].ConfigHash)
			}
		}
	}},
	{gauge("mother_ha_info", "The name of this instance, and the prefix in etcd that its site has. The value is 1. Only of instances that share their state.", "id", "prefix"), func(s *Status, put putter) {
		if s.Shared {
			put(1, s.Healer, s.prefix)
		}
	}},
	one("mother_state_writable", "1: the healer's state and audit can be written; 0: it sends nothing.", func(s *Status) float64 { return truth(s.Writable) }),
	one("mother_state_recovered", "1: the healer's state was lost or corrupt, and every budget counts as used up for a while.", func(s *Status) float64 { return truth(s.Recovered != "") }),
	one("mother_healer_stop", "1: the STOP file is there.", func(s *Status) float64 { return truth(s.Stop) }),
	{gauge("mother_config_hash_info", "The policy in force.", "hash"), func(s *Status, put putter) {
		put(1, s.Config)
	}},
	one("mother_healer_policy_refused", "1: the newest policy would call too many dragons sick at once, so that the one before it stays in force.", func(s *Status) float64 { return truth(s.Declined != "") }),
	one("mother_clock_trusted", "1: the host's wall clock is trusted.", func(s *Status) float64 { return truth(s.Plan.ClockTrusted) }),
	{gauge("mother_window_open", "1: the healing window, by its place in the configuration, is open. Without any it is always.", "window"), func(s *Status, put putter) {
		if len(s.windows) == 0 {
			put(1, "always")
		}
		for i, open := range s.windows {
			put(truth(open), strconv.Itoa(i))
		}
	}},
	{gauge("mother_healer_device_state", "1 for the state that a dragon is in.", "worker", "state"), each(func(d *healer.Decision, put putter) {
		put(1, d.Worker, string(d.State))
	})},
	{gauge("dragon_hashrate_expected_hashes_per_second", "What the healer measures the dragon's hash rate by: the policy's figure, else what it did when it was well, else what its model does.", "worker"), each(func(d *healer.Decision, put putter) {
		if d.Evidence.Baseline > 0 {
			put(d.Evidence.Baseline, d.Worker)
		}
	})},
	{gauge("mother_healer_last_action_timestamp_seconds", "When the newest remembered write to the dragon was sent, with its outcome; open until the verdict is in.", "worker", "action", "outcome"), each(func(d *healer.Decision, put putter) {
		if d.Last != nil {
			put(float64(d.Last.At.UnixMilli())/1000, d.Worker, string(d.Last.Kind), string(cmp.Or(d.Last.Outcome, "open")))
		}
	})},
	{gauge("dragon_maintenance", "1: a human works on the dragon, and its alerts are muted.", "worker"), each(func(d *healer.Decision, put putter) {
		put(truth(d.State == healer.StateMaintenance), d.Worker)
	})},
	{gauge("dragon_sensor_faults", "Working boards whose temperature is missing, implausible, or frozen while the others' moved.", "worker"), each(func(d *healer.Decision, put putter) {
		put(float64(d.Sensors), d.Worker)
	})},
	{gauge("dragon_tune_duration_seconds", "How long autotuning takes dragons of a model: the 95th percentile of what the healer has seen, 0 before that. It waits so much longer before it judges an action.", "model"), func(s *Status, put putter) {
		for model, d := range s.tunes {
			put(d.Seconds(), model)
		}
	}},
	{gauge("mother_healer_devices", "Dragons by state.", "state"), func(s *Status, put putter) {
		for _, state := range healer.States {
			put(float64(s.Plan.Counts.States[state]), string(state))
		}
	}},
	{gauge("mother_healer_waiting_seconds", "How long a sick dragon has waited for a gate, at most. The plan says what opens it. The gate is observe where the mode is.", "gate"), func(s *Status, put putter) {
		for i := range s.Plan.Waiting {
			put(time.Duration(s.Plan.Waiting[i].For).Seconds(), string(s.Plan.Waiting[i].Gate))
		}
	}},
	one("mother_healer_untreated_seconds", "How long a sick dragon has been left alone, at most: since it is sick, or since its last action.", func(s *Status) float64 { return time.Duration(s.Plan.Counts.Untreated).Seconds() }),
	one("mother_healer_slow_dragons", "Dragons that the healer asks half as often, because more than 5 % of their answers take too long.", func(s *Status) float64 { return float64(s.Plan.Counts.Slow) }),
	one("mother_healer_curtailed", "Dragons that are to run in the autotune mode of a curtailment until it is over.", func(s *Status) float64 { return float64(s.Plan.Counts.Curtailed) }),
	one("mother_healer_downshifted", "Dragons that are to run in the autotune mode efficient until the heat is over.", func(s *Status) float64 { return float64(s.Plan.Counts.Shifted) }),
	one("mother_healer_quarantined", "Dragons that the healer has given up on until a human releases them, or they are well for a day.", func(s *Status) float64 { return float64(s.Plan.Counts.States[healer.StateQuarantined]) }),
	one("mother_identity_conflicts", "Dragons that claim a MAC that another claims too, or have none.", func(s *Status) float64 { return float64(s.Plan.Counts.States[healer.StateConflict]) }),
	{gauge("mother_healer_blocked", "Dragons that wait for a gate.", "gate"), func(s *Status, put putter) {
		for _, g := range healer.Gates() {
			put(float64(s.Plan.Counts.Blocked[g]), string(g))
		}
	}},
	{gauge("mother_healer_in_flight", "Writes whose outcome is not known yet.", "scope"), func(s *Status, put putter) {
		for _, b := range s.Plan.Budgets {
			if b.Window == 0 {
				put(float64(b.Used), b.Scope)
			}
		}
	}},
	{gauge("mother_healer_budget_limit", "Most writes in a window; the window in_flight is those without an outcome.", "scope", "window"), func(s *Status, put putter) {
		for _, b := range s.Plan.Budgets {
			put(float64(b.Limit), b.Scope, window(time.Duration(b.Window)))
		}
	}},
	{gauge("mother_healer_budget_used", "Writes in a window.", "scope", "window"), func(s *Status, put putter) {
		for _, b := range s.Plan.Budgets {
			put(float64(b.Used), b.Scope, window(time.Duration(b.Window)))
		}
	}},
	{gauge("mother_healer_breaker_state", "0 closed, 1 half-open, 2 open, 3 latched until a human acknowledges it.", "breaker", "scope"), func(s *Status, put putter) {
		open := make(map[string]bool, len(s.Plan.Breakers))
		for i := range s.Plan.Breakers {
			b := &s.Plan.Breakers[i]
			open[b.Key()] = true
			put(float64(b.State), b.Name, b.Scope)
		}
		for _, name := range fleetWide {
			if b := (healer.Breaker{Name: name}); !open[b.Key()] {
				put(0, name, "")
			}
		}
	}},
	{gauge("mother_calendar_open", "1: the maintenance, the pause or the curtailment of the calendar is in force; 0: it is not.", "calendar"), func(s *Status, put putter) {
		for i := range s.Calendars {
			put(truth(s.Calendars[i].Open), s.Calendars[i].Name)
		}
	}},
	{gauge("mother_calendar_next_timestamp_seconds", "When the calendar begins next, if within eight days.", "calendar"), func(s *Status, put putter) {
		for i := range s.Calendars {
			if next := s.Calendars[i].Next; next != nil {
				put(float64(next.Unix()), s.Calendars[i].Name)
			}
		}
	}},
	{gauge("mother_pauses", "Pauses and maintenances of people that are in force.", "scope"), func(s *Status, put putter) {
		n := make(map[string]int)
		for i := range s.Plan.Pauses {
			if p := &s.Plan.Pauses[i]; p.Calendar == "" && p.Kind != healer.Curtailed {
				n[p.Scope]++
			}
		}
		for _, scope := range []string{"fleet", "domain", "pool", "model", "firmware", "label", "mac"} {
			put(float64(n[scope]), scope)
		}
	}},
	{gauge("mother_pool_state", "0: the pool gives work; 1: it did not a short time ago, and its members are left alone; 2: it does not.", "pool"), func(s *Status, put putter) {
		for i := range s.Plan.Pools {
			put(causeState(&s.Plan.Pools[i]), s.Plan.Pools[i].Name)
		}
	}},
	{gauge("mother_desired_pool_info", "An account that the pools of a profile mine for: the user up to the first dot. The value is 1.", "account"), func(s *Status, put putter) {
		for _, account := range s.accounts {
			put(1, account)
		}
	}},
	{gauge("mother_domain_state", "0: the fault domain is in reach; 1: it was not a short time ago, and its members are left alone; 2: it is not.", "domain"), func(s *Status, put putter) {
		for i := range s.Plan.Domains {
			put(causeState(&s.Plan.Domains[i]), s.Plan.Domains[i].Name)
		}
	}},
	one("mother_healer_isolated", "1: most of the fleet is out of reach at once, or the configured gateway does not answer, so the healer assumes that it is cut off itself.", func(s *Status) float64 { return truth(s.Plan.BreakerState("isolation") >= healer.BreakerOpen) }),
	{gauge("dragon_config_drift", "1: the item differs from the desired state. Only for items that a profile desires and the dragon has told.", "worker", "item"), each(func(d *healer.Decision, put putter) {
		if d.Desired == nil {
			return
		}
		for _, item := range d.Desired.Known {
			put(truth(slices.ContainsFunc(d.Desired.Drift, func(x healer.Difference) bool { return x.Item == item })), d.Worker, string(item))
		}
	})},
	{gauge("mother_enforce_state", "1 for where a dragon stands with its desired state: in_sync, waiting (for its turn, while its rollout goes on), drifted (and waits for something else), changing, stuck (tried, and it cannot take effect), conflict (someone else changes it back), failed (it did not work after it was changed), unknown.", "worker", "state"), each(func(d *healer.Decision, put putter) {
		if d.Desired != nil && d.Desired.Phase != healer.PhaseNone {
			put(1, d.Worker, string(d.Desired.Phase))
		}
	})},
	{gauge("mother_rollout_state", "1 for the state of a rollout. Of a configuration: waiting (for a canary), canary, waves, done, aborted (until a human acknowledges it). Of firmware: running, paused, done, aborted (the same).", "rollout", "name", "state"), func(s *Status, put putter) {
		for _, ro := range s.Plan.CurrentFirmware() {
			for _, state := range healer.FirmwareStates {
				put(truth(ro.State == state), ro.ID, ro.Release.Version, string(state))
			}
		}
		for i := range s.Plan.Rollouts {
			ro := &s.Plan.Rollouts[i]
			for _, state := range healer.ConfigStates {
				put(truth(ro.State == state), ro.ID, ro.Name, string(state))
			}
		}
	}},
	{gauge("mother_rollout_devices", "Dragons of a rollout by phase. Of a configuration: see mother_enforce_state. Of firmware: waiting, uploading, rebooting, version (it has to tell the new one), hashing, verifying, soaking, done, failed, inconclusive.", "rollout", "phase"), func(s *Status, put putter) {
		for _, ro := range s.Plan.CurrentFirmware() {
			put(float64(ro.Phases[healer.PhaseWaiting]), ro.ID, healer.PhaseWaiting)
			for _, phase := range healer.UpgradePhases {
				put(float64(ro.Phases[string(phase)]), ro.ID, string(phase))
			}
		}
		for i := range s.Plan.Rollouts {
			ro := &s.Plan.Rollouts[i]
			for _, phase := range healer.Phases {
				put(float64(ro.Phases[string(phase)]), ro.ID, string(phase))
			}
		}
	}},
	{gauge("mother_rollout_failed_devices", "Dragons that did not work after a rollout had changed them; of a configuration, in the last 24 hours.", "rollout"), func(s *Status, put putter) {
		for _, ro := range s.Plan.CurrentFirmware() {
			put(float64(ro.Failed), ro.ID)
		}
		for i := range s.Plan.Rollouts {
			put(float64(len(s.Plan.Rollouts[i].Failed)), s.Plan.Rollouts[i].ID)
		}
	}},
	{gauge("mother_rollout_device_state", "1 for the phase of a dragon that a rollout of firmware is for: see mother_rollout_devices; waiting only while the rollout is running.", "worker", "rollout", "phase"), func(s *Status, put putter) {
		for _, ro := range s.Plan.CurrentFirmware() {
			if ro.State == healer.RolloutRunning {
				for _, worker := range ro.Waiting {
					put(1, worker, ro.ID, healer.PhaseWaiting)
				}
			}
			for j := range ro.Dragons {
				put(1, ro.Dragons[j].Worker, ro.ID, string(ro.Dragons[j].Phase))
			}
		}
	}},
	{gauge("mother_firmware_upload_ratio", "Part of a firmware image that a dragon was sent, while it is being sent and flashed.", "worker"), func(s *Status, put putter) {
		for _, u := range s.uploads.list() {
			put(float64(u.Sent)/float64(max(1, u.Size)), u.Worker)
		}
	}},
	one("mother_site_hot", "1: many dragons are hot at once, which is the site's trouble.", func(s *Status) float64 { return truth(s.Plan.SiteHot) }),
}

func (c statusCollector) Describe(ch chan<- *prometheus.Desc) {
	for i := range shown {
		ch <- shown[i].desc
	}
}

func (c statusCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.status.Load()
	if s == nil {
		if began := c.looked.Load(); began != nil { // so that a healer that never looks is seen
			for i := range shown {
				if shown[i].Name == lastCycleName {
					if m, err := prometheus.NewConstMetric(shown[i].desc, prometheus.GaugeValue, float64(began.UnixNano())/1e9); err == nil {
						ch <- m
					}
				}
			}
		}
		return
	}
	defer func() { // the registry would let it end the process
		if v := recover(); v != nil {
			ch <- prometheus.NewInvalidMetric(shown[0].desc, fmt.Errorf("showing the healer's state: %v", v))
		}
	}()
	for i := range shown {
		row := &shown[i]
		// Two remembered dragons may go by one worker name; a page must not break over that.
		put := make(map[string]bool)
		row.show(s, func(v float64, labels ...string) {
			for j := range labels {
				labels[j] = healer.Text(labels[j])
			}
			key := fmt.Sprintf("%q", labels)
			if put[key] {
				return
			}
			put[key] = true
			m, err := prometheus.NewConstMetric(row.desc, prometheus.GaugeValue, v, labels...)
			if err != nil {
				m = prometheus.NewInvalidMetric(row.desc, err)
			}
			ch <- m
		})
	}
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func window(d time.Duration) string {
	if d == 0 {
		return "in_flight"
	}
	return healer.ShortDuration(d)
}

func causeState(c *healer.CauseState) float64 {
	switch {
	case c.Down:
		return 2
	case c.Held:
		return 1
	}
	return 0
}
