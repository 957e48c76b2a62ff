package dragon

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOverviewInBaseUnits(t *testing.T) {
	o, err := newDevice(nil).client(t, Options{}).Overview(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o.Answer = Answer{}
	want := &Overview{
		Model: "T1", MAC: "a0:b0:45:11:22:33", HWVersion: "g19", Firmware: "t1_20180515_060842", BuildDate: "15th of May 2018 06:08 AM",
		Network: Network{DHCP: true, IPAddress: "127.0.0.9", Netmask: "255.255.255.0", Gateway: "127.0.0.1", DNS: []string{"127.0.0.1"}},
		Uptime:  Known(86400 + 3*3600 + 7*60), Load1: Known(0.21),
		MemoryUsed: Known(90112 * 1024), MemoryFree: Known(160452 * 1024), MemoryTotal: Known(250564 * 1024),
		CacheUsed: Known(40960 * 1024), CacheFree: Known(190972 * 1024), CacheTotal: Known(231932 * 1024),
	}
	if diff := cmp.Diff(want, o, cmp.AllowUnexported(Number{})); diff != "" {
		t.Error(diff)
	}
}

func TestOverviewOfOtherFirmware(t *testing.T) {
	for name, c := range map[string]struct {
		old, new string // in the answer of a T1
		check    func(*Overview) bool
		unread   string
	}{
		"type as a number":      {`"type":"T1"`, `"type":5`, func(o *Overview) bool { return o.Model == "5" }, ""},
		"type in lower case":    {`"type":"T1"`, `"type":"a8+ "`, func(o *Overview) bool { return o.Model == "A8+" }, ""},
		"type missing":          {`"type":"T1",`, ``, func(o *Overview) bool { return o.Model == "" }, "type"},
		"MAC with spaces":       {`a0:b0:45:11:22:33`, `A0: b0:45:21:5B: f0`, func(o *Overview) bool { return o.MAC == "a0:b0:45:21:5b:f0" }, ""},
		"no MAC":                {`a0:b0:45:11:22:33`, ``, func(o *Overview) bool { return o.MAC == "" }, "version.ethaddr"},
		"memory as text":        {`"memUsed":90112`, `"memUsed":"90112"`, func(o *Overview) bool { return o.MemoryUsed == Known(90112*1024) }, ""},
		"hardware as a list":    {`"hardware":{`, `"hardware":[],"x":{`, func(o *Overview) bool { return !o.Uptime.IsKnown() }, "hardware.status hardware.memUsed hardware.memFree hardware.memTotal"},
		"unreadable uptime":     {`up 1 day,  3:07`, `up forever`, func(o *Overview) bool { return !o.Uptime.IsKnown() && o.Load1 == Known(0.21) }, "hardware.status"},
		"static with two names": {`"dhcp":"dhcp"`, `"dhcp":"static"`, func(o *Overview) bool { return !o.Network.DHCP }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			body := strings.Replace(overviewT1, c.old, c.new, 1)
			if body == overviewT1 {
				t.Fatal("nothing replaced")
			}
			o, err := newDevice(map[string]any{"/api/overview": body}).client(t, Options{}).Overview(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !c.check(o) {
				t.Errorf("%+v", o)
			}
			if got := strings.Join(o.Unreadable, " "); got != c.unread {
				t.Errorf("unreadable %q, want %q", got, c.unread)
			}
		})
	}
}

func TestUptimeLine(t *testing.T) {
	for line, want := range map[string]struct{ seconds, load Number }{
		"22:04:26 up 3 days,  1:02,  load average: 0.07, 0.06, 0.07":    {Known(3*86400 + 3720), Known(0.07)},
		" 22:04:26 up 1 day, 23:59,  load average: 1.50, 0.06, 0.07":    {Known(86400 + 23*3600 + 59*60), Known(1.5)},
		"00:10:01 up 10 min,  load average: 0.00, 0.01, 0.05":           {Known(600), Known(0)},
		"00:00:01 up 0 min,  load average: 0.90, 0.01, 0.05":            {Known(0), Known(0.9)},
		"01:02:03 up 2 days, 5 min,  2 users,  load average: 0.1, 0, 0": {Known(2*86400 + 300), Known(0.1)},
		"01:02:03 up  1:02,  0 users,  load average: 0.10, 0.01, 0.05":  {Known(3720), Known(0.1)},
		"01:02:03 up 45 sec,  load average: 0.10, 0.01, 0.05":           {Known(45), Known(0.1)},
		"01:02:03 up 1:02":                      {Known(3720), Number{}},
		"up 2 weeks, 3 days, 1 hour, 2 minutes": {Known(17*86400 + 3720), Number{}},
		"01:02:03 up 2 fortnights, 1:02":        {},
		"01:02:03 up x days, 1:02":              {},
		"01:02:03 up -1:02":                     {},
		"01:02:03 up 99999999999999999999 days": {},
		"01:02:03 up 200000 days, 1:02":         {},
		"up":                                    {},
		"":                                      {},
		"load average: 0.1":                     {},
	} {
		seconds, load := parseUptime(line)
		if seconds != want.seconds || load != want.load {
			t.Errorf("%q: %v, %v; want %v, %v", line, seconds, load, want.seconds, want.load)
		}
	}
}

func TestMAC(t *testing.T) {
	for in, want := range map[string]string{
		"a0:b0:45:00:ad:e5":     "a0:b0:45:00:ad:e5",
		"A0-B0-45-00-AD-E5":     "a0:b0:45:00:ad:e5",
		"a0b0.4500.ade5":        "a0:b0:45:00:ad:e5",
		"A0B04500ADE5\n":        "a0:b0:45:00:ad:e5",
		"a0: b0:45:21:5b: f0":   "a0:b0:45:21:5b:f0",
		"00:00:00:00:00:00":     "00:00:00:00:00:00",
		"":                      "",
		"a0:b0:45:00:ad":        "",
		"a0:b0:45:00:ad:e5:00":  "",
		"a0:b0:45:00:ad:eg":     "",
		"<b>a0:b0:45:00:ad:e5>": "",
	} {
		got, ok := ParseMAC(in)
		if got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", in, got, ok)
		}
	}
	for mac, want := range map[string]string{
		"a0:b0:45:00:ad:e5": "dragon-4500ade5",
		"A0 B0 45 00 E3 AB": "dragon-4500e3ab",
		"":                  "dragon-unknown",
	} {
		if got := WorkerName(mac); got != want {
			t.Errorf("%q: %q", mac, got)
		}
	}
	for mac, want := range map[string]bool{"a0:b0:45:00:ad:e5": true, "": false, "00:00:00:00:00:00": false, "ff:ff:ff:ff:ff:ff": false, "00:0a:35:00:00:00": false} {
		if UsableMAC(mac) != want {
			t.Errorf("%q usable: %v", mac, !want)
		}
	}
}

func TestModels(t *testing.T) {
	for model, want := range map[string]Model{
		"T1":    {Algorithm: "SHA-256", Factor: 1e6, Boards: 3, Hashrate: 16e12},
		"t1 ":   {Algorithm: "SHA-256", Factor: 1e6, Boards: 3, Hashrate: 16e12},
		"T2T":   {Algorithm: "SHA-256", Factor: 1e6, Boards: 3},
		"T2THF": {Algorithm: "SHA-256", Factor: 1e6},
		"T3+":   {Algorithm: "SHA-256", Factor: 1e6},
		"B29":   {Algorithm: "Blake256R14", Factor: 1e6, Hashrate: 2.1e12},
		"B29+":  {Algorithm: "Equihash", Factor: 1, Boards: 3, Hashrate: 50e3},
		"A5+":   {Algorithm: "X11", Factor: 1e6},
		"A6+":   {Algorithm: "Scrypt", Factor: 1e6},
		"A8":    {Algorithm: "CryptoNight", Factor: 1e3},
		"A8+":   {Algorithm: "CryptoNight", Factor: 1e3},
		"T4":    {Algorithm: "CryptoNight", Factor: 1e3},
		"A8P":   {Algorithm: "Ethash", Factor: 1, Boards: 4},
		"A8PM":  {Algorithm: "Ethash", Factor: 1, Boards: 4},
		"a8pmx": {Algorithm: "Ethash", Factor: 1, Boards: 4},
		"A9++":  {Algorithm: "Equihash", Factor: 1},
		"A10":   {Algorithm: "Ethash", Factor: 1},
		"A10S":  {Algorithm: "Ethash", Factor: 1, Boards: 4},
		"A10X":  {Algorithm: "Ethash", Factor: 1, Boards: 3},
		"A11MX": {Algorithm: "Ethash", Factor: 1, Boards: 4},
		"T99":   {Factor: 1e6},
		"":      {Factor: 1e6},
	} {
		got := ModelOf(model)
		got.Note = ""
		if got != want {
			t.Errorf("%q: %+v, want %+v", model, got, want)
		}
	}
}

// modelFaults are what is wrong with rows of the table of models, or missing in them.
func modelFaults(rows map[string]Model) (faults []string) {
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		m := rows[name]
		fault := func(bad bool, what string) {
			if bad {
				faults = append(faults, name+": "+what)
			}
		}
		fault(name != strings.ToUpper(name), "not in upper case, so ModelOf never finds it")
		fault(!slices.Contains([]string{"SHA-256", "CryptoNight", "Blake256R14", "Blake2b", "Scrypt", "X11", "Ethash", "Equihash"}, m.Algorithm),
			"no such algorithm here; for a new one add it to this list")
		fault(m.Factor != 1 && m.Factor != 1e3 && m.Factor != 1e6, "Factor is neither 1, 1e3 nor 1e6")
		fault(m.Boards < 0 || m.Boards > 8, "Boards is not 0 to 8")
		fault(m.Hashrate < 0 || m.Hashrate > 0 && m.Hashrate < 1e3, "Hashrate is not in hashes per second")
		fault(m.Note == "", "no Note: who makes it")
	}
	return faults
}

func TestEveryModelIsWhole(t *testing.T) {
	for _, fault := range modelFaults(models) {
		t.Error(fault)
	}
	bad := modelFaults(map[string]Model{"a12": {"Etchash", 0, 200, -5, ""}})
	if len(bad) != 6 {
		t.Errorf("an incomplete row has the faults %q", bad)
	}
}

func TestExpectedBoards(t *testing.T) {
	for name, c := range map[string]struct {
		shown, said int
		model       string
		want        BoardCount
	}{
		"nothing is known":                     {0, 0, "A6", BoardCount{}},
		"the model alone":                      {0, 0, "T1", BoardCount{3, BoardsOfModel}},
		"the operator knows better":            {0, 4, "T1", BoardCount{4, BoardsOfOperator}},
		"the dragon knows best":                {2, 4, "T1", BoardCount{2, BoardsLearned}},
		"and better than the model":            {6, 0, "T1", BoardCount{6, BoardsLearned}},
		"the operator has taken a board out":   {3, 2, "T1", BoardCount{2, BoardsOfOperator}},
		"the dragon has shown what it is said": {2, 2, "T1", BoardCount{2, BoardsLearned}},
	} {
		if got := ExpectedBoards(c.shown, c.said, c.model); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
