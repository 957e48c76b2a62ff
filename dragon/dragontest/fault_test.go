package dragontest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"
)

// symptoms says of every fault how a caller of summary knows it.
func symptoms() map[Fault]func(b *bench) bool {
	asked := func(f func(b *bench, a answer, err error) bool) func(*bench) bool {
		return func(b *bench) bool {
			a, err := b.within(10*time.Second, "summary")
			return f(b, a, err)
		}
	}
	timeout := asked(func(_ *bench, _ answer, err error) bool { return errors.Is(err, context.DeadlineExceeded) })
	status := func(n int) func(*bench) bool {
		return asked(func(_ *bench, a answer, err error) bool { return err == nil && a.status == n })
	}
	body := func(f func(text string) bool) func(*bench) bool {
		return asked(func(_ *bench, a answer, err error) bool { return err == nil && a.status == 200 && f(a.body) })
	}
	is := func(want string) func(*bench) bool { return body(func(s string) bool { return s == want }) }
	noJSON := body(func(s string) bool { return len(s) > 0 && !json.Valid([]byte(s)) })
	mining := func(f func(b *bench, s summaryJSON) bool) func(*bench) bool {
		return func(b *bench) bool { return f(b, b.summary()) }
	}
	last := func(field string, want any) func(*bench) bool {
		return mining(func(_ *bench, s summaryJSON) bool {
			return len(s.Devs) == 3 && s.Devs[2][field] == want && s.Devs[0][field] != want
		})
	}
	settled := func(f func(b *bench) bool) func(*bench) bool {
		return func(b *bench) bool { time.Sleep(10 * time.Minute); return f(b) }
	}
	return map[Fault]func(*bench) bool{
		Hang:        timeout,
		HangReading: timeout,
		Unplugged:   timeout,
		Trickle:     timeout,
		Reset:       asked(func(_ *bench, _ answer, err error) bool { return errors.Is(err, syscall.ECONNRESET) }),
		Status500:   status(500),
		Status502:   status(502),
		Redirect: asked(func(_ *bench, a answer, err error) bool {
			return err == nil && a.status == 302 && strings.HasPrefix(a.header.Get("Location"), "http://127.")
		}),
		Slow: func(b *bench) bool {
			start := time.Now()
			b.summary()
			return time.Since(start) == 2*time.Second
		},
		Endless: func(b *bench) bool { return b.bytes(8<<20) == 8<<20 },

		Garbage:   noJSON,
		Truncated: noJSON,
		Empty:     is(""),
		HTML:      body(func(s string) bool { return strings.Contains(s, "<title>DragonMint</title>") }),
		Cut: asked(func(_ *bench, a answer, err error) bool {
			return errors.Is(err, io.ErrUnexpectedEOF) && strings.HasPrefix(a.body, `{"success":true`)
		}),
		Huge: func(b *bench) bool {
			b.Inject(Huge, Amount(2))
			a, err := b.within(time.Second, "summary")
			return err == nil && len(a.body) > 2<<20 && json.Valid([]byte(a.body))
		},
		NumbersAsStrings: mining(func(_ *bench, s summaryJSON) bool { _, ok := s.Devs[0]["Total MH"].(string); return ok }),
		PHPArrays: body(func(s string) bool {
			return strings.Contains(s, `"DEVS":{"1":{`) && strings.Contains(s, `"HARDWARE":[]`) && json.Valid([]byte(s))
		}),
		InvalidUTF8:     body(func(s string) bool { return !utf8.ValidString(s) }),
		HostileLabels:   mining(func(_ *bench, s summaryJSON) bool { return len(s.Pools[0]["User"].(string)) > 8<<10 }),
		DuplicateBoards: mining(func(_ *bench, s summaryJSON) bool { return s.Devs[2]["ASC"] == 0.0 && s.Pools[1]["POOL"] == 0.0 }),
		Frozen: func(b *bench) bool {
			a, _ := b.within(time.Second, "summary")
			time.Sleep(time.Minute)
			c, err := b.within(time.Second, "summary")
			return err == nil && a.body == c.body && a.header.Get("Date") != c.header.Get("Date")
		},
		WrongPassword: func(b *bench) bool {
			b.auth = "none"
			return b.post("auth", "username", "admin", "password", "dragonadmin") == `{"success":false,"message":"invalid password"}`
		},
		LockedOut: func(b *bench) bool {
			b.auth = "none"
			return strings.Contains(b.post("auth", "username", "admin", "password", "dragonadmin"), "locked")
		},
		PasswordChange: func(b *bench) bool {
			b.auth = "none"
			return b.post("auth", "username", "admin", "password", "dragonadmin") == `{"success":true,"needChange":true,"message":"please change the password"}`
		},
		AlwaysExpired: func(b *bench) bool { b.auth = b.login(); return b.post("summary") == tokenExpired },

		NotReady: is(noSuccess),
		DeadBoard: settled(func(b *bench) bool {
			s := b.summary()
			return s.Devs[2]["Status"] == "Dead" && s.num(b.t, 2, "MHS 1m") < 1000 && b.Truth().Boards[2].Hashrate == 0
		}),
		DeadBoardHot: mining(func(_ *bench, s summaryJSON) bool {
			return s.Devs[2]["Status"] == "Dead" && s.Devs[2]["Temperature"] == 111.0 && s.Hardware["Fan duty"] == 100.0
		}),
		DeadBoardFrozen: settled(func(b *bench) bool {
			s := b.summary()
			time.Sleep(40 * time.Minute)
			c := b.summary()
			return c.num(b.t, 2, "MHS 5s") == 0 && c.num(b.t, 2, "MHS 15m") > 1e6 && c.num(b.t, 2, "MHS 15m") == s.num(b.t, 2, "MHS 15m")
		}),
		MissingBoard: mining(func(_ *bench, s summaryJSON) bool { return len(s.Devs) == 2 }),
		LowHashrate: settled(func(b *bench) bool {
			truth := b.Truth().Boards[0].Hashrate
			return truth < 3e12 && b.summary().num(b.t, 0, "MHS 1m")*1e6 < 1.1*truth
		}),
		Flatline: func(b *bench) bool {
			s := b.summary()
			time.Sleep(time.Hour)
			c := b.summary()
			return c.num(b.t, 0, "MHS 15m") > 5e6 && c.Devs[0]["Total MH"] == s.Devs[0]["Total MH"] && c.Devs[0]["Accepted"] == s.Devs[0]["Accepted"] &&
				c.num(b.t, 0, "Device Elapsed") == s.num(b.t, 0, "Device Elapsed")+3600 && b.Truth().Hashrate == 0
		},
		BogusTemperature: last("Temperature", 9999.0),
		Overheat:         mining(func(_ *bench, s summaryJSON) bool { return s.Devs[0]["Temperature"] == 98.0 }),
		HardwareErrors: func(b *bench) bool {
			s := b.summary()
			time.Sleep(time.Hour)
			return b.summary().num(b.t, 0, "Hardware Errors")-s.num(b.t, 0, "Hardware Errors") > 8000
		},
		PoolDead: mining(func(b *bench, s summaryJSON) bool { return s.Pools[0]["Status"] == "Dead" && b.Truth().Hashrate == 0 }),

		RebootIgnored: func(b *bench) bool {
			return b.post("reboot") == `{"success":true}` && b.Truth().Boots == 1 && b.Truth().Answers
		},
		RebootNeverReturns: func(b *bench) bool {
			b.post("reboot")
			b.http.CloseIdleConnections()
			time.Sleep(time.Hour)
			_, err := b.within(time.Second, "ping")
			return errors.Is(err, context.DeadlineExceeded) && !b.Truth().On
		},
		RebootUnanswered: func(b *bench) bool {
			_, err := b.within(10*time.Second, "reboot")
			return errors.Is(err, syscall.ECONNRESET) && b.Truth().Boots == 2
		},
		RebootLoop: func(b *bench) bool {
			time.Sleep(time.Hour)
			return b.Truth().Boots == 1+7 // one at once, it was up for longer
		},
		WrongClock: func(b *bench) bool {
			a, _ := b.within(time.Second, "ping")
			return a.header.Get("Date") == time.Now().Add(-5*time.Hour).UTC().Format(http.TimeFormat)
		},
	}
}

// bytes reads so many bytes of summary's answer.
func (b *bench) bytes(n int64) int64 {
	r, _ := http.NewRequestWithContext(b.t.Context(), http.MethodPost, "http://"+b.dragons.Addr(0)+"/api/summary", nil)
	r.SetBasicAuth("admin", "dragonadmin")
	res, err := b.http.Do(r)
	if err != nil {
		return 0
	}
	defer func() { _ = res.Body.Close() }()
	got, _ := io.CopyN(io.Discard, res.Body, n)
	return got
}

func TestFaults(t *testing.T) {
	all := symptoms()
	for _, f := range Faults() {
		symptom := all[f.Fault]
		if symptom == nil {
			t.Errorf("%s has no test", f.Fault)
			continue
		}
		delete(all, f.Fault)
		t.Run(string(f.Fault), func(t *testing.T) {
			onBench(t, Spec{}, func(b *bench) {
				time.Sleep(time.Minute)
				b.Inject(f.Fault)
				if got := b.ActiveFaults(); len(got) != 1 || got[0] != f.Fault {
					b.t.Errorf("ActiveFaults = %v", got)
				}
				if !symptom(b) {
					b.t.Errorf("no sign of the fault")
				}
			})
		})
		t.Run(string(f.Fault)+" cleared", func(t *testing.T) {
			onBench(t, Spec{}, func(b *bench) {
				b.Inject(f.Fault)
				_, _ = b.within(time.Second, "type")
				b.auth = ""
				b.Clear()
				time.Sleep(10 * time.Minute) // a reboot loop has begun
				b.http.CloseIdleConnections()
				if s := b.summary(); len(s.Devs) != 3 || s.num(b.t, 2, "MHS 1m") < 1e6 || s.Devs[2]["Status"] != "Alive" {
					b.t.Errorf("it is still there: %v", s)
				}
			})
		})
	}
	for f := range all {
		t.Errorf("%s is not in Faults", f)
	}
}

func TestFaultOnSomeEndpoints(t *testing.T) {
	onBench(t, Spec{}, func(b *bench) {
		b.Inject(Hang, On("getLatestFirmwareVersion"))
		b.summary()
		if _, err := b.within(10*time.Second, "getLatestFirmwareVersion"); !errors.Is(err, context.DeadlineExceeded) {
			b.t.Errorf("err = %v", err)
		}
	})
}

func TestHangingRequestGoesOnWhenTheFaultEnds(t *testing.T) {
	for _, f := range []Fault{Hang, HangReading} {
		t.Run(string(f), func(t *testing.T) {
			onBench(t, Spec{}, func(b *bench) {
				b.Inject(f, Lasting(30*time.Second))
				go func() {
					time.Sleep(31 * time.Second)
					b.Truth() // time only passes when it is asked
				}()
				start := time.Now()
				b.summary()
				if took := time.Since(start); took != 31*time.Second {
					b.t.Errorf("took %v", took)
				}
			})
		})
	}
}

func TestFaultsEnd(t *testing.T) {
	for _, c := range []struct {
		name  string
		cure  Cure
		do    func(*Dragon)
		cured bool
	}{
		{"restart cures what a restart cures", CuredByRestart, (*Dragon).RestartMiner, true},
		{"reboot cures what a restart cures", CuredByRestart, (*Dragon).Reboot, true},
		{"restart does not cure what needs a reboot", CuredByReboot, (*Dragon).RestartMiner, false},
		{"reboot does not cure what needs a power cycle", CuredByPowerCycle, (*Dragon).Reboot, false},
		{"power cycle", CuredByPowerCycle, func(d *Dragon) { d.PowerOff(); d.PowerOn() }, true},
		{"nothing cures what has no cure", NoCure, func(d *Dragon) { d.PowerOff(); d.PowerOn() }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := New(Spec{})
			d.Inject(DeadBoard, CuredBy(c.cure))
			c.do(d)
			if got := len(d.ActiveFaults()) == 0; got != c.cured {
				t.Errorf("cured: %v", got)
			}
		})
	}
	t.Run("after its time", func(t *testing.T) {
		onBench(t, Spec{}, func(b *bench) {
			b.Inject(DeadBoard, Board(1), Lasting(time.Hour))
			before := b.Truth().Boards[1].Hashes
			time.Sleep(2 * time.Hour)
			tr := b.Truth()
			near(b.t, "hashes in two hours", tr.Boards[1].Hashes-before, tr.Boards[1].Hashrate*3600, 1e-9)
		})
	})
}

func TestTwoBoardsMayDie(t *testing.T) {
	d := New(Spec{})
	d.Inject(DeadBoard, Board(0))
	d.Inject(DeadBoard, Board(2))
	d.Inject(DeadBoard, Board(2))
	var alive []bool
	for _, b := range d.Truth().Boards {
		alive = append(alive, b.Alive)
	}
	if !slices.Equal(alive, []bool{false, true, false}) || len(d.ActiveFaults()) != 2 {
		t.Errorf("alive: %v, faults %v", alive, d.ActiveFaults())
	}
}

func TestHangingEndpointTakesThePlacesOfPHP(t *testing.T) {
	onBench(t, Spec{SleepTime: 30 * time.Second}, func(b *bench) {
		b.Inject(RebootIgnored)
		ctx, cancel := context.WithCancel(b.t.Context())
		done := make(chan struct{})
		for range 5 {
			go func() {
				_, _ = b.try(ctx, http.MethodPost, "/api/reboot", "", nil)
				done <- struct{}{}
			}()
		}
		time.Sleep(time.Second)
		start := time.Now()
		b.want("ping", `{"success":true}`)
		if took := time.Since(start); took != 29*time.Second {
			b.t.Errorf("the sixth request took %v, want to wait for a place", took)
		}
		if got := b.Traffic().MaxInFlight; got != 6 {
			b.t.Errorf("MaxInFlight = %d", got)
		}
		for range 5 {
			<-done
		}
		cancel()
	})
}

func TestStrangers(t *testing.T) {
	get := func(s *StrangerServer, path string) (int, []byte, error) {
		tr := &http.Transport{}
		defer tr.CloseIdleConnections()
		res, err := (&http.Client{Transport: tr, Timeout: 5 * time.Second}).Get(s.URL + path)
		if err != nil {
			return 0, nil, err
		}
		defer func() { _ = res.Body.Close() }()
		b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		return res.StatusCode, b, err
	}
	for kind, want := range map[StrangerKind]func(status int, body []byte, err error) bool{
		Router: func(status int, body []byte, err error) bool {
			return err == nil && status == 200 && len(body) > 45000 && bytes.Contains(body, []byte("<title></title>"))
		},
		Switch: func(status int, body []byte, _ error) bool {
			return status == 401 && string(body) == "401 Unauthorized\r\n"
		},
		Antminer: func(_ int, body []byte, _ error) bool {
			return bytes.Contains(body, []byte("<title>DragonMint</title>"))
		},
		EndlessStream: func(_ int, body []byte, err error) bool { return err == nil && len(body) == 1<<20 },
	} {
		t.Run(string(kind), func(t *testing.T) {
			s := NewStranger(kind)
			if status, body, err := get(s, "/"); !want(status, body, err) {
				t.Errorf("%d, %d bytes, %v", status, len(body), err)
			}
			s.Close()
			if got := s.Traffic(); got.Connections != 1 || got.Credentials != 0 || got.Requests != 1 {
				t.Errorf("Traffic = %+v", got)
			}
		})
	}
	t.Run(string(SSH), func(t *testing.T) {
		s := NewStranger(SSH)
		c, err := net.Dial("tcp", s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\n")
		said, err := io.ReadAll(c)
		if err != nil || !strings.HasPrefix(string(said), "SSH-2.0-") {
			t.Errorf("it said %q, %v", said, err)
		}
		_ = c.Close()
		s.Close()
		if got := s.Traffic(); got.Requests != 1 || got.Connections != 1 {
			t.Errorf("Traffic = %+v", got)
		}
	})
	t.Run("antminer's tokens", func(t *testing.T) {
		s := New(Spec{Model: "S9", Brand: AntMiner})
		if got := s.issuer(); got != "AntMiner" {
			t.Errorf("iss = %s", got)
		}
	})
	t.Run(string(Mute), func(t *testing.T) {
		s := NewStranger(Mute)
		c, err := net.Dial("tcp", s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nAuthorization: Basic x\r\n\r\n")
		_ = c.(*net.TCPConn).CloseWrite()
		if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("it said something: %d, %v", n, err)
		}
		s.Close()
		if got := s.Traffic(); got.Requests != 1 || got.Credentials != 1 {
			t.Errorf("Traffic = %+v", got)
		}
	})
}
