package passwords

import (
	"errors"
	"os"
	"testing"

	"github.com/go-kit/log"
	"github.com/google/go-cmp/cmp"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/installed/etcdtest"
	"github.com/brndnmtthws/mother-of-dragons/internal/store"
)

// What one instance has given to a dragon is known to the other one, and so is what a dragon
// has refused.
func TestInstancesSharePasswords(t *testing.T) {
	cluster := etcdtest.Start(t, 1)
	var dirs [2]string
	var sharers [2]*Sharer
	for i := range dirs {
		values, err := store.OpenValues(store.EtcdConfig{Endpoints: cluster.Endpoints(), Prefix: "/north/"}, "passwords")
		do(t, err)
		t.Cleanup(func() { do(t, values.Close()) })
		dirs[i] = t.TempDir()
		sharers[i] = NewSharer(dirs[i], values, log.NewNopLogger())
	}
	change := func(i int, changes ...func(*Store) error) {
		t.Helper()
		s, err := Open(dirs[i])
		do(t, err)
		for _, f := range changes {
			do(t, f(s))
		}
		do(t, s.Close())
	}
	compare := func() {
		t.Helper()
		for range 2 {
			for _, s := range sharers {
				do(t, s.Compare(t.Context()))
			}
		}
	}
	want := func(passwords ...string) {
		t.Helper()
		compare()
		for i, dir := range dirs {
			if diff := cmp.Diff(credentials(passwords...), Reader(dir).For(mac)); diff != "" {
				t.Errorf("instance %d: %s", i, diff)
			}
		}
	}
	begin := func(p string) func(*Store) error {
		return func(s *Store) error { return s.Begin(mac, "127.78.0.1", "admin", dragon.Secret(p)) }
	}
	confirm := func(s *Store) error { return s.Confirm(mac) }
	refuse := func(s *Store) error { return s.Refuse(mac) }

	want()
	change(0, begin("first"))
	want("first")
	change(0, refuse)
	want()
	change(1, begin("second"), confirm)
	want("second")
	change(0, begin("third"))
	want("second", "third")
	change(0, confirm)
	want("third")
	change(1, begin("fourth"))
	change(1, confirm)
	want("fourth")
	// One that was away, and knows an older one.
	change(0, begin("fifth"), confirm)
	late := NewSharer(dirs[1], sharers[1].values, log.NewNopLogger())
	sharers[1] = late
	want("fifth")
	// One that loses its file gets it again, and takes nothing from the other.
	do(t, os.Remove(Reader(dirs[1]).path))
	want("fifth")
	// Nor does it if a new file is there at the next comparison.
	do(t, os.Remove(Reader(dirs[1]).path))
	change(1, func(s *Store) error { return s.Begin("a0:b0:45:00:00:99", "127.78.0.2", "admin", "sixth") })
	want("fifth")
	// While a command changes passwords, a comparison takes nothing over.
	command, err := Open(dirs[1])
	do(t, err)
	change(0, begin("seventh"), confirm)
	do(t, sharers[0].Compare(t.Context()))
	if err := sharers[1].Compare(t.Context()); !errors.Is(err, ErrHeld) {
		t.Errorf("%v, want ErrHeld", err)
	}
	do(t, command.Close())
	want("seventh")
}
