package config

import (
	"fmt"
	"strconv"

	"github.com/brndnmtthws/mother-of-dragons/collector"
)

// registerCollectors adds a flag for each part of the series that can be switched.
func (c *Config) registerCollectors(cmd flagger) {
	for _, s := range collector.Switches() {
		standard := "off"
		if s.On {
			standard = "on"
		}
		cmd.Flag("collector."+s.Name, fmt.Sprintf("%s (default: %s)", s.Help, standard)).SetValue(&collectorSwitch{s, c})
	}
}

// collectorSwitch is a flag that is there with --no- before it too. Only what differs
// from the default is noted.
type collectorSwitch struct {
	collector.Switch
	config *Config
}

func (s *collectorSwitch) Set(text string) error {
	on, err := strconv.ParseBool(text)
	if err != nil {
		return fmt.Errorf("--collector.%s: %q is neither true nor false", s.Name, text)
	}
	if s.config.Collectors == nil && on != s.On {
		s.config.Collectors = make(map[string]bool)
	}
	if on == s.On {
		delete(s.config.Collectors, s.Name)
	} else {
		s.config.Collectors[s.Name] = on
	}
	return nil
}

func (s *collectorSwitch) String() string   { return strconv.FormatBool(s.On) }
func (s *collectorSwitch) IsBoolFlag() bool { return true }
