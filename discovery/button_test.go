package discovery

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// ear is a listener without sockets.
func ear(s *Scanner) *Listener {
	l, err := Listen(context.Background(), func() *Scanner { return s }, nil, netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		panic(err)
	}
	l.close()
	return l
}

func TestAPressedButtonAddsADragonAtOnce(t *testing.T) {
	simulated, err := dragontest.NewFleet(dragontest.FleetConfig{Count: 2, Prefix: netip.MustParsePrefix("127.78.64.0/24")})
	if err != nil {
		t.Fatal(err)
	}
	defer simulated.Close()
	transport := dragon.NewTransport()
	defer transport.CloseIdleConnections()
	options := dragon.Options{Transport: transport}
	dragons, err := fleet.Open(fleet.Config{Client: options})
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{Networks: networks(t, "127.78.64.0/24"), Port: simulated.Port(), Client: options, Fleet: dragons})
	any := netip.MustParseAddrPort("127.0.0.1:0")
	l, err := Listen(t.Context(), func() *Scanner { return s }, nil, any, any)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	at := func(i int) netip.AddrPort { return l.conns[i].LocalAddr().(*net.UDPAddr).AddrPort() }
	if err := simulated.PressButton(ctx, 1, at(0), at(1)); err != nil {
		t.Fatal(err)
	}
	// Only a press is told twice, so the second packet ends when the first is in hand.
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for testutil.ToFloat64(s.metrics.announcements.WithLabelValues("dragon")) == 0 {
		<-ticker.C
	}
	for testutil.ToFloat64(s.metrics.announcements.WithLabelValues(repeated)) == 0 {
		<-ticker.C
	}
	if d := dragons.Lookup(simulated.Dragon(1).Spec().MAC); d == nil || len(dragons.Dragons()) != 1 {
		t.Errorf("%v of %d", d, len(dragons.Dragons()))
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := simulated.Dragon(0).Traffic().Total(); n > 0 {
		t.Errorf("the other dragon was asked %d times", n)
	}
}

func TestAnAnnouncementIsBelievedOnlyWhatALoginProves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Count: 2, Strangers: []dragontest.StrangerKind{dragontest.Router}},
			Config{Networks: networks(t, "127.10.0.0/29")})
		l := ear(f.Scanner)
		mac := f.simulated.Dragon(0).Spec().MAC
		for _, c := range []struct {
			packet, sender, want string
		}{
			{"127.10.0.1," + mac, "127.10.0.2", elsewhere},                   // in another's name
			{"127.10.1.1," + mac, "127.10.1.1", elsewhere},                   // outside the networks
			{hello, "127.10.1.1", elsewhere},                                 //
			{"127.10.0.1", "127.10.0.1", malformed},                          //
			{"GET / HTTP/1.1", "127.10.0.1", malformed},                      //
			{"127.10.0.3," + mac, "127.10.0.3", string(isStranger)},          // no dragon lives there
			{"127.10.0.1,00:11:22:33:44:55", "127.10.0.1", string(isDragon)}, // whatever MAC it says
			{"127.10.0.1," + mac, "127.10.0.1", repeated},
			{hello + "\x00", "127.10.0.2", string(isDragon)},
		} {
			before := testutil.ToFloat64(f.metrics.announcements.WithLabelValues(c.want))
			l.announced(t.Context(), []byte(c.packet), netip.MustParseAddr(c.sender))
			l.asking.Wait()
			if n := testutil.ToFloat64(f.metrics.announcements.WithLabelValues(c.want)); n != before+1 {
				t.Errorf("%q from %s: not counted as %s", c.packet, c.sender, c.want)
			}
		}
		var macs []string
		for _, d := range f.fleet.Dragons() {
			macs = append(macs, d.Info().MAC)
		}
		if len(macs) != 2 || macs[0] != mac {
			t.Errorf("known: %v", macs)
		}
		for a := range f.simulated.Dials() {
			if len(f.hosts.ports(a)) == 0 {
				t.Errorf("%s was asked", a)
			}
		}
		time.Sleep(heardAgain)
		synctest.Wait()
		l.announced(t.Context(), []byte(hello), netip.MustParseAddr("127.10.0.1"))
		l.asking.Wait()
		if n := testutil.ToFloat64(f.metrics.announcements.WithLabelValues(string(isKnown))); n != 1 {
			t.Errorf("%v known ones, want 1", n)
		}
	})
}

func TestAFloodOfAnnouncementsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{}, Config{Networks: networks(t, "127.10.0.0/16")})
		l := ear(f.Scanner)
		for i := range 10 * heardMost {
			l.announced(t.Context(), []byte(hello), netip.AddrFrom4([4]byte{127, 10, byte(i >> 8 % 200), byte(i)}))
		}
		l.asking.Wait()
		asked := 0
		for range f.simulated.Dials() {
			asked++
		}
		if asked > heardBurst || len(l.heard) > heardMost {
			t.Errorf("%d addresses were asked, %d are remembered", asked, len(l.heard))
		}
	})
}

func TestTheListenerSaysThatAPortIsTaken(t *testing.T) {
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := Listen(t.Context(), nil, nil, c.LocalAddr().(*net.UDPAddr).AddrPort()); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("%v", err)
	}
}

func FuzzParseAnnouncement(f *testing.F) {
	for _, s := range []string{hello, "192.0.2.17,A0:B0:45:00:D1:A7", "192.0.2.17,A0:B0:45:00:D1:A7\n", "::1,A0:B0:45:00:D1:A7", ",", "192.0.2.17,"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		a, ok := parseAnnouncement(packet)
		if a.IsValid() && (!ok || !a.Is4()) {
			t.Errorf("%q: %v %v", packet, a, ok)
		}
		if ok && !a.IsValid() && !strings.HasPrefix(string(packet), hello) {
			t.Errorf("%q is a greeting", packet)
		}
		if again, ok2 := parseAnnouncement(fmt.Appendf(nil, "%s,A0:B0:45:00:D1:A7", a)); a.IsValid() && (!ok2 || again != a) {
			t.Errorf("%q: %v, then %v", packet, a, again)
		}
	})
}
