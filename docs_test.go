package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kingpin/v2"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

func TestHealingIsDocumented(t *testing.T) {
	data, err := os.ReadFile("docs/healing.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	for _, g := range healer.Gates() {
		if !strings.Contains(page, "`"+string(g)+"`") {
			t.Errorf("the gate %s is not there", g)
		}
	}
	app := kingpin.New("test", "")
	verbs := 0
	for command := range addHealer(app) {
		verbs++
		if !strings.Contains(page, "mother-of-dragons "+command) {
			t.Errorf("the command %q is not there", command)
		}
	}
	if verbs < 9 {
		t.Errorf("%d verbs", verbs)
	}
	// Every command line on the page is one that the program takes.
	for line := range strings.Lines(page) {
		args, ok := strings.CutPrefix(strings.TrimSpace(line), "mother-of-dragons ")
		if !ok || !strings.HasPrefix(args, "healer ") {
			continue
		}
		args, _, _ = strings.Cut(args, "#")
		if _, err := app.Parse(words(args)); err != nil {
			t.Errorf("%s: %v", args, err)
		}
		app = kingpin.New("test", "") // lists of an earlier line would be added to
		addHealer(app)
	}
}

func TestFirmwareIsDocumented(t *testing.T) {
	data, err := os.ReadFile("docs/firmware.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	for command := range addFirmware(kingpin.New("test", "")) {
		if !strings.Contains(page, "mother-of-dragons "+command) {
			t.Errorf("the command %q is not there", command)
		}
	}
	for _, phase := range healer.UpgradePhases {
		if !phase.Over() && !strings.Contains(page, "`"+string(phase)+"`") {
			t.Errorf("the phase %s is not there", phase)
		}
	}
}

// words splits a command line as a shell does that knows double quotes only.
func words(s string) []string {
	var list []string
	var word strings.Builder
	quoted := false
	for _, r := range strings.TrimSpace(s) + " " {
		switch {
		case r == '"':
			quoted = !quoted
		case r == ' ' && !quoted:
			if word.Len() > 0 {
				list = append(list, word.String())
			}
			word.Reset()
		default:
			word.WriteRune(r)
		}
	}
	return list
}

// Every line of the threat model is held by the tests that it names.
func TestEveryThreatHasItsTest(t *testing.T) {
	page, err := os.ReadFile("docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	err = filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(source, -1) {
			tests[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test\\w+)`")
	lines := 0
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || strings.HasPrefix(cells[1], "---") {
			continue
		}
		for _, m := range named.FindAllStringSubmatch(line, -1) {
			lines++
			if !tests[m[1]] {
				t.Errorf("there is no %s: %s", m[1], line)
			}
		}
	}
	if lines < 30 {
		t.Errorf("%d tests are named", lines)
	}
}
