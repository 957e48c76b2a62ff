package healer

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// DesiredState is what the operator wants of one dragon. It never changes once made. An empty
// field leaves the dragon as it is.
type DesiredState struct {
	Key      string              // tells desired states apart; secret, since it is made of passwords
	Name     string              // what people call it
	Pools    []dragon.PoolConfig // in order, with the dragon's worker name
	Mode     string              // of the autotuner
	Level    dragon.Number       // of the mode, where the dragon has levels
	Firmware string              // a version; shown and never written: only a rollout of firmware brings it

	Priority int // dragons of a higher one are written to first; not a part of the key

	Heat    bool // against heat, by the healer itself: see downshift
	Curtail bool // its mode begins or ends a curtailment
}

// Configured is the configuration that a dragon has told, and when, by the monotonic clock of
// Instant.
type Configured struct {
	Pools   []dragon.PoolConfig
	PoolsAt time.Duration
	Mode    string
	Level   dragon.Number
	ModeAt  time.Duration

	HasPools, HasMode bool
}

// Item is a part of a dragon's configuration.
type Item string

// The items, in the order in which they are written.
const (
	ItemFirmware Item = "firmware"
	ItemPools    Item = "pools"
	ItemAutotune Item = "autotune"
)

// Difference is an item that is not in sync, in words. Of a password it only says that it differs.
type Difference struct {
	Item Item   `json:"item"`
	Want string `json:"want"`
	Have string `json:"have"`
}

// managesConfig reports whether there is anything that Configure writes.
func (w *DesiredState) managesConfig() bool { return w != nil && (len(w.Pools) > 0 || w.Mode != "") }

// items lists what Configure writes.
func (w *DesiredState) items() []Item {
	var items []Item
	if len(w.Pools) > 0 {
		items = append(items, ItemPools)
	}
	if w.Mode != "" {
		items = append(items, ItemAutotune)
	}
	return items
}

// known reports whether the dragon has told an item.
func (c *Configured) known(item Item) bool {
	switch item {
	case ItemPools:
		return c != nil && c.HasPools
	case ItemAutotune:
		return c != nil && c.HasMode
	}
	return false
}

// Differences lists the items, pools and autotune, that the dragon has told and that differ.
func (w *DesiredState) Differences(c *Configured) []Difference {
	var out []Difference
	if len(w.Pools) > 0 && c.known(ItemPools) && !slices.Equal(w.Pools, c.Pools) {
		want, have := PoolsText(w.Pools), PoolsText(c.Pools)
		if want == have {
			have += " (a password differs)"
		}
		out = append(out, Difference{ItemPools, want, have})
	}
	if w.Mode != "" && c.known(ItemAutotune) && !w.Tuned(c) {
		out = append(out, Difference{ItemAutotune, ModeText(w.Mode, w.Level), ModeText(c.Mode, c.Level)})
	}
	return out
}

// firmware compares the desired version with the one that a dragon runs. It is not known for a
// dragon that the version does not fit, or that has not told its own.
func (w *DesiredState) firmware(x *Who) (d Difference, known bool) {
	if w == nil || w.Firmware == "" || x.Conflict || x.Firmware == "" {
		return d, false
	}
	v, err := dragon.ParseFirmware(w.Firmware)
	return Difference{ItemFirmware, w.Firmware, x.Firmware}, err == nil && v.Fits(x.Model, x.HWVer) == nil
}

// Tuned reports whether the autotune mode is in sync, and its level where the dragon has one.
func (w *DesiredState) Tuned(c *Configured) bool {
	return c.Mode == w.Mode && (!w.Level.IsKnown() || !c.Level.IsKnown() || c.Level == w.Level)
}

// PoolsText writes pools without their passwords.
func PoolsText(pools []dragon.PoolConfig) string {
	if len(pools) == 0 {
		return "none"
	}
	words := make([]string, len(pools))
	for i := range pools {
		words[i] = Text(pools[i].User) + " at " + Text(dragon.PoolWithoutLogin(pools[i].URL))
	}
	return strings.Join(words, ", ")
}

// ModeText writes an autotune mode with its level.
func ModeText(mode string, level dragon.Number) string {
	if l, ok := level.Get(); ok {
		return fmt.Sprintf("%s level %g", Text(mode), l)
	}
	return Text(mode)
}

// ConfigSnapshot is what a dragon had before it was changed, passwords included. It is in the
// store and nowhere else.
type ConfigSnapshot struct {
	Pools []StoredPool `json:"pools,omitempty"`
	Mode  string       `json:"mode,omitempty"`
	Level *float64     `json:"level,omitempty"`
}

// StoredPool is a pool with its password in clear text, which dragon.PoolConfig never writes.
type StoredPool struct {
	URL      string `json:"url"`
	User     string `json:"user"`
	Password string `json:"password"`
}

// String leaves passwords out.
func (s ConfigSnapshot) String() string {
	w := s.desiredState(false)
	var words []string
	if len(w.Pools) > 0 {
		words = append(words, PoolsText(w.Pools))
	}
	if w.Mode != "" {
		words = append(words, ModeText(w.Mode, w.Level))
	}
	return strings.Join(words, "; ")
}

// GoString leaves passwords out of %#v.
func (s ConfigSnapshot) GoString() string { return s.String() }

// snapshotOf makes a snapshot of some items of a configuration.
func snapshotOf(c *Configured, items []Item) *ConfigSnapshot {
	s := &ConfigSnapshot{}
	if slices.Contains(items, ItemPools) {
		for _, p := range c.Pools {
			s.Pools = append(s.Pools, StoredPool{p.URL, p.User, string(p.Password)})
		}
	}
	if slices.Contains(items, ItemAutotune) {
		s.Mode = c.Mode
		if l, ok := c.Level.Get(); ok {
			s.Level = &l
		}
	}
	return s
}

// desiredState is the snapshot as something to be written; heat: to a dragon that was too hot.
func (s *ConfigSnapshot) desiredState(heat bool) *DesiredState {
	w := &DesiredState{Name: "as before", Mode: s.Mode, Heat: heat}
	for _, p := range s.Pools {
		w.Pools = append(w.Pools, dragon.PoolConfig{URL: p.URL, User: p.User, Password: dragon.Secret(p.Password)})
	}
	if s.Level != nil {
		w.Level = dragon.Known(*s.Level)
	}
	return w
}

// Desired returns what a decision writes to its dragon's configuration; nil: nothing, or the
// desired state is another one by now. own is the desired state of the policy.
func (m *Memory) Desired(d *Decision, own *DesiredState) *DesiredState {
	r := m.Dragons[d.MAC]
	if r == nil || d.Change == nil {
		return nil
	}
	ro := m.configRollout(d.Change.Rollout)
	if own != nil && (r.Curtailed != nil || r.Downshift != nil) && !slices.Contains(d.Change.Items, ItemAutotune) {
		own = own.poolsOnly()
	}
	for _, x := range []*Downshift{r.Curtailed, r.Downshift} {
		if x == nil || ro == nil {
			continue
		}
		if w := x.desiredState(own); w.Key == ro.Key {
			own = w
		}
	}
	return m.target(r.Config, d.Change, own)
}

// poolsOnly is the desired state of a dragon whose mode is not the operator's for a while.
func (w *DesiredState) poolsOnly() *DesiredState {
	x := *w
	x.Mode, x.Level = "", dragon.Number{}
	return &x
}

// target is what a step writes to a dragon with the desired state own; nil: it has another one
// by now, or what it had is not known.
func (m *Memory) target(r *ConfigRecord, x *ConfigStep, own *DesiredState) *DesiredState {
	ro := m.configRollout(x.Rollout)
	switch {
	case x.Restore && r != nil && r.Old != nil:
		return r.Old.desiredState(x.Heat)
	case !x.Restore && own != nil && ro != nil && ro.Key == own.Key:
		return own
	}
	return nil
}

// Found compares what a dragon has, read right before a write, with what is desired. It returns
// the items of the step that still differ, and what the dragon has now.
func (x *ConfigStep) Found(want *DesiredState, have *Configured) ([]Item, *ConfigSnapshot) {
	var items []Item
	for _, differs := range want.Differences(have) {
		if slices.Contains(x.Items, differs.Item) {
			items = append(items, differs.Item)
		}
	}
	return items, snapshotOf(have, want.items())
}
