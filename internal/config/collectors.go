package config

import (
	"fmt"
	"reflect"
	"strconv"

	"github.com/brndnmtthws/mother-of-dragons/collector"
)

// collectors is that section of the file. Its keys are the names of collector.Switches, which
// a test holds it to.
type collectors struct {
	System   bool `yaml:"system"`
	Boards   bool `yaml:"boards"`
	Pools    bool `yaml:"pools"`
	Restarts bool `yaml:"restarts"`
	Autotune bool `yaml:"autotune"`
	Errors   bool `yaml:"errors"`
	Firmware bool `yaml:"firmware"`
	Facts    bool `yaml:"facts"`
	Chips    bool `yaml:"chips"`
}

// collectorsOf writes down a choice of what is not as it is by default.
func collectorsOf(choice map[string]bool) (c collectors) {
	fields := fieldsOf(reflect.ValueOf(&c).Elem())
	for _, s := range collector.Switches() {
		on, chosen := choice[s.Name]
		fields[s.Name].SetBool(chosen && on || !chosen && s.On)
	}
	return c
}

// choice is the reverse of collectorsOf.
func (c *collectors) choice() map[string]bool {
	var choice map[string]bool
	fields := fieldsOf(reflect.ValueOf(c).Elem())
	for _, s := range collector.Switches() {
		if on := fields[s.Name].Bool(); on != s.On {
			if choice == nil {
				choice = make(map[string]bool)
			}
			choice[s.Name] = on
		}
	}
	return choice
}

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
