package collector

import (
	"strings"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// What the dragon did not say is not known to be dead, or none.
func TestUnknownIsNotZero(t *testing.T) {
	for _, table := range []struct {
		name string
		get  func() dragon.Number
	}{
		{"dragon_board_up", func() dragon.Number { return rowOf(t, boardTable(), "dragon_board_up").get(&dragon.Board{}) }},
		{"dragon_pool_up", func() dragon.Number { return rowOf(t, poolTable(), "dragon_pool_up").get(&dragon.Pool{}) }},
	} {
		if n := table.get(); n.IsKnown() {
			t.Errorf("%s is %v where no status was given", table.name, n)
		}
	}
	if n := rowOf(t, boardTable(), "dragon_board_up").get(&dragon.Board{Status: "Dead"}); n != dragon.Known(0) {
		t.Errorf("a dead board is %v", n)
	}
}

func rowOf[T any](t *testing.T, table table[T], name string) row[T] {
	t.Helper()
	for _, r := range table.rows {
		if r.name == name {
			return r
		}
	}
	t.Fatalf("no row %s", name)
	return row[T]{}
}

func TestAnErrorsTextKeepsASecret(t *testing.T) {
	if got := dragon.Secretless("lost pass=S3CRET at slot 2"); strings.Contains(got, "S3CRET") || !strings.Contains(got, "slot 2") {
		t.Error(got)
	}
}
