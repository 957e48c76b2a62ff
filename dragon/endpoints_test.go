package dragon

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var sameNumbers = cmp.AllowUnexported(Number{})

func TestPoolsAreRead(t *testing.T) {
	for body, want := range map[string][]PoolConfig{
		`{"success":true,"pools":[{"url":"stratum+tcp://a.b:1","user":"u","pass":"x","extra":{}},{"url":"tcp:\/\/c.d:2","user":"v","pass":7}]}`: {
			{"stratum+tcp://a.b:1", "u", "x"}, {"tcp://c.d:2", "v", "7"},
		},
		`{"success":true,"pools":{"1":{"url":"a","user":"u","pass":""}}}`: {{"a", "u", ""}},
		`{"success":true,"pools":[]}`:                                     nil,
		`{"success":"true","pools":[[],{"url":"a"}]}`:                     {{URL: "a"}},
	} {
		got, err := newDevice(map[string]any{"/api/pools": body}).client(t, Options{}).Pools(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", body, diff)
		}
	}
	for body, kind := range map[string]error{
		`{"success":false,"message":"missing configuration"}`: ErrRejected,
		`{"success":true,"pools":"none"}`:                     ErrBadResponse,
		`{"success":true}`:                                    ErrBadResponse,
	} {
		_, err := newDevice(map[string]any{"/api/pools": body}).client(t, Options{}).Pools(t.Context())
		wantKind(t, err, kind)
	}
}

func TestPoolsThatTheDeviceWouldAlterAreNotSent(t *testing.T) {
	good := PoolConfig{"stratum+tcp://pool.example.org:3333", "me.dragon-00112233", "x"}
	with := func(change func(*PoolConfig)) []PoolConfig {
		p := good
		change(&p)
		return []PoolConfig{good, p}
	}
	for name, pools := range map[string][]PoolConfig{
		"none":                    {},
		"four":                    {good, good, good, good},
		"no url":                  with(func(p *PoolConfig) { p.URL = "" }),
		"no user":                 with(func(p *PoolConfig) { p.User = "" }),
		"no password":             with(func(p *PoolConfig) { p.Password = "" }),
		"a user with a space":     with(func(p *PoolConfig) { p.User = "me " }),
		"a user out of ASCII":     with(func(p *PoolConfig) { p.User = "mü" }),
		"a password with newline": with(func(p *PoolConfig) { p.Password = "x\n" }),
		"no scheme":               with(func(p *PoolConfig) { p.URL = "pool.example.org:3333" }),
		"ssl":                     with(func(p *PoolConfig) { p.URL = "stratum+ssl://pool.example.org:3333" }),
		"stratum 2":               with(func(p *PoolConfig) { p.URL = "stratum2+tcp://pool.example.org:3333" }),
		"a name without a dot":    with(func(p *PoolConfig) { p.URL = "stratum+tcp://pool:3333" }),
		"IPv6":                    with(func(p *PoolConfig) { p.URL = "stratum+tcp://[::1]:3333" }),
		"port out of range":       with(func(p *PoolConfig) { p.URL = "stratum+tcp://pool.example.org:65536" }),
		"port zero":               with(func(p *PoolConfig) { p.URL = "stratum+tcp://pool.example.org:0" }),
		"a url with a space":      with(func(p *PoolConfig) { p.URL = "stratum+tcp://pool.example.org:3333 " }),
		"a second line":           with(func(p *PoolConfig) { p.URL = "stratum+tcp://pool.example.org:3333\nx" }),
	} {
		t.Run(name, func(t *testing.T) {
			d := newDevice(nil)
			_, err := d.client(t, Options{}).UpdatePools(t.Context(), pools)
			wantKind(t, err, ErrRejected)
			if len(d.asks()) > 0 {
				t.Errorf("asked %v", d.asks())
			}
		})
	}
	for _, u := range []string{"tcp://10.0.0.1:3333", "http://pool.example.org", "https://a.b.c/path?x=1", "STRATUM+TCP://pool.example.org:3333", "stratum+tcp://my_pool.example-x.org:1"} {
		if err := ValidatePools([]PoolConfig{{u, "u", "x"}}); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
}

func TestARefusedPoolDoesNotTellItsLogin(t *testing.T) {
	for u, want := range map[string]string{
		"stratum:/farm:s3cr3t@pool.example.org:3333":       `"<secret>@pool.example.org:3333"`,
		"stratum+ssl://farm:s3/cr@3t@pool.example.org:333": `"stratum+ssl://<secret>@pool.example.org:333"`,
		"stratum+ssl://pool.example.org:3333":              `"stratum+ssl://pool.example.org:3333"`,
	} {
		err := PoolConfig{u, "u", "x"}.Validate()
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "3t") {
			t.Errorf("%s: %v", u, err)
		}
	}
}

func TestARefusedImageDoesNotTellItsLogin(t *testing.T) {
	err := New("dragon", Options{}).UpgradeDownload(t.Context(), "ftp://farm:s3cr3t@images.example.org/t1.swu")
	wantKind(t, err, ErrRejected)
	if strings.Contains(err.Error(), "s3cr3t") || !strings.Contains(err.Error(), "images.example.org") {
		t.Error(err)
	}
}

func TestUpdatedPoolsAreReadBack(t *testing.T) {
	pools := []PoolConfig{{"tcp://a.b:1", "u", "x"}, {"tcp://c.d:2", "v", "y"}}
	both := `{"success":true,"pools":[{"url":"tcp://a.b:1","user":"u","pass":"x"},{"url":"tcp://c.d:2","user":"v","pass":"y"}]}`
	for name, c := range map[string]struct {
		answer, after      string
		want               bool
		locked             bool
		dropped, differing []int
	}{
		"in sync":        {ok, both, true, false, nil, nil},
		"nolock":         {`{"success":true,"message":"nolock"}`, both, true, false, nil, nil},
		"lock":           {`{"success":true,"message":"lock"}`, both, false, true, nil, nil},
		"one dropped":    {ok, `{"success":true,"pools":[{"url":"tcp://a.b:1","user":"u","pass":"x"}]}`, false, false, []int{1}, nil},
		"one altered":    {ok, strings.Replace(both, `"v"`, `"w"`, 1), false, false, nil, []int{1}},
		"another's, too": {ok, strings.Replace(both, `]}`, `,{"url":"tcp://e.f:3"}]}`, 1), false, false, nil, []int{2}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDevice(map[string]any{"/api/updatePools": c.answer, "/api/pools": c.after})
			u, err := d.client(t, Options{}).UpdatePools(t.Context(), pools)
			if err != nil {
				t.Fatal(err)
			}
			if u.InSync() != c.want || u.Locked != c.locked || !slices.Equal(u.Dropped, c.dropped) || !slices.Equal(u.Differing, c.differing) {
				t.Errorf("%+v", u)
			}
			want := url.Values{"Pool1": {"tcp://a.b:1"}, "UserName1": {"u"}, "Password1": {"x"}, "Pool2": {"tcp://c.d:2"}, "UserName2": {"v"}, "Password2": {"y"}}
			if diff := cmp.Diff(want, d.last("/api/updatePools").form); diff != "" {
				t.Error(diff)
			}
		})
	}

	d := newDevice(map[string]any{"/api/updatePools": ok, "/api/pools": "<html>"})
	_, err := d.client(t, Options{}).UpdatePools(t.Context(), pools)
	wantKind(t, err, ErrUnknownOutcome)
	d = newDevice(map[string]any{"/api/updatePools": `{"success":false,"message":"url error"}`})
	_, err = d.client(t, Options{}).UpdatePools(t.Context(), pools)
	wantKind(t, err, ErrRejected)
}

func TestAutoTuneInBothForms(t *testing.T) {
	for body, want := range map[string]AutoTune{
		`{"success":true,"autoTuneMode":"balanced"}`:                           {Mode: "balanced"},
		`{"success":true,"autoTuneMode":"off"}`:                                {Mode: "off"},
		`{"success":true,"autoTuneMode":{"mode":"factory","level":"2"}}`:       {"factory", Known(2)},
		`{"success":true,"autoTuneMode":{"mode":"factory","level":3}}`:         {"factory", Known(3)},
		`{"success":true,"autoTuneMode":"efficient","level":"4"}`:              {"efficient", Known(4)},
		`{"success":true,"autoTuneMode":{"mode":"factory","level":"highest"}}`: {Mode: "factory"},
		`{"success":true,"autoTuneMode":[]}`:                                   {},
	} {
		got, err := newDevice(map[string]any{"/api/getAutoTune": body}).client(t, Options{}).AutoTune(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if *got != want {
			t.Errorf("%s: %+v, want %+v", body, *got, want)
		}
	}
	s, err := newDevice(map[string]any{"/api/getAutoTuneStatus": `{"success":true,"isRunning":false,"isTuning":true,"mode":"efficient","level":"2"}`}).client(t, Options{}).AutoTuneStatus(t.Context())
	if err != nil || *s != (AutoTuneStatus{Known(0), Known(1), "efficient", Known(2)}) {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestSetAutoTune(t *testing.T) {
	for name, c := range map[string]struct {
		set  AutoTune
		sent url.Values // nil: refused
	}{
		"mode":            {AutoTune{Mode: "efficient"}, url.Values{"autotune": {"efficient"}}},
		"mode and level":  {AutoTune{"performance", Known(0)}, url.Values{"autotune": {"performance"}, "level": {"0"}}},
		"unknown mode":    {AutoTune{Mode: "turbo"}, nil},
		"no mode":         {AutoTune{}, nil},
		"level too high":  {AutoTune{"balanced", Known(5)}, nil},
		"level below":     {AutoTune{"balanced", Known(-1)}, nil},
		"broken level":    {AutoTune{"balanced", Known(1.5)}, nil},
		"mode with space": {AutoTune{Mode: "efficient "}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDevice(map[string]any{"/api/setAutoTune": ok})
			err := d.client(t, Options{}).SetAutoTune(t.Context(), c.set)
			if c.sent == nil {
				wantKind(t, err, ErrRejected)
				if len(d.asks()) > 0 {
					t.Errorf("asked %v", d.asks())
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.sent, d.last("/api/setAutoTune").form); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNetworkIsReadAndSet(t *testing.T) {
	d := newDevice(map[string]any{"/api/network": `{"dhcp":"static","ipaddress":"192.0.2.9","netmask":"255.255.255.0","gateway":"192.0.2.1","dns1":"192.0.2.1","dns2":"192.0.2.2","success":true}`, "/api/updateNetwork": ok})
	c := d.client(t, Options{})
	n, err := c.Network(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&Network{false, "192.0.2.9", "255.255.255.0", "192.0.2.1", []string{"192.0.2.1", "192.0.2.2"}}, n); diff != "" {
		t.Error(diff)
	}
	n.DNS = n.DNS[:1]
	if err := c.UpdateNetwork(t.Context(), *n); err != nil {
		t.Fatal(err)
	}
	want := url.Values{"dhcp": {"static"}, "ipaddress": {"192.0.2.9"}, "netmask": {"255.255.255.0"}, "gateway": {"192.0.2.1"}, "dns[]": {"192.0.2.1", "192.0.2.1"}}
	if diff := cmp.Diff(want, d.last("/api/updateNetwork").form); diff != "" {
		t.Error(diff)
	}
	if err := c.UpdateNetwork(t.Context(), Network{DHCP: true, IPAddress: "nonsense"}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(url.Values{"dhcp": {"dhcp"}}, d.last("/api/updateNetwork").form); diff != "" {
		t.Error(diff)
	}
	for name, change := range map[string]func(*Network){
		"no address":              func(n *Network) { n.IPAddress = "" },
		"IPv6":                    func(n *Network) { n.IPAddress = "2001:db8::1" },
		"a mask with a hole":      func(n *Network) { n.Netmask = "255.0.255.0" },
		"a mask of one host":      func(n *Network) { n.Netmask = "255.255.255.255" },
		"no mask":                 func(n *Network) { n.Netmask = "0.0.0.0" },
		"a gateway elsewhere":     func(n *Network) { n.Gateway = "192.0.3.1" },
		"itself as gateway":       func(n *Network) { n.Gateway = n.IPAddress },
		"the network's address":   func(n *Network) { n.IPAddress = "192.0.2.0" },
		"the broadcast address":   func(n *Network) { n.IPAddress = "192.0.2.255" },
		"no resolver":             func(n *Network) { n.DNS = nil },
		"three resolvers":         func(n *Network) { n.DNS = []string{"192.0.2.1", "192.0.2.1", "192.0.2.1"} },
		"a resolver by its name":  func(n *Network) { n.DNS = []string{"dns.example.org"} },
		"an address with a space": func(n *Network) { n.IPAddress += " " },
	} {
		t.Run(name, func(t *testing.T) {
			bad := *n
			change(&bad)
			asked := len(d.asks())
			wantKind(t, c.UpdateNetwork(t.Context(), bad), ErrRejected)
			if len(d.asks()) != asked {
				t.Error("it was sent")
			}
		})
	}
}

func TestPasswordIsChangedForTheNextLoginToo(t *testing.T) {
	d := newDevice(map[string]any{"/api/updatePassword": ok, "/api/overview": []string{expired, overviewT1}})
	c := d.client(t, Options{})
	if err := c.UpdatePassword(t.Context(), "admin", "dragonadmin", "n3w-password"); err != nil {
		t.Fatal(err)
	}
	want := url.Values{"user": {"admin"}, "currentPassword": {"dragonadmin"}, "newPassword": {"n3w-password"}}
	if diff := cmp.Diff(want, d.last("/api/updatePassword").form); diff != "" {
		t.Error(diff)
	}
	if _, err := c.Overview(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := d.last("/api/auth").form.Get("password"); got != "n3w-password" {
		t.Errorf("logged in with %q", got)
	}
	wantKind(t, c.UpdatePassword(t.Context(), "admin", "x", ""), ErrRejected)

	d = newDevice(map[string]any{"/api/updatePassword": `{"success":false,"message":"wrong current password n3w-password"}`})
	err := d.client(t, Options{}).UpdatePassword(t.Context(), "admin", "0ld-password", "n3w-password")
	wantKind(t, err, ErrRejected)
	if strings.Contains(err.Error(), "n3w") || strings.Contains(err.Error(), "0ld") {
		t.Errorf("%v", err)
	}
}

func TestPlainCommands(t *testing.T) {
	for path, do := range map[string]func(*Client) error{
		"/api/reboot":         func(c *Client) error { return c.Reboot(t.Context()) },
		"/api/poweroff":       func(c *Client) error { return c.PowerOff(t.Context()) },
		"/api/factoryReset":   func(c *Client) error { return c.FactoryReset(t.Context()) },
		"/api/restartCgMiner": func(c *Client) error { return c.RestartCgMiner(t.Context()) },
		"/api/ping":           func(c *Client) error { return c.Ping(t.Context()) },
		"/api/SetMonitor":     func(c *Client) error { return c.Locate(t.Context(), true) },
	} {
		d := newDevice(map[string]any{path: `{"success": "true"}`})
		if err := do(d.client(t, Options{})); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if d.count(path) != 1 || len(d.asks()) != 3 {
			t.Errorf("%s: asked %v", path, d.asks())
		}
		err := do(newDevice(map[string]any{path: `{"success":false,"message":"no"}`}).client(t, Options{}))
		wantKind(t, err, ErrRejected)
	}
	d := newDevice(map[string]any{"/api/SetMonitor": ok})
	c := d.client(t, Options{})
	for on, want := range map[bool]string{true: "on", false: "off"} {
		if err := c.Locate(t.Context(), on); err != nil || d.last("/api/SetMonitor").form.Get("red_light") != want {
			t.Errorf("%v: %v", d.last("/api/SetMonitor").form, err)
		}
	}
}

func TestLatestFirmware(t *testing.T) {
	body := `{"success":true,"version":"t1_20180601_010203","versionDate":"1st of June 2018 01:02 AM","url":"https:\/\/firmware.example.org\/t1.swu","info":"important","currentVersion":"t1_20180515_060842","currentVersionDate":"15th of May 2018 06:08 AM","isUpdated":false}`
	f, err := newDevice(map[string]any{"/api/getLatestFirmwareVersion": body}).client(t, Options{}).LatestFirmware(t.Context())
	want := &LatestFirmware{"t1_20180601_010203", "1st of June 2018 01:02 AM", "https://firmware.example.org/t1.swu", "important", "t1_20180515_060842", "15th of May 2018 06:08 AM", Known(0)}
	if err != nil || *f != *want {
		t.Errorf("%+v, %v", f, err)
	}
	_, err = newDevice(map[string]any{"/api/getLatestFirmwareVersion": `{"success":false,"message":"can't fetch firmware versions"}`}).client(t, Options{}).LatestFirmware(t.Context())
	wantKind(t, err, ErrRejected)
}

const debugT1 = `{"success":true,"boards":[` +
	`{"board":{"STATS":0,"ID":"DT10","Elapsed":120,"Chain ID":1,"Num chips":63,"Num cores":2000,"Num active chips":62,"Chain skew":-3,"Temp max":80,"Temp min":60,"Temp":70,"Fan duty":55,"iVid":12,"PLL":1332,"Voltage Max":440,"Voltage Min":430,"Voltage Avg":435.5,"VidOptimal":true,"pllOptimal":false,"Chain num":3,"MHS av":5000000,"Disabled":false,"Throttled":2,"Enabled chips":"fffe"},"chips":{"1":{"HW errors":7,"Stales":1,"Duplicates":0,"Nonces found":100,"Nonce ranges":4,"Cooldown":0,"Fail count":0,"Fail reset":0,"Temp":9999,"nVol":433},"2":"dead"}},` +
	`{"board":[],"chips":[]}],"hashes":[]}`

func TestDebugStats(t *testing.T) {
	d, err := newDevice(map[string]any{"/api/getDebugStats": debugT1}).client(t, Options{}).DebugStats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := d.Boards[0]
	if len(d.Boards) != 2 || b.ID != "DT10" || b.ActiveChips != Known(62) || b.ChainSkew != Known(-3) || b.FanDuty != Known(0.55) ||
		b.VidOptimal != Known(1) || b.PLLOptimal != Known(0) || b.Hashrate != Known(5e12) || b.Disabled != Known(0) || b.Throttled != Known(2) || b.EnabledChips != "fffe" {
		t.Errorf("%+v", b)
	}
	if diff := cmp.Diff([]Chip{{Index: 1, HardwareErrors: Known(7), Stales: Known(1), Duplicates: Known(0), NoncesFound: Known(100), NonceRanges: Known(4), Cooldown: Known(0), FailCount: Known(0), FailReset: Known(0), Voltage: Known(433)}}, b.Details, sameNumbers); diff != "" {
		t.Error(diff)
	}
	if d.Boards[0].Slot != 0 || d.Boards[1].Slot != 1 { // one board does not say its chain
		t.Errorf("slots %d, %d", d.Boards[0].Slot, d.Boards[1].Slot)
	}
	if diff := cmp.Diff([]string{"boards.chips.Temp", "boards.chips", "boards.board.Chain ID"}, d.Unreadable); diff != "" {
		t.Error(diff)
	}
	d, err = newDevice(map[string]any{"/api/getDebugStats": `{"success":true,"boards":[],"hashes":{"firmware":"a","backend":"b","cgminer":"c"}}`}).client(t, Options{}).DebugStats(t.Context())
	if err != nil || len(d.Boards) != 0 || d.Hashes != (BuildHashes{"a", "b", "c"}) {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestHashRates(t *testing.T) {
	const asicMiner = `{"success":true,"jwt":"h.eyJpc3MiOiJBc2ljTWluZXIifQ.s"}`
	for name, c := range map[string]struct {
		login, body string
		slots       []int
		first       Number
	}{
		"DragonMint in MH/s":  {loginOK, `{"success":true,"stats":[[5000000,1],[2]],"times":[1530000000,1530000120]}`, []int{0, 1}, Known(5e12)},
		"Innosilicon in H/s":  {asicMiner, `{"success":true,"stats":[["5000000",1],[2]],"times":[1530000000]}`, []int{0, 1}, Known(5e6)},
		"a list with a hole":  {loginOK, `{"success":true,"stats":{"2":[1],"5":[]},"times":[]}`, []int{2, 5}, Known(1e6)},
		"the same slot twice": {loginOK, `{"success":true,"stats":{"2":[1],"x":[3],"1":[9]},"times":[]}`, []int{2, 1}, Known(1e6)},
		"senseless figures":   {loginOK, `{"success":true,"stats":[["x"],{}],"times":[-5]}`, []int{0, 1}, Number{}},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := newDevice(map[string]any{"/api/auth": c.login, "/api/getHashRates": c.body}).client(t, Options{}).HashRates(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var slots []int
			for _, b := range h.Boards {
				slots = append(slots, b.Slot)
			}
			if !slices.Equal(slots, c.slots) || h.Boards[0].Hashrates[0] != c.first {
				t.Errorf("%+v", h)
			}
		})
	}
	_, err := newDevice(map[string]any{"/api/getHashRates": `{"success":false,"message":"No data to show"}`}).client(t, Options{}).HashRates(t.Context())
	wantKind(t, err, ErrNotReady)
}

func TestErrorReports(t *testing.T) {
	for body, want := range map[string]ErrorReport{
		`{"success":true,"code":"0","errmsg":""}`: {},
		``:   {},
		"\n": {},
		`{"success":true,"code":"32","errmsg":"over temp"}`:         {Code: "32", Message: "over temp"},
		`{"success":true,"code":32}`:                                {Code: "32"},
		`{"success":true,"code":"21,24","errmsg":"both"}`:           {Code: "21,24", Message: "both"},
		`{"success":true,"code":" 21; 24|0/21 "}`:                   {Code: "21,24"},
		`{"success":true,"code":[21,"24",0]}`:                       {Code: "21,24"},
		`{"success":true,"code":{"1":21,"3":"32 33"}}`:              {Code: "21,32,33"},
		`{"success":true,"code":[]}`:                                {},
		`{"success":true,"code":[21,{"code":24}]}`:                  {Code: "21", Unreadable: []string{"code"}},
		`{"success":true,"code":true}`:                              {Unreadable: []string{"code"}},
		`{"success":true,"errmsg":"something"}`:                     {Message: "something", Unreadable: []string{"code"}},
		`{"success":true,"code":"` + strings.Repeat("7", 99) + `"}`: {Unreadable: []string{"code"}},
	} {
		got, err := newDevice(map[string]any{"/api/getErrorMessage": body}).client(t, Options{}).ErrorMessage(t.Context())
		if err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		if diff := cmp.Diff(want, *got); diff != "" {
			t.Errorf("%q: %s", body, diff)
		}
	}
	for body, want := range map[string]ErrorReport{
		`{"success":true,"code":"21","detail":{"msg":"m","description":"d","analysis":"a"}}`: {Code: "21", Message: "m", Description: "d", Analysis: "a"},
		`{"success":true,"code":"0","detail":""}`:                                            {},
		`{"success":true,"code":"0","detail":[]}`:                                            {},
		`{"success":true,"code":["21","24"],"detail":[{"msg":"m"},{"msg":"n"}]}`:             {Code: "21,24", Unreadable: []string{"detail"}},
	} {
		got, err := newDevice(map[string]any{"/api/getErrorDetail": body}).client(t, Options{}).ErrorDetail(t.Context())
		if err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		if diff := cmp.Diff(want, *got); diff != "" {
			t.Errorf("%q: %s", body, diff)
		}
	}
	for code, want := range map[string]string{"32": "too hot", "032": "too hot", "29": ErrorText("22"), "999": "", "": "", "0": "", "32,999,30": "too hot; no connection to a pool"} {
		if got := ErrorText(code); got != want {
			t.Errorf("%q: %q", code, got)
		}
	}
}

func TestAll(t *testing.T) {
	body := `{"success":true,"all":{"type":"t2t","mac":"A0:B0:45:11:22:33","hwver":"soc","platform":"t2t_x_20190102_030405","uptime":"01:02:03 up 10 min,  load average: 0.1, 0, 0","dna":"d","fansSpeed":80,"power":2100,` +
		`"total_hash":{"Hash Rate":25.1,"Unit":"TH/s","Hash Rate H":25100000000000},"network":{"dhcp":"dhcp","ipaddress":"127.0.0.9"},"running_mode":{"mode":"factory","level":"2"},` +
		`"chain":[{"ASC":2,"Average Temp":70,"Temp max":80,"Hash Rate":8.4,"Unit":"TH/s","Hash Rate H":8400000000000},{"ASC":4,"Average Temp":71,"Hash Rate":8,"Unit":"TH/s"}],` +
		`"pools":[[],{"url":"a","user":"u","password":"p"}]}}`
	all, err := newDevice(map[string]any{"/api/getAll": body}).client(t, Options{}).All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all.Answer = Answer{}
	want := &All{
		Model: "T2T", MAC: "a0:b0:45:11:22:33", HWVersion: "soc", Firmware: "t2t_x_20190102_030405", DNA: "d",
		Network: Network{DHCP: true, IPAddress: "127.0.0.9"}, AutoTune: AutoTune{"factory", Known(2)},
		Boards: []AllBoard{
			{Slot: 2, Hashrate: Known(8.4e12), Temperature: Known(70), TemperatureMax: Known(80)},
			{Slot: 4, Hashrate: Known(8e12), Temperature: Known(71)},
		},
		Pools: []PoolConfig{{"a", "u", "p"}}, Hashrate: Known(25.1e12), FanDuty: Known(0.8), Power: Known(2100), Uptime: Known(600),
	}
	if diff := cmp.Diff(want, all, sameNumbers); diff != "" {
		t.Error(diff)
	}
}

func TestSmallAnswers(t *testing.T) {
	c := newDevice(map[string]any{
		"/api/unit": `{"success":true,"unit":"Sol/s"}`, "/api/stats": `{"success":true,"STATS":[{"STATS":0}]}`,
		"/api/getRuntimePools": `{"success":true,"POOLS":[{"POOL":3,"URL":"tcp://a.b:1","User":"u","Status":"Alive","Stratum Active":true,"Accepted":1,"Rejected":0}]}`,
	}).client(t, Options{})
	if unit, err := c.Unit(t.Context()); err != nil || unit != "Sol/s" {
		t.Errorf("%q, %v", unit, err)
	}
	if model, err := c.Type(t.Context()); err != nil || model != "T1" {
		t.Errorf("%q, %v", model, err)
	}
	if stats, err := c.Stats(t.Context()); err != nil || !strings.Contains(string(stats.Raw), "STATS") {
		t.Errorf("%v, %v", stats, err)
	}
	pools, err := c.RuntimePools(t.Context())
	if err != nil || len(pools.Pools) != 1 || pools.Pools[0].Index != 3 || pools.Pools[0].Active != Known(1) || len(pools.Unreadable) > 0 {
		t.Errorf("%+v, %v", pools, err)
	}
}

func TestFetchReadsEveryEndpoint(t *testing.T) {
	d := newDevice(map[string]any{"/": titled, "/api/summary": `{"success":false}`, "/api/getErrorMessage": "", "/api/network": []string{expired, ok}})
	c := d.client(t, Options{})
	for _, want := range [][2]string{{"index", titled}, {"summary", `{"success":false}`}, {"getErrorMessage", ""}, {"network", ok}, {"unit", invalid}, {"overview", overviewT1}} {
		a, err := c.Fetch(t.Context(), want[0])
		if err != nil || string(a.Body) != want[1] || a.Status != 200 {
			t.Errorf("%s: %+v, %v", want[0], a, err)
		}
	}
	for _, name := range []string{"reboot", "setLock", "../upgrade", ""} {
		asked := len(d.asks())
		_, err := c.Fetch(t.Context(), name)
		wantKind(t, err, ErrRejected)
		if len(d.asks()) != asked {
			t.Errorf("%s was asked", name)
		}
	}
}

// PHP writes a list that lost an element as an object, whose keys are the numbers of those that
// are left. A chip keeps its number while another one is not listed.
func TestAChipKeepsItsNumber(t *testing.T) {
	for chips, want := range map[string][]int{
		`[{"Temp":60},{"Temp":61}]`:                    {0, 1},
		`{"0":{"Temp":60},"2":{"Temp":62}}`:            {0, 2},
		`{"10":{"Temp":60},"2":{"Temp":62}}`:           {10, 2},
		`{"0":{"Temp":60},"0":{"Temp":61}}`:            {0, 1}, // it repeats itself
		`{"x":{"Temp":60},"-1":{"Temp":61}}`:           {0, 1},
		`{"0":{"Temp":60},"1000000000":{"Temp":61}}`:   {0, 1},
		`{"0":{"Temp":60},"1":"dead","2":{"Temp":62}}`: {0, 2},
	} {
		body := `{"success":true,"boards":[{"board":{"Chain ID":0},"chips":` + chips + `}]}`
		d, err := newDevice(map[string]any{"/api/getDebugStats": body}).client(t, Options{}).DebugStats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		for _, c := range d.Boards[0].Details {
			got = append(got, c.Index)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: chips %v, want %v", chips, got, want)
		}
	}
}
