package cli

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Progress draws a bar where stderr is a terminal; nil where it is none.
func Progress(stderr io.Writer, doing string) func(done, total int) {
	draw := DrawBar(stderr, doing, progressbar.OptionShowCount())
	if draw == nil {
		return nil
	}
	return func(done, total int) { draw(int64(done), int64(total)) }
}

// DrawBar is progress for what has a measure of its own.
func DrawBar(stderr io.Writer, doing string, options ...progressbar.Option) func(done, total int64) {
	f, ok := stderr.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	var bar *progressbar.ProgressBar
	return func(done, total int64) {
		if bar == nil {
			if width, _, err := term.GetSize(int(f.Fd())); err == nil && width < 60 { // what does not fit into a line is left there
				options = append(options, progressbar.OptionSetElapsedTime(false), progressbar.OptionSetPredictTime(false))
			}
			bar = progressbar.NewOptions64(total, append(options,
				progressbar.OptionSetWriter(stderr),
				progressbar.OptionSetDescription(doing),
				progressbar.OptionThrottle(100*time.Millisecond),
				// Without, it wipes by spaces, which run over the edge of a terminal that has become narrower.
				progressbar.OptionUseANSICodes(os.Getenv("TERM") != "dumb"),
				progressbar.OptionClearOnFinish())...)
		}
		_ = bar.Set64(done) // a bar that cannot be drawn is no reason to stop
	}
}
