package main

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestMutantsOfAStatement(t *testing.T) {
	for _, c := range []struct {
		body string
		want []string
	}{
		{"return a < b, nil", []string{"a < b => a <= b", "a < b => a >= b"}},
		{"return a <= b, nil", []string{"a <= b => a < b", "a <= b => a > b"}},
		{"return a > b, nil", []string{"a > b => a >= b", "a > b => a <= b"}},
		{"return a >= b, nil", []string{"a >= b => a > b", "a >= b => a < b"}},
		{"return a == b, nil", []string{"a == b => a != b"}},
		{"return a != b, nil", []string{"a != b => a == b"}},
		{"return x && y, nil", []string{"x && y => x || y"}},
		{"return x || y, nil", []string{"x || y => x && y"}},
		{"if x { a = b }", []string{"x => !(x)", "a = b => nothing"}},
		{"if !x { a++ } else { b++ }", []string{"!x => !(!x)", "a++ => nothing", "b++ => nothing"}},
		{"if x && y { return }", []string{"x && y => !(x && y)", "return => nothing", "x && y => x || y"}},
		{"if x { c := b; _ = c; var d int; _ = d; log.Log(a) }", []string{"x => !(x)", "_ = c => nothing", "_ = d => nothing"}},
		{"a = a + b", []string{"a + b => a - b"}},
		{"a = a - b", []string{"a - b => a + b"}},
		{"a += b", []string{"a += b => a -= b"}},
		{"a -= b", []string{"a -= b => a += b"}},
		{`s = "x" + s + s`, nil},
		{"return x, err", []string{"return x, err => return x, nil"}},
		{"return f()", nil},
		{"g = func() int { return a }", nil},
		{"g = func() error { return err }", []string{"return err => return nil"}},
	} {
		found, err := mutants("p/f.go", []byte("package p\n\nfunc (t *table) f() (bool, error) {\n"+c.body+"\n}\n"))
		if err != nil {
			t.Errorf("%s: %v", c.body, err)
		}
		var got []string
		for _, m := range found {
			change, ok := strings.CutPrefix(m.String(), "p/f.go table.f: ")
			if !ok || m.line != 4 {
				t.Errorf("%s: %s in line %d", c.body, m, m.line)
			}
			got = append(got, change)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, expected %q", c.body, got, c.want)
		}
	}
}

// A package with a test of its comparison, and none of its sum; not every mutant compiles.
var tree = map[string]string{
	"go.mod": "module example.net/m\n\ngo 1.26\n",
	"p/p.go": `package p

var rows = map[string]func(int) bool{"old": func(age int) bool { return age > 9 }}

func old(age int) bool { return rows["old"](age) }

func sum(a, b int) int {
	if a == b {
		return 2 * a
	}
	return a + b
}

func next(c complex128, u uint8) (complex128, uint8) { return c + 1, u - 1 }

func unused() int { return 1 - 1 }
`,
	"p/p_test.go": `package p

import "testing"

func TestOld(t *testing.T) {
	if old(9) || !old(10) {
		t.Error("wrong")
	}
}

func TestSum(*testing.T) { sum(1, 1); sum(1, 2); next(1, 1) }
`,
}

func TestVerdicts(t *testing.T) {
	s := settings{root: t.TempDir(), dir: t.TempDir(), match: regexp.MustCompile(""), equivalent: map[string]string{
		"p/p.go sum: a == b => a != b": "a reason", "p/p.go sum: a => b": "a mutant that is no more", "q/q.go f: a => b": "another package",
	}}
	for name, text := range tree {
		path := filepath.Join(s.root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	s.out = &out
	sum := score{}
	if err := s.judgePackage(t.Context(), "p", sum); err != nil {
		t.Fatal(err)
	}
	if want := (score{"killed": 2, "survived": 2, "equivalent": 1}); !maps.Equal(sum, want) {
		t.Errorf("got %v, expected %v", map[string]int(sum), map[string]int(want))
	}
	got := slices.Sorted(strings.Lines(out.String()))
	want := []string{
		"listed as equivalent, but not there: p/p.go sum: a => b\n",
		"p/p.go:11: sum: a + b => a - b: survived\n",
		"p/p.go:3: rows: age > 9 => age <= 9: killed by --- FAIL: TestOld (0.00s)\n",
		"p/p.go:3: rows: age > 9 => age >= 9: killed by --- FAIL: TestOld (0.00s)\n",
		"p/p.go:8: sum: a == b => a != b: equivalent\n",
		"p/p.go:9: sum: return 2 * a => nothing: survived\n",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, expected %q", got, want)
	}
}

func TestScore(t *testing.T) {
	got := score{"killed": 8, "timeout": 1, "survived": 1, "equivalent": 3}.String()
	if want := "killed 9 of 10 (90 %), and 3 equivalent"; got != want {
		t.Errorf("got %q, expected %q", got, want)
	}
}

func TestListOfEquivalentMutants(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want int // negative: an error
	}{
		"empty":              {"", 0},
		"comments and pairs": {"# about\n\na => b\n\twhy\n\nb => c\n\twhy\n", 2},
		"no reason":          {"a => b\n", -1},
		"an empty reason":    {"a => b\n\t\n", -1},
		"only a reason":      {"\twhy\n", -1},
		"two of a name":      {"a => b\nb => c\n\twhy\n", -1},
		"listed twice":       {"a => b\n\twhy\na => b\n\twhy\n", -1},
	} {
		got, err := readEquivalent(c.text)
		if (err != nil) != (c.want < 0) || err == nil && len(got) != c.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
