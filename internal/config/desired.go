package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// desired is the desired state of a profile's dragons. What it leaves out comes from the less
// specific profiles; what none of them sets is left as it is.
type desired struct {
	Pools      []desiredPool `yaml:"pools"`
	WorkerName string        `yaml:"worker_name"`
	Autotune   autotune      `yaml:"autotune"`
	Firmware   string        `yaml:"firmware"`
	Priority   int           `yaml:"priority"`
}

type autotune struct {
	Mode  string `yaml:"mode"`
	Level int    `yaml:"level"`
}

// check checks an autotune mode, if there is one, and its level.
func (a *autotune) check(r *reader, path string) (mode string, level dragon.Number) {
	if r.has(path + ".mode") {
		if _, err := Choice(dragon.AutoTuneModes()...)(a.Mode); err != nil {
			r.at(path+".mode", "%s", err)
		}
	}
	if r.has(path + ".level") {
		level = dragon.Known(float64(a.Level))
		if !r.has(path + ".mode") {
			r.at(path+".level", "a level needs a mode")
		}
	}
	return a.Mode, level
}

type desiredPool struct {
	URL          string        `yaml:"url"`
	Username     string        `yaml:"username"`
	Password     dragon.Secret `yaml:"password"`
	PasswordFile string        `yaml:"password_file"`
}

// workerTemplate is the Python tool's: the account and the dragon's own name.
const workerTemplate = "{user}.{worker}"

// DesiredStates has the desired state of every dragon.
type DesiredStates struct {
	layers    []desiredLayer // the least specific first
	templates sync.Map       // *template by the layers that match
}

// desiredLayer is the desired state of the dragons that a layer matches.
type desiredLayer struct {
	layer
	pools  []dragon.PoolConfig // nil: not set
	worker string
	mode   string
	level  dragon.Number

	firmware string
	priority dragon.Number
}

// template is the desired state of several layers together, without the dragon's own name.
type template struct {
	Names  []string // of the layers that set something
	Pools  []dragon.PoolConfig
	Worker string
	Mode   string
	Level  dragon.Number
	key    string

	// Firmware is shown and never written, so it is neither in the key nor in the names: another
	// firmware does not begin another rollout of the pools.
	Firmware, firmwareName string

	// Priority is not in the key either: another one changes the order, not the rollout.
	Priority int
}

// Pools reports whether any dragon has desired pools.
func (d *DesiredStates) Pools() bool {
	return slices.ContainsFunc(d.layers, func(l desiredLayer) bool { return l.pools != nil })
}

// Autotune reports whether any dragon has a desired autotune mode.
func (d *DesiredStates) Autotune() bool {
	return slices.ContainsFunc(d.layers, func(l desiredLayer) bool { return l.mode != "" })
}

// Of returns the desired state of a dragon; nil: it is left as it is.
func (d *DesiredStates) Of(i healer.Device) *healer.DesiredState {
	if len(d.layers) == 0 || i.Conflict {
		return nil
	}
	ip, _ := netip.ParseAddr(i.IP)
	matching := make([]byte, len(d.layers))
	for k := range d.layers {
		if d.layers[k].matches(i.MAC, i.Model, ip.Unmap(), i.Site) {
			matching[k] = 1
		}
	}
	made, ok := d.templates.Load(string(matching))
	if !ok {
		made, _ = d.templates.LoadOrStore(string(matching), d.merge(matching))
	}
	t := made.(*template)
	if len(t.Pools) == 0 && t.Mode == "" && t.Firmware == "" {
		return nil
	}
	if i.IP == "" && strings.Contains(t.Worker, "{ip}") {
		return nil // until its address is known
	}
	want := &healer.DesiredState{Key: t.key, Name: strings.Join(t.Names, "+"), Mode: t.Mode, Level: t.Level, Firmware: t.Firmware, Priority: t.Priority}
	if len(t.Pools) == 0 && t.Mode == "" {
		want.Name = t.firmwareName
	}
	for _, p := range t.Pools {
		p.User = workerName(t.Worker, p.User, i)
		want.Pools = append(want.Pools, p)
	}
	return want
}

// merge puts the more specific layers on the less specific ones, field by field.
func (d *DesiredStates) merge(matching []byte) *template {
	t := &template{Worker: workerTemplate}
	var pools, mode, worker string // the layer that set it
	for k := range d.layers {
		l := &d.layers[k]
		if matching[k] == 0 {
			continue
		}
		if l.pools != nil {
			t.Pools, pools = l.pools, l.name
		}
		if l.worker != "" {
			t.Worker, worker = l.worker, l.name
		}
		if l.mode != "" {
			t.Mode, t.Level, mode = l.mode, l.level, l.name
		}
		if l.firmware != "" {
			t.Firmware, t.firmwareName = l.firmware, l.name
		}
		t.Priority = int(l.priority.Or(float64(t.Priority)))
	}
	for _, name := range []string{pools, worker, mode} {
		if name != "" && !slices.Contains(t.Names, name) {
			t.Names = append(t.Names, name)
		}
	}
	t.key = t.hash()
	return t
}

// hash identifies the desired state, whichever layers it comes from.
func (t *template) hash() string {
	type pool struct{ URL, User, Password string } // in clear text, unlike a Secret
	plain := struct {
		Pools        []pool
		Worker, Mode string
		Level        float64
	}{Worker: t.Worker, Mode: t.Mode, Level: t.Level.Or(-1)}
	for _, p := range t.Pools {
		plain.Pools = append(plain.Pools, pool{p.URL, p.User, string(p.Password)})
	}
	data, _ := json.Marshal(plain) // strings and a number never fail
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// workerName is the user with which a dragon logs in to a pool.
func workerName(template, user string, i healer.Device) string {
	return strings.NewReplacer("{user}", user, "{worker}", dragon.WorkerName(i.MAC), "{mac}", strings.ReplaceAll(i.MAC, ":", ""), "{ip}", i.IP).Replace(template)
}

// newDesiredStates merges flags and profiles. The file wins over the flags where neither is
// more specific.
func (c *Config) newDesiredStates(r *reader, sites []string, dir string) *DesiredStates {
	d := &DesiredStates{}
	add := func(l desiredLayer) { d.layers = append(d.layers, l) }
	if c.AutotuneMode != "" {
		add(desiredLayer{layer: layer{name: "--dragon-autotune-mode"}, mode: c.AutotuneMode})
	}
	for i, set := range c.Pools {
		l := desiredLayer{layer: layer{name: fmt.Sprintf("--pools[%d]", i), macs: set.MACs}}
		for _, p := range set.Pools {
			l.pools = append(l.pools, p.PoolConfig)
		}
		add(l)
	}
	for i := range c.Profiles {
		p := &c.Profiles[i]
		path := fmt.Sprintf("profiles[%d]", i)
		one, fields := c.desiredBy(r, p, path+".wish", dir)
		if len(fields) == 0 {
			continue
		}
		quiet := newReader() // the healing layers report a wrong match
		quiet.lines = r.lines
		for _, l := range p.layers(quiet, path, sites) {
			full := one
			full.layer = l
			full.layer.path, full.layer.keys = path+".wish", fields
			add(full)
		}
	}
	slices.SortStableFunc(d.layers, func(a, b desiredLayer) int { return a.compare(&b.layer) })
	layers := make([]layer, 0, len(d.layers))
	for i := range d.layers {
		if d.layers[i].path != "" { // flags are not a profile
			layers = append(layers, d.layers[i].layer)
		}
	}
	findTies(r, layers)
	return d
}

// desiredBy checks the desired state of a profile, and lists the keys that it sets.
func (c *Config) desiredBy(r *reader, p *profile, path, dir string) (l desiredLayer, fields []string) {
	want := &p.Desired
	for _, key := range []string{"pools", "worker_name", "autotune.mode", "autotune.level", "firmware", "priority"} {
		if r.has(path + "." + key) {
			fields = append(fields, key)
		}
	}
	if r.has(path+".pools") && (len(want.Pools) == 0 || len(want.Pools) > dragon.MaxPools) {
		r.at(path+".pools", "%d pools: want 1 to %d, a dragon has %d places", len(want.Pools), dragon.MaxPools, dragon.MaxPools)
	}
	for i := range want.Pools {
		l.pools = append(l.pools, c.poolOf(r, &want.Pools[i], fmt.Sprintf("%s.pools[%d]", path, i), dir))
	}
	if l.worker = want.WorkerName; r.has(path + ".worker_name") {
		rest := workerName(want.WorkerName, "", healer.Device{})
		switch {
		case strings.ContainsAny(rest, "{}"):
			r.at(path+".worker_name", "invalid name %s: in braces it takes {user}, {worker}, {mac} and {ip}", shown(want.WorkerName))
		case !strings.Contains(want.WorkerName, "{user}") || strings.ContainsFunc(want.WorkerName, func(c rune) bool { return c <= ' ' || c > '~' }):
			r.at(path+".worker_name", "invalid name %s: want {user} in it, as in %s, and no spaces", shown(want.WorkerName), workerTemplate)
		}
	}
	l.mode, l.level = want.Autotune.check(r, path+".autotune")
	if r.has(path + ".priority") {
		l.priority = dragon.Known(float64(want.Priority))
	}
	if l.firmware = want.Firmware; r.has(path + ".firmware") {
		if _, err := dragon.ParseFirmware(want.Firmware); err != nil {
			r.at(path+".firmware", "%s", err)
		}
	}
	return l, fields
}

func (c *Config) poolOf(r *reader, p *desiredPool, path, dir string) dragon.PoolConfig {
	pool := dragon.PoolConfig{URL: p.URL, User: p.Username, Password: p.Password}
	switch {
	case p.PasswordFile == "":
	case p.Password != "":
		r.at(path, "has both password and password_file; want one")
	default:
		password, err := c.secretIn(p.PasswordFile, dir)
		if err != nil {
			r.at(path+".password_file", "%s", err)
			return pool
		}
		pool.Password = dragon.Secret(password)
	}
	if err := pool.Validate(); err != nil {
		r.at(path, "%s", err)
	}
	return pool
}
