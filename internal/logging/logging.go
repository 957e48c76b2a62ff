// Package logging makes the program's logger and bridges it to libraries that use slog.
package logging

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"syscall"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	sloggokit "github.com/tjhop/slog-gokit"
)

// New returns a logger that writes lines of at least a level (debug, info, warn or error)
// in a format (logfmt or json). Every line has the keys ts, level, component and msg first,
// in this order, wherever it comes from. JSON objects are sorted by key instead.
func New(w io.Writer, least, format string) log.Logger {
	encode := log.NewLogfmtLogger
	if format == "json" {
		encode = log.NewJSONLogger
	}
	journal := isJournal(w)
	w = log.NewSyncWriter(w)
	l := encode(w)
	if journal {
		l = journalLogger(w, encode)
	}
	l = level.NewFilter(ordered(l), level.Allow(level.ParseDefault(least, level.InfoValue())))
	if journal { // it has timestamps of its own
		return l
	}
	return log.With(l, "ts", log.DefaultTimestampUTC)
}

// order lists the keys that come first.
var order = []any{"ts", "level", "component", "msg"}

// ordered sorts the keys of a line.
func ordered(l log.Logger) log.Logger {
	return log.LoggerFunc(func(keyvals ...any) error {
		sorted := make([]any, 0, len(keyvals)+1)
		for _, key := range order {
			for i := 0; i+1 < len(keyvals); i += 2 {
				if keyvals[i] == key {
					sorted = append(sorted, key, keyvals[i+1])
				}
			}
		}
		for i := 0; i < len(keyvals); i += 2 {
			if !slices.Contains(order, keyvals[i]) {
				sorted = append(sorted, keyvals[i:min(i+2, len(keyvals))]...)
			}
		}
		return l.Log(sorted...)
	})
}

// isJournal reports whether w is systemd's journal. The variable JOURNAL_STREAM is inherited,
// so it counts only if it names the file that w is.
func isJournal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil {
		return false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", s.Dev, s.Ino)
}

// journalLogger prefixes each line with its priority, as the journal reads it
// (journalctl -p warning).
func journalLogger(w io.Writer, encode func(io.Writer) log.Logger) log.Logger {
	loggers := map[any]log.Logger{
		level.ErrorValue(): encode(prefixed{w, "<3>"}),
		level.WarnValue():  encode(prefixed{w, "<4>"}),
		level.InfoValue():  encode(prefixed{w, "<6>"}),
		level.DebugValue(): encode(prefixed{w, "<7>"}),
	}
	return log.LoggerFunc(func(keyvals ...any) error {
		l := loggers[level.InfoValue()]
		for i := 0; i+1 < len(keyvals); i += 2 {
			if keyvals[i] != level.Key() {
				continue
			}
			if known, ok := loggers[keyvals[i+1]]; ok {
				l = known
			}
		}
		return l.Log(keyvals...)
	})
}

// prefixed writes a prefix and a line in one write.
type prefixed struct {
	w      io.Writer
	prefix string
}

func (p prefixed) Write(b []byte) (int, error) {
	if _, err := p.w.Write(append([]byte(p.prefix), b...)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Bridge returns a slog logger that writes to l, for libraries that use slog. The
// timestamp and the caller that the bridge adds are dropped: l has its own timestamp.
func Bridge(l log.Logger) *slog.Logger {
	return slog.New(sloggokit.NewGoKitHandler(log.LoggerFunc(func(keyvals ...any) error {
		kept := make([]any, 0, len(keyvals))
		for i := 0; i+1 < len(keyvals); i += 2 {
			if keyvals[i] != "time" && keyvals[i] != "caller" {
				kept = append(kept, keyvals[i], keyvals[i+1])
			}
		}
		return l.Log(kept...)
	}), slog.LevelDebug))
}
