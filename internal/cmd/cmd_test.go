package cmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/app"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cmdtest"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
	"github.com/brndnmtthws/mother-of-dragons/internal/web"
)

func TestProgramFindsAndServesDragons(t *testing.T) {
	dragons, err := dragontest.NewFleet(dragontest.FleetConfig{Count: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer dragons.Close()
	var args []string
	for i := range 3 {
		args = append(args, "--dragon="+dragons.Addr(i))
	}
	address, logs, stop := start(t, args...)
	base := "http://" + address

	cmdtest.Eventually(t, "three dragons up", func() bool {
		_, page := cmdtest.Get(t, base+"/metrics")
		return strings.Count(page, "\ndragon_up{") == 3 && strings.Contains(page, "mother_build_info")
	})
	for path, want := range map[string]string{
		"/":          "Mother of Dragons",
		"/-/healthy": "Healthy",
		"/-/ready":   "Ready",
		"/sd":        "__meta_dragon_worker",
	} {
		if status, body := cmdtest.Get(t, base+path); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.200s\nwant 200 and %q", path, status, body, want)
		}
	}
	if status, _ := cmdtest.Get(t, base+"/nowhere"); status != 404 {
		t.Errorf("/nowhere: %d, want 404", status)
	}
	if status, _ := cmdtest.Get(t, base+"/debug/pprof/"); status != 404 {
		t.Errorf("profiles are served without being asked for: %d", status)
	}
	if status, body := cmdtest.Get(t, base+"/probe?target="+dragons.Host(0).String()); status != 200 || !strings.Contains(body, "dragon_board_up") {
		t.Errorf("/probe of a known dragon: %d %.200s", status, body)
	}
	if status, _ := cmdtest.Get(t, base+"/probe?target=127.99.99.99"); status != 404 {
		t.Errorf("/probe of an unnamed address: %d, want 404", status)
	}
	if err := stop(); err != nil {
		t.Errorf("stopping: %v\n%s", err, logs)
	}
	if !strings.Contains(logs.String(), "msg=stopped") {
		t.Errorf("the log does not say that the program stopped:\n%s", logs)
	}
	begins := regexp.MustCompile(`^ts=\S+ level=\w+ (component=\w+ )?msg=`)
	for line := range strings.Lines(logs.String()) {
		if !begins.MatchString(line) {
			t.Errorf("%q does not begin as the others do", line)
		}
	}
}

func TestHelpIsAPage(t *testing.T) {
	out, _, err := invoke(t, "--help")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out, "\n"); n > 50 {
		t.Errorf("%d lines, want a page", n)
	}
	for _, c := range New(nil).Model().Commands {
		if !strings.Contains(out, "\n  "+c.Name+" ") {
			t.Errorf("the command %s is not there:\n%s", c.Name, out)
		}
	}
	for _, want := range []string{"--config.file", "--network", "--data-dir", "--web.listen-address", "help <command>", "--help-long"} {
		if !strings.Contains(out, want) {
			t.Errorf("%s is not there:\n%s", want, out)
		}
	}
	for _, not := range []string{"--scan-interval", "--yes-i-mean", "--dragon-port"} {
		if strings.Contains(out, not) {
			t.Errorf("%s is there:\n%s", not, out)
		}
	}
}

func TestHelpLongShowsTheOriginalsOptions(t *testing.T) {
	out, _, err := invoke(t, "--help-long")
	if err != nil {
		t.Fatal(err)
	}
	for _, option := range []string{"--network", "--scan-interval", "--pools", "--statsd-host", "dragon-health-reboot", "--firmwares-path",
		"--web.listen-address", "--yes-i-mean"} {
		if !strings.Contains(out, option) {
			t.Errorf("--help-long does not show %s", option)
		}
	}
}

func TestHelpForACommandIsOfThatCommand(t *testing.T) {
	for _, c := range []struct{ args, usage, has, not string }{
		{"scan --help", "scan [<flags>] <network>...", "scan-timeout", "--pools"},
		{"help scan", "scan [<flags>] <network>...", "scan-timeout", "--pools"},
		{"--data-dir=x plan --help", "plan [<flags>]", "--why", "--pools"},
		{"plan --help", "plan [<flags>]", "--data-dir", "--network"},
		{"check-config --help", "check-config [<flags>] <file>", "print-config", "--network"},
		{"healer --help", "healer [<flags>] <command>", "healer pause --scope=SCOPE", "--pools"},
		{"healer pause -h", "healer pause --scope=SCOPE", "until-resume", "healer resume"},
		{"run --help", "run [<flags>]", "pools=", "healer pause"},
		{"help", "[<command>] [<flags>]", "pools=", "Subcommands:"},
	} {
		out, _, err := invoke(t, strings.Fields(c.args)...)
		if err != nil || !strings.HasPrefix(out, "usage: mother-of-dragons "+c.usage) || !strings.Contains(out, c.has) || strings.Contains(out, c.not) {
			t.Errorf("%s: %v, want the usage %s, with %s, without %s:\n%s", c.args, err, c.usage, c.has, c.not, out)
		}
	}
}

// Flags may stand before the command.
func TestFlagsMayStandBeforeTheCommand(t *testing.T) {
	l := cmdtest.NewFarm(t, dragontest.Spec{})
	for _, args := range [][]string{
		{"--data-dir=" + l.Dir, "inventory"},
		{"--data-dir", l.Dir, "inventory"},
		{"--log.level=debug", "--data-dir=" + l.Dir, "--json", "inventory", "--output=table"},
		{"--utc", "--data-dir", l.Dir, "dragon", "type", l.Worker(0)},
		{"--all", "--data-dir", l.Dir, "dragon", "type"},
	} {
		if out, _, err := invoke(t, args...); err != nil || !strings.Contains(out, l.Worker(0)) {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	if _, _, err := invoke(t, "--network=127.78.0.0/16", "inventory"); err == nil || !strings.Contains(err.Error(), "unknown long flag '--network'") {
		t.Errorf("a flag of another command: %v", err)
	}
}

func TestVersion(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--version"}, &out, &out, nil); err != nil || !strings.Contains(out.String(), cli.Name) {
		t.Errorf("%v %s", err, out.String())
	}
}

func TestBadCommandLinesEndWithOneLine(t *testing.T) {
	t.Chdir(t.TempDir()) // some get as far as to write there
	here := t.TempDir()
	empty := filepath.Join(here, "empty.yml")
	cmdtest.Rewrite(t, empty, "")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--nope"}, "unknown long flag"},
		{[]string{"--log.level=loud"}, "log.level"},
		{[]string{"--network=127.0.0.1/24"}, "did you mean 127.0.0.0/24"},
		{[]string{"--network=127.1.0.0/24", "--pools={"}, "line 1"},
		{[]string{"--network=127.1.0.0/24", "--scan-interval=-3"}, "negative"},
		{nil, "--network"},
		{[]string{"scan", "127.0.0.1/24"}, "did you mean"},
		{[]string{"scan"}, "network"},
		{[]string{"--netwrk=127.1.0.0/24"}, "did you mean --network?"},
		{[]string{"dragon", "reboot", "--yess", "127.1.0.1"}, "did you mean --yes?"},
		{[]string{"inventry"}, "unknown command inventry; did you mean inventory?"},
		{[]string{"dragon", "summry", "127.1.0.1"}, "unknown command summry; did you mean summary?"},
		{[]string{"rnu"}, "unknown command rnu; did you mean run?"},
		{[]string{"config-check", "mother.yml"}, "did you mean check-config?"},
		{[]string{"reboot", "127.1.0.1"}, "did you mean dragon reboot or healer reboot?"},
		{[]string{"firmware", "start"}, "did you mean firmware rollout start? (see firmware --help)"},
		{[]string{"firmware", "7"}, "commands: rollout, list"},
		{[]string{"version"}, "did you mean --version?"},
		{[]string{"127.1.0.0/24"}, "did you mean --network=127.1.0.0/24?"},
		{[]string{"127.1.0.1"}, "did you mean --dragon=127.1.0.1?"},
		{[]string{"mother.yml"}, "did you mean --config.file=mother.yml?"},
		{[]string{"rnu", "scan"}, "did you mean run?"},
		{[]string{"healer"}, "healer needs a subcommand: status, pause"},
		{[]string{"healer", "pause", "1h"}, `healer pause: unexpected "1h" (see healer pause --help)`},
		{[]string{"-network=127.1.0.0/24"}, "unknown flag '-network'; did you mean --network?"},
		{[]string{"scan", "--port=81", "127.1.0.0/24"}, "did you mean --dragon-port?"},
		{[]string{"--dragon-health-reboot=true"}, `--dragon-health-reboot takes no value, got "true"; its opposite is --no-dragon-health-reboot`},
		{[]string{"--dragon-health-reboot", "yes"}, `--dragon-health-reboot takes no value`},
		{[]string{"healer", "restart", "--reason=x", "--yes=false", "dragon-45000001"}, `--yes takes no value, got "false"; its opposite is --no-yes`},
		{[]string{"--yes=false", "dragon", "reboot", "127.1.0.1:9"}, `--yes takes no value, got "false"`},
		{[]string{"dragon", "upgrade", "--no-force=true", "--image=x", "127.1.0.1:9"}, `--force takes no value, got "true"`},
		{[]string{"firmware", "rollout", "start", "--model=T1", "--reason=x", "--version=t1_20190102_030405"}, `--version takes no value`},
		{[]string{"--dragon=127.1.0.1:9", "--data-dir=" + here, "--web.listen-address=9977"}, "missing port in address; want one like"},
		{[]string{"--dragon=http://127.1.0.1/"}, "not a host but a URL"},
		{[]string{"--config.file=" + here}, here + " is a directory"},
		{[]string{"--config.file=" + filepath.Join(here, "nope.yml")}, "nope.yml: no such file"},
		{[]string{"--config.file=" + empty}, "networks or dragons in " + empty},
		{[]string{"--dragon=127.1.0.1:9", "--data-dir=" + empty}, "the data directory (--data-dir): mkdir " + empty},
		{[]string{"--dragon=127.1.0.1:9", "--data-dir=" + here, "--web.listen-address=" + taken.Addr().String()},
			"--web.listen-address: listen tcp " + taken.Addr().String()},
		{[]string{"--dragon=127.1.0.1:9", "--data-dir=" + here, "--web.listen-address=127.0.0.1:0", "--web.config.file=/nowhere.yml"},
			"--web.config.file: open /nowhere.yml"},
	} {
		err := run(t.Context(), c.args, io.Discard, io.Discard, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v\nwant one line with %q", c.args, err, c.want)
		}
	}
}

func TestAnInvalidEnvironmentVariableIsNamed(t *testing.T) {
	t.Setenv("MOTHER_OF_DRAGONS_DRAGON_HEALTH_REBOOT", "yes")
	err := run(t.Context(), []string{"--network=127.1.0.0/24"}, io.Discard, io.Discard, nil)
	if err == nil || !strings.Contains(err.Error(), `$MOTHER_OF_DRAGONS_DRAGON_HEALTH_REBOOT: "yes" is neither true nor false`) {
		t.Errorf("%v", err)
	}
}

func TestWithoutATargetNothingIsSent(t *testing.T) {
	err := run(t.Context(), []string{"--web.listen-address=127.0.0.1:0"}, io.Discard, io.Discard,
		func(a net.Addr) { t.Errorf("the program listens on %v with nothing to do", a) })
	if err == nil || !strings.Contains(err.Error(), "no network and no dragon named") {
		t.Errorf("%v", err)
	}
}

func TestTheHealerActsInEnforceModeOnly(t *testing.T) {
	for _, c := range []struct {
		mode string
		args []string
	}{
		{"observe", nil},
		{"enforce", []string{"--dragon-health-reboot"}},
	} {
		dragons, err := dragontest.NewFleet(dragontest.FleetConfig{})
		if err != nil {
			t.Fatal(err)
		}
		defer dragons.Close()
		address, _, _ := start(t, append([]string{"--dragon=" + dragons.Addr(0)}, c.args...)...)
		cmdtest.Eventually(t, "the healer is in the mode "+c.mode, func() bool {
			_, page := cmdtest.Get(t, "http://"+address+"/metrics")
			return strings.Contains(page, `mother_healer_mode{mode="`+c.mode+`"} 1`) && strings.Contains(page, "\nmother_state_writable 1")
		})
	}
}

func TestScanShowsWhatIsThere(t *testing.T) {
	dragons, err := dragontest.NewFleet(dragontest.FleetConfig{Count: 5})
	if err != nil {
		t.Fatal(err)
	}
	defer dragons.Close()
	host, port, err := net.SplitHostPort(dragons.Addr(0))
	if err != nil {
		t.Fatal(err)
	}
	network := host[:strings.LastIndexByte(host, '.')] + ".0/24"
	var table, asJSON bytes.Buffer
	if err := run(t.Context(), []string{"scan", "--dragon-port=" + port, network}, &table, io.Discard, nil); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(table.String(), "\n"); n != 6 {
		t.Errorf("%d lines, want a head and 5 dragons:\n%s", n, table.String())
	}
	if err := run(t.Context(), []string{"scan", "--json", "--dragon-port=" + port, network}, &asJSON, io.Discard, nil); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(asJSON.String(), `"worker": "dragon-`); n != 5 {
		t.Errorf("%d dragons in\n%s\nwant 5", n, asJSON.String())
	}
	if err := run(t.Context(), []string{"scan", "--dragon-port=" + port, "127.98.0.0/29"}, io.Discard, io.Discard, nil); err == nil {
		t.Error("a scan that found nothing did not fail")
	}
}

func TestAScanSaysHowManyDidNotAnswer(t *testing.T) {
	dragons, err := dragontest.NewFleet(dragontest.FleetConfig{Count: 3, Prefix: netip.MustParsePrefix("127.98.4.0/24")})
	if err != nil {
		t.Fatal(err)
	}
	defer dragons.Close()
	dragons.Dragon(1).Inject(dragontest.Reset)
	args := []string{"scan", "--dragon-port", strconv.Itoa(int(dragons.Port())), "127.98.4.0/29"}
	var stdout, stderr bytes.Buffer
	err = run(t.Context(), args, &stdout, &stderr, nil)
	want := fmt.Sprintf("2 dragons; 1 host accepted the connection but did not answer (%s)\n", dragons.Addr(1))
	if err != cli.Exit(3) || stderr.String() != want || strings.Count(stdout.String(), "\n") != 3 {
		t.Errorf("%v; stderr %q, want %q; stdout\n%s", err, &stderr, want, &stdout)
	}
	dragons.Dragon(1).Clear()
	stderr.Reset()
	if err := run(t.Context(), args, &stdout, &stderr, nil); err != nil || stderr.String() != "3 dragons\n" {
		t.Errorf("%v; stderr %q", err, &stderr)
	}
}

func TestBigNumbersAreGrouped(t *testing.T) {
	for n, want := range map[int]string{0: "0 dragons", 1: "1 dragon", 999: "999 dragons", 4964: "4,964 dragons", 1234567: "1,234,567 dragons"} {
		if got := counted(n, "dragon", "dragons"); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}

func TestASimulationReachesNoRealDragon(t *testing.T) {
	for _, args := range [][]string{
		{"--network=192.0.2.0/24"},
		{"--network=127.5.0.0/24", "--network=192.0.2.0/24"},
		{"--dragon=192.0.2.1"},
		{"--dragon=dragon.example.net:80"},
		{"--dragon=127.0.0.1:80", "--dragon=[2001:db8::1]:80"},
	} {
		args = append(args, "--simulation.speed=60", "--data-dir="+t.TempDir(), "--inventory-file=", "--web.listen-address=127.0.0.1:0")
		err := run(t.Context(), args, io.Discard, io.Discard, func(net.Addr) { t.Errorf("%v: it listens", args) })
		if !errors.Is(err, app.ErrNotSimulated) {
			t.Errorf("%v: %v", args, err)
		}
	}
	dir := t.TempDir()
	inventory := `{"version":1,"dragons":[{"mac":"a0:b0:45:00:00:01","address":"192.0.2.9","brand":"DragonMint","model":"T1","first_seen":"2026-11-01T00:00:00Z","last_seen":"2026-11-23T00:00:00Z"}]}`
	if err := os.WriteFile(filepath.Join(dir, fleet.InventoryName), []byte(inventory), 0o600); err != nil {
		t.Fatal(err)
	}
	err := run(t.Context(), []string{"--network=127.5.0.0/24", "--simulation.speed=60", "--data-dir=" + dir, "--inventory-file=",
		"--web.listen-address=127.0.0.1:0"},
		io.Discard, io.Discard, func(net.Addr) { t.Error("it listens") })
	if !errors.Is(err, app.ErrNotSimulated) || !strings.Contains(err.Error(), "192.0.2.9") {
		t.Errorf("a remembered dragon: %v", err)
	}
}

func TestASignalPausesTheHealerForAnHour(t *testing.T) {
	dragons, err := dragontest.NewFleet(dragontest.FleetConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer dragons.Close()
	address, logs, _ := start(t, "--dragon="+dragons.Addr(0), "--dragon-health-reboot")
	if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil { // also before the healer's first look
		t.Fatal(err)
	}
	cmdtest.Eventually(t, "the healer is paused", func() bool {
		_, page := cmdtest.Get(t, "http://"+address+"/metrics")
		return strings.Contains(page, "\nmother_pauses{scope=\"fleet\"} 1\n")
	})
	_, plan := cmdtest.Get(t, "http://"+address+"/api/v1/plan")
	var p web.PlanAnswer
	if err := json.Unmarshal([]byte(plan), &p); err != nil {
		t.Fatal(err)
	}
	if x := p.Pauses; len(x) != 1 || x[0].Owner != "signal" || x[0].Kind != healer.Paused || x[0].Until.Since(x[0].At) != time.Hour {
		t.Errorf("%+v", x)
	}
	cmdtest.Eventually(t, "it is said", func() bool { return strings.Contains(logs.String(), "healer paused by signal") })
}
