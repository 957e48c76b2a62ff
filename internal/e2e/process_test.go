package e2e

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/installed"
)

func TestAKilledProgramRemembersItsDragons(t *testing.T) {
	t.Parallel()
	dragons, flags := fleetOf(t, dragontest.FleetConfig{Count: 20})
	data := t.TempDir()
	p, base := mother(t, append(flags, "--data-dir="+data)...)
	eventually(t, "20 dragons up", func() bool { return strings.Count(get(t, base+"/metrics"), "\ndragon_up{") == 20 })
	eventually(t, "the inventory is written", func() bool {
		b, err := os.ReadFile(data + "/inventory.json")
		return err == nil && strings.Count(string(b), `"mac"`) == 20
	})
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.done

	// Nothing can be found where nothing is scanned: what is known is from the file.
	p, base = mother(t, "--data-dir="+data, "--dragon="+dragons.Addr(0))
	page := get(t, base+"/metrics")
	if n := strings.Count(page, "\ndragon_up{"); n != 20 {
		t.Errorf("the first scrape after the restart shows %d dragons, want 20", n)
	}
	if n := strings.Count(page, "\ndragon_boards{"); n != 20 {
		t.Errorf("the first scrape after the restart read %d dragons, want 20", n)
	}
	p.stop(t)
}

func TestStopDuringAScrapeIsQuickAndClean(t *testing.T) {
	t.Parallel()
	dragons, flags := fleetOf(t, dragontest.FleetConfig{Count: 5})
	p, base := mother(t, append(flags, "--dragon-timeout=60")...)
	eventually(t, "5 dragons up", func() bool { return strings.Count(get(t, base+"/metrics"), "\ndragon_boards{") == 5 })
	for _, d := range dragons.Dragons() {
		d.Inject(dragontest.Hang)
	}
	answered := make(chan error, 1)
	go func() {
		resp, err := http.Get(base + "/metrics")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode != http.StatusServiceUnavailable {
				err = errors.New(resp.Status)
			}
		}
		answered <- err
	}()
	eventually(t, "the scrape hangs at a dragon", func() bool { return dragons.Dragon(0).Traffic().InFlight > 0 })
	p.stop(t)
	if err := <-answered; err != nil {
		t.Errorf("a scrape that a stop interrupted: %v, want 503", err)
	}
}

func TestDemoShowsEveryDragon(t *testing.T) {
	t.Parallel()
	p := spawn(t, nil, binary, "demo", "--dragons=24", "--speed=1", "--data-dir="+filepath.Join(t.TempDir(), "data"), "--web.listen-address=127.0.0.1:0")
	eventually(t, "the demo says where to look", func() bool { return strings.Contains(p.logged(), "Ctrl-C") })
	base := regexp.MustCompile(`http://[0-9.:]+`).FindString(p.logged())
	eventually(t, "24 dragons with boards and pools", func() bool {
		page := get(t, base+"/metrics")
		return strings.Count(page, "\ndragon_boards{") == 24 && strings.Count(page, "\ndragon_pool_info{") >= 24
	})
	p.stop(t)
}

func TestSIGHUPReloadsTheConfiguration(t *testing.T) {
	t.Parallel()
	dragons, _ := fleetOf(t, dragontest.FleetConfig{Count: 2})
	file := filepath.Join(t.TempDir(), "mother.yml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first := "dragons:\n  - {address: '" + dragons.Addr(0) + "'}\n"
	write(first)
	p, base := mother(t, "--config.file="+file)
	pages := func(want string, dragons int) func() bool {
		return func() bool {
			page := get(t, base+"/metrics")
			return strings.Contains(page, want) && strings.Count(page, "\ndragon_boards{") == dragons
		}
	}
	eventually(t, "one dragon up", pages("\nmother_config_last_reload_successful 1", 1))
	for _, x := range []struct {
		name, text, want string
		dragons          int
	}{
		{"a bad file changes nothing", first + "dragon: []\n", "\nmother_config_last_reload_successful 0", 1},
		{"a good one is in force", first + "  - {address: '" + dragons.Addr(1) + "'}\n", "\nmother_config_last_reload_successful 1", 2},
	} {
		write(x.text)
		if err := p.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, x.name, pages(x.want, x.dragons))
	}
	if log := p.logged(); !strings.Contains(log, "did you mean dragons?") || strings.Count(log, "msg=starting") != 1 {
		t.Errorf("the log:\n%s", log)
	}
	p.stop(t)
}

func TestExitStatusTells(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"nothing to look for": nil,
		"a bad network":       {"--network=127.0.0.1/8"},
		"no such option":      {"--nothing"},
		"nothing found":       {"scan", "127.99.0.0/30"},
	} {
		out, err := exec.CommandContext(t.Context(), binary, args...).CombinedOutput()
		if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 1 {
			t.Errorf("%s: %v, want exit status 1", name, err)
		}
		if lines := strings.Count(string(out), "\n"); lines != 1 {
			t.Errorf("%s: %d lines, want one:\n%s", name, lines, out)
		}
	}
}

func TestPageSatisfiesPromtool(t *testing.T) {
	t.Parallel()
	promtool := installed.Tool(t, "promtool", "prometheus")
	_, flags := fleetOf(t, dragontest.FleetConfig{Count: 12, Specs: dragontest.Mixed})
	_, base := mother(t, flags...)
	eventually(t, "12 dragons up", func() bool { return strings.Count(get(t, base+"/metrics"), "\ndragon_boards{") == 12 })
	check := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	check.Stdin = strings.NewReader(get(t, base+"/metrics"))
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}
