package cli

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// narrow is a terminal too narrow for the times of a progress bar, in columns.
const narrow = 60

// DrawBar returns a function that draws a progress bar, or nil if stderr is not a terminal.
func DrawBar[T int | int64](stderr io.Writer, label string, options ...progressbar.Option) func(done, total T) {
	f, ok := stderr.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	var bar *progressbar.ProgressBar
	return func(done, total T) {
		if bar == nil {
			if width, _, err := term.GetSize(int(f.Fd())); err == nil && width < narrow {
				options = append(options, progressbar.OptionSetElapsedTime(false), progressbar.OptionSetPredictTime(false))
			}
			bar = progressbar.NewOptions64(int64(total), append(options,
				progressbar.OptionSetWriter(stderr),
				progressbar.OptionSetDescription(label),
				progressbar.OptionThrottle(100*time.Millisecond),
				// Otherwise it wipes with spaces, which wrap on a terminal that became narrower.
				progressbar.OptionUseANSICodes(os.Getenv("TERM") != "dumb"),
				progressbar.OptionClearOnFinish())...)
		}
		_ = bar.Set64(int64(done)) // a bar that cannot be drawn is not a reason to stop
	}
}
