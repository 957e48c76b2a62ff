package collector

import (
	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// poolTable has the series of a pool. The password is not among them.
func poolTable() table[dragon.Pool] {
	type pool = dragon.Pool
	return table[pool]{
		title: "A pool of a dragon",
		key:   "pool",
		each:  func(s *sample) []item[pool] { return s.pools },
		rows: []row[pool]{
			{name: "dragon_pool_info", help: "URL and user of the pool; always 1.", typ: gauge, source: "summary.POOLS.URL, summary.POOLS.User", labels: []labelOf[pool]{{"url", func(p *pool) string { return dragon.PoolWithoutLogin(p.URL) }}, {"user", func(p *pool) string { return p.User }}}, get: func(*pool) dragon.Number { return dragon.Known(1) }},
			{name: "dragon_pool_up", help: "Whether the dragon reports the pool as Alive.", typ: gauge, source: "summary.POOLS.Status", get: func(p *pool) dragon.Number { return knownIf(p.Status != "", dragon.Bool(p.Alive()).Or(0)) }},
			{name: "dragon_pool_active", help: "Whether the dragon mines for the pool now.", typ: gauge, source: "summary.POOLS.Stratum Active", get: func(p *pool) dragon.Number { return p.Active }},
			{name: "dragon_pool_priority", help: "The pool's priority, 0 first.", typ: gauge, source: "summary.POOLS.Priority", get: func(p *pool) dragon.Number { return p.Priority }},
			{name: "dragon_pool_shares_total", help: "Shares by result.", typ: counter, source: "summary.POOLS.Accepted", with: label{"result", "accepted"}, get: func(p *pool) dragon.Number { return p.Accepted }},
			{name: "dragon_pool_shares_total", typ: counter, source: "summary.POOLS.Rejected", with: label{"result", "rejected"}, get: func(p *pool) dragon.Number { return p.Rejected }},
			{name: "dragon_pool_shares_total", typ: counter, source: "summary.POOLS.Stale", with: label{"result", "stale"}, get: func(p *pool) dragon.Number { return p.Stale }},
			{name: "dragon_pool_shares_total", typ: counter, source: "summary.POOLS.Discarded", with: label{"result", "discarded"}, get: func(p *pool) dragon.Number { return p.Discarded }},
			{name: "dragon_pool_share_difficulty_total", help: "Difficulty of the shares by result.", typ: counter, source: "summary.POOLS.Difficulty Accepted", with: label{"result", "accepted"}, get: func(p *pool) dragon.Number { return p.DifficultyAccepted }},
			{name: "dragon_pool_share_difficulty_total", typ: counter, source: "summary.POOLS.Difficulty Rejected", with: label{"result", "rejected"}, get: func(p *pool) dragon.Number { return p.DifficultyRejected }},
			{name: "dragon_pool_share_difficulty_total", typ: counter, source: "summary.POOLS.Difficulty Stale", with: label{"result", "stale"}, get: func(p *pool) dragon.Number { return p.DifficultyStale }},
			{name: "dragon_pool_getworks_total", help: "Work received.", typ: counter, source: "summary.POOLS.Getworks", get: func(p *pool) dragon.Number { return p.Getworks }},
			{name: "dragon_pool_works_total", help: "Work units made of the received work.", typ: counter, source: "summary.POOLS.Works", get: func(p *pool) dragon.Number { return p.Works }},
			{name: "dragon_pool_get_failures_total", help: "Failures to get work.", typ: counter, source: "summary.POOLS.Get Failures", get: func(p *pool) dragon.Number { return p.GetFailures }},
			{name: "dragon_pool_remote_failures_total", help: "Failures to submit a share.", typ: counter, source: "summary.POOLS.Remote Failures", get: func(p *pool) dragon.Number { return p.RemoteFailures }},
			{name: "dragon_pool_bad_work_total", help: "Work that could not be used.", typ: counter, source: "summary.POOLS.Bad Work", get: func(p *pool) dragon.Number { return p.BadWork }},
			{name: "dragon_pool_diff1_shares_total", help: "Work done, in shares of difficulty 1.", typ: counter, source: "summary.POOLS.Diff1 Shares", get: func(p *pool) dragon.Number { return p.Diff1Shares }},
			{name: "dragon_pool_last_share_timestamp_seconds", help: "When the last share was submitted, by the dragon's clock.", typ: gauge, unit: "seconds", source: "summary.POOLS.Last Share Time", get: func(p *pool) dragon.Number { return p.LastShareTime }},
			{name: "dragon_pool_last_share_difficulty", help: "Difficulty of the last share.", typ: gauge, source: "summary.POOLS.Last Share Difficulty", get: func(p *pool) dragon.Number { return p.LastShareDifficulty }},
			{name: "dragon_pool_work_difficulty", help: "Difficulty of the current work.", typ: gauge, source: "summary.POOLS.Work Difficulty", get: func(p *pool) dragon.Number { return p.WorkDifficulty }},
			{name: "dragon_pool_stratum_difficulty", help: "Difficulty that the pool requires.", typ: gauge, source: "summary.POOLS.Stratum Difficulty", get: func(p *pool) dragon.Number { return p.StratumDifficulty }},
			{name: "dragon_pool_best_share_difficulty", help: "Difficulty of the best share yet.", typ: gauge, source: "summary.POOLS.Best Share", get: func(p *pool) dragon.Number { return p.BestShare }},
			{name: "dragon_pool_block_height", help: "Height of the block being mined.", typ: gauge, source: "summary.POOLS.Current Block Height", get: func(p *pool) dragon.Number { return p.BlockHeight }},
		},
	}
}
