package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// profile is the part of the policy and of the desired state that differs for some dragons. What
// it leaves out comes from the less specific profiles that match the same dragon, and in the end
// from the default.
type profile struct {
	Name    string              `yaml:"name"`
	Match   match               `yaml:"match"`
	Healing healer.DragonPolicy `yaml:"healing"` // only the keys in the file count
	Desired desired             `yaml:"wish"`
}

// match selects the dragons that are in every list that is set.
type match struct {
	All     bool           `yaml:"all"`
	MAC     []string       `yaml:"mac"`
	Network []netip.Prefix `yaml:"network"`
	Site    []string       `yaml:"site"`
	Model   []string       `yaml:"model"`
}

// Healing is the healer's policy, and which part of it is for which dragons.
type Healing struct {
	policy *healer.Policy
	layers []layer // the least specific first
}

// Policy returns the policy, which does not change.
func (h *Healing) Policy() *healer.Policy { return h.policy }

// Place returns the site of a dragon and the profile of the policy that applies to it. It is the
// policy's Place.
func (h *Healing) Place(i healer.Device) (domain, profile string) {
	ip, _ := netip.ParseAddr(i.IP)
	var names []string
	for k := range h.layers {
		l := &h.layers[k]
		if l.matches(i.MAC, i.Model, ip.Unmap(), i.Site) {
			names = stack(names, l.name)
		}
	}
	return i.Site, strings.Join(names, "+")
}

// stack puts a profile on top of the less specific ones.
func stack(names []string, name string) []string {
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == name })
	return append(names, name)
}

// layer is a profile, for one of its networks where it has any.
type layer struct {
	name    string
	path    string // of its healing section
	node    *yaml.Node
	keys    []string // that the healing section sets
	macs    []string
	network netip.Prefix // invalid: any
	sites   []string
	models  []string // in upper case
}

func (l *layer) matches(mac, model string, ip netip.Addr, site string) bool {
	return fits(l.macs, mac) && fits(l.models, normalModel(model)) && fits(l.sites, site) &&
		(!l.network.IsValid() || l.network.Contains(ip))
}

func fits(list []string, s string) bool { return list == nil || slices.Contains(list, s) }

func normalModel(s string) string { return strings.ToUpper(strings.TrimSpace(s)) }

// compare orders two layers by how specific they are: one with MACs, then the one with the
// narrower network, then one with sites, then one with models. Zero: equally specific.
func (l *layer) compare(o *layer) int {
	bits := func(l *layer) int {
		if !l.network.IsValid() {
			return -1
		}
		return l.network.Bits()
	}
	named := func(list []string) int { return min(len(list), 1) }
	return cmp.Or(
		cmp.Compare(named(l.macs), named(o.macs)),
		cmp.Compare(bits(l), bits(o)),
		cmp.Compare(named(l.sites), named(o.sites)),
		cmp.Compare(named(l.models), named(o.models)),
	)
}

// both returns the match of the dragons that match two layers; false: there are none.
func (l *layer) both(o *layer) (b layer, possible bool) {
	b = layer{network: o.network}
	if l.network.IsValid() && (!o.network.IsValid() || l.network.Bits() > o.network.Bits()) {
		b.network = l.network
	}
	if l.network.IsValid() && o.network.IsValid() && !l.network.Overlaps(o.network) {
		return b, false
	}
	var ok [3]bool
	b.macs, ok[0] = common(l.macs, o.macs)
	b.sites, ok[1] = common(l.sites, o.sites)
	b.models, ok[2] = common(l.models, o.models)
	return b, ok == [3]bool{true, true, true}
}

func common(a, b []string) (list []string, possible bool) {
	if a == nil || b == nil {
		return slices.Concat(a, b), true
	}
	for _, s := range a {
		if slices.Contains(b, s) {
			list = append(list, s)
		}
	}
	return list, list != nil
}

// covers reports whether every dragon that matches o matches l too.
func (l *layer) covers(o *layer) bool {
	all := func(wide, narrow []string) bool {
		return wide == nil || narrow != nil && !slices.ContainsFunc(narrow, func(s string) bool { return !slices.Contains(wide, s) })
	}
	return all(l.macs, o.macs) && all(l.sites, o.sites) && all(l.models, o.models) &&
		(!l.network.IsValid() || o.network.IsValid() && o.network.Bits() >= l.network.Bits() && l.network.Contains(o.network.Addr()))
}

// newHealing checks a policy and completes it: every stack of profiles that a dragon may match
// becomes a profile of its own.
func newHealing(r *reader, d *Settings, sites []string) Healing {
	h := Healing{policy: &d.Policy}
	checkPolicy(h.policy, func(key, format string, args ...any) { r.at("healing."+key, format, args...) })
	known := map[string]bool{} // an error of the default is not repeated for each profile
	checkDragon(&h.policy.Default, func(key, format string, args ...any) {
		known[key] = true
		r.at("healing.default."+key, format, args...)
	})
	names := map[string]int{}
	for i := range d.Profiles {
		path := fmt.Sprintf("profiles[%d]", i)
		if layers := d.Profiles[i].layers(r, path, sites); r.has(path + ".healing") {
			h.layers = append(h.layers, layers...)
		}
		name := d.Profiles[i].Name
		if j, taken := names[name]; taken && name != "" {
			r.at(path+".name", "profiles[%d] has the name %s already", j, name)
		}
		names[name] = i
	}
	slices.SortStableFunc(h.layers, func(a, b layer) int { return a.compare(&b) })
	findTies(r, h.layers)
	if len(r.problems) > 0 {
		return h // each stack would repeat them
	}
	s := stacker{h: &h, r: r, known: known}
	s.choose(0, layer{}, nil, nil)
	h.policy.Place = (&Healing{layers: h.layers}).Place
	for i := range h.layers {
		l := &h.layers[i]
		h.policy.Matches += fmt.Sprintln(l.name, l.macs, l.network, l.sites, l.models)
	}
	return h
}

func (p *profile) layers(r *reader, path string, sites []string) []layer {
	odd := func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' }
	if p.Name == "" || len(p.Name) > 40 || strings.ContainsFunc(p.Name, odd) {
		r.at(path+".name", "invalid name %s: want 1 to 40 of a-z, 0-9, - and _", shown(p.Name))
	}
	l := layer{name: p.Name, path: path + ".healing", node: r.sections[path+".healing"]}
	for _, leaf := range r.leaves {
		if key, ok := strings.CutPrefix(leaf, l.path+"."); ok {
			l.keys = append(l.keys, key)
		}
	}
	if len(l.keys) == 0 && !r.has(path+".wish") {
		r.at(l.path, "the profile changes nothing")
	}
	return p.Match.layers(r, path+".match", sites, l)
}

func (m *match) layers(r *reader, path string, sites []string, l layer) []layer {
	l.sites = m.Site
	named, empty := 0, false
	for key, n := range map[string]int{"mac": len(m.MAC), "network": len(m.Network), "site": len(m.Site), "model": len(m.Model)} {
		if n > 0 {
			named++
		} else if r.has(path + "." + key) {
			empty = true
			r.at(path+"."+key, "is empty and matches no dragon; leave the key out, or write all: true for every dragon")
		}
	}
	switch {
	case m.All && named > 0:
		r.at(path+".all", "matches every dragon; leave out the other keys")
	case empty:
		return nil
	case !m.All && named == 0:
		r.at(path, "matches no dragon; name a mac, network, site or model, or write all: true for every dragon")
		return nil
	}
	for i, s := range m.MAC {
		mac, ok := dragon.ParseMAC(s)
		if !ok || !dragon.UsableMAC(mac) {
			r.at(fmt.Sprintf("%s.mac[%d]", path, i), "%s is not the MAC of a dragon: want 12 hex digits like a0:b0:45:00:00:01", shown(s))
		}
		l.macs = append(l.macs, mac)
	}
	for i, s := range m.Site {
		if !slices.Contains(sites, s) {
			also := "no network and no dragon has a site"
			if best := Nearest(s, sites); best != "" {
				also = "did you mean " + best + "?"
			} else if len(sites) > 0 {
				also = "the sites are " + strings.Join(sites, ", ")
			}
			r.at(fmt.Sprintf("%s.site[%d]", path, i), "there is no site %s; %s", shown(s), also)
		}
	}
	for i, s := range m.Model {
		if normalModel(s) == "" {
			r.at(fmt.Sprintf("%s.model[%d]", path, i), "is empty; want a model as the dragon reports it, such as T1")
		}
		l.models = append(l.models, normalModel(s))
	}
	if len(m.Network) == 0 {
		return []layer{l}
	}
	var layers []layer
	for i, n := range m.Network {
		if slices.Contains(m.Network[:i], n) {
			r.at(fmt.Sprintf("%s.network[%d]", path, i), "%s is there twice", n)
			continue
		}
		if !n.IsValid() {
			continue // was reported
		}
		l.network = n
		layers = append(layers, l)
	}
	return layers
}

// findTies reports equally specific profiles that set the same key for the same dragon.
func findTies(r *reader, layers []layer) {
	for i := range layers {
		for j := range i {
			a, b := &layers[j], &layers[i]
			if a.name == b.name || a.compare(b) != 0 {
				continue
			}
			if _, possible := a.both(b); !possible {
				continue
			}
			if a.path > b.path {
				a, b = b, a
			}
			for _, key := range b.keys {
				if slices.Contains(a.keys, key) {
					r.at(b.path+"."+key, "profile %s sets it too, for some of the same dragons, and is equally specific", a.name)
				}
			}
		}
	}
}

// mostStacks is a limit for profiles that overlap in every way.
const mostStacks = 2000

// stacker makes the policy of each stack of profiles that a dragon may match.
type stacker struct {
	h     *Healing
	r     *reader
	known map[string]bool
	steps int
}

// choose goes through the layers from i on, with and without each. who matches the dragons of
// the layers that are in; left are the layers that are out.
func (s *stacker) choose(i int, who layer, in, left []*layer) {
	if s.steps++; s.steps > 20*mostStacks || len(s.h.policy.Profiles) > mostStacks {
		s.r.at("profiles", "the profiles overlap in more than %d ways; match by fewer kinds of keys", mostStacks)
		return
	}
	for ; i < len(s.h.layers); i++ { // those of other dragons are out without a step
		if _, possible := who.both(&s.h.layers[i]); possible {
			break
		}
	}
	for _, l := range left {
		if l.covers(&who) {
			return // such a dragon matches a layer that is out
		}
	}
	if i == len(s.h.layers) {
		s.add(in)
		return
	}
	l := &s.h.layers[i]
	if with, possible := who.both(l); possible {
		s.choose(i+1, with, append(slices.Clone(in), l), left)
	}
	s.choose(i+1, who, in, append(slices.Clone(left), l))
}

// add makes the policy of one stack.
func (s *stacker) add(in []*layer) {
	var names []string
	for _, l := range in {
		names = stack(names, l.name)
	}
	name := strings.Join(names, "+")
	if _, done := s.h.policy.Profiles[name]; done || name == "" {
		return
	}
	s.h.policy.Override(name, func(p *healer.DragonPolicy) {
		for _, n := range names {
			i := slices.IndexFunc(in, func(l *layer) bool { return l.name == n })
			newReader().take(in[i].node, in[i].path, reflect.ValueOf(p).Elem())
		}
		top := s.h.layers[slices.IndexFunc(s.h.layers, func(l layer) bool { return l.name == names[len(names)-1] })]
		checkDragon(p, func(key, format string, args ...any) {
			if s.known[key] {
				return
			}
			path := top.path + "." + key
			for _, l := range in { // report the profile that sets it
				if s.r.has(l.path + "." + key) {
					path = l.path + "." + key
				}
			}
			if len(names) > 1 {
				format += " (in the stack " + name + ")"
			}
			s.r.at(path, format, args...)
		})
	})
}
