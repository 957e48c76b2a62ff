package config

import (
	"cmp"
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

// wanted is what a profile wants its dragons to be. What it leaves out is as the less
// specific profiles have it, and else left as it is.
type wanted struct {
	Pools      []wantedPool `yaml:"pools"`
	WorkerName string       `yaml:"worker_name"`
	Autotune   struct {
		Mode  string `yaml:"mode"`
		Level int    `yaml:"level"`
	} `yaml:"autotune"`
	Firmware string `yaml:"firmware"`
}

type wantedPool struct {
	URL          string        `yaml:"url"`
	Username     string        `yaml:"username"`
	Password     dragon.Secret `yaml:"password"`
	PasswordFile string        `yaml:"password_file"`
}

// workerTemplate is the original's: the account, and the dragon's own name.
const workerTemplate = "{user}.{worker}"

// Wishes says what every dragon is to be.
type Wishes struct {
	layers []wishLayer // the least specific first
	made   sync.Map    // *wishTemplate by the layers that match
}

// wishLayer is what is wanted of the dragons that a layer matches.
type wishLayer struct {
	layer
	pools  []dragon.PoolConfig // nil: not said
	worker string
	mode   string
	level  dragon.Number

	firmware string
}

// wishTemplate is what several layers together want, before the dragon's own name is in it.
type wishTemplate struct {
	Names  []string // of the layers that it is made of
	Pools  []dragon.PoolConfig
	Worker string
	Mode   string
	Level  dragon.Number
	key    string

	// It is shown and never written, so it is neither in the key nor among the names: another
	// firmware is no other rollout of the pools.
	Firmware, firmwareName string
}

// Any reports whether anything is wished of any dragon.
func (w *Wishes) Any() bool { return len(w.layers) > 0 }

// Pools and Autotune report whether any dragon's are to be anything in particular.
func (w *Wishes) Pools() bool {
	return slices.ContainsFunc(w.layers, func(l wishLayer) bool { return l.pools != nil })
}

// Autotune is Pools for the autotuner.
func (w *Wishes) Autotune() bool {
	return slices.ContainsFunc(w.layers, func(l wishLayer) bool { return l.mode != "" })
}

// Of returns what a dragon is to be; nil: whatever it is.
func (w *Wishes) Of(i healer.Device) *healer.Wish {
	if len(w.layers) == 0 || i.Conflict {
		return nil
	}
	ip, _ := netip.ParseAddr(i.IP)
	matching := make([]byte, len(w.layers))
	for k := range w.layers {
		if w.layers[k].matches(i.MAC, i.Model, ip.Unmap(), i.Site) {
			matching[k] = 1
		}
	}
	made, ok := w.made.Load(string(matching))
	if !ok {
		made, _ = w.made.LoadOrStore(string(matching), w.template(matching))
	}
	t := made.(*wishTemplate)
	if len(t.Pools) == 0 && t.Mode == "" && t.Firmware == "" {
		return nil
	}
	wish := &healer.Wish{Key: t.key, Name: strings.Join(t.Names, "+"), Mode: t.Mode, Level: t.Level, Firmware: t.Firmware}
	if len(t.Pools) == 0 && t.Mode == "" {
		wish.Name = t.firmwareName
	}
	for _, p := range t.Pools {
		p.User = workerName(t.Worker, p.User, i.MAC)
		wish.Pools = append(wish.Pools, p)
	}
	return wish
}

// template puts the more specific layers on the less specific ones, field by field.
func (w *Wishes) template(matching []byte) *wishTemplate {
	t := &wishTemplate{Worker: workerTemplate}
	var pools, mode, worker string // who has said so
	for k := range w.layers {
		l := &w.layers[k]
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
	}
	for _, name := range []string{pools, worker, mode} {
		if name != "" && !slices.Contains(t.Names, name) {
			t.Names = append(t.Names, name)
		}
	}
	t.key = t.hash()
	return t
}

// hash is another for whatever differs in what is wanted, and the same whoever wants it.
func (t *wishTemplate) hash() string {
	type pool struct{ URL, User, Password string } // in clear, which a Secret never is
	plain := struct {
		Pools        []pool
		Worker, Mode string
		Level        float64
	}{Worker: t.Worker, Mode: t.Mode, Level: t.Level.Or(-1)}
	for _, p := range t.Pools {
		plain.Pools = append(plain.Pools, pool{p.URL, p.User, string(p.Password)})
	}
	data, _ := json.Marshal(plain) // of texts and a number it never fails
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// workerName is the user that a dragon logs in to a pool as.
func workerName(template, user, mac string) string {
	return strings.NewReplacer("{user}", user, "{worker}", dragon.WorkerName(mac), "{mac}", strings.ReplaceAll(mac, ":", "")).Replace(template)
}

// newWishes puts together what the flags and the profiles want. The file wins over the
// flags where neither is more specific.
func (c *Config) newWishes(r *reader, sites []string, dir string) *Wishes {
	w := &Wishes{}
	add := func(l wishLayer) { w.layers = append(w.layers, l) }
	if c.AutotuneMode != "" {
		add(wishLayer{layer: layer{name: "--dragon-autotune-mode"}, mode: c.AutotuneMode})
	}
	for i, set := range c.Pools {
		l := wishLayer{layer: layer{name: fmt.Sprintf("--pools[%d]", i), macs: set.MACs}}
		for _, p := range set.Pools {
			l.pools = append(l.pools, p.PoolConfig)
		}
		add(l)
	}
	for i := range c.Profiles {
		p := &c.Profiles[i]
		path := fmt.Sprintf("profiles[%d]", i)
		one, fields := c.wishOf(r, p, path+".wish", dir)
		if len(fields) == 0 {
			continue
		}
		quiet := newReader() // what is wrong with the match is said by the healing layers
		quiet.lines = r.lines
		for _, l := range p.layers(quiet, path, sites) {
			full := one
			full.layer = l
			full.layer.path, full.layer.keys = path+".wish", fields
			add(full)
		}
	}
	slices.SortStableFunc(w.layers, func(a, b wishLayer) int { return a.compare(&b.layer) })
	layers := make([]layer, 0, len(w.layers))
	for i := range w.layers {
		if w.layers[i].path != "" { // the flags are no profile
			layers = append(layers, w.layers[i].layer)
		}
	}
	findTies(r, layers)
	return w
}

// wishOf checks what a profile wants, and lists what it says.
func (c *Config) wishOf(r *reader, p *profile, path, dir string) (l wishLayer, fields []string) {
	wish := &p.Wish
	for _, key := range []string{"pools", "worker_name", "autotune.mode", "autotune.level", "firmware"} {
		if r.has(path + "." + key) {
			fields = append(fields, key)
		}
	}
	if r.has(path+".pools") && (len(wish.Pools) == 0 || len(wish.Pools) > dragon.MaxPools) {
		r.at(path+".pools", "%d pools: want 1 to %d, a dragon has %d places", len(wish.Pools), dragon.MaxPools, dragon.MaxPools)
	}
	for i := range wish.Pools {
		l.pools = append(l.pools, c.poolOf(r, &wish.Pools[i], fmt.Sprintf("%s.pools[%d]", path, i), dir))
	}
	if l.worker = wish.WorkerName; r.has(path + ".worker_name") {
		rest := workerName(wish.WorkerName, "", "")
		switch {
		case strings.ContainsAny(rest, "{}"):
			r.at(path+".worker_name", "invalid name %s: in braces it takes {user}, {worker} and {mac}", shown(wish.WorkerName))
		case !strings.Contains(wish.WorkerName, "{user}") || strings.ContainsFunc(wish.WorkerName, func(c rune) bool { return c <= ' ' || c > '~' }):
			r.at(path+".worker_name", "invalid name %s: want {user} in it, as in %s, and no spaces", shown(wish.WorkerName), workerTemplate)
		}
	}
	if r.has(path + ".autotune.mode") {
		if _, err := Choice(dragon.AutoTuneModes()...)(wish.Autotune.Mode); err != nil {
			r.at(path+".autotune.mode", "%s", err)
		}
		l.mode = wish.Autotune.Mode
	}
	if r.has(path + ".autotune.level") {
		l.level = dragon.Known(float64(wish.Autotune.Level))
		if !r.has(path + ".autotune.mode") {
			r.at(path+".autotune.level", "a level needs a mode")
		}
	}
	if l.firmware = wish.Firmware; r.has(path + ".firmware") {
		if _, err := dragon.ParseFirmware(wish.Firmware); err != nil {
			r.at(path+".firmware", "%s", err)
		}
	}
	return l, fields
}

// poolOf checks one pool of a profile.
func (c *Config) poolOf(r *reader, p *wantedPool, path, dir string) dragon.PoolConfig {
	pool := dragon.PoolConfig{URL: p.URL, User: p.Username, Password: p.Password}
	if p.PasswordFile != "" {
		cred := credential{PasswordFile: p.PasswordFile}
		if p.Password != "" {
			r.at(path, "it has a password and a password_file; one of the two")
		} else if err := c.readPassword(&cred, dir); err != nil {
			r.at(path+".password_file", "%s", err)
			return pool
		}
		pool.Password = cmp.Or(p.Password, cred.Password)
	}
	if err := pool.Validate(); err != nil {
		r.at(path, "%s", err)
	}
	return pool
}
