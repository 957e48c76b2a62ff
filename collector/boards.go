package collector

import "github.com/brndnmtthws/mother-of-dragons/dragon"

// boardTable has the series of a hash board. The label is the physical slot if the
// firmware reports it, because some drivers give all boards one name.
func boardTable() table[dragon.Board] {
	type board = dragon.Board
	return table[board]{
		title: "A hash board",
		key:   "board",
		each:  func(s *sample) []item[board] { return s.boards },
		rows: []row[board]{
			{name: "dragon_board_up", help: "Whether the dragon reports the board as Alive.", typ: gauge, source: "summary.DEVS.Status", get: func(b *board) dragon.Number { return knownIf(b.Status != "", dragon.Bool(b.Alive()).Or(0)) }},
			{name: "dragon_board_status", help: "Status that the dragon reports for the board; always 1.", typ: gauge, source: "summary.DEVS.Status", labels: []labelOf[board]{{"status", func(b *board) string { return b.Status }}}, get: func(b *board) dragon.Number { return knownIf(b.Status != "", 1) }},
			{name: "dragon_board_hashrate_hashes_per_second", help: "Hash rate as averaged by the dragon over a window; avg: since the miner process started.", typ: gauge, unit: "hashes_per_second", source: "summary.DEVS.MHS 5s", with: label{"window", "5s"}, get: func(b *board) dragon.Number { return b.Hashrate5s }},
			{name: "dragon_board_hashrate_hashes_per_second", typ: gauge, source: "summary.DEVS.MHS 1m", with: label{"window", "1m"}, get: func(b *board) dragon.Number { return b.Hashrate1m }},
			{name: "dragon_board_hashrate_hashes_per_second", typ: gauge, source: "summary.DEVS.MHS 5m", with: label{"window", "5m"}, get: func(b *board) dragon.Number { return b.Hashrate5m }},
			{name: "dragon_board_hashrate_hashes_per_second", typ: gauge, source: "summary.DEVS.MHS 15m", with: label{"window", "15m"}, get: func(b *board) dragon.Number { return b.Hashrate15m }},
			{name: "dragon_board_hashrate_hashes_per_second", typ: gauge, source: "summary.DEVS.MHS av", with: label{"window", "avg"}, get: func(b *board) dragon.Number { return b.HashrateAvg }},
			{name: "dragon_board_hashes_total", help: "Hashes computed.", typ: counter, unit: "hashes", source: "summary.DEVS.Total MH", get: func(b *board) dragon.Number { return b.Hashes }},
			{name: "dragon_board_temperature_celsius", help: "Temperature, the average of the board's chips.", typ: gauge, unit: "celsius", source: "summary.DEVS.Temperature", get: func(b *board) dragon.Number { return b.Temperature }},
			{name: "dragon_board_shares_total", help: "Shares by the pool's verdict.", typ: counter, source: "summary.DEVS.Accepted", with: label{"result", "accepted"}, get: func(b *board) dragon.Number { return b.Accepted }},
			{name: "dragon_board_shares_total", typ: counter, source: "summary.DEVS.Rejected", with: label{"result", "rejected"}, get: func(b *board) dragon.Number { return b.Rejected }},
			{name: "dragon_board_share_difficulty_total", help: "Difficulty of the shares by the pool's verdict.", typ: counter, source: "summary.DEVS.Difficulty Accepted", with: label{"result", "accepted"}, get: func(b *board) dragon.Number { return b.DifficultyAccepted }},
			{name: "dragon_board_share_difficulty_total", typ: counter, source: "summary.DEVS.Difficulty Rejected", with: label{"result", "rejected"}, get: func(b *board) dragon.Number { return b.DifficultyRejected }},
			{name: "dragon_board_diff1_work_total", help: "Work done, in shares of difficulty 1.", typ: counter, source: "summary.DEVS.Diff1 Work", get: func(b *board) dragon.Number { return b.Diff1Work }},
			{name: "dragon_board_hardware_errors_total", help: "Nonces that failed the dragon's own check.", typ: counter, source: "summary.DEVS.Hardware Errors", get: func(b *board) dragon.Number { return b.HardwareErrors }},
			{name: "dragon_board_last_share_timestamp_seconds", help: "When the last share was found, by the dragon's clock.", typ: gauge, unit: "seconds", source: "summary.DEVS.Last Share Time", get: func(b *board) dragon.Number { return b.LastShareTime }},
			{name: "dragon_board_last_valid_work_timestamp_seconds", help: "When the board last did valid work, by the dragon's clock.", typ: gauge, unit: "seconds", source: "summary.DEVS.Last Valid Work", get: func(b *board) dragon.Number { return b.LastValidWork }},
			{name: "dragon_board_last_share_difficulty", help: "Difficulty of the last share.", typ: gauge, source: "summary.DEVS.Last Share Difficulty", get: func(b *board) dragon.Number { return b.LastShareDifficulty }},
			{name: "dragon_board_last_share_pool", help: "Index of the pool that got the last share.", typ: gauge, source: "summary.DEVS.Last Share Pool", get: func(b *board) dragon.Number { return b.LastSharePool }},
		},
	}
}
