// Package logging makes the program's logger, and a bridge to it for libraries that use slog.
package logging

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"syscall"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	sloggokit "github.com/tjhop/slog-gokit"
)

// New returns a logger that writes lines of at least the given level in a format, logfmt or
// json, to w.
func New(w io.Writer, least, format string) log.Logger {
	form := log.NewLogfmtLogger
	if format == "json" {
		form = log.NewJSONLogger
	}
	journal := isJournal(w)
	w = log.NewSyncWriter(w)
	l := form(w)
	if journal {
		l = journalLogger(w, form)
	}
	l = level.NewFilter(l, level.Allow(level.ParseDefault(least, level.InfoValue())))
	if journal {
		return l
	}
	return log.With(l, "ts", log.DefaultTimestampUTC)
}

// isJournal reports whether w goes to systemd's journal, by what systemd says of it:
// JOURNAL_STREAM is inherited, and true only as long as nobody redirects the output.
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

// journalLogger writes lines that the journal knows the level of (journalctl -p warning).
// They have no time: the journal has its own.
func journalLogger(w io.Writer, form func(io.Writer) log.Logger) log.Logger {
	loggers := map[any]log.Logger{
		level.ErrorValue(): form(prefixed{w, "<3>"}),
		level.WarnValue():  form(prefixed{w, "<4>"}),
		level.InfoValue():  form(prefixed{w, "<6>"}),
		level.DebugValue(): form(prefixed{w, "<7>"}),
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

// prefixed writes a prefix before what is written at once.
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

// Bridge gives a library that logs with slog a way into l. The bridge brings a
// timestamp and a caller of its own; l already writes the one and nobody here
// writes the other, so both are dropped.
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
