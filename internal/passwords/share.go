package passwords

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"go.yaml.in/yaml/v3"

	"github.com/brndnmtthws/mother-of-dragons/internal/store"
)

// shareEvery is how often the passwords of this host and the shared ones are compared.
const shareEvery = 5 * time.Second

// Sharer keeps the passwords in a directory the same on all instances of a site. Of two
// entries for a dragon the newer one counts.
type Sharer struct {
	dir    string
	values *store.Values
	logger log.Logger

	local  fs.FileInfo      // the file when it was last compared; nil: never, or there was none
	remote int64            // the newest revision then
	shared map[string]entry // by MAC, as of then; nil: they were not compared
}

// NewSharer returns a Sharer. A reader of the values reads the passwords.
func NewSharer(dir string, values *store.Values, logger log.Logger) *Sharer {
	return &Sharer{dir: dir, values: values, logger: logger}
}

// Run compares again and again until ctx is done.
func (s *Sharer) Run(ctx context.Context) {
	defer func() { _ = s.values.Close() }()
	tick := time.Tick(shareEvery)
	failing := false
	for {
		err := s.Compare(ctx)
		if errors.Is(err, ErrHeld) { // a command changes passwords: a later comparison takes the newer ones over
			err = nil
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			level.Error(s.logger).Log("msg", "passwords cannot be shared", "err", err, "advice", "another instance may not know the newest")
		case err == nil && failing:
			level.Info(s.logger).Log("msg", "passwords shared again")
		}
		failing = err != nil
		select {
		case <-tick:
		case <-ctx.Done():
			return
		}
	}
}

// Compare gives the newer entries of each side to the other one.
func (s *Sharer) Compare(ctx context.Context) error {
	remote, err := s.values.Newest(ctx)
	if err != nil {
		return err
	}
	local, err := os.Lstat(Reader(s.dir).path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if s.shared != nil && remote == s.remote && sameFile(local, s.local) {
		return nil
	}
	if err := s.exchange(ctx, local != nil); err != nil {
		return err
	}
	s.remote, s.local = remote, local
	return nil
}

func sameFile(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// exchange compares entry by entry. An entry without a password is one that was removed.
// present: this host has its file.
func (s *Sharer) exchange(ctx context.Context, present bool) error {
	all, err := s.values.All(ctx)
	if err != nil {
		return err
	}
	here := Reader(s.dir)
	if err := here.Err(); err != nil {
		return err
	}
	ours := make(map[string]entry)
	maps.Copy(ours, here.entries)
	if present { // a file that is gone has lost its passwords; it does not take them from the others
		// Removed here since the last comparison. Only a refused password is ever removed: an
		// accepted one that is missing was lost with its file, and comes back from the others.
		for mac, e := range s.shared {
			if _, there := ours[mac]; !there && e.Password == "" && e.Pending != "" {
				ours[mac] = entry{Username: e.Username, At: e.At.Add(time.Millisecond)}
			}
		}
	}
	newer := make(map[string]entry) // elsewhere
	for mac, v := range all {
		var e entry
		if err := yaml.Unmarshal(v.Data, &e); err != nil {
			return fmt.Errorf("the shared password of %s: %w", mac, err)
		}
		if was, known := ours[mac]; known && e.At.After(was.At) || !known && len(e.credentials()) > 0 {
			newer[mac] = e
		}
	}
	for mac, e := range ours {
		v, known := all[mac]
		var was entry
		if known && yaml.Unmarshal(v.Data, &was) == nil && !e.At.After(was.At) {
			continue
		}
		data, err := yaml.Marshal(e) //nolint:gosec // it is for passwords, and the connection is encrypted
		if err != nil {
			return err
		}
		if _, err := s.values.Put(ctx, mac, data, v.Revision); err != nil { // not done: another one was faster, and the next comparison sees it
			return err
		}
	}
	if len(newer) > 0 {
		level.Info(s.logger).Log("msg", "passwords from another instance", "dragons", len(newer))
		if err := takeOver(s.dir, newer); err != nil {
			return err
		}
	}
	maps.Copy(ours, newer)
	s.shared = ours
	return nil
}

// takeOver writes entries of another instance into the file.
func takeOver(dir string, newer map[string]entry) error {
	s, err := Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := maps.Clone(newer)
	maps.DeleteFunc(changed, func(mac string, e entry) bool { return !e.At.After(s.entries[mac].At) })
	return s.put(changed)
}
