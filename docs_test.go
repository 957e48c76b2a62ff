package main

import (
	"os"
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
