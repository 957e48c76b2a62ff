package discovery

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

func TestDragonsThatRefuseOurPasswordsAreSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Count: 4}, Config{Networks: networks(t, "127.10.0.0/28"), Interval: time.Minute})
		said := &journal{}
		f.cfg.Logger = level.NewFilter(said, level.AllowWarn())
		for i, fault := range []dragontest.Fault{dragontest.WrongPassword, dragontest.LockedOut, dragontest.PasswordChange} {
			f.simulated.Dragon(i).Inject(fault)
		}
		if r := f.scan(); r.Locked != 3 || len(r.Found) != 1 {
			t.Fatalf("%+v", r)
		}
		check := func(want string) {
			t.Helper()
			var got []string
			for _, l := range f.Status().Locked {
				got = append(got, l.Address+" "+string(l.Brand)+" "+string(l.Reason))
			}
			if s := strings.Join(got, ", "); s != want {
				t.Errorf("locked: %s\nwant    %s", s, want)
			}
			if n := testutil.ToFloat64(f.metrics.locked); int(n) != len(got) {
				t.Errorf("the metric says %v", n)
			}
		}
		check("127.10.0.1 DragonMint password, 127.10.0.2 DragonMint lockout, 127.10.0.3 DragonMint change")
		if n := f.simulated.Dragon(1).Traffic().RefusedLogins; n != 1 {
			t.Errorf("%d logins at one that is locked out", n)
		}
		if len(*said) != 3 {
			t.Errorf("said %d times", len(*said))
		}

		f.simulated.Dragon(1).Clear() // the lock-out is over
		f.simulated.Dragon(2).Inject(dragontest.Unplugged)
		time.Sleep(16 * time.Minute)
		f.scan()
		check("127.10.0.1 DragonMint password") // the third is gone
		f.Scanner = f.With(Config{Networks: networks(t, "127.10.0.0/31"), Fleet: f.fleet, Client: f.cfg.Client, Dial: f.dial})
		check("127.10.0.1 DragonMint password")
		if err := f.simulated.Move(0, f.simulated.Host(3).Next()); err != nil {
			t.Fatal(err)
		}
		f.scan()
		check("")
	})
}

func TestASilentTargetIsLoggedOnceWithItsReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kinds := []dragontest.StrangerKind{dragontest.Router, dragontest.Switch, dragontest.TLSOnly, dragontest.ToHTTPS, dragontest.LoginPage}
		want := []string{"password", "change", "", "not_a_dragon", "other_login", "https", "https", "other_login", "refused", "no_address"}
		names := []string{"127.10.0.1", "127.10.0.2", "127.10.0.3", "127.10.0.4", "127.10.0.5", "127.10.0.6", "127.10.0.7", "127.10.0.8", "127.10.9.9", "miner.example"}
		var none resolver
		f := newFarm(t, dragontest.FleetConfig{Count: 3, Strangers: kinds}, Config{Targets: targets(names...), Interval: time.Minute, Resolve: none.resolve})
		said := &journal{}
		f.cfg.Logger = level.NewFilter(said, level.AllowWarn())
		f.simulated.Dragon(0).Inject(dragontest.WrongPassword)
		f.simulated.Dragon(1).Inject(dragontest.PasswordChange)
		stop := f.run()
		time.Sleep(10 * time.Minute)
		var reasons []string
		for _, s := range f.Status().Targets {
			reasons = append(reasons, s.Reason)
			if s.Up != (s.Reason == "") || s.Up == (s.Detail != "") {
				t.Errorf("%+v", s)
			}
			if s.Reason != "" && testutil.ToFloat64(f.metrics.targetDown.WithLabelValues(s.Name, s.Reason)) != 1 {
				t.Errorf("no series of %s %s", s.Name, s.Reason)
			}
		}
		if !slices.Equal(reasons, want) {
			t.Errorf("reasons %q, want %q", reasons, want)
		}
		warned := 0
		for _, line := range *said {
			if slices.Contains(line, any("static target unreadable")) {
				warned++
			}
		}
		if n := testutil.CollectAndCount(f.metrics.targetDown); n != 9 || warned != 9 {
			t.Errorf("%d series, want 9; said %d times, want once for each of the nine", n, warned)
		}
		f.simulated.Dragon(0).Clear()
		time.Sleep(20 * time.Minute)
		if s := f.Status().Targets[0]; !s.Up || testutil.CollectAndCount(f.metrics.targetDown) != 8 {
			t.Errorf("its password is right again: %+v", s)
		}
		stop()
	})
}

// A static target that the healer restarts is no warning.
func TestATargetThatWeRestartIsNoWarning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Count: 2}, Config{Targets: targets("127.10.0.1", "127.10.0.2"), Interval: time.Minute})
		said := &journal{}
		f.cfg.Logger = said
		stop := f.run()
		time.Sleep(5 * time.Minute)
		for i := range 2 {
			d := f.fleet.Lookup(fmt.Sprintf("127.10.0.%d", i+1))
			if i == 0 {
				d.Expect(fleet.SystemRestart, time.Now(), time.Now().Add(15*time.Minute))
			}
			f.simulated.Dragon(i).Inject(dragontest.Unplugged)
			_, _ = d.Read(t.Context(), 0)
		}
		time.Sleep(5 * time.Minute)
		stop()
		levels := make(map[string]int)
		for _, line := range *said {
			if slices.Contains(line, any("static target unreadable")) {
				levels[fmt.Sprint(line[1])]++
			}
		}
		if levels["info"] != 1 || levels["warn"] != 1 || len(levels) != 2 {
			t.Errorf("%v", levels)
		}
	})
}

func TestDownReasons(t *testing.T) {
	for err, want := range map[error]string{
		dragon.ErrBadResponse: "response", dragon.ErrNotReady: "response", dragon.ErrTimeout: "timeout", dragon.ErrUnreachable: "unreachable",
		dragon.ErrNotDragon: "not_a_dragon", dragon.ErrUnauthorized: "password",
	} {
		if got := downReason(err); got != want {
			t.Errorf("%v is %s, want %s", err, got, want)
		}
	}
}

func TestAddressesAreInTheOrderOfTheirNumbers(t *testing.T) {
	want := []string{"miner.example", "miner.example:81", "10.1.0.9", "10.1.0.9:79", "10.1.0.9:80", "10.1.0.10", "10.1.0.10:79"}
	for i := range want {
		for j := range want {
			if got := CompareAddresses(want[i], want[j]); got != cmp.Compare(i, j) {
				t.Errorf("%s and %s: %d, want %d", want[i], want[j], got, cmp.Compare(i, j))
			}
		}
	}
}
