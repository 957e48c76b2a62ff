package cmd

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
)

// The demo uses the default data directory, unless it belongs to another program.
func TestTheDemoTakesADataDirectoryThatIsFree(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("TMPDIR", t.TempDir())
	dir := func(named string) string {
		got, err := demoDir(named)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := dir(""); got != "data" {
		t.Errorf("a free one: %s", got)
	}
	if err := os.WriteFile("data/left", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("data/left"); dir("") != "data" || err != nil {
		t.Error("what a demo left is not taken")
	}
	if _, err := os.Stat("data/left"); err == nil {
		t.Error("what a demo left is still there")
	}
	for _, used := range []string{"inventory.json", "passwords.yml"} {
		file := filepath.Join("data", used)
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := dir(""); got == "data" {
			t.Errorf("what a demo left is taken, although it has got %s since", used)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	socket, err := net.Listen("unix", filepath.Join("data", config.ControlSocket))
	if err != nil {
		t.Fatal(err)
	}
	if got := dir(""); got == "data" {
		t.Error("that of a demo that runs is taken")
	}
	socket.Close()
	for range 2 { // the second time there is nothing to do
		if err := keepData("data"); err != nil { // a real start
			t.Fatal(err)
		}
	}
	if got := dir(""); got == "data" {
		t.Error("another program's data directory is used")
	}
	if _, err := demoDir("data"); err == nil {
		t.Error("another program's data directory is used, as it is named")
	}
}

func TestADemoOfAnySizeHasAConfiguration(t *testing.T) {
	for _, count := range []int{1, 2, 8, 24} {
		dragons, err := dragontest.NewFleet(dragontest.FleetConfig{Count: count, InMemory: true, Specs: demoSpecs(count, 60)})
		if err != nil {
			t.Fatal(err)
		}
		d := &demo{dragons: dragons, speed: 60, dir: t.TempDir()}
		if _, err := d.config(); err != nil {
			t.Errorf("%d dragons: %v", count, err)
		}
		dragons.Close()
	}
}
