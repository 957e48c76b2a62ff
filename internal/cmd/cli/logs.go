package cli

import (
	"io"

	"github.com/alecthomas/kingpin/v2"
	"github.com/go-kit/log"

	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/logging"
)

// LogFlags say how much is logged and in what form.
type LogFlags struct{ level, format string }

func (f *LogFlags) register(app *kingpin.Application) {
	config.Flag(app, "log.level", "Minimum level of log lines: debug, info, warn or error.", &f.level,
		config.Choice("debug", "info", "warn", "error")).Default("info")
	config.Flag(app, "log.format", "Format of log lines: logfmt or json.", &f.format, config.Choice("logfmt", "json")).Default("logfmt")
}

// Logger returns the logger that the flags ask for.
func (f *LogFlags) Logger(w io.Writer) log.Logger { return logging.New(w, f.level, f.format) }
