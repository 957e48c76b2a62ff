package store

import (
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/internal/installed/etcdtest"
)

// Two instances with one name find that out. One that was killed and is started again does not
// take what it has left behind for another.
func TestMembersWithOneNameKnow(t *testing.T) {
	cluster := etcdtest.Start(t, 1)
	member := func(id string) *Members {
		m, err := OpenMembers(etcdConfig(cluster, id))
		must(t, err)
		t.Cleanup(func() { _ = m.Close() })
		return m
	}
	meet := func(all ...*Members) {
		t.Helper()
		for _, m := range all {
			_, _, err := m.Meet(t.Context(), "")
			must(t, err)
		}
	}
	killed := member("a")
	meet(killed)
	a, other := member("a"), member("b")
	meet(a, other, a, other)
	if a.Namesake() || other.Namesake() {
		t.Errorf("after a kill and a start: %t, beside another name: %t", a.Namesake(), other.Namesake())
	}
	second := member("a")
	meet(second, a, second, other)
	if !a.Namesake() || !second.Namesake() || other.Namesake() {
		t.Errorf("two with one name: %t, %t; the one with another: %t", a.Namesake(), second.Namesake(), other.Namesake())
	}
}
