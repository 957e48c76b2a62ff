package farmtest

import (
	"flag"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden audit logs")

// A farm leaves much behind in little time, and needs little memory.
func TestMain(m *testing.M) {
	flag.Parse()
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

// stories are the scripts of testdata, by name.
func stories(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.farm")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts in testdata: %v", err)
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), ".farm")
	}
	return files
}

func load(t testing.TB, name string) *Script {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".farm")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse(string(text))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return s
}

// Every story has its exact audit log, keeps every invariant, and does no harm.
func TestStories(t *testing.T) {
	for _, name := range stories(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := load(t, name)
			r := Run(s, Options{CheckStore: true, CheckPlan: 7})
			for _, f := range r.Oracle.Failures {
				t.Error(f)
			}
			if err := r.Harm(Leave(s, NoHealer{})); err != nil {
				t.Error(err)
			}
			golden := "testdata/" + name + ".golden"
			got := r.Log()
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("the audit log differs (-update writes it, then read the diff): %s", firstDifference(string(want), got))
			}
		})
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range w {
		if i >= len(g) || w[i] != g[i] {
			have := "its end"
			if i < len(g) {
				have = g[i]
			}
			return "\nwant " + w[i] + "\ngot  " + have
		}
	}
	return "\ngot more: " + g[len(w)]
}
