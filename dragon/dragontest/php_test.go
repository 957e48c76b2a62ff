package dragontest

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPHPNumbers(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 5: "5", -1.5: "-1.5", 4932258.41: "4932258.41", 23499497701: "23499497701",
		1e25: "1.0e+25", 1.25e-5: "1.25e-05", 0.0001: "0.0001",
	} {
		if got := string(appendPHPFloat(nil, v)); got != want {
			t.Errorf("%v = %s, want %s", v, got, want)
		}
	}
}

func TestPHPStrings(t *testing.T) {
	for s, want := range map[string]string{
		"a/b":        `"a\/b"`,
		"q\"\\\n":    `"q\"\\\n"`,
		"é":          `"\u00e9"`,
		"\U0001f409": `"\ud83d\udc09"`,
		"\x01":       `"\u0001"`,
	} {
		if got := string(appendPHPString(nil, s, false)); got != want {
			t.Errorf("%q = %s, want %s", s, got, want)
		}
	}
	if got := string(appendPHPString(nil, "a/b", true)); got != `"a/b"` {
		t.Errorf("unescaped slashes: %s", got)
	}
}

func TestPHPListWithAHoleIsAnObject(t *testing.T) {
	p := php{arrays: true}
	p.list(2)
	for range 2 {
		p.item()
		p.str("x")
	}
	p.endList()
	if got, want := string(p.b), `{"1":"x","2":"x"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func FuzzPHPRoundTrip(f *testing.F) {
	f.Add("stratum+tcp://a.example.com:3333", 4932258.41)
	f.Add("\x00\u2028\U0001f409", -1e300)
	f.Fuzz(func(t *testing.T, s string, v float64) {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			t.Skip("PHP has no JSON for it")
		}
		p := php{}
		p.open()
		p.members("s", s)
		p.key("v")
		p.b = appendPHPFloat(p.b, v)
		p.close()
		var back struct {
			S string
			V float64
		}
		if err := json.Unmarshal(p.b, &back); err != nil {
			t.Fatalf("%s: %v", p.b, err)
		}
		if back.V != v {
			t.Errorf("%v came back as %v", v, back.V)
		}
		if utf8.ValidString(s) && back.S != s {
			t.Errorf("%q came back as %q", s, back.S)
		}
		if strings.ContainsRune(string(p.b), '\n') {
			t.Error("a newline came through")
		}
	})
}
