package healer

// TakeOver goes on with what a standby has seen for itself, so that it need not watch the
// fleet again before it acts. The memory is the one that the last leader wrote; the standby
// has followed an earlier one, and so has its line of time.
func (m *Memory) TakeOver(standby *Memory) {
	m.Follow(standby)
	m.run.lastAudited = make(map[string]saying)
}

// Follow does the same for a standby that stays one: the memory is what the leader has written
// meanwhile.
func (m *Memory) Follow(standby *Memory) {
	run := standby.run
	if !run.time.started {
		return
	}
	run.time.moment = max(run.time.moment, m.Fleet.Anchor.Moment)
	if wall := m.Fleet.Anchor.Wall; wall.After(run.time.storedMax) {
		run.time.storedMax = wall
	}
	run.slice, run.allCold = m.run.slice, m.run.allCold
	m.run = run
}
