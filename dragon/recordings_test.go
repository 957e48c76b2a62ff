package dragon

import (
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// recordings are real answers of three T1, kept beside the repository.
const recordings = "../../shared/recordings"

func recorded(t *testing.T, name string) []byte {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(recordings, name))
	if os.IsNotExist(err) {
		t.Skip("no recordings here")
	}
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// serveBody returns a client of a device that accepts any login and answers every
// other question with body.
func serveBody(t testing.TB, body []byte) *Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.URL.Path == "/api/auth":
			w.Write([]byte(`{"success":true,"jwt":"a.b.c"}`))
		case r.Header.Get("Authorization") == "":
			w.Write([]byte(invalid))
		case r.URL.Path == "/api/type":
			w.Write([]byte(`{"success":true,"type":"T1"}`))
		default:
			w.Write(body)
		}
	}))
	t.Cleanup(server.Close)
	c := New(strings.TrimPrefix(server.URL, "http://"), Options{})
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func TestRecordedSummariesAreReadWhole(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(recordings, "*api_summary.json"))
	if len(files) == 0 {
		t.Skip("no recordings here")
	}
	for _, file := range files {
		name := filepath.Base(file)
		body := recorded(t, name)
		if strings.Contains(string(body), "expired") {
			continue
		}
		s, err := serveBody(t, body).Summary(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(s.Unreadable) > 0 {
			t.Errorf("%s: unreadable %v", name, s.Unreadable)
		}
		if len(s.Boards) != 3 || s.Boards[0].Slot != 0 || s.Boards[2].Slot != 2 || len(s.Pools) < 1 || !s.FanDuty.IsKnown() {
			t.Errorf("%s: %d boards, %d pools, fan %v", name, len(s.Boards), len(s.Pools), s.FanDuty)
		}
	}
}

func TestRecordedFigures(t *testing.T) {
	s, err := serveBody(t, recorded(t, "test_summary__01__api_summary.json")).Summary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := s.Boards[0]
	for name, c := range map[string]struct{ got, want Number }{
		"5s":          {b.Hashrate5s, Known(4745502.91e6)},
		"15m":         {b.Hashrate15m, Known(4932258.41e6)},
		"Hash Rate":   {b.Hashrate, Known(4932258.41e6)},
		"Total MH":    {b.Hashes, Known(23499497701e6)},
		"temperature": {b.Temperature, Known(72)},
		"elapsed":     {s.Elapsed(), Known(4792)},
		"fan":         {s.FanDuty, Known(0.59)},
		"tuning":      {s.Tuning, Known(0)},
		"active":      {s.Pools[0].Active, Known(1)},
		"best share":  {s.Pools[0].BestShare, Known(114372540)},
		"never":       {s.Pools[1].LastShareTime, Number{}},
		"no block":    {s.Pools[1].BlockHeight, Number{}},
	} {
		if got, want := c.got.Or(0), c.want.Or(0); math.Abs(got-want) > want*1e-12 || c.got.IsKnown() != c.want.IsKnown() {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}

	o, err := serveBody(t, recorded(t, "test_overview__01__api_overview.json")).Overview(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if o.Model != "T1" || o.MAC != "a0:b0:45:00:ad:e5" || o.Firmware != "t1_20180515_060842" || o.HWVersion != "g19" ||
		o.Uptime != Known(3*86400+3720) || o.Load1 != Known(0.07) || o.MemoryTotal != Known(250564*1024) || len(o.Unreadable) > 0 {
		t.Errorf("%+v", o)
	}
}

func TestOtherRecordedAnswers(t *testing.T) {
	c := serveBody(t, recorded(t, "test_pools__01__api_pools.json"))
	pools, err := c.Pools(t.Context())
	if err != nil || len(pools) != 2 || pools[1].URL != "stratum+tcp://pool.ckpool.org:3333" || pools[0].Password != "x" {
		t.Errorf("pools: %v, %v", pools, err)
	}
	if err := ValidatePools(pools); err != nil {
		t.Errorf("pools that a dragon has are refused: %v", err)
	}
	c = serveBody(t, recorded(t, "test_network__01__api_network.json"))
	if n, err := c.Network(t.Context()); err != nil || !n.DHCP || n.IPAddress != "10.1.0.25" || len(n.DNS) != 1 {
		t.Errorf("network: %+v, %v", n, err)
	}
	c = serveBody(t, recorded(t, "test_getAutoTuneStatus__01__api_getAutoTuneStatus.json"))
	if s, err := c.AutoTuneStatus(t.Context()); err != nil || *s != (AutoTuneStatus{Running: Known(0), Tuning: Known(0), Mode: "efficient"}) {
		t.Errorf("autotune status: %+v, %v", s, err)
	}
	c = serveBody(t, recorded(t, "test_getAutoTune__01__api_setAutoTune.json"))
	if err := c.SetAutoTune(t.Context(), AutoTune{Mode: "efficient"}); err != nil {
		t.Errorf("set autotune: %v", err)
	}
	c = serveBody(t, recorded(t, "test_getDebugStats__01__api_getDebugStats.json"))
	if d, err := c.DebugStats(t.Context()); err != nil || len(d.Boards) != 0 || d.Hashes.CGMiner != "e9fc77b6169ae8195d16f8957e63e8d5cf85713f" {
		t.Errorf("debug stats: %+v, %v", d, err)
	}
	c = serveBody(t, recorded(t, "test_getLatestFirmwareVersion__01__api_getLatestFirmwareVersion.json"))
	f, err := c.LatestFirmware(t.Context())
	if err != nil || f.Version != "t1_20180515_060842" || f.UpToDate != Known(1) {
		t.Errorf("firmware: %+v, %v", f, err)
	}
	var answer typeAnswer
	if _, err := readAnswer(recorded(t, "test_type__01__api_type.json"), &typeFields, &answer); err != nil || answer.model != "T1" {
		t.Errorf("type: %+v, %v", answer, err)
	}
	if brand := readStartPage(recorded(t, "test_is_dragon__01__index.html")).brand(); brand != DragonMint {
		t.Errorf("brand %q", brand)
	}
	logins, _ := filepath.Glob(filepath.Join(recordings, "*api_auth.json"))
	for _, file := range logins {
		var l login
		if _, err := readAnswer(recorded(t, filepath.Base(file)), &loginFields, &l); err != nil || issuer(Secret(l.jwt)) != "DragonMint" {
			t.Errorf("%s: %v", file, err)
		}
	}
}
