package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/go-kit/log/level"

	"github.com/brndnmtthws/mother-of-dragons/discovery"
	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/app"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// errNoneFound makes scan's exit status tell whether there are dragons.
var errNoneFound = errors.New("no dragon found")

func addScan(p *cli.Program) {
	cmd := p.Command("scan", "Scan networks once and show the dragons in them. The exit status is 0 if there are any.")
	c, networks := config.RegisterScan(cmd)
	asJSON := cmd.Flag("json", "Print JSON instead of a table.").Bool()
	p.Add(cmd, func(ctx context.Context, stdout, stderr io.Writer) error {
		client := dragon.Options{Transport: app.NewTransport(), Timeout: c.Discovery.Timeout}
		// What is found is printed; beside it only what went wrong is worth a line.
		logger := level.NewFilter(p.Logs.Logger(stderr), level.AllowWarn())
		dragons, err := fleet.Open(fleet.Config{Client: client, Logger: logger})
		if err != nil {
			return err
		}
		scanner := discovery.New(discovery.Config{
			Networks:        *networks,
			Port:            c.Discovery.Port,
			ConnectTimeout:  c.Discovery.ConnectTimeout,
			IdentifyTimeout: c.Discovery.Timeout,
			Client:          client,
			Fleet:           dragons,
			Logger:          logger,
			Progress:        cli.Progress(stderr, "scanning"),
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
	})
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
