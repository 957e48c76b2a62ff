package main

import (
	"io"
	"log/slog"

	"github.com/alecthomas/kingpin/v2"
	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	sloggokit "github.com/tjhop/slog-gokit"

	"github.com/brndnmtthws/mother-of-dragons/internal/config"
)

// logFlags say how much is logged and in what form.
type logFlags struct{ level, format string }

func (f *logFlags) register(app *kingpin.Application) {
	config.Flag(app, "log.level", "Least severity to log: debug, info, warn or error.", &f.level, config.Choice("debug", "info", "warn", "error")).Default("info")
	config.Flag(app, "log.format", "Format of log lines: logfmt or json.", &f.format, config.Choice("logfmt", "json")).Default("logfmt")
}

func (f *logFlags) logger(w io.Writer) log.Logger {
	w = log.NewSyncWriter(w)
	var l log.Logger
	if f.format == "json" {
		l = log.NewJSONLogger(w)
	} else {
		l = log.NewLogfmtLogger(w)
	}
	l = level.NewFilter(l, level.Allow(level.ParseDefault(f.level, level.InfoValue())))
	return log.With(l, "ts", log.DefaultTimestampUTC)
}

// bridge gives a library that logs with slog a way into l. The bridge brings a
// timestamp and a caller of its own; l already writes the one and nobody here
// writes the other, so both are dropped.
func bridge(l log.Logger) *slog.Logger {
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
