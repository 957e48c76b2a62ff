package dragon

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// sane walks through a value: every known Number is finite, every text is valid and
// bounded, whatever was read.
func sane(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			sane(t, path, v.Elem())
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		for i := range v.Len() {
			sane(t, path+"[]", v.Index(i))
		}
	case reflect.String:
		if s := v.String(); !utf8.ValidString(s) || len(s) > maxText {
			t.Errorf("%s: %q", path, s)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[Number]() {
			if value, _ := (Number{v.Field(0).Uint()}).Get(); math.IsNaN(value) || math.IsInf(value, 0) {
				t.Errorf("%s: %v", path, value)
			}
			return
		}
		if v.Type().PkgPath() == "time" {
			return
		}
		for i := range v.NumField() {
			sane(t, path+"."+v.Type().Field(i).Name, v.Field(i))
		}
	}
}

func unique(t *testing.T, slots []int) {
	t.Helper()
	seen := map[int]bool{}
	for _, slot := range slots {
		if seen[slot] || slot < 0 || slot > maxSlot {
			t.Errorf("slot %d in %v", slot, slots)
		}
		seen[slot] = true
	}
}

// unreadableNames come from our tables only: they become labels.
func boundedNames(t *testing.T, names []string) {
	t.Helper()
	if len(names) > 100 {
		t.Errorf("%d unreadable", len(names))
	}
	for _, name := range names {
		if len(name) > 60 {
			t.Errorf("unreadable %q", name)
		}
	}
}

func fuzzAnswer[T any](f *testing.F, table *fields[T], check func(*testing.T, *T, *reader), seeds ...string) {
	for _, seed := range append(seeds, "", "{}", "[]", `{"success":false}`, expired, `{"success":true,"x":[{"y":1e999}]}`) {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > 64<<10 {
			t.Skip()
		}
		v := new(T)
		r, _ := readAnswer(body, table, v)
		boundedNames(t, r.unreadable)
		check(t, v, r)
	})
}

func FuzzSummary(f *testing.F) {
	inno := strings.ReplaceAll(summaryT1, `"Hash Rate":`, `"Unit":"TH/s","Hash Rate H":5205000750000,"Hash Rate":`)
	fuzzAnswer(f, &summaryFields, func(t *testing.T, s *reported, r *reader) {
		s.Unreadable = r.unreadable
		s.givesUnits()
		out := s.inBaseUnits(1e6)
		sane(t, "", reflect.ValueOf(*out))
		var boards, pools []int
		for _, b := range out.Boards {
			boards = append(boards, b.Slot)
		}
		for _, p := range out.Pools {
			pools = append(pools, p.Index)
		}
		unique(t, boards)
		unique(t, pools)
		if len(boards) > maxBoards || len(pools) > maxPools {
			t.Errorf("%d boards, %d pools", len(boards), len(pools))
		}
		boundedNames(t, out.Unreadable)
	}, summaryT1, inno, summaryOf(board(1, ""), board(1, "")), `{"DEVS":{"2":{"Temperature":"9999"}},"POOLS":[[]],"TotalHash":[]}`)
}

func FuzzOverview(f *testing.F) {
	fuzzAnswer(f, &overviewFields, func(t *testing.T, o *Overview, _ *reader) {
		sane(t, "", reflect.ValueOf(*o))
		if o.MAC != "" && WorkerName(o.MAC) == WorkerName("") {
			t.Errorf("MAC %q", o.MAC)
		}
	}, overviewT1, strings.Replace(overviewT1, "a0:b0", " A0: b0", 1))
}

func FuzzPools(f *testing.F) {
	fuzzAnswer(f, &poolsFields, func(t *testing.T, a *poolsAnswer, _ *reader) {
		sane(t, "", reflect.ValueOf(*a))
		if len(a.pools) > maxPools {
			t.Errorf("%d pools", len(a.pools))
		}
	}, `{"success":true,"pools":[{"url":"tcp:\/\/a.b:1","user":"u","pass":"x"},[]]}`)
}

func FuzzAutoTune(f *testing.F) {
	fuzzAnswer(f, &autoTuneFields, func(t *testing.T, a *AutoTune, _ *reader) { sane(t, "", reflect.ValueOf(*a)) },
		`{"success":true,"autoTuneMode":{"mode":"factory","level":"2"}}`, `{"success":true,"autoTuneMode":"balanced"}`)
}

func FuzzDebugStats(f *testing.F) {
	fuzzAnswer(f, &debugStatsFields, func(t *testing.T, d *DebugStats, r *reader) {
		d.Unreadable = r.unreadable
		d.finish(1e6)
		sane(t, "", reflect.ValueOf(*d))
		var slots []int
		for _, b := range d.Boards {
			slots = append(slots, b.Slot)
			if len(b.Details) > maxChips {
				t.Errorf("%d chips", len(b.Details))
			}
			var chips []int
			for _, c := range b.Details {
				chips = append(chips, c.Index)
			}
			unique(t, chips)
		}
		unique(t, slots)
	}, debugT1)
}

func FuzzHashRates(f *testing.F) {
	fuzzAnswer(f, &hashRatesFields, func(t *testing.T, h *HashRates, _ *reader) {
		sane(t, "", reflect.ValueOf(*h))
		var slots []int
		for _, b := range h.Boards {
			slots = append(slots, b.Slot)
		}
		unique(t, slots)
	}, `{"success":true,"stats":{"1":[1,"2"],"x":[]},"times":[1,2]}`)
}

func FuzzAll(f *testing.F) {
	fuzzAnswer(f, &allAnswerFields, func(t *testing.T, a *allAnswer, _ *reader) {
		sane(t, "", reflect.ValueOf(*a.all.finish()))
	}, `{"success":true,"all":{"chain":[{"ASC":1,"Hash Rate":1,"Unit":"TH/s"}],"total_hash":[],"pools":[[]],"uptime":"up 1 day, 1:02"}}`)
}

func FuzzIndexPage(f *testing.F) {
	f.Add([]byte(titled))
	f.Add([]byte("<title>AsicMiner</title"))
	f.Fuzz(func(t *testing.T, page []byte) {
		switch brand := readStartPage(page).brand(); brand {
		case "", DragonMint, InnoMiner, AsicMiner:
		default:
			t.Errorf("%q", brand)
		}
	})
}

func FuzzMAC(f *testing.F) {
	f.Add("A0: b0:45:21:5b: f0")
	f.Fuzz(func(t *testing.T, s string) {
		mac, ok := ParseMAC(s)
		if !ok {
			if mac != "" {
				t.Errorf("%q: %q", s, mac)
			}
			return
		}
		if again, ok := ParseMAC(mac); !ok || again != mac || len(mac) != 17 {
			t.Errorf("%q: %q, then %q", s, mac, again)
		}
		if name := WorkerName(s); len(name) != len("dragon-")+8 {
			t.Errorf("%q: %q", s, name)
		}
	})
}

func FuzzUptime(f *testing.F) {
	f.Add("22:04:26 up 3 days,  1:02,  load average: 0.07, 0.06, 0.07")
	f.Add("up NaN min,  load average: Inf")
	f.Fuzz(func(t *testing.T, line string) {
		seconds, load := parseUptime(line)
		for _, n := range []Number{seconds, load} {
			if v, _ := n.Get(); math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
				t.Errorf("%q: %v", line, n)
			}
		}
	})
}

func FuzzExcerpt(f *testing.F) {
	f.Add([]byte(`{"success":true,"jwt":"eyJ0.eyJ1.s","pools":[{"pass":"hunter2"}]}`), "hunter2")
	f.Fuzz(func(t *testing.T, body []byte, secret string) {
		got := excerpt(body, []string{secret})
		if len(got) > shownBytes || !utf8.ValidString(got) {
			t.Errorf("%q", got)
		}
		if len(secret) >= 3 && plain(secret) && strings.Contains(got, secret) && !strings.Contains(cutSecret, secret) && strings.Trim(secret, `."<>: `) != "" && !strings.Contains(`"`+cutSecret+`"`, secret) {
			t.Errorf("%q shows %q", got, secret)
		}
	})
}

func FuzzIssuer(f *testing.F) {
	f.Add("h.eyJpc3MiOiJBbnRNaW5lciJ9.s")
	f.Fuzz(func(t *testing.T, token string) {
		if got := issuer(Secret(token)); !utf8.ValidString(got) || len(got) > maxText {
			t.Errorf("%q", got)
		}
	})
}
