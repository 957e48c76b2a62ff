package farmtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestScriptErrorsNameTheLine(t *testing.T) {
	for script, want := range map[string]string{
		"farm 0":                                `line 1: "farm 0": expected a number from 1 to 5000, got "0"`,
		"farm 3\nat 1h board d3/0 dead":         `line 2: "at 1h board d3/0 dead": expected d0 to d2, got "d3"`,
		"# nothing\n\nat 1h pool other down":    `line 3: "at 1h pool other down": expected a pool of slush, got "other"`,
		"at soon kill healer":                   `expected a time such as 90s, 20m, 2h or 7d, got "soon"`,
		"at 1h explode":                         `expected something that can happen, got "explode"`,
		"at 1h kill healer; farm 3":             `settings come before the first event`,
		"at 1h pool slush down 2h or so":        `expected nothing after that, got "or"`,
		"at 1h board d1 dead":                   `expected a board such as d3/1, got "d1"`,
		"at 1h board d1/7 dead":                 `expected 0 to 2, got "7"`,
		"at 1h web d1-d0 hang":                  `expected a range such as d3-d7, got "d1-d0"`,
		"at 1h":                                 `expected more words`,
		"cycle 7s":                              `expected a cycle that a minute is a multiple of`,
		"policy window 25:00 1h":                `expected a window`,
		"at -1h kill healer":                    `expected a time between 0 and`,
		"at 1h board d1/1 dead restart=2":       `expected a part such as 20%, got "2"`,
		"at 1h ask d1 reboot by healer":         `expected an actor other than the healer`,
		"at 1h stranger reboots d1 every 1s 1h": `expected at most once a minute`,
		"tune 3h..1h":                           `expected a time, or two as in 10m..2h`,
		"pools a a":                             `expected different names`,
		"at 1h board d0/0 flaky 99":             `expected up to 48 times a day`,
		"policy nonsense 3":                     `expected a policy, got "nonsense"`,
		"at 1h maintenance mac d99":             `expected d0 to d19, got "d99"`,
		"at 1h switch sw9 down":                 `expected sw0 to sw3, got "sw9"`,
		"begins yesterday":                      `expected a date such as 2026-03-28`,
		"at 1h dhcp swap d1 d2 on receive":      `expected one of send, got "receive"`,
		"at 1h power nothing off":               `expected pdu0 to pdu1, got "nothing"`,
		"run 0s":                                `expected a time above 0`,
		"at 1h gate ajar":                       `expected one of closed, error, open, got "ajar"`,
		"at 1h clock healer NaNd":               `expected a time such as`,
		"at 1h weather NaN":                     `expected a number, got "NaN"`,
	} {
		_, err := Parse(script)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "line ") {
			t.Errorf("%q: got %v, want %s", script, err, want)
		}
	}
}

func TestEventsAreInOrderOfTime(t *testing.T) {
	s, err := Parse("at 2h ntp off\nat 1h ntp on; at 2h kill healer # later\n")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range s.Events {
		got = append(got, e.Text)
	}
	if want := "at 1h ntp on|at 2h ntp off|at 2h kill healer"; strings.Join(got, "|") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAPartOfTheFarmIsTheSameEveryTime(t *testing.T) {
	pick := func(seed string) []int {
		s, err := Parse("farm 50; seed " + seed)
		if err != nil {
			t.Fatal(err)
		}
		p := &command{words: []string{"20%"}, script: s}
		return p.dragons()
	}
	a, b, c := pick("1"), pick("1"), pick("2")
	if len(a) != 10 || !equal(a, b) || equal(a, c) {
		t.Errorf("got %v, %v, and with another seed %v", a, b, c)
	}
}

func equal(a, b []int) bool {
	for i := range a {
		if i >= len(b) || a[i] != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}

// FuzzScript: whatever a script says, the parser says what is wrong with it, and
// what it takes can be run.
func FuzzScript(f *testing.F) {
	files, err := filepath.Glob("testdata/*.farm")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	for seed := range uint64(20) {
		f.Add(Random(seed))
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "line ") {
				t.Errorf("the error does not name its line: %v", err)
			}
			return
		}
		// A short run: nothing may panic. Its invariants are another test's business.
		s.Run = min(s.Run, 90*time.Minute)
		if s.Dragons > 20 || s.Cycle < 20*time.Second || len(s.Events) > 200 {
			return
		}
		for i := range s.Events {
			s.Events[i].At = min(s.Events[i].At, 80*time.Minute)
		}
		Run(s, Options{})
	})
}
