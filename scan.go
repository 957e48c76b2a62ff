package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/go-kit/log/level"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/brndnmtthws/mother-of-dragons/discovery"
	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// errNoneFound makes scan's exit status tell whether there are dragons.
var errNoneFound = errors.New("no dragon found")

func addScan(app *kingpin.Application, logs *logFlags, _ func(net.Addr)) (string, command) {
	cmd := app.Command("scan", "Scan networks once and show the dragons in them. The exit status is 0 if there are any.")
	c := config.RegisterScan(cmd)
	asJSON := cmd.Flag("json", "Print JSON instead of a table.").Bool()
	return cmd.FullCommand(), func(ctx context.Context, stdout, stderr io.Writer) error {
		client := dragon.Options{Transport: dragonsTransport(), Timeout: c.ScanTimeout}
		// What is found is printed; beside it only what went wrong is worth a line.
		logger := level.NewFilter(logs.logger(stderr), level.AllowWarn())
		dragons, err := fleet.Open(fleet.Config{Client: client, Logger: logger})
		if err != nil {
			return err
		}
		scanner := discovery.New(discovery.Config{
			Networks:        c.Networks,
			Port:            c.Port,
			ConnectTimeout:  c.ConnectTimeout,
			IdentifyTimeout: c.ScanTimeout,
			Client:          client,
			Fleet:           dragons,
			Logger:          logger,
			Progress:        progress(stderr, "scanning"),
		})
		_, scanErr := scanner.Scan(ctx)
		found := dragons.Dragons() // also of a scan that was broken off
		show := printTable
		if *asJSON {
			show = printJSON
		}
		if err := show(stdout, found); err != nil {
			return err
		}
		if scanErr == nil && len(found) == 0 {
			return errNoneFound
		}
		return scanErr
	}
}

// progress draws a bar where stderr is a terminal; nil where it is none.
func progress(stderr io.Writer, doing string) func(done, total int) {
	draw := drawBar(stderr, doing, progressbar.OptionShowCount())
	if draw == nil {
		return nil
	}
	return func(done, total int) { draw(int64(done), int64(total)) }
}

// drawBar is progress for what has a measure of its own.
func drawBar(stderr io.Writer, doing string, options ...progressbar.Option) func(done, total int64) {
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

// foundDragon is one line of scan --json.
type foundDragon struct {
	Worker    string `json:"worker"`
	Address   string `json:"address"`
	MAC       string `json:"mac"`
	Brand     string `json:"brand"`
	Model     string `json:"model"`
	HWVersion string `json:"hw_version"`
	Firmware  string `json:"firmware"`
	Conflict  bool   `json:"conflict,omitempty"`
}

func printJSON(w io.Writer, found []*fleet.Dragon) error {
	list := make([]foundDragon, len(found))
	for i, d := range found {
		info := d.Info()
		list[i] = foundDragon{
			Worker: info.Worker, Address: info.Address, MAC: info.MAC, Brand: string(info.Brand),
			Model: info.Model, HWVersion: info.HWVersion, Firmware: info.Firmware, Conflict: info.Conflict,
		}
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(list)
}

func printTable(w io.Writer, found []*fleet.Dragon) error {
	if len(found) == 0 {
		return nil
	}
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "WORKER\tADDRESS\tMAC\tBRAND\tMODEL\tHARDWARE\tFIRMWARE")
	for _, d := range found {
		info := d.Info()
		// What a dragon says is quoted where it could play tricks on a terminal.
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", info.Worker, info.Address, info.MAC, info.Brand,
			printable(info.Model), printable(info.HWVersion), printable(info.Firmware))
	}
	return table.Flush()
}

// printable is s, cut to the width of a column, and quoted if it holds anything but
// plain printing characters.
func printable(s string) string {
	const width = 32
	if len(s) > width {
		s = s[:width] + "..."
	}
	if quoted := fmt.Sprintf("%+q", s); quoted != `"`+s+`"` {
		return quoted
	}
	return s
}
