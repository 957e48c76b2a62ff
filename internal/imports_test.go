package internal_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/brndnmtthws/mother-of-dragons"

// deps lists, for each of our packages, those of ours that it imports, also through others.
func deps(t *testing.T) map[string][]string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}}: {{join .Deps " "}}`, module+"/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := make(map[string][]string)
	for line := range strings.Lines(string(out)) {
		path, list, _ := strings.Cut(strings.TrimSpace(line), ": ")
		var ours []string
		for dep := range strings.FieldsSeq(list) {
			if rest, ok := strings.CutPrefix(dep, module+"/"); ok {
				ours = append(ours, rest)
			}
		}
		all[strings.TrimPrefix(strings.TrimPrefix(path, module), "/")] = ours
	}
	return all
}

func within(pkg, dir string) bool { return pkg == dir || strings.HasPrefix(pkg, dir+"/") }

// The layers are cmd, app, {agent, web, collector, discovery}, fleet, dragon: each may
// import those after it. A reader of one package need not read those forbidden here.
func TestPackagesImportOnlyWhatIsBelowThem(t *testing.T) {
	device := []string{"internal", "collector", "discovery", "healer"}
	running := []string{"internal/cmd", "internal/app", "internal/web", "internal/agent"}
	all := deps(t)
	for dir, forbidden := range map[string][]string{
		"dragon":               device,
		"dragon/dragontest":    device,
		"internal/store":       {"dragon", "internal/fleet", "collector", "discovery", "healer"},
		"internal/logging":     {"dragon", "internal", "collector", "discovery", "healer"},
		"internal/fleet":       append(running, "collector", "discovery", "healer", "dragon/dragontest"),
		"healer":               {"internal", "collector", "discovery", "dragon/dragontest"},
		"internal/agent":       {"internal/cmd", "internal/app", "internal/web", "internal/config", "collector", "discovery", "dragon/dragontest"},
		"internal/gate":        append(running, "collector", "discovery", "dragon/dragontest", "internal/config"),
		"internal/config":      running,
		"internal/notify":      append(running, "collector", "discovery", "dragon/dragontest", "internal/config", "internal/fleet"),
		"internal/web":         {"internal/cmd", "internal/app", "internal/config", "dragon/dragontest"},
		"collector":            append(running, "discovery", "healer", "dragon/dragontest"),
		"discovery":            append(running, "collector", "healer", "dragon/dragontest"),
		"internal/app":         {"internal/cmd", "dragon/dragontest"},
		"internal/cmd/cli":     append(running[1:], "internal/cmd/dragon", "internal/cmd/control"),
		"internal/cmd/dragon":  append(running[1:], "internal/cmd/control"),
		"internal/cmd/control": {"internal/app", "internal/cmd/dragon"},
	} {
		list, ok := all[dir]
		if !ok {
			t.Errorf("there is no package %s", dir)
		}
		for _, dep := range list {
			if !within(dep, dir) && slices.ContainsFunc(forbidden, func(f string) bool { return within(dep, f) }) {
				t.Errorf("%s imports %s: see docs/architecture.md for the layers", dir, dep)
			}
		}
	}
	for pkg, list := range all {
		commands := slices.ContainsFunc(list, func(dep string) bool { return within(dep, "internal/cmd") })
		if commands && pkg != "" && !within(pkg, "internal/cmd") {
			t.Errorf("%s imports internal/cmd: only main may", pkg)
		}
	}
}
