package farmtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// What explains that a dragon is left untreated is an alert that exists.
func TestExplanationsAreAlerts(t *testing.T) {
	files, err := filepath.Glob("../../alerts/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no alerts: %v", err)
	}
	var rules strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		rules.Write(text)
	}
	said := make(map[healer.Gate]string)
	for _, g := range healer.GateDocs() {
		said[g.Gate] = g.Alert
	}
	for gate, e := range explainedBy {
		if e.alert != said[gate] {
			t.Errorf("the gate %s is explained by %s, and its row names %q", gate, e.alert, said[gate])
		}
		if !strings.Contains(rules.String(), "alert: "+e.alert+"\n") {
			t.Errorf("the gate %s is explained by %s, which is not an alert", gate, e.alert)
		}
	}
}
