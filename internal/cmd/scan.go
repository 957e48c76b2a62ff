package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/go-kit/log/level"
	"github.com/schollz/progressbar/v3"

	"github.com/brndnmtthws/mother-of-dragons/discovery"
	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/app"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// errNoneFound makes the exit status of scan tell whether there are dragons.
var errNoneFound = errors.New("no dragon found")

func addScan(p *cli.Program) {
	cmd := p.Command("scan", "Scan networks once and list the dragons in them. "+
		"The exit status is 0 if there are any, 1 if there are none, 3 if hosts accepted the connection but did not answer.")
	c, networks := config.RegisterScan(cmd)
	var output cli.Output
	output.Register(cmd)
	p.Add(cmd, func(ctx context.Context, stdout, stderr io.Writer) error {
		client := dragon.Options{Transport: app.NewTransport(), Timeout: c.Discovery.Timeout}
		logger := level.NewFilter(p.Logs.Logger(stderr), level.AllowWarn()) // what is found is printed, not logged
		dragons, err := fleet.Open(fleet.Config{Client: client, Logger: logger})
		if err != nil {
			return err
		}
		scanner := discovery.New(discovery.Config{
			Networks:        *networks,
			Exclude:         c.Exclude,
			Port:            c.Discovery.Port,
			ConnectTimeout:  c.Discovery.ConnectTimeout,
			IdentifyTimeout: c.Discovery.Timeout,
			Client:          client,
			Fleet:           dragons,
			Logger:          logger,
			Progress:        cli.DrawBar[int](stderr, "scanning", progressbar.OptionShowCount()),
		})
		result, scanErr := scanner.Scan(ctx)
		found := dragons.Dragons() // also after Ctrl-C
		if len(found) > 0 || output.JSON() {
			if err := writeFound(stdout, &output, found); err != nil {
				return err
			}
		}
		if scanErr == nil && result.Unanswered == 0 && len(found) == 0 {
			return errNoneFound
		}
		fmt.Fprintln(stderr, scanSummary(len(found), scanner.Status()))
		if scanErr == nil && result.Unanswered > 0 {
			return cli.Exit(exitIncomplete)
		}
		return scanErr
	})
}

// foundDragon is one dragon of scan --output=json.
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

func writeFound(w io.Writer, output *cli.Output, found []*fleet.Dragon) error {
	list := make([]foundDragon, len(found))
	table := cli.Table{Head: []string{"WORKER", "ADDRESS", "MAC", "BRAND", "MODEL", "HARDWARE", "FIRMWARE"}}
	for i, d := range found {
		info := d.Info()
		list[i] = foundDragon{
			Worker: info.Worker, Address: info.Address, MAC: info.MAC, Brand: string(info.Brand),
			Model: info.Model, HWVersion: info.HWVersion, Firmware: info.Firmware, Conflict: info.Conflict,
		}
		table.Add(info.Worker, info.Address, info.MAC, string(info.Brand), info.Model, info.HWVersion, info.Firmware)
	}
	return output.Write(w, &table, list)
}
