package fleet

import (
	"sync"

	"github.com/go-kit/log/level"
)

// notes are log lines. They are noted under the locks that the news comes up under,
// and written afterwards, as whoever reads the log may be slow.
type pendingLog struct {
	mu    sync.Mutex
	lines [][]any
}

// note keeps a line until say.
func (f *Fleet) logLater(l level.Value, msg string, keyvals ...any) {
	f.pendingLog.mu.Lock()
	defer f.pendingLog.mu.Unlock()
	f.pendingLog.lines = append(f.pendingLog.lines, append([]any{level.Key(), l, "msg", msg}, keyvals...))
}

// say writes what was noted. The caller holds no lock.
func (f *Fleet) flushLog() {
	f.pendingLog.mu.Lock()
	lines := f.pendingLog.lines
	f.pendingLog.lines = nil
	f.pendingLog.mu.Unlock()
	for _, line := range lines {
		_ = f.logger.Log(line...)
	}
}
