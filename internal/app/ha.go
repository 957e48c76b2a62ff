package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/passwords"
	"github.com/brndnmtthws/mother-of-dragons/internal/store"
)

// shares reports whether instances share the healer's state.
func shares(c *config.Config) bool { return len(c.HA.Etcd.Endpoints) > 0 }

// etcdConfig says where instances share the healer's state.
func etcdConfig(c *config.Config) (store.EtcdConfig, error) {
	id := c.HA.ID
	if id == "" {
		var err error
		if id, err = os.Hostname(); err != nil {
			return store.EtcdConfig{}, fmt.Errorf("ha.id: %w", err)
		}
	}
	e := &c.HA.Etcd
	return store.EtcdConfig{
		Endpoints: e.Endpoints, TLS: c.Coordinator.TLS, Username: e.Username, Password: c.Coordinator.Password,
		Prefix: e.Prefix, Self: store.Instance{ID: id, URL: c.HA.URL}, TTL: c.HA.Lease,
	}, nil
}

// ReadState returns how the state that instances share is read without owning it; nil: they share none.
func ReadState(c *config.Config) func(context.Context) (store.State, error) {
	if !shares(c) {
		return nil
	}
	return func(ctx context.Context) (store.State, error) {
		etcd, err := etcdConfig(c)
		if err != nil {
			return store.State{}, err
		}
		state, _, err := store.PeekEtcd(ctx, etcd, 0)
		return state, err
	}
}

// sharePasswords keeps the passwords that dragons were given the same on all instances.
func (a *app) sharePasswords(ctx context.Context, c *config.Config) error {
	etcd, err := etcdConfig(c)
	if err != nil {
		return err
	}
	values, err := store.OpenValues(etcd, "passwords")
	if err != nil {
		return err
	}
	passwords.NewSharer(c.DataDir, values, a.loggerOf("passwords")).Run(ctx)
	return nil
}

// LeaveHA writes the state that instances share into the data directory of this host, so that
// this host can go on without etcd. No instance may lead.
func LeaveHA(ctx context.Context, c *config.Config, out io.Writer) (err error) {
	if !shares(c) {
		return errors.New("leave-ha: ha.etcd.endpoints names no etcd")
	}
	etcd, err := etcdConfig(c)
	if err != nil {
		return err
	}
	etcd.Self.ID += " (leave-ha)"
	e, state, err := store.OpenEtcd(ctx, etcd, 0)
	if err != nil {
		if errors.Is(err, store.ErrHeld) {
			return fmt.Errorf("leave-ha: stop all instances first: %w", err)
		}
		return fmt.Errorf("leave-ha: %w", err)
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	if state.Lost != "" || state.Empty() {
		return fmt.Errorf("leave-ha: no state below %s in etcd: %s", etcd.Prefix, cmp.Or(state.Lost, "no instance has written one"))
	}
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return fmt.Errorf("leave-ha: %w", err)
	}
	written, aside, err := e.Export(c.DataDir, state)
	if err != nil {
		return fmt.Errorf("leave-ha: %w", err)
	}
	fmt.Fprintf(out, "%s: %d dragons, generation %d\netcd keeps the state as %s\nRemove ha from the configuration of this host before you start the program.\n",
		filepath.Join(c.DataDir, "healer.db"), len(written.Dragons), written.Generation, aside)
	return nil
}
