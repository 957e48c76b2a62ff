package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/store"
)

// ManualAction is what a human did to a dragon without the healer.
type ManualAction struct {
	MAC    string
	Worker string // where the healer does not know it
	Action string
	Owner  string
	Note   string // what came of it; never a secret
}

func (d *ManualAction) check() error {
	mac, ok := dragon.ParseMAC(d.MAC)
	if !ok || d.Action == "" || d.Owner == "" {
		return errors.New("record: it needs a dragon's MAC, an action and an owner")
	}
	d.MAC = mac
	return nil
}

// Record writes a manual action into the audit, also one to a dragon that the healer does not know.
func (h *Healer) Record(ctx context.Context, d ManualAction) error {
	if err := d.check(); err != nil {
		return err
	}
	err := h.onLoop(ctx, "recording", func(context.Context) error {
		switch {
		case h.held:
			return h.notOwner()
		case h.cutOff():
			return fmt.Errorf("not recorded: %w here: %w", ErrNoState, h.unwritable())
		}
		a := h.record(h.clock.Now().Wall, healer.Manual, d.MAC, userActor(d.Owner), d.Note)
		a.MAC, a.Worker, a.Action = d.MAC, cmp.Or(a.Worker, d.Worker), healer.Kind(d.Action)
		h.appendAudit(a)
		return nil
	})
	if err != nil {
		return err
	}
	w := h.said()
	return w.within(context.WithoutCancel(ctx), answerWithin)
}

// OfflineAudit is where manual actions are written while no instance runs. It may be used by many
// at once.
type OfflineAudit struct {
	mu   sync.Mutex // the audit has one owner at a time
	held bool       // by someone who has been waited for
}

// recordPatience is how long a record waits for another command that writes one.
const recordPatience = 5 * time.Second

// Record writes a manual action into the audit in dir while no instance runs there. One that does
// is store.ErrHeld: use its Record then. Records that wait for another command wait together;
// later ones do not wait.
func (o *OfflineAudit) Record(dir string, d ManualAction) (err error) {
	if err := d.check(); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	patience := recordPatience
	if o.held {
		patience = 0
	}
	release, err := store.Own(dir, patience)
	o.held = errors.Is(err, store.ErrHeld)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	line, err := json.Marshal(healer.Audit{At: time.Now().UTC(), MAC: d.MAC, Worker: d.Worker, Decision: healer.Manual,
		Action: healer.Kind(d.Action), Actor: userActor(d.Owner), Note: d.Note})
	if err != nil {
		return err
	}
	f := newAuditFile(dir)
	defer f.close()
	if err := f.write(true, append(line, '\n')); err != nil {
		return err
	}
	return store.Bequeath(f.path)
}
