package config

import (
	"errors"
	"strconv"
	"time"

	"github.com/alecthomas/kingpin/v2"
)

// RegisterAccess adds what a command needs that talks to dragons itself, and returns
// how to get the configuration: the file's, where one is named, with everything else
// as by default. Port and timeout win over the file: who types them means this one call.
// That it names neither network nor dragon is no error.
func RegisterAccess(cmd flagger) func() (*Config, error) {
	var file, dir string
	var port uint16
	var timeout time.Duration
	var portGiven, timeoutGiven bool
	Flag(cmd, "config.file", "Configuration file of the instance, for its credentials and its data directory.", &file, Text).PlaceHolder("FILE")
	Flag(cmd, "data-dir", "Data directory of the instance, for the dragons that it knows.", &dir, Text).Default("data")
	Flag(cmd, "dragon-port", "TCP port that the dragons' HTTP API listens on.", &port, parsePort).Default("80").IsSetByUser(&portGiven)
	Flag(cmd, "dragon-timeout", "Longest time that a read may take.", &timeout, ParseInterval).Default("10").IsSetByUser(&timeoutGiven)
	return func() (*Config, error) {
		all := kingpin.New("", "")
		load := Register(all)
		if _, err := all.Parse([]string{
			"--config.file=" + file, "--data-dir=" + dir, "--dragon-port=" + strconv.Itoa(int(port)), "--dragon-timeout=" + timeout.String(),
		}); err != nil {
			return nil, err
		}
		c, err := load()
		if err != nil && !errors.Is(err, ErrNoTarget) {
			return nil, err
		}
		if portGiven {
			c.Port = port
		}
		if timeoutGiven {
			c.DragonTimeout = timeout
		}
		return c, nil
	}
}
