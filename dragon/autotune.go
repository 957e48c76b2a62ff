package dragon

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// AutoTune is the autotune profile of a dragon.
type AutoTune struct {
	Mode  string // autoTuneMode: one of AutoTuneModes; off before April 2018
	Level Number // 0 to 4, 2 being the middle; Innosilicon only
}

// AutoTuneModes are the modes that a dragon knows, from least to most power.
func AutoTuneModes() []string { return []string{"efficient", "balanced", "factory", "performance"} }

// ParseAutoTune parses a mode, or a mode and its level as in balanced:2.
func ParseAutoTune(s string) (a AutoTune, err error) {
	mode, level, hasLevel := strings.Cut(s, ":")
	if !slices.Contains(AutoTuneModes(), mode) {
		return a, fmt.Errorf("invalid autotune mode %q: want %s", mode, strings.Join(AutoTuneModes(), ", "))
	}
	if hasLevel {
		n, err := strconv.Atoi(level)
		if err != nil || n < 0 || n > 4 {
			return a, fmt.Errorf("invalid autotune level %q: want 0 to 4", level)
		}
		a.Level = Known(float64(n))
	}
	a.Mode = mode
	return a, nil
}

var levelField = number("level", whole, func(a *AutoTune) *Number { return &a.Level })

var modeFields = table(
	text("mode", func(a *AutoTune) *string { return &a.Mode }).always(),
	levelField,
)

var autoTuneFields = table(
	own("autoTuneMode", func(r *reader, a *AutoTune) (ok bool) {
		if r.dec.PeekKind() == '{' {
			return readObject(r, "autoTuneMode", &modeFields, a)
		}
		a.Mode, ok = r.text(maxText)
		return ok
	}).always(),
	levelField,
)

// AutoTune reads /api/getAutoTune: the stored profile, which need not be what the
// miner process runs. DragonMint gives the mode as text, Innosilicon since August
// 2018 an object with a level.
func (c *Client) AutoTune(ctx context.Context) (*AutoTune, error) {
	a, _, err := call(ctx, c, read("getAutoTune"), nil, &autoTuneFields)
	return a, err
}

// SetAutoTune stores a profile by /api/setAutoTune, which restarts the miner process
// also if nothing changes; the dragon then tunes for up to half an hour. A level that
// is unknown is not sent. Success proves nothing: the device ignores a mode that it
// does not know (those are refused here), and balanced where its configuration names
// no mode yet. Read AutoTune again.
func (c *Client) SetAutoTune(ctx context.Context, a AutoTune) error {
	e := write("setAutoTune")
	if !slices.Contains(AutoTuneModes(), a.Mode) {
		return c.refuse(e, "mode %q is not one of %q", a.Mode, AutoTuneModes())
	}
	form := url.Values{"autotune": {a.Mode}}
	if level, known := a.Level.Get(); known {
		if level != float64(int(level)) || level < 0 || level > 4 {
			return c.refuse(e, "level %v is not 0 to 4", level)
		}
		form.Set("level", strconv.Itoa(int(level)))
	}
	return c.tell(ctx, e, form)
}

// AutoTuneStatus is the state of the tuner.
type AutoTuneStatus struct {
	Running Number // isRunning: 1 while the miner process runs, 0 while it restarts
	Tuning  Number // isTuning: 1 or 0
	Mode    string
	Level   Number // Innosilicon only
}

var autoTuneStatusFields = table(
	flag("isRunning", func(s *AutoTuneStatus) *Number { return &s.Running }).always(),
	flag("isTuning", func(s *AutoTuneStatus) *Number { return &s.Tuning }).always(),
	text("mode", func(s *AutoTuneStatus) *string { return &s.Mode }),
	number("level", whole, func(s *AutoTuneStatus) *Number { return &s.Level }),
)

// AutoTuneStatus reads /api/getAutoTuneStatus. It answers also while the mining
// process does not.
func (c *Client) AutoTuneStatus(ctx context.Context) (*AutoTuneStatus, error) {
	s, _, err := call(ctx, c, read("getAutoTuneStatus"), nil, &autoTuneStatusFields)
	return s, err
}
