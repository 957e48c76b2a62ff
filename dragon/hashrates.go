package dragon

import (
	"context"
	"strconv"
	"time"
)

// HashRates is the history that the dragon keeps: /api/getHashRates, a sample every
// two minutes of the last 5 (DragonMint) or 24 hours.
type HashRates struct {
	Boards []BoardHistory
	// Times are those of the samples by the device's clock. A board that was missing
	// for a time has fewer samples than there are times, and nothing tells which.
	Times []time.Time
}

// BoardHistory is one board's hash rates in hashes (Equihash: solutions) per second.
type BoardHistory struct {
	Slot      int
	Hashrates []Number
}

const maxSamples = 2000 // the device keeps 720

var hashRatesFields = table(
	own("stats", func(r *reader, h *HashRates) bool {
		h.Boards = h.Boards[:0]
		return r.elements(maxBoards, func(i int, key string) {
			slot, err := strconv.Atoi(key)
			if err != nil || slot < 0 || slot > maxSlot {
				slot = i
			}
			for _, b := range h.Boards {
				if b.Slot == slot {
					r.unreadableField("stats")
					r.skip()
					return
				}
			}
			board := BoardHistory{Slot: slot}
			if !r.elements(maxSamples, func(int, string) {
				var n Number
				if !r.number(&n, amount) {
					r.unreadableField("stats")
				}
				board.Hashrates = append(board.Hashrates, n)
			}) {
				r.unreadableField("stats")
			}
			h.Boards = append(h.Boards, board)
		})
	}).always(),
	own("times", func(r *reader, h *HashRates) bool {
		h.Times = h.Times[:0]
		return r.elements(maxSamples, func(int, string) {
			var n Number
			if !r.number(&n, moment) {
				r.unreadableField("times")
			}
			h.Times = append(h.Times, time.Unix(int64(min(n.Or(0), 1e11)), 0).UTC())
		})
	}).always(),
)

// HashRates reads /api/getHashRates. Just after boot there is no history: ErrNotReady.
func (c *Client) HashRates(ctx context.Context) (*HashRates, error) {
	e := read("getHashRates")
	e.notReady = "No data to show"
	h, _, err := call(ctx, c, e, nil, &hashRatesFields)
	if err != nil {
		return nil, err
	}
	// DragonMint counts MH/s here and the others H/s, whatever the model.
	if c.tokenIssuer() == string(DragonMint) {
		for _, b := range h.Boards {
			for i := range b.Hashrates {
				b.Hashrates[i] = b.Hashrates[i].Times(1e6)
			}
		}
	}
	return h, nil
}
