package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"

	"github.com/BurntSushi/toml"
	"go.yaml.in/yaml/v3"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// Converted is what became of a configuration of the Python tool.
type Converted struct {
	File  []byte   // in our form
	Notes []string // what could not be carried over as it was, by key
}

// These are the shapes in which the result is written; they have those keys of a
// document that the Python tool knows.
type (
	converted struct {
		Networks    []map[string]string   `yaml:"networks,omitempty"`
		Credentials []convertedCredential `yaml:"credentials,omitempty"`
		Inventory   map[string]any        `yaml:"inventory,omitempty"`
		Discovery   map[string]any        `yaml:"discovery,omitempty"`
		Statsd      map[string]any        `yaml:"statsd,omitempty"`
		Healing     struct {
			Default map[string]any `yaml:"default,omitempty"`
		} `yaml:"healing,omitempty"`
		Firmware map[string]any     `yaml:"firmware,omitempty"`
		Profiles []convertedProfile `yaml:"profiles,omitempty"`
	}
	convertedCredential struct {
		Username string `yaml:"username"`
		Password string `yaml:"password"`
	}
	convertedProfile struct {
		Name    string         `yaml:"name"`
		Match   map[string]any `yaml:"match"`
		Healing map[string]any `yaml:"healing,omitempty"`
		Desired map[string]any `yaml:"wish,omitempty"`
	}
)

// Convert turns a configuration of the Python tool, TOML or JSON, into our form. What
// it has in it and nothing here corresponds to is in the notes; an error means that
// it cannot be read at all. Passwords are masked unless they are wanted.
func Convert(data []byte, passwords bool) (*Converted, error) {
	tree := map[string]any{}
	if trimmed := bytes.TrimSpace(data); bytes.HasPrefix(trimmed, []byte("{")) {
		if err := json.Unmarshal(trimmed, &tree); err != nil {
			return nil, fmt.Errorf("no JSON: %w", err)
		}
	} else if err := toml.Unmarshal(data, &tree); err != nil {
		if bad, ok := errors.AsType[toml.ParseError](err); ok { // its text quotes the line, which may be a password
			return nil, fmt.Errorf("no TOML: line %d: %s", bad.Position.Line, bad.Message)
		}
		return nil, fmt.Errorf("no TOML: %w", err)
	}
	c := converter{out: &converted{}, passwords: passwords}
	c.main(c.table(tree, "main", "main"))
	c.configs(tree)
	c.rest(tree, "")
	var b bytes.Buffer
	b.WriteString("# Converted from a configuration of the Python tool.\n")
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if !reflect.ValueOf(*c.out).IsZero() {
		if err := e.Encode(c.out); err != nil {
			return nil, err
		}
	}
	if err := wrongWith(b.Bytes()); err != nil {
		c.notes = append(c.notes, "the result needs a change: "+err.Error())
	}
	slices.Sort(c.notes)
	return &Converted{b.Bytes(), c.notes}, nil
}

// wrongWith says what is wrong with the content of a file that needs no others.
func wrongWith(data []byte) error {
	c, r := Config{Settings: *defaults()}, newReader()
	r.document(data, &c.Settings)
	c.check(r, "")
	return r.failed("line")
}

// converter takes what it knows out of the tree, so that what is left is what it does not know.
type converter struct {
	out       *converted
	notes     []string
	passwords bool
}

// shown is a password as it is written; x is what pools take that want none.
func (c *converter) shown(password string) string {
	if c.passwords || password == "x" || password == "" {
		return password
	}
	return dragon.Secret(password).String()
}

func (c *converter) note(path, format string, args ...any) {
	c.notes = append(c.notes, path+": "+fmt.Sprintf(format, args...))
}

// pop takes a value out of a table; false where it is not there, or is another kind of thing.
func pop[T any](c *converter, t map[string]any, path, key, want string) (v T, ok bool) {
	raw, there := t[key]
	if !there {
		return v, false
	}
	delete(t, key)
	if v, ok = raw.(T); !ok && raw != nil {
		c.note(join(path, key), "left out, it is not %s", want)
	}
	return v, ok
}

func (c *converter) table(t map[string]any, path, key string) map[string]any {
	v, _ := pop[map[string]any](c, t, parent(path), key, "a table")
	return v
}

func (c *converter) text(t map[string]any, path, key string) (string, bool) {
	return pop[string](c, t, path, key, "a text")
}

func (c *converter) number(t map[string]any, path, key string) (float64, bool) {
	if whole, ok := t[key].(int64); ok { // TOML's; all of JSON's have a point
		t[key] = float64(whole)
	}
	v, ok := pop[float64](c, t, path, key, "a number")
	if ok && !(v >= 0 && v < 1e9) {
		c.note(join(path, key), "left out, %g makes no sense", v)
		return 0, false
	}
	return v, ok
}

func (c *converter) tables(t map[string]any, path, key string) (list []map[string]any) {
	switch v := t[key].(type) {
	case []map[string]any:
		list = v
	case []any:
		for i, item := range v {
			if m, ok := item.(map[string]any); ok {
				list = append(list, m)
			} else {
				c.note(fmt.Sprintf("%s[%d]", join(path, key), i), "left out, it is not a table")
			}
		}
	case nil:
	default:
		c.note(join(path, key), "left out, it is not a list of tables")
	}
	delete(t, key)
	return list
}

func (c *converter) texts(t map[string]any, path, key string) (list []string) {
	raw, _ := pop[[]any](c, t, path, key, "a list")
	for i, item := range raw {
		if s, ok := item.(string); ok {
			list = append(list, s)
		} else {
			c.note(fmt.Sprintf("%s[%d]", join(path, key), i), "left out, it is not a text")
		}
	}
	return list
}

// rest notes the keys that are left.
func (c *converter) rest(t map[string]any, path string) {
	for key, v := range t {
		if m, ok := v.(map[string]any); ok && len(m) > 0 {
			c.rest(m, join(path, key))
		} else if !ok {
			c.note(join(path, key), "left out, it is not known here")
		}
	}
}

func seconds(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) + "s" }

// put sets a key of a table that may not be there yet.
func put(m *map[string]any, key string, v any) {
	if *m == nil {
		*m = map[string]any{}
	}
	(*m)[key] = v
}

// main converts the section of that name.
func (c *converter) main(t map[string]any) {
	if v, ok := c.text(t, "main", "inventory_file"); ok {
		put(&c.out.Inventory, "file", v)
	}
	if v, ok := c.text(t, "main", "firmwares_path"); ok {
		put(&c.out.Firmware, "path", v)
	}
	if v, ok := c.number(t, "main", "api_timeout"); ok {
		c.note("main.api_timeout", "%s is not carried over: a read has scrape.dragon_timeout, 10s, and what restarts a dragon more time of its own", seconds(v))
	}
	const local = "main.local_network"
	network := c.table(t, local, "local_network")
	if v, ok := c.text(network, local, "network"); ok {
		if p, err := netip.ParsePrefix(v); err == nil && p != p.Masked() {
			c.note(local+".network", "%s has host bits set, and is taken as %s", v, p.Masked())
			v = p.Masked().String()
		}
		c.out.Networks = []map[string]string{{"cidr": v}}
	}
	for from, to := range map[string]string{"scan_interval": "interval", "scan_timeout": "timeout"} {
		if v, ok := c.number(network, local, from); ok {
			put(&c.out.Discovery, to, seconds(v))
		}
	}
	c.rest(network, local)
	statsd := c.table(t, "main.statsd", "statsd")
	for _, key := range []string{"host", "prefix"} {
		if v, ok := c.text(statsd, "main.statsd", key); ok {
			put(&c.out.Statsd, key, v)
		}
	}
	if v, ok := c.number(statsd, "main.statsd", "port"); ok {
		put(&c.out.Statsd, "port", int(v))
	}
	if v, ok := c.number(statsd, "main.statsd", "interval"); ok {
		put(&c.out.Statsd, "interval", seconds(v))
	}
	c.rest(statsd, "main.statsd")
	delivered := 0
	for i, t := range c.tables(t, "main", "credentials") {
		path := fmt.Sprintf("main.credentials[%d]", i)
		user, _ := c.text(t, path, "username")
		password, _ := c.text(t, path, "password")
		c.rest(t, path)
		c.out.Credentials = append(c.out.Credentials, convertedCredential{user, c.shown(password)})
		if slices.Contains(dragon.DefaultCredentials(), dragon.Credential{Username: user, Password: dragon.Secret(password)}) {
			delivered++
		}
	}
	if delivered == len(c.out.Credentials) {
		c.out.Credentials = nil // they are tried anyway
	}
	c.rest(t, "main")
}

// configs converts what is for some dragons, or for all.
func (c *converter) configs(tree map[string]any) {
	forAll := ""
	for i, t := range c.tables(tree, "", "configs") {
		path := fmt.Sprintf("configs[%d]", i)
		p := convertedProfile{Name: fmt.Sprintf("config-%d", i+1), Match: map[string]any{}}
		to := path + ".apply_to"
		known := len(c.notes)
		who := c.table(t, to, "apply_to")
		if models := c.texts(who, to, "models"); len(models) > 0 {
			p.Match["model"] = models
		}
		if macs := c.texts(who, to, "mac_addresses"); len(macs) > 0 {
			p.Match["mac"] = macs
		}
		c.rest(who, to)
		sure := len(c.notes) == known
		p.Healing, p.Desired = c.healing(t, path), c.wish(t, path)
		upgrade, told := pop[bool](c, t, path, "auto_upgrade", "true or false")
		for _, v := range t { // an unknown table may be a misspelt apply_to
			_, table := v.(map[string]any)
			sure = sure && !table
		}
		c.rest(t, path)
		switch {
		case !sure: // what was meant for some must not come to all
			c.note(path, "left out, because it is not clear which dragons it is for")
			continue
		case len(p.Match) > 0:
			if told && upgrade {
				c.note(path+".auto_upgrade", "left out: firmware.auto_upgrade is for every dragon; for some, docs/firmware.md tells of rollouts")
			}
		case forAll != "":
			c.note(path, "left out: it is for every dragon, and so is %s", forAll)
			continue
		default:
			forAll = path
			p.Match["all"] = true
			c.out.Healing.Default, p.Healing = p.Healing, nil
			if told {
				put(&c.out.Firmware, "auto_upgrade", upgrade)
			}
		}
		if len(p.Healing)+len(p.Desired) > 0 {
			c.out.Profiles = append(c.out.Profiles, p)
		}
	}
}

func (c *converter) healing(t map[string]any, path string) (h map[string]any) {
	if v, ok := pop[bool](c, t, path, "health_reboot", "true or false"); ok {
		mode := "observe"
		if v {
			mode = "enforce"
		}
		put(&h, "mode", mode)
	}
	detect := map[string]any{}
	if v, ok := c.number(t, path, "health_hashrate_minimum"); ok {
		detect["min_hashrate_per_board"] = strconv.FormatFloat(v, 'f', -1, 64) + " GH/s"
	}
	if v, ok := c.number(t, path, "health_hashrate_duration"); ok {
		detect["min_hashrate"] = map[string]any{"for": seconds(v)}
	}
	if len(detect) > 0 {
		put(&h, "detect", detect)
	}
	if v, ok := c.number(t, path, "health_check_interval"); ok && v != 60 {
		c.note(path+".health_check_interval", "%s is not carried over: dragons are looked at every minute, since evidence counts samples (healing.poll)", seconds(v))
	}
	return h
}

func (c *converter) wish(t map[string]any, path string) (w map[string]any) {
	autotune := map[string]any{}
	if v, ok := c.text(t, path, "autotune_mode"); ok {
		autotune["mode"] = v
	}
	if v, ok := c.number(t, path, "autotune_level"); ok {
		autotune["level"] = int(v)
		if autotune["mode"] == nil {
			delete(autotune, "level")
			c.note(path+".autotune_level", "left out, since a level belongs to a mode")
		}
	}
	if len(autotune) > 0 {
		put(&w, "autotune", autotune)
	}
	var pools []map[string]any
	for i, p := range c.tables(t, path, "pools") {
		at := fmt.Sprintf("%s.pools[%d]", path, i)
		pool := map[string]any{}
		for _, key := range []string{"url", "username", "password"} {
			if v, ok := c.text(p, at, key); ok {
				pool[key] = v
			}
		}
		if v, ok := pool["password"].(string); ok {
			pool["password"] = c.shown(v)
		}
		c.rest(p, at)
		pools = append(pools, pool)
	}
	if len(pools) > 0 {
		put(&w, "pools", pools)
	}
	return w
}
