package internal_test

import (
	"os/exec"
	"strings"
	"testing"
)

// The rooms that must not know each other; a reader of one need not read the other.
func TestRoomsDoNotKnowEachOther(t *testing.T) {
	const module = "github.com/brndnmtthws/mother-of-dragons/"
	for room, forbidden := range map[string][]string{
		"dragon":            {"internal", "collector", "discovery", "healer"},
		"dragon/dragontest": {"internal", "collector", "discovery", "healer"},
		"internal/fleet":    {"collector", "discovery", "healer", "dragon/dragontest"},
		"internal/store":    {"dragon", "internal/fleet", "collector", "discovery", "healer"},
		"healer":            {"collector", "discovery", "dragon/dragontest", "internal/config", "internal/web"},
		"internal/gate":     {"collector", "discovery", "dragon/dragontest", "internal/config", "internal/web"},
		"collector":         {"discovery", "healer", "dragon/dragontest"},
		"discovery":         {"collector", "healer", "dragon/dragontest"},
	} {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", module+room).Output()
		if err != nil {
			t.Fatalf("go list -deps %s: %v", room, err)
		}
		for dep := range strings.Lines(string(out)) {
			dep, ours := strings.CutPrefix(strings.TrimSpace(dep), module)
			for _, f := range forbidden {
				if ours && (dep == f || strings.HasPrefix(dep, f+"/")) {
					t.Errorf("%s imports %s: see docs/architecture.md for who may know whom", room, dep)
				}
			}
		}
	}
}
