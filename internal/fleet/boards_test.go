package fleet

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

func TestBoardsAreExpectedThatWereShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		said := 0
		c := Config{Dir: t.TempDir(), Boards: func(*Info) int { return said }}
		l := newLAN()
		h := openHall(t, c, l)
		d, sim := h.dragon("10.1.0.8", dragontest.Spec{Seed: 1, Model: "A6", Boards: 4})
		want := func(when string, boards int, source dragon.BoardSource) {
			t.Helper()
			if got := d.ExpectedBoards(); got != (dragon.BoardCount{Boards: boards, Source: source}) || d.Health().Boards != got {
				t.Errorf("%s: %+v, want %d by %s", when, got, boards, source)
			}
		}
		want("never read", 0, "")
		said = 8
		want("the operator speaks", 8, dragon.BoardsOfOperator)
		h.read(d)
		want("one answer may be a mistake", 8, dragon.BoardsOfOperator)
		time.Sleep(time.Minute)
		h.read(d)
		want("read twice", 4, dragon.BoardsLearned)
		sim.Inject(dragontest.MissingBoard)
		for range 3 {
			time.Sleep(time.Minute)
			h.read(d)
		}
		want("a board is gone", 4, dragon.BoardsLearned)
		said = 3
		want("the operator took it out", 3, dragon.BoardsOfOperator)
		said = 0
		h.stop()
		h = openHall(t, c, l)
		d = h.Lookup("10.1.0.8")
		want("after a restart of the program", 4, dragon.BoardsLearned)
		h.stop()
	})
}
