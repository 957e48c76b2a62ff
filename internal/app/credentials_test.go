package app

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/discovery"
	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
	"github.com/brndnmtthws/mother-of-dragons/internal/passwords"
)

// shuffled is a farm whose dragons have a password each, which are given by the program.
type shuffled struct {
	*testing.T
	simulated *dragontest.Fleet
	dragons   *fleet.Fleet
	scanner   *discovery.Scanner
	logins    *logins
}

// inAShuffle runs fn with a farm of which all dragons are known. attached: the neighbour table
// knows who lives where.
func inAShuffle(t *testing.T, count int, attached bool, fn func(*shuffled)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		simulated, err := dragontest.NewFleet(dragontest.FleetConfig{Count: count, InMemory: true, Silent: true, Specs: func(i int) dragontest.Spec {
			return dragontest.Spec{Uptime: 100 * time.Hour, Password: fmt.Sprintf("password-%d", i)}
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer simulated.Close()
		given, err := passwords.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer given.Close()
		for i := range count {
			mac := simulated.Dragon(i).Spec().MAC
			if err := given.Begin(mac, simulated.Host(i).String(), "admin", dragon.Secret(fmt.Sprintf("password-%d", i))); err != nil {
				t.Fatal(err)
			}
			if err := given.Confirm(mac); err != nil {
				t.Fatal(err)
			}
		}
		s := &shuffled{T: t, simulated: simulated}
		transport := dragon.NewTransport()
		transport.DialContext = simulated.DialContext
		defer transport.CloseIdleConnections()
		l := newLogins(&s.dragons, given, func() *config.Config { return &config.Config{} })
		l.neighbour = func(host string) string {
			for i := range count {
				if attached && simulated.Host(i).String() == host {
					return simulated.Dragon(i).Spec().MAC
				}
			}
			return ""
		}
		s.logins = l
		client := dragon.Options{Transport: transport, CredentialsFor: l.at}
		if s.dragons, err = fleet.Open(fleet.Config{Client: client}); err != nil {
			t.Fatal(err)
		}
		s.scanner = discovery.New(discovery.Config{
			Networks: []discovery.Network{{Range: discovery.Range{First: simulated.Host(0), Last: simulated.Host(count - 1)}}},
			Interval: 5 * time.Minute, Client: client, Others: l.ofLost, Fleet: s.dragons, Dial: simulated.DialContext,
		})
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = s.dragons.Run(ctx) })
		defer func() { stop(); running.Wait() }()
		s.live(0)
		if n := len(s.dragons.Dragons()); n != count {
			t.Fatalf("%d dragons found", n)
		}
		fn(s)
	})
}

// live lets the farm live: a scrape each minute, and a scan every five.
func (s *shuffled) live(d time.Duration) {
	for minute := range int(d/time.Minute) + 1 {
		if minute%5 == 0 {
			if _, err := s.scanner.Scan(s.Context()); err != nil {
				s.Fatal(err)
			}
		}
		for _, d := range s.dragons.Dragons() {
			_, _ = d.Read(s.Context(), 0)
		}
		time.Sleep(time.Minute)
	}
}

// up checks that dragon i is read where it lives now.
func (s *shuffled) up(i int) {
	s.Helper()
	d := s.dragons.Lookup(s.simulated.Dragon(i).Spec().MAC)
	if h := d.Health(); !h.Up || d.Info().Address != s.simulated.Host(i).String() {
		s.Errorf("dragon %d of %s: at %s, up %v, %v", i, s.simulated.Host(i), d.Info().Address, h.Up, h.Err)
	}
}

func TestDragonsWithPasswordsOfTheirOwnExchangeTheirAddresses(t *testing.T) {
	for _, attached := range []bool{true, false} {
		for name, shuffle := range map[string]func(*dragontest.Fleet) error{
			"two": func(f *dragontest.Fleet) error { return f.Swap(0, 1) },
			"four in a circle": func(f *dragontest.Fleet) error {
				for i := range 3 {
					if err := f.Swap(i, i+1); err != nil {
						return err
					}
				}
				return nil
			},
		} {
			t.Run(fmt.Sprintf("%s, attached %v", name, attached), func(t *testing.T) {
				inAShuffle(t, 4, attached, func(s *shuffled) {
					if err := shuffle(s.simulated); err != nil {
						t.Fatal(err)
					}
					s.live(30 * time.Minute)
					for i := range 4 {
						s.up(i)
						if n := s.simulated.Dragon(i).Traffic().RefusedLogins; n > 12 {
							t.Errorf("dragon %d refused %d logins", i, n)
						}
					}
				})
			})
		}
	}
}

func TestADragonWithAPasswordOfItsOwnTakesTheAddressOfOneThatIsOff(t *testing.T) {
	for _, attached := range []bool{true, false} {
		t.Run(fmt.Sprintf("attached %v", attached), func(t *testing.T) {
			inAShuffle(t, 3, attached, func(s *shuffled) {
				s.simulated.Dragon(0).Inject(dragontest.Unplugged)
				s.live(30 * time.Minute)
				if err := s.simulated.Move(0, netip.MustParseAddr("127.10.9.9")); err != nil {
					t.Fatal(err)
				}
				if err := s.simulated.Move(1, netip.MustParseAddr("127.10.0.1")); err != nil {
					t.Fatal(err)
				}
				s.live(30 * time.Minute)
				s.up(1)
				s.up(2)
			})
		})
	}
}

// What refuses all passwords is tried no more often because others are lost.
func TestADragonWhosePasswordWasChangedIsSparedTheOthers(t *testing.T) {
	inAShuffle(t, 20, false, func(s *shuffled) {
		for i := range 20 {
			s.simulated.Dragon(i).SetPassword("admin", "changed")
		}
		s.live(15 * time.Minute)
		s.simulated.Dragon(0).ForgetTraffic()
		s.live(2 * time.Hour)
		const each = 1 + 2 + mostLostTried // its own, the factory's, and those of others
		if n := s.simulated.Dragon(0).Traffic().RefusedLogins; n > 9*each {
			t.Errorf("%d refused logins in two hours", n)
		}
	})
}

// Any host can claim any MAC, and would be given the password that goes with it.
func TestAHostThatClaimsManyMACsIsBelievedSeldom(t *testing.T) {
	inAShuffle(t, 4, false, func(s *shuffled) {
		claimed := 0
		s.logins.neighbour = func(string) string { return s.simulated.Dragon(claimed).Spec().MAC }
		believed := func(i int) bool {
			claimed = i
			mac, _ := dragon.ParseMAC(s.simulated.Dragon(i).Spec().MAC)
			return s.logins.livesAt(s.simulated.Host(0).String()).MAC == mac
		}
		if believed(1) {
			t.Error("a dragon that is up at its own address is believed to be at another one's")
		}
		for i := 1; i < 4; i++ {
			s.simulated.Dragon(i).Inject(dragontest.Unplugged)
		}
		s.live(time.Minute)
		for range 2 {
			if !believed(1) {
				t.Error("a dragon that is away from its address is not believed")
			}
		}
		if believed(2) || believed(3) {
			t.Error("another one is believed at once")
		}
		time.Sleep(claimHolds)
		if !believed(2) || believed(3) {
			t.Error("another one is to be believed after a while, and only that one")
		}
	})
}
