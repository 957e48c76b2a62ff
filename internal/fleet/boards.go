package fleet

import "github.com/brndnmtthws/mother-of-dragons/dragon"

// shownBoards is the most hash boards that two readings in a row have listed. A single answer
// may be a mistake, and a learned board is expected for good.
type shownBoards struct {
	most int // remembered in the inventory
	last int // in the last reading
}

// see takes in a reading and reports whether the inventory has to be saved.
func (b *shownBoards) see(boards int) (learned bool) {
	sure := min(boards, b.last)
	b.last = boards
	if sure <= b.most {
		return false
	}
	b.most = sure
	return true
}

// ShownBoards returns how many hash boards the dragon has shown; 0: not yet known.
func (d *Dragon) ShownBoards() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.boards.most
}

// ExpectedBoards returns how many hash boards the dragon should have: the one number of
// metrics, alerts, pages and healer.
func (d *Dragon) ExpectedBoards() dragon.BoardCount {
	info, said := d.Info(), 0
	if of := d.fleet.config.Boards; of != nil {
		said = of(info)
	}
	return dragon.ExpectedBoards(d.ShownBoards(), said, info.Model)
}
