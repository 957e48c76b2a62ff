package app

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// year is far from what any hold, window or budget lasts.
const year = 365 * 24 * time.Hour

// bootClock is the clock of a host that nothing keeps right, since it booted.
type bootClock struct {
	id   string
	boot time.Time
}

func (c bootClock) Now() healer.Instant {
	return healer.Instant{Wall: time.Now(), Mono: time.Since(c.boot), BootID: c.id}
}

func (bootClock) Synced() bool { return false }

// TestAStartWithTheClockAYearOff restarts the program on a host whose clock is a year
// early or late, as after an empty battery. What it knew it knows, and it neither acts
// before it trusts the clock nor gives a budget back.
func TestAStartWithTheClockAYearOff(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and nothing in it is new to the race detector")
	}
	for _, off := range []time.Duration{-year, year} {
		t.Run(fmt.Sprint(off), func(t *testing.T) {
			dir := t.TempDir()
			live := func(boot string, at time.Duration, sick bool, check func(*testing.T, *fleet.Fleet, *agent.Healer, *dragontest.Fleet)) {
				synctest.Test(t, func(t *testing.T) {
					time.Sleep(at)
					simulated, err := dragontest.NewFleet(dragontest.FleetConfig{Count: 10, InMemory: true, Specs: func(int) dragontest.Spec {
						return dragontest.Spec{Uptime: 100 * time.Hour}
					}})
					if err != nil {
						t.Fatal(err)
					}
					defer simulated.Close()
					if sick {
						simulated.Dragon(3).Inject(dragontest.DeadBoard)
						simulated.Dragon(9).PowerOff()
					}
					transport := dragon.NewTransport()
					transport.DialContext = simulated.DialContext
					defer transport.CloseIdleConnections()
					dragons, err := fleet.Open(fleet.Config{Dir: dir, Client: dragon.Options{Transport: transport}})
					if err != nil {
						t.Fatal(err)
					}
					policy := healer.DefaultPolicy()
					policy.Default.Mode = healer.Enforce
					doctor, err := agent.New(agent.Config{
						Fleet: dragons, Dir: dir, Policy: func() *healer.Policy { return &policy }, Clock: bootClock{boot, time.Now().Add(-time.Minute)},
					})
					if err != nil {
						t.Fatal(err)
					}
					ctx, cancel := context.WithCancel(t.Context())
					var running sync.WaitGroup
					defer running.Wait()
					defer cancel()
					running.Go(func() { _ = dragons.Run(ctx) })
					running.Go(func() { _ = doctor.Run(ctx) })
					for i := range simulated.Len() {
						client := dragon.New(simulated.Addr(i), dragon.Options{Transport: transport})
						if identity, err := client.Identify(ctx); err == nil {
							dragons.Sighted(ctx, fleet.Sighting{Address: simulated.Addr(i), Client: client, Identity: identity})
						}
					}
					check(t, dragons, doctor, simulated)
				})
			}
			live("before", 2*year, false, func(t *testing.T, dragons *fleet.Fleet, doctor *agent.Healer, _ *dragontest.Fleet) {
				time.Sleep(2 * time.Hour)
				if _, err := doctor.Pause(t.Context(), healer.PauseRequest{Scope: "mac", Value: dragons.Dragons()[0].Info().MAC, Owner: "o", Reason: "r",
					For: 4 * time.Hour}); err != nil {
					t.Error(err)
				}
			})
			live("after", 2*year+off, true, func(t *testing.T, dragons *fleet.Fleet, doctor *agent.Healer, simulated *dragontest.Fleet) {
				writes := func() (n int) {
					for _, d := range simulated.Dragons() {
						n += len(d.Writes())
					}
					return n
				}
				time.Sleep(10 * time.Minute)
				plan, err := doctor.Plan()
				if err != nil {
					t.Fatal(err)
				}
				if n := len(dragons.Dragons()); n != 10 || len(plan.Pauses) != 1 || plan.ClockTrusted || doctor.Status().Mode == "safe" {
					t.Errorf("after ten minutes %d dragons are known, with %+v; the clock is trusted: %t; mode %s", n, plan.Pauses, plan.ClockTrusted, doctor.Status().Mode)
				}
				if n := writes(); n > 0 {
					t.Errorf("%d writes before the clock is trusted", n)
				}
				time.Sleep(5 * time.Hour)
				// A clock that went back is not trusted until NTP has set it.
				if n := writes(); off > 0 && (n < 1 || n > 2) || off < 0 && n > 0 {
					t.Errorf("%d writes to the sick dragon in five hours", n)
				}
				if spoilt, _ := filepath.Glob(filepath.Join(dir, "*corrupt*")); len(spoilt) > 0 {
					t.Errorf("set aside: %v", spoilt)
				}
				for _, d := range dragons.Dragons() {
					if i := d.Info(); i.LastSeen.After(time.Now().Add(2 * year)) {
						t.Errorf("%s was seen in the future: %v", i.Worker, i.LastSeen)
					}
				}
			})
		})
	}
}
