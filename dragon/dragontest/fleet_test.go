package dragontest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func macOf(t testing.TB, c *http.Client, addr, auth string) (string, error) {
	t.Helper()
	r, _ := http.NewRequest(http.MethodPost, "http://"+addr+"/api/overview", nil)
	r.Header.Set("Authorization", auth)
	res, err := c.Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	var o struct{ Version struct{ Ethaddr string } }
	err = json.NewDecoder(res.Body).Decode(&o)
	return o.Version.Ethaddr, err
}

func TestFleetOnLoopback(t *testing.T) {
	h := newFleet(t, FleetConfig{Count: 20, Specs: Mixed, Strangers: []StrangerKind{Router, SSH}})
	c := clientOf(t, h)
	seen := map[string]bool{}
	for i, d := range h.Dragons() {
		mac, err := macOf(t, c, h.Addr(i), basic("guest", d.Truth().Users["guest"]))
		if err != nil || mac != d.Spec().MAC || seen[mac] {
			t.Errorf("%s: MAC %s, %v, want its own %s", h.Addr(i), mac, err, d.Spec().MAC)
		}
		seen[mac] = true
		if got := netip.MustParseAddrPort(h.Addr(i)); got.Port() != h.Port() || !got.Addr().IsLoopback() || got.Addr().String() != d.Spec().Network.IPAddress {
			t.Errorf("dragon %d at %v", i, got)
		}
		if tr := d.Traffic(); tr.Connections != 1 {
			t.Errorf("dragon %d: %d connections", i, tr.Connections)
		}
	}
	if got := h.Networks(); len(got) != 1 || got[0].String() != "127.10.0.0/27" {
		t.Errorf("Networks = %v", got)
	}
	if got := h.StrangerAddr(1); !strings.HasPrefix(got, "127.10.0.22:") {
		t.Errorf("second stranger at %s", got)
	}
}

func TestNetworksLeavesNoHostAtItsEdges(t *testing.T) {
	for count, want := range map[int]string{1: "127.10.0.0/30", 2: "127.10.0.0/30", 3: "127.10.0.0/29", 14: "127.10.0.0/28", 15: "127.10.0.0/27", 300: "127.10.0.0/23"} {
		h := newFleet(t, FleetConfig{Count: count, InMemory: true})
		if got := h.Networks()[0].String(); got != want {
			t.Errorf("%d dragons: %s, want %s", count, got, want)
		}
	}
}

func TestFleetStaysOnLoopback(t *testing.T) {
	for _, p := range []string{"10.1.0.0/24", "192.168.0.0/24", "126.0.0.0/7", "0.0.0.0/0", "::1/128"} {
		if h, err := NewFleet(FleetConfig{Prefix: netip.MustParsePrefix(p)}); err == nil {
			h.Close()
			t.Errorf("a fleet in %s", p)
		}
	}
	h := newFleet(t, FleetConfig{InMemory: true})
	if c, err := h.DialContext(t.Context(), "tcp", "192.0.2.1:80"); err == nil {
		_ = c.Close()
		t.Error("dialled away from loopback")
	}
	if err := h.Move(0, netip.MustParseAddr("192.0.2.1")); err == nil {
		t.Error("moved away from loopback")
	}
	if h, err := NewFleet(FleetConfig{Count: 7, Prefix: netip.MustParsePrefix("127.10.0.0/29")}); err == nil {
		h.Close()
		t.Error("7 hosts in a /29")
	}
}

func TestBootingServerRefusesAndComesBack(t *testing.T) {
	var mu sync.Mutex
	now := time.Now()
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	s := NewServer(Spec{Now: clock})
	defer s.Close()
	s.Reboot()
	// The first connection finds out and is reset, and then nothing listens.
	refused := false
	for range 2000 {
		c, err := net.Dial("tcp", s.Addr)
		if errors.Is(err, syscall.ECONNREFUSED) {
			refused = true
			break
		}
		if err == nil {
			_, _ = c.Read(make([]byte, 1))
			_ = c.Close()
		}
	}
	if !refused {
		t.Fatal("it never refused")
	}
	mu.Lock()
	now = now.Add(2 * time.Minute)
	mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := net.Dial("tcp", s.Addr)
		if err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("it never came back: %v", err)
		}
	}
}

func TestResetOnARealSocket(t *testing.T) {
	s := NewServer(Spec{Faults: []Fault{Reset}})
	defer s.Close()
	_, err := http.Post(s.URL+"/api/summary", "", nil)
	if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
		t.Errorf("err = %v", err)
	}
}

func TestEmptyAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFleet(t, FleetConfig{InMemory: true})
		if _, err := h.DialContext(t.Context(), "tcp", "127.10.0.9:80"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("err = %v, want refused", err)
		}
		if _, err := h.DialContext(t.Context(), "tcp", "127.10.0.1:81"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("other port: err = %v, want refused", err)
		}
		silent := newFleet(t, FleetConfig{InMemory: true, Silent: true})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		_, err := silent.DialContext(ctx, "tcp", "127.10.0.9:80")
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(start) != 3*time.Second {
			t.Errorf("err = %v after %v, want silence", err, time.Since(start))
		}
		if n := silent.Dials()[netip.MustParseAddr("127.10.0.9")]; n != 1 {
			t.Errorf("%d dials counted", n)
		}
	})
}

func TestMoveAndSwap(t *testing.T) {
	for _, inMemory := range []bool{true, false} {
		h := newFleet(t, FleetConfig{Count: 2, InMemory: inMemory})
		c := clientOf(t, h)
		auth := basic("admin", "dragonadmin")
		a, b := h.Addr(0), h.Addr(1)
		want := func(addr string, i int) {
			t.Helper()
			if mac, err := macOf(t, c, addr, auth); err != nil || mac != h.Dragon(i).Spec().MAC {
				t.Errorf("at %s: %s, %v, want dragon %d", addr, mac, err, i)
			}
		}
		want(a, 0)
		want(b, 1)
		if err := h.Swap(0, 1); err != nil {
			t.Fatal(err)
		}
		if _, err := macOf(t, c, a, auth); err == nil {
			t.Error("the old connection still lives")
		}
		c.CloseIdleConnections()
		want(a, 1)
		want(b, 0)
		if err := h.Move(0, netip.MustParseAddr("127.10.0.99")); err != nil {
			t.Fatal(err)
		}
		c.CloseIdleConnections()
		want(h.Addr(0), 0)
		if _, err := macOf(t, c, b, auth); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("at the old address: %v", err)
		}
		if h.Dragon(0).Truth().Network.IPAddress != "127.10.0.99" {
			t.Error("it does not know its address")
		}
		if h.Move(0, h.Host(1)) == nil {
			t.Error("moved to a taken address")
		}
	}
}

func TestHandlerWithoutAServer(t *testing.T) {
	d := New(Spec{})
	r := httptest.NewRequest(http.MethodPost, "/api/type", nil)
	r.Header.Set("Authorization", "Bearer "+d.Token("guest"))
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	if got := w.Body.String(); got != `{"success":true,"type":"T1"}` {
		t.Errorf("got %s", got)
	}
}

func TestSpedUpClock(t *testing.T) {
	d := New(Spec{Speed: 1e6})
	before := d.Now()
	if !d.wait(t.Context(), time.Hour) { // 3.6 ms
		t.Fatal("it did not wait")
	}
	if passed := d.Now().Sub(before); passed < 59*time.Minute {
		t.Errorf("%v passed, want an hour", passed)
	}
}

func TestClockThatGoesBackHarmsNothing(t *testing.T) {
	now := time.Unix(1529186666, 0)
	d := New(Spec{Now: func() time.Time { return now }})
	before := d.Truth()
	now = now.Add(-48 * time.Hour)
	if got := d.Truth(); got.Hashes != before.Hashes {
		t.Errorf("hashes %v, were %v", got.Hashes, before.Hashes)
	}
	now = now.Add(49 * time.Hour)
	near(t, "hashes", d.Truth().Hashes-before.Hashes, before.Hashrate*3600, 1e-9)
}

func TestManyAtOnce(t *testing.T) {
	h := newFleet(t, FleetConfig{Count: 8, InMemory: true, Specs: Mixed})
	c := clientOf(t, h)
	var wg sync.WaitGroup
	for i, d := range h.Dragons() {
		wg.Go(func() {
			for n := range 20 {
				d.Inject(DeadBoard, Board(n%3))
				if _, err := macOf(t, c, h.Addr(i), "Bearer "+d.Token("admin")); err != nil {
					t.Error(err)
				}
				d.Truth()
				d.Clear()
				d.Traffic()
				d.Writes()
			}
		})
	}
	wg.Wait()
}
