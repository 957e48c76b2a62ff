package fleet

import (
	"sync"

	"github.com/go-kit/log/level"
)

// notes are log lines. They are noted under the locks that the news comes up under,
// and written afterwards, as whoever reads the log may be slow.
type notes struct {
	mu    sync.Mutex
	lines [][]any
}

// note keeps a line until say.
func (f *Fleet) note(l level.Value, msg string, keyvals ...any) {
	f.notes.mu.Lock()
	defer f.notes.mu.Unlock()
	f.notes.lines = append(f.notes.lines, append([]any{level.Key(), l, "msg", msg}, keyvals...))
}

// say writes what was noted. The caller holds no lock.
func (f *Fleet) say() {
	f.notes.mu.Lock()
	lines := f.notes.lines
	f.notes.lines = nil
	f.notes.mu.Unlock()
	for _, line := range lines {
		_ = f.logger.Log(line...)
	}
}
