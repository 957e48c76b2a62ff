package dragon

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// parse reads a summary without a client, with the factor of a model.
func parse(t *testing.T, body string, factor float64) *Summary {
	t.Helper()
	var s reported
	r, err := readAnswer([]byte(body), &summaryFields, &s)
	if err != nil {
		t.Fatal(err)
	}
	s.Unreadable = r.unreadable
	return s.inBaseUnits(factor)
}

// board is a DEVS element with the required fields and more.
func board(asc int, more string) string {
	if more != "" {
		more = "," + more
	}
	return fmt.Sprintf(`{"ASC":%d,"Status":"Alive","Temperature":70,"MHS av":1,"Accepted":1,"Rejected":0,"Hardware Errors":0,"Device Elapsed":6000%s}`, asc, more)
}

func summaryOf(boards ...string) string {
	return `{"success":true,"DEVS":[` + strings.Join(boards, ",") + `],"POOLS":[]}`
}

func TestASummaryKeepsNothingOfTheNextOne(t *testing.T) {
	body := summaryT1
	c := summaryClient(&body)
	first, err := c.Summary(t.Context())
	if err != nil || string(first.Raw) != body {
		t.Fatalf("%v: %s", err, first.Raw)
	}
	body = summaryOf(board(7, `"Name":"other"`)) // fewer boards, and without a pool
	second, err := c.LeanSummary(t.Context())
	if err != nil || second.Raw != nil || len(second.Boards) != 1 || second.Boards[0].Slot != 7 || second.Pools != nil || second.FanDuty.IsKnown() {
		t.Errorf("%v: %+v", err, second)
	}
	body = `{"success":true}`
	if third, err := c.LeanSummary(t.Context()); err == nil {
		t.Errorf("an answer without boards gives those of another one: %+v", third)
	}
	want := parse(t, summaryT1, 1e6)
	want.Answer = first.Answer
	if diff := cmp.Diff(want, first, cmp.AllowUnexported(Number{})); diff != "" || string(first.Raw) != summaryT1 {
		t.Error(diff, string(first.Raw))
	}
}

func TestSummaryInBaseUnits(t *testing.T) {
	s := parse(t, summaryT1, 1e6)
	if len(s.Unreadable) > 0 {
		t.Errorf("unreadable %v", s.Unreadable)
	}
	b := s.Boards[1]
	want := Board{
		Slot: 1, ID: 1, Name: "DT1", Enabled: true, Status: "Alive", Temperature: Known(69.5),
		Hashrate5s: Known(5170000.5e6), Hashrate1m: Known(5180111.25e6), Hashrate5m: Known(5190000e6), Hashrate15m: Known(5185000.75e6),
		HashrateAvg: Known(5190000e6), Hashrate: Known(5185000.75e6), Hashes: Known(31140000000e6),
		Accepted: Known(390), Rejected: Known(0), HardwareErrors: Known(64),
		DifficultyAccepted: Known(6389760), DifficultyRejected: Known(0), Diff1Work: Known(7250000), LastShareDifficulty: Known(16384),
		LastSharePool: Known(0), LastShareTime: Known(1530000090), LastValidWork: Known(1530000111), Elapsed: Known(6000),
	}
	if diff := cmp.Diff(want, b, cmp.AllowUnexported(Number{})); diff != "" {
		t.Error(diff)
	}
	if dead := s.Boards[2]; dead.Alive() || dead.LastSharePool.IsKnown() || dead.LastShareTime.IsKnown() {
		t.Errorf("%+v", dead)
	}
	if s.FanDuty != Known(0.59) || s.Tuning != Known(0) || s.Elapsed() != Known(6000) || s.Hashrate.IsKnown() {
		t.Errorf("fan %v, tuning %v, elapsed %v, total %v", s.FanDuty, s.Tuning, s.Elapsed(), s.Hashrate)
	}
	p := s.Pools[0]
	if p.URL != "stratum+tcp://pool.example.org:3333" || p.User != "someone.dragon-00112233" || p.Stale != Known(1) || p.Active != Known(1) ||
		p.DifficultyStale != Known(16384) || p.GetFailures != Known(2) || p.BadWork != Known(17) || p.BlockHeight != Known(529000) {
		t.Errorf("%+v", p)
	}
	if s.Pools[1].Active != Known(0) || s.Pools[1].Alive() || s.Pools[1].BlockHeight.IsKnown() {
		t.Errorf("%+v", s.Pools[1])
	}
}

func TestUnitsOfHashRates(t *testing.T) {
	const windows = `"MHS 5s":50,"MHS 1m":60,"MHS 5m":70,"MHS 15m":80,"Total MH":1000`
	for name, c := range map[string]struct {
		board              string
		factor             float64 // of the model
		fifteen, now, done Number
	}{
		"DragonMint: Hash Rate is MHS":       {windows + `,"Hash Rate":80`, 1e6, Known(80e6), Known(80e6), Known(1000e6)},
		"the model says kH/s":                {windows + `,"Hash Rate":80`, 1e3, Known(80e3), Known(80e3), Known(1000e3)},
		"Hash Rate H is in MH/s's unit":      {windows + `,"Hash Rate":80,"Unit":"MH/s","Hash Rate H":80000000`, 1, Known(80e6), Known(80e6), Known(1000e6)},
		"Hash Rate H wins over the model":    {windows + `,"Hash Rate":80.1,"Unit":"H/s","Hash Rate H":80.1`, 1e6, Known(80), Known(80.1), Known(1000)},
		"kH/s, with a rounded figure":        {windows + `,"Hash Rate":80.4,"Unit":"KH/s","Hash Rate H":80400`, 1e6, Known(80e3), Known(80400), Known(1000e3)},
		"a unit without Hash Rate H":         {windows + `,"Hash Rate":80,"Unit":"KSol/s"`, 1e6, Known(80e3), Known(80e3), Known(1000e3)},
		"the age selects the 5m":             {`"Device Elapsed":1000,` + windows + `,"Hash Rate H":70000`, 1e6, Known(80e3), Known(70e3), Known(1000e3)},
		"the age selects the 1m":             {`"Device Elapsed":300,"MHS 1m":1,"MHS 15m":900,"Hash Rate H":1`, 1e6, Known(900), Known(1), Number{}},
		"the age selects the 5s":             {`"Device Elapsed":299,"MHS 5s":1,"MHS 1m":900,"MHS 15m":900,"Hash Rate H":1`, 1e6, Known(900), Known(1), Number{}},
		"without 15m the average is shown":   {`"MHS av":7,"Hash Rate H":7000`, 1e6, Number{}, Known(7000), Number{}},
		"without 15m alone, too":             {`"MHS av":7,"MHS 5m":7000,"Total MH":3,"Hash Rate H":7000`, 1e6, Number{}, Known(7000), Known(3e3)},
		"without 5m alone, too":              {`"MHS av":7,"MHS 15m":7000,"Hash Rate H":7000`, 1e6, Known(7000e3), Known(7000), Number{}},
		"an unknown unit":                    {windows + `,"Hash Rate":80,"Unit":"bananas"`, 1e3, Known(80e3), Number{}, Known(1000e3)},
		"zero says nothing about the factor": {`"MHS 15m":0,"Hash Rate H":0,"Total MH":3`, 1e3, Known(0), Known(0), Known(3e3)},
	} {
		t.Run(name, func(t *testing.T) {
			s := parse(t, summaryOf(board(0, c.board)), c.factor)
			b := s.Boards[0]
			if b.Hashrate15m != c.fifteen || b.Hashrate != c.now || b.Hashes != c.done {
				t.Errorf("15m %v, now %v, hashes %v; want %v, %v, %v", b.Hashrate15m, b.Hashrate, b.Hashes, c.fifteen, c.now, c.done)
			}
		})
	}
}

func TestDeadBoardTakesTheFactorOfItsNeighbours(t *testing.T) {
	s := parse(t, summaryOf(
		board(0, `"MHS 5m":0,"MHS 15m":0,"Total MH":5,"Hash Rate H":0`),
		board(1, `"MHS 5m":2,"MHS 15m":2,"Hash Rate H":2000`),
	), 1e6)
	if s.Boards[0].Hashes != Known(5000) {
		t.Errorf("%v", s.Boards[0].Hashes)
	}
}

// Some firmware gives the total with its unit, and the boards without.
func TestTheTotalTellsTheUnitOfTheBoards(t *testing.T) {
	boards := board(0, `"MHS 5m":470,"MHS 15m":470,"Hash Rate":470`) + "," + board(1, `"MHS 5m":0,"MHS 15m":0,"Hash Rate":0`)
	for unit, want := range map[string]float64{"0.47,\"Unit\":\"GH/s\"": 470e6, "470,\"Unit\":\"KH/s\"": 470e3, "470,\"Unit\":\"Sol/s\"": 470} {
		body := `{"success":true,"DEVS":[` + boards + `],"TotalHash":{"Hash Rate":` + unit + `}}`
		d := newDevice(map[string]any{"/api/summary": body})
		s, err := d.client(t, Options{}).Summary(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Boards[0].Hashrate15m; got != Known(want) {
			t.Errorf("%s: %v, want %v", unit, got, want)
		}
		if d.count("/api/type") != 0 {
			t.Errorf("%s: the model was asked for", unit)
		}
	}
}

// An A8P is of the A11 family, whose figures are plain H/s, and no CryptoNight miner.
func TestUnitsOfAnA8P(t *testing.T) {
	boards := make([]string, 4)
	for i := range boards {
		boards[i] = board(i, `"MHS 5m":470000000,"MHS 15m":470000000,"MHS av":470000000,"Total MH":4230000000000,"Hash Rate":470000000`)
	}
	for model, body := range map[string]string{
		"A8P":   `{"success":true,"DEVS":[` + strings.Join(boards, ",") + `],"POOLS":[]}`,
		"A8PMX": `{"success":true,"DEVS":[` + strings.ReplaceAll(strings.Join(boards, ","), `"Hash Rate":470000000`, `"Hash Rate":470.0,"Unit":"MH/s","Hash Rate H":470000000.0,"Tune hash":390000000.0`) + `],"POOLS":[],"TotalHash":{"Hash Rate":1.88,"Unit":"GH/s"}}`,
	} {
		s, err := newDevice(map[string]any{"/api/summary": body, "/api/type": `{"success":true,"type":"` + model + `"}`}).client(t, Options{}).Summary(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range s.Boards {
			if b.Hashrate15m != Known(470e6) || b.Hashrate != Known(470e6) || b.Hashes != Known(4.23e12) {
				t.Errorf("%s: %v, %v, %v hashes", model, b.Hashrate15m, b.Hashrate, b.Hashes)
			}
		}
		if got := ExpectedBoards(0, 0, model); got != (BoardCount{4, BoardsOfModel}) {
			t.Errorf("%s: %+v", model, got)
		}
	}
}

// The backend shows MHS av at any age where a driver has no longer windows, as sgminer's.
func TestUnitsOfADriverWithoutWindows(t *testing.T) {
	for _, more := range []string{`"MHS 5s":0`, `"MHS 1m":0`, ``} {
		fresh := fmt.Sprintf(`{"ASC":0,"Status":"Alive","MHS av":250000,"Device Elapsed":100,"Hash Rate":250,"Unit":"KH/s","Hash Rate H":250000%s}`,
			strings.TrimSuffix(","+more, ","))
		s := parse(t, summaryOf(fresh), 1e6)
		if got := s.Boards[0].HashrateAvg; got != Known(250000) {
			t.Errorf("%s: %v, want 250,000 H/s", more, got)
		}
	}
}

// The UI shows DUTY, where a chain has it, for the fans: such drivers have none in their stats.
func TestFansOfChains(t *testing.T) {
	for name, c := range map[string]struct {
		hardware, duties string
		want             Number
	}{
		"none of the miner's": {`"HARDWARE":{"Fan duty":0}`, `"DUTY":0 "DUTY":70 "DUTY":65`, Known(0.7)},
		"no hardware":         {`"HARDWARE":[]`, `"DUTY":"55"`, Known(0.55)},
		"both":                {`"HARDWARE":{"Fan duty":40}`, `"DUTY":70`, Known(0.4)},
		"all stand":           {`"HARDWARE":{"Fan duty":0}`, `"DUTY":0`, Known(0)},
		"only the chains'":    {`"tuning":false`, `"DUTY":0`, Known(0)},
		"none":                {`"HARDWARE":{"Fan duty":0}`, `"x":1`, Known(0)},
		"unknown":             {`"HARDWARE":[]`, `"x":1`, Number{}},
	} {
		t.Run(name, func(t *testing.T) {
			var boards []string
			for i, duty := range strings.Fields(c.duties) {
				boards = append(boards, board(i, duty))
			}
			s := parse(t, strings.TrimSuffix(summaryOf(boards...), "}")+","+c.hardware+"}", 1e6)
			if s.FanDuty != c.want {
				t.Errorf("%v, want %v", s.FanDuty, c.want)
			}
		})
	}
}

func TestTotalHash(t *testing.T) {
	for body, c := range map[string]struct {
		want    Number
		unknown bool // its unit
	}{
		`{"Hash Rate":14.9,"Unit":"TH/s"}`: {Known(14.9e12), false},
		`{"Hash Rate":50,"Unit":"KSol/s"}`: {Known(50e3), false},
		`{"Hash Rate":50,"Unit":"?"}`:      {Number{}, true},
		`[]`:                               {Number{}, true},
	} {
		s := parse(t, `{"success":true,"DEVS":[],"TotalHash":`+body+`}`, 1e6)
		if s.Hashrate != c.want || slices.Contains(s.Unreadable, "TotalHash.Unit") != c.unknown {
			t.Errorf("%s: %v, unreadable %v; want %v, %v", body, s.Hashrate, s.Unreadable, c.want, c.unknown)
		}
	}
}

func TestTheShortestHashRateMayBeOfAnyInterval(t *testing.T) {
	for key, want := range map[string]Number{
		"MHS 5s": Known(7), "MHS 0s": Known(7), "MHS 9s": Known(7), "MHS 190s": Known(7),
		"MHS s": {}, "MHS 5": {}, "MHS 9m": {}, "MHS :s": {}, "MHS /s": {}, "MHS 1.s": {}, "KHS 5s": {},
	} {
		s := parse(t, summaryOf(board(0, fmt.Sprintf("%q:7", key))), 1)
		if got := s.Boards[0].Hashrate5s; got != want {
			t.Errorf("%s: %v, want %v", key, got, want)
		}
	}
}

func TestImpossibleValuesAreUnknownAndCounted(t *testing.T) {
	for name, c := range map[string]struct {
		field string // of a board
		get   func(*Board) Number
		want  Number
		named string
	}{
		"temperature before the first reading": {`"Temperature":9999`, temperature, Number{}, "DEVS.Temperature"},
		"temperature of a broken sensor":       {`"Temperature":-83.3`, temperature, Number{}, "DEVS.Temperature"},
		"temperature at the end of sense":      {`"Temperature":200`, temperature, Known(200), ""},
		"cold":                                 {`"Temperature":-40`, temperature, Known(-40), ""},
		"zero may be a missing sensor":         {`"Temperature":0`, temperature, Known(0), ""},
		"number as text":                       {`"Temperature":"71.5"`, temperature, Known(71.5), ""},
		"number as text with spaces":           {`"Temperature":" 71 "`, temperature, Known(71), ""},
		"text":                                 {`"Temperature":"hot"`, temperature, Number{}, "DEVS.Temperature"},
		"empty text":                           {`"Temperature":""`, temperature, Number{}, "DEVS.Temperature"},
		"nan as text":                          {`"Temperature":"NaN"`, temperature, Number{}, "DEVS.Temperature"},
		"hex as text":                          {`"Temperature":"0x1p4"`, temperature, Number{}, "DEVS.Temperature"},
		"null":                                 {`"Temperature":null`, temperature, Number{}, ""},
		"truth":                                {`"Temperature":true`, temperature, Number{}, "DEVS.Temperature"},
		"object":                               {`"Temperature":{"a":[1,{}]}`, temperature, Number{}, "DEVS.Temperature"},
		"list":                                 {`"Temperature":[70]`, temperature, Number{}, "DEVS.Temperature"},
		"infinite":                             {`"Accepted":1e999`, accepted, Number{}, "DEVS.Accepted"},
		"beyond counting":                      {`"Accepted":1e300`, accepted, Number{}, "DEVS.Accepted"},
		"older than anything":                  {`"Device Elapsed":1e20`, elapsed, Number{}, "DEVS.Device Elapsed"},
		"old":                                  {`"Device Elapsed":31536000`, elapsed, Known(31536000), ""},
		"negative count":                       {`"Accepted":-1`, accepted, Number{}, "DEVS.Accepted"},
		"whole float":                          {`"Accepted":12.0`, accepted, Known(12), ""},
		"old driver's temperature":             {`"TempMIN":60,"TempAVG":66,"TempMAX":70`, temperature, Known(66), ""},
		"another log interval":                 {`"MHS 20s":3`, func(b *Board) Number { return b.Hashrate5s }, Known(3e6), ""},
		"no share yet":                         {`"Last Share Pool":-1`, func(b *Board) Number { return b.LastSharePool }, Number{}, ""},
		"no such pool":                         {`"Last Share Pool":-2`, func(b *Board) Number { return b.LastSharePool }, Number{}, "DEVS.Last Share Pool"},
	} {
		t.Run(name, func(t *testing.T) {
			s := parse(t, summaryOf(board(0, c.field)), 1e6)
			if got := c.get(&s.Boards[0]); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
			if got := strings.Join(s.Unreadable, " "); got != c.named {
				t.Errorf("unreadable %q, want %q", got, c.named)
			}
		})
	}
}

func temperature(b *Board) Number { return b.Temperature }
func accepted(b *Board) Number    { return b.Accepted }
func elapsed(b *Board) Number     { return b.Elapsed }

func TestShapesOfPHP(t *testing.T) {
	one := board(7, "")
	for name, c := range map[string]struct {
		body   string
		slots  []int
		unread string
	}{
		"list":                     {summaryOf(board(4, ""), one), []int{4, 7}, ""},
		"list with a hole":         {`{"success":true,"DEVS":{"1":` + one + `},"POOLS":[]}`, []int{7}, ""},
		"empty list":               {`{"success":true,"DEVS":[],"POOLS":[],"HARDWARE":[]}`, nil, "HARDWARE.Fan duty"},
		"null list":                {`{"success":true,"DEVS":null,"POOLS":[]}`, nil, ""},
		"no list":                  {`{"success":true,"POOLS":[]}`, nil, "DEVS"},
		"text for a list":          {`{"success":true,"DEVS":"none","POOLS":[]}`, nil, "DEVS"},
		"text for a board":         {summaryOf(`"x"`, one), []int{7}, "DEVS"},
		"the same slot twice":      {summaryOf(one, one), []int{0, 1}, "DEVS.ASC"},
		"a slot that cannot be":    {summaryOf(board(-3, ""), board(1, "")), []int{0, 1}, "DEVS.ASC"},
		"a slot too far":           {summaryOf(board(1000, "")), []int{0}, "DEVS.ASC"},
		"the key twice":            {`{"success":true,"DEVS":[` + one + `],"DEVS":[` + board(2, "") + `],"POOLS":[]}`, []int{2}, ""},
		"unknown fields":           {`{"success":true,"news":{"a":[{}]},"DEVS":[` + board(0, `"CHIP":[1],"CORE":{"x":null}`) + `],"POOLS":[]}`, []int{0}, ""},
		"escaped key":              {summaryOf(strings.Replace(one, "ASC", `\u0041SC`, 1)), []int{7}, ""},
		"after the end":            {summaryOf(one) + "\x00\x00<br>", []int{7}, ""},
		"an Antminer's fan object": {`{"success":true,"DEVS":[],"POOLS":[],"HARDWARE":{"Fan duty":{"1":4000}}}`, nil, "HARDWARE.Fan duty"},
	} {
		t.Run(name, func(t *testing.T) {
			s := parse(t, c.body, 1e6)
			var slots []int
			for _, b := range s.Boards {
				slots = append(slots, b.Slot)
			}
			if diff := cmp.Diff(c.slots, slots); diff != "" {
				t.Error(diff)
			}
			if got := strings.Join(s.Unreadable, " "); got != c.unread {
				t.Errorf("unreadable %q, want %q", got, c.unread)
			}
		})
	}
}

func TestListsAreBounded(t *testing.T) {
	boards := make([]string, 5000)
	for i := range boards {
		boards[i] = board(i, "")
	}
	s := parse(t, summaryOf(boards...), 1e6)
	if len(s.Boards) != maxBoards || strings.Join(s.Unreadable, " ") != "DEVS" {
		t.Errorf("%d boards, unreadable %v", len(s.Boards), s.Unreadable)
	}
}

func TestTextsAreCleanAndBounded(t *testing.T) {
	long := strings.Repeat("ü", 4000)
	s := parse(t, `{"success":true,"DEVS":[],"POOLS":[{"POOL":0,"URL":"`+long+`","User":"a`+"\xff\xfe"+`b\u0000","Status":7}]}`, 1e6)
	p := s.Pools[0]
	if len(p.URL) > maxText || !strings.HasPrefix(long, p.URL) || len(p.URL) < maxText-4 {
		t.Errorf("%d bytes of URL", len(p.URL))
	}
	if p.User != "a\uFFFD\uFFFDb\uFFFD" || p.Status != "7" {
		t.Errorf("user %q, status %q", p.User, p.Status)
	}
}

func TestSummaryAsksForTheModelOnlyWhereItMatters(t *testing.T) {
	const kilo = `"MHS 5m":5,"MHS 15m":5,"Total MH":10`
	for name, c := range map[string]struct {
		answers map[string]any
		calls   int
		types   int
		rate    Number
		kind    error
	}{
		"once for many summaries":        {map[string]any{"/api/summary": summaryOf(board(0, kilo)), "/api/type": `{"success":true,"type":"a8+"}`}, 3, 1, Known(5e3), nil},
		"not with units":                 {map[string]any{"/api/summary": summaryOf(board(0, kilo+`,"Hash Rate H":5`))}, 2, 0, Known(5), nil},
		"not for nothing":                {map[string]any{"/api/summary": summaryOf(board(0, `"MHS av":0,"MHS 15m":0`))}, 2, 0, Known(0), nil},
		"never, if it is not there":      {map[string]any{"/api/summary": summaryOf(board(0, kilo)), "/api/type": invalid}, 2, 1, Known(5e6), nil},
		"again, if it was not an answer": {map[string]any{"/api/summary": summaryOf(board(0, kilo)), "/api/type": "<html>"}, 2, 2, Number{}, ErrBadResponse},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDevice(c.answers)
			cl := d.client(t, Options{})
			for range c.calls {
				s, err := cl.Summary(t.Context())
				if c.kind != nil {
					wantKind(t, err, c.kind)
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if s.Boards[0].Hashrate15m != c.rate {
					t.Errorf("%v, want %v", s.Boards[0].Hashrate15m, c.rate)
				}
			}
			if d.count("/api/type") != c.types {
				t.Errorf("asked for the type %d times, want %d", d.count("/api/type"), c.types)
			}
		})
	}
}

func TestNewLoginForgetsTheModel(t *testing.T) {
	d := newDevice(map[string]any{
		"/api/summary":  []string{summaryT1, expired, summaryT1},
		"/api/type":     `{"success":true,"type":"A8"}`,
		"/api/overview": overviewT1,
	})
	c := d.client(t, Options{})
	if _, err := c.Overview(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, want := range []Number{Known(5205000.75e6), Known(5205000.75e3)} {
		s, err := c.Summary(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s.Boards[0].Hashrate15m != want {
			t.Errorf("summary %d: %v, want %v", i, s.Boards[0].Hashrate15m, want)
		}
	}
}

func TestAModelThatIsUnreadableOnceIsNotForgotten(t *testing.T) {
	untyped := strings.Replace(overviewT1, `"type":"T1"`, `"type":null`, 1)
	d := newDevice(map[string]any{"/api/overview": []string{strings.Replace(overviewT1, "T1", "A8", 1), untyped}})
	c := d.client(t, Options{})
	for i := range 2 {
		if _, err := c.Overview(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s, err := c.Summary(t.Context()); err != nil || s.Boards[0].Hashrate15m != Known(5205000.75e3) {
			t.Errorf("summary %d: %+v, %v", i, s, err)
		}
	}
}

func TestAnswerKnowsItsTimes(t *testing.T) {
	s, err := newDevice(nil).client(t, Options{}).Summary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.At.IsZero() || s.Took <= 0 || s.DeviceTime.IsZero() || math.Abs(s.At.Sub(s.DeviceTime).Seconds()) > 60 || string(s.Raw) != summaryT1 {
		t.Errorf("at %v, took %v, device %v, %d bytes", s.At, s.Took, s.DeviceTime, len(s.Raw))
	}
}
