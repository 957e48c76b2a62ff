package healer

// TakeOver goes on with what a standby has seen for itself, so that it need not watch the
// fleet again before it acts. The memory is the one that the last leader wrote; the standby
// has followed an earlier one, and so has its line of time.
func (m *Memory) TakeOver(standby *Memory) {
	run := standby.run
	if !run.time.started {
		return
	}
	run.time.moment = max(run.time.moment, m.Fleet.Anchor.Moment)
	if wall := m.Fleet.Anchor.Wall; wall.After(run.time.storedMax) {
		run.time.storedMax = wall
	}
	run.lastAudited, run.slice, run.allCold = make(map[string]saying), m.run.slice, m.run.allCold
	m.run = run
}
