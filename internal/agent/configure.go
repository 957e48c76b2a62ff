package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// cannotApply is what a dragon said right after it was written to: what of it cannot take effect.
type cannotApply []healer.Stuck

func (t cannotApply) String() string {
	words := make([]string, len(t))
	for i := range t {
		words[i] = string(t[i].Item) + ": " + t[i].Why
	}
	return strings.Join(words, "; ")
}

func changedInWords(x *healer.ConfigChange) string {
	words := make([]string, len(x.Items))
	for i, item := range x.Items {
		words[i] = string(item)
	}
	what := strings.Join(words, " and ")
	if x.Restore {
		what += " as before"
	}
	return what
}

// read reads what a dragon is configured for, right before that is changed.
func (j *job) read(ctx context.Context, dev device, want *healer.DesiredState) error {
	have := &healer.Configured{}
	if len(want.Pools) > 0 {
		pools, err := dev.Pools(ctx)
		if err != nil && !errors.Is(err, dragon.ErrRejected) { // that is: it has no configuration
			return healer.NotSentf("reading its pools: %v", err)
		}
		have.Pools, have.HasPools = pools, true
	}
	if want.Mode != "" {
		a, err := dev.AutoTune(ctx)
		if err != nil {
			return healer.NotSentf("reading its autotune mode: %v", err)
		}
		have.Mode, have.Level, have.HasMode = a.Mode, a.Level, true
	}
	j.have = have
	return nil
}

// configure writes what differs from the desired state: pools, then autotune, and reads each
// back, since a dragon says success to what it ignores. goOn says between two writes
// whether the next may go out. Once an item is written, an error of the next does not count against
// it: what is left is drift, and is written later.
func (j *job) configure(ctx context.Context, dev device, x healer.Step, goOn func() error) (cannotApply, error) {
	var says cannotApply
	if slices.Contains(x.Items, healer.ItemPools) {
		j.sent = append(j.sent, healer.ItemPools)
		u, err := dev.UpdatePools(ctx, x.Want.Pools)
		switch {
		case errors.Is(err, dragon.ErrRejected):
			return cannotApply{{Item: healer.ItemPools, Why: err.Error()}}, err
		case err != nil:
			return nil, err
		}
		j.have.Pools, j.have.HasPools, j.told = u.Pools, true, append(j.told, healer.ItemPools)
		switch {
		case u.Locked:
			says = append(says, healer.Stuck{Item: healer.ItemPools, Why: healer.PinnedPools})
		case !u.InSync():
			says = append(says, healer.Stuck{Item: healer.ItemPools, Why: "it was accepted, and is " + healer.PoolsText(u.Pools)})
		}
	}
	if !slices.Contains(x.Items, healer.ItemAutotune) {
		return says, nil
	}
	first := len(j.sent) == 0
	if !first {
		if err := goOn(); err != nil {
			j.left = leftOut(err)
			return says, nil
		}
	}
	is, err := j.tune(ctx, dev, x.Want, goOn)
	switch {
	case errors.Is(err, dragon.ErrRejected):
		says = append(says, healer.Stuck{Item: healer.ItemAutotune, Why: err.Error()})
		if !first { // another write has succeeded, so the whole is not refused
			err = nil
		}
	case err != nil && !first && resultOf(err).NotExecuted():
		j.left = leftOut(err)
		return says, nil
	case err == nil && !x.Want.Tuned(is):
		says = append(says, healer.Stuck{Item: healer.ItemAutotune, Why: "it was accepted, and is " + healer.ModeText(is.Mode, is.Level)})
	}
	j.sent = append(j.sent, healer.ItemAutotune)
	return says, err
}

// leftOut is why a write was not made, as a NotSentError.
func leftOut(err error) error {
	if unsent := (*healer.NotSentError)(nil); errors.As(err, &unsent) {
		return unsent
	}
	return healer.NotSentf("%v", err)
}

// tune writes the autotuner's mode and returns what the dragon stores then.
func (j *job) tune(ctx context.Context, dev device, w *healer.DesiredState, goOn func() error) (*healer.Configured, error) {
	is := func() (*healer.Configured, error) {
		a, err := dev.AutoTune(ctx)
		if err != nil {
			return nil, fmt.Errorf("%w: reading the autotune mode back: %w", dragon.ErrUnknownOutcome, err)
		}
		j.have.Mode, j.have.Level, j.told = a.Mode, a.Level, append(j.told, healer.ItemAutotune)
		return &healer.Configured{Mode: a.Mode, Level: a.Level, HasMode: true}, nil
	}
	set := func(mode string, level dragon.Number) (*healer.Configured, error) {
		if err := dev.SetAutoTune(ctx, dragon.AutoTune{Mode: mode, Level: level}); err != nil {
			return nil, err
		}
		return is()
	}
	level := w.Level
	if !j.have.Level.IsKnown() { // it has none
		level = dragon.Number{}
	}
	after, err := set(w.Mode, level)
	if err != nil || w.Tuned(after) || w.Mode != "balanced" || !slices.Contains(dragon.AutoTuneModes(), after.Mode) {
		return after, err
	}
	// Where its configuration names no mode yet, balanced is a success that changes
	// nothing. It can be had once the mode that it has by default is written down.
	if err := goOn(); err != nil {
		return nil, err
	}
	if _, err := set(after.Mode, after.Level); err != nil {
		return nil, err
	}
	if err = goOn(); err == nil {
		after, err = set(w.Mode, level)
	}
	if err != nil { // its miner process was restarted, whatever came of the rest
		return nil, fmt.Errorf("%w: %w", dragon.ErrUnknownOutcome, err)
	}
	return after, nil
}

// learn lets the others know what the dragon has said of itself since the write.
func (j *job) learn(d *fleet.Dragon) {
	if slices.Contains(j.told, healer.ItemPools) {
		d.LearnPools(j.have.Pools)
	}
	if slices.Contains(j.told, healer.ItemAutotune) {
		d.LearnAutoTune(dragon.AutoTune{Mode: j.have.Mode, Level: j.have.Level})
	}
}
