package dragontest

import "time"

// restartMiner restarts the miner process at a time, which may lie a little ahead.
// The caller holds d.mu and has called advance.
func (d *Dragon) restartMiner(at time.Time) {
	d.cured(CuredByRestart)
	d.state.startMiner(d, at)
}

// restartCgMiner answers at once and restarts in the background.
func (d *Dragon) restartCgMiner(out *reply, a *request) {
	d.restartMiner(a.now)
	out.success()
}

// factoryReset deletes passwords, pools, network settings and the autotuner's profile.
func (d *Dragon) factoryReset(out *reply, a *request) {
	s := &d.state
	d.users = defaultUsers(d.model.Brand)
	s.configured = VendorPools()
	s.autotune, s.explicit = d.model.defaultAutoTune(), false
	s.network = Network{IPAddress: s.network.IPAddress}.withDefaults()
	d.goingDown(out, a, reboots)
}

// goingDown answers after the device's sleep, when it already goes down.
func (d *Dragon) goingDown(out *reply, a *request, what downKind) {
	out.wait = d.spec.SleepTime
	out.success()
	if d.has(RebootIgnored) != nil {
		return
	}
	out.drop = d.has(RebootUnanswered) != nil
	d.state.down, d.state.downAt = what, a.now.Add(d.spec.SleepTime)
}

// Reboot makes the dragon start again at once, as if someone else had asked it to.
func (d *Dragon) Reboot() {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.advance()
	if !d.state.off {
		d.boot(now, CuredByReboot)
	}
}

// RestartMiner restarts the miner process at once.
func (d *Dragon) RestartMiner() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.restartMiner(d.advance())
}

// PowerOff takes the power away. An upload that was being flashed is lost.
func (d *Dragon) PowerOff() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.advance()
	s := &d.state
	s.off = true
	s.down, s.downAt, s.flashAt, s.flashing = staysUp, time.Time{}, time.Time{}, nil
}

// PowerOn gives the power back: the dragon boots, if it was off and is not bricked.
func (d *Dragon) PowerOn() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := d.advance(); d.state.off {
		d.boot(now, CuredByPowerCycle)
	}
}
