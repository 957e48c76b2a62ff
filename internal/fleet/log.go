package fleet

import (
	"sync"

	"github.com/go-kit/log/level"
)

// pendingLog holds log lines. They are added under locks and written later, since the log may
// block.
type pendingLog struct {
	mu    sync.Mutex
	lines [][]any
}

// logLater keeps a line until flushLog.
func (f *Fleet) logLater(l level.Value, msg string, keyvals ...any) {
	f.pendingLog.mu.Lock()
	defer f.pendingLog.mu.Unlock()
	f.pendingLog.lines = append(f.pendingLog.lines, append([]any{level.Key(), l, "msg", msg}, keyvals...))
}

// flushLog writes the kept lines. The caller holds no lock.
func (f *Fleet) flushLog() {
	f.pendingLog.mu.Lock()
	lines := f.pendingLog.lines
	f.pendingLog.lines = nil
	f.pendingLog.mu.Unlock()
	for _, line := range lines {
		_ = f.logger.Log(line...)
	}
}
