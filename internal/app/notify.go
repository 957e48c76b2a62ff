package app

import (
	"cmp"
	"context"
	"os"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/notify"
)

// instanceName names this instance in notifications.
func instanceName(c *config.Config) string {
	host, _ := os.Hostname()
	return cmp.Or(c.HA.ID, host)
}

// notify tells the webhooks of an audit record.
func (a *app) notify(r *healer.Audit) {
	e, ok := notify.EventOf(r)
	if !ok {
		return
	}
	if d := a.fleet.Lookup(e.MAC); e.MAC != "" && d != nil {
		e.Place = d.Info().Labels.String()
	}
	a.notifier.current.Load().Add(e)
}

// recordLocked puts a dragon that refuses our credentials into the audit.
func (a *app) recordLocked(address, brand, reason string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = a.healer.Locked(ctx, address, brand, reason) // it fails only where the healer ends
}
