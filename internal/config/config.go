// Package config turns what the operator wrote, in flags and in a file, into one
// validated value.
package config

import (
	"errors"
	"path/filepath"
	"reflect"

	"github.com/alecthomas/kingpin/v2"

	"github.com/brndnmtthws/mother-of-dragons/discovery"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
	"github.com/brndnmtthws/mother-of-dragons/internal/notify"
)

// Config is what the program runs on. Only the functions of this package make one, so code that
// has one need not check it again.
type Config struct {
	Settings // as flags and file have them

	Healing     Healing
	Desired     *DesiredStates // never nil
	Sites       Sites
	Credentials Credentials
	Coordinator Coordinator // of HA.Etcd
	Webhooks    []notify.Webhook
	Calendars   []healer.Calendar
	Warnings    []string // about settings that are valid and probably not meant
	File        string   // that it was read from; empty: from flags alone

	labels map[string]*fleet.Labels // by MAC
	flags  *Settings                // as they were before the file
	read   *reader
}

// ErrNoTarget says that neither a network nor a dragon was named.
var ErrNoTarget = errors.New("no network and no dragon named")

// Register adds the program's flags to a command. It returns a function that gives what flags
// and file say, once the flags are parsed; each call reads the file again. With ErrNoTarget
// comes a configuration that is valid otherwise. The names and defaults are the Python tool's,
// but for three: there is no default network, no default pool list and no default autotune
// mode, because each of them acts on machines that the operator did not name.
func Register(cmd flagger) func() (*Config, error) {
	var file string
	Flag(cmd, "config.file", "Configuration file. Its keys take precedence over the flags.", &file, Text).PlaceHolder("FILE")
	return register(cmd, &file)
}

// RegisterCheck is Register for a command whose argument is the file.
func RegisterCheck(cmd *kingpin.CmdClause) func() (*Config, error) {
	file := cmd.Arg("file", "Configuration file.").Required().String()
	return register(cmd, file)
}

func register(cmd flagger, file *string) func() (*Config, error) {
	flags := &Settings{Policy: healer.DefaultPolicy()}
	for _, row := range table() {
		if row.flag != "" {
			row.register(cmd, flags)
		}
	}
	return func() (*Config, error) { return load(flags, *file) }
}

// load makes the configuration of flags and the file at path; empty: there is no file.
func load(flags *Settings, path string) (*Config, error) {
	c := &Config{Settings: *flags, flags: flags, File: path}
	if err := c.complete(); err != nil {
		return nil, err
	}
	if len(c.Networks) == 0 && len(c.Targets()) == 0 {
		return c, ErrNoTarget // for commands that need none
	}
	return c, nil
}

// Searched are the networks that are searched.
func (s *Settings) Searched() []discovery.Network {
	var list []discovery.Network
	for _, n := range s.Networks {
		list = append(list, n.searched())
	}
	return list
}

// Targets are the dragons that are read without a search.
func (s *Settings) Targets() []discovery.Target {
	var list []discovery.Target
	for _, d := range s.Dragons {
		if d.Address != "" {
			list = append(list, discovery.Target{Name: d.Address, Site: d.Site})
		}
	}
	return list
}

// RegisterAccess adds the flags of a command that talks to dragons itself, and returns how to
// get the configuration: the file's, where one is named, and the defaults. Port and timeout
// win over the file, because they are meant for this one call. A configuration without a
// network and a dragon is not an error.
func RegisterAccess(cmd flagger) func() (*Config, error) {
	flags := defaults()
	var file string
	var portGiven, timeoutGiven bool
	Flag(cmd, "config.file", "Configuration file of the instance, for its credentials and its data directory.", &file, Text).PlaceHolder("FILE")
	rowAt("data_dir").register(cmd, flags)
	rowAt("discovery.port").register(cmd, flags).IsSetByUser(&portGiven)
	rowAt("scrape.dragon_timeout").register(cmd, flags).IsSetByUser(&timeoutGiven)
	return func() (*Config, error) {
		c, err := load(flags, file)
		if err != nil && !errors.Is(err, ErrNoTarget) {
			return nil, err
		}
		if portGiven {
			c.Discovery.Port = flags.Discovery.Port
		}
		if timeoutGiven {
			c.Scrape.DragonTimeout = flags.Scrape.DragonTimeout
		}
		return c, nil
	}
}

// RegisterData adds the flags that name the data directory of an instance, for commands that
// talk to it, and returns how to get it, with sites and labels. Without a file there are none.
func RegisterData(cmd flagger) func() (*InstanceData, error) {
	var flags Settings
	var file string
	rowAt("data_dir").register(cmd, &flags)
	Flag(cmd, "config.file", "Configuration file of the instance, for its data directory.", &file, Text).PlaceHolder("FILE")
	return func() (*InstanceData, error) { return Data(file, flags.DataDir) }
}

// InstanceData is what commands need of the configuration of an instance.
type InstanceData struct {
	Dir    string // its data directory
	Sites  Sites
	Labels func(mac string) *fleet.Labels
}

// Data returns the data of the instance that uses a configuration file; without a file, dir
// and no sites and labels. What else is wrong with the file is not this function's concern.
func Data(file, dir string) (*InstanceData, error) {
	c := Config{Settings: Settings{DataDir: dir}}
	if file == "" {
		return &InstanceData{Dir: dir, Labels: c.LabelsOf}, nil
	}
	data, err := ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := newReader()
	r.document(data, &c.Settings)
	c.adoptSites(r)
	c.adoptLabels(r, filepath.Dir(file))
	return &InstanceData{Dir: c.DataDir, Sites: c.Sites, Labels: c.LabelsOf}, nil
}

// RegisterScan adds the arguments and flags of a single scan, and returns what they will set.
func RegisterScan(cmd *kingpin.CmdClause) (*Settings, *[]discovery.Network) {
	s, networks := &Settings{}, &[]discovery.Network{}
	const help = "Network to scan, in CIDR notation or as FIRST-LAST, with :PORTS for other ports than the default one."
	cmd.Arg("network", help).Required().SetValue(&value[discovery.Network]{
		name: "<network>", many: true, parse: discovery.ParseNetwork, take: func(n discovery.Network) { *networks = append(*networks, n) },
	})
	for _, key := range []string{"exclude", "discovery.port", "discovery.timeout", "discovery.connect_timeout"} {
		rowAt(key).register(cmd, s)
	}
	return s, networks
}

// document reads a file's content into what stands where it says nothing.
func (r *reader) document(data []byte, to *Settings) {
	if root := r.parse(data); root != nil {
		r.take(root, "", reflect.ValueOf(to).Elem())
	}
}

// ControlSocket is the socket in the data directory on which a running instance takes
// commands. Only the owner of the directory may open it.
const ControlSocket = "control.sock"
