package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

// hasty is a policy that judges early. Its gates are those of every policy.
const hasty = `
healing:
  poll: 20s
  start_observe: 0s
  start_samples: 1
  new_device_observe: 0s
  new_device_samples: 1
  breakers: {floor: 3}
  default:
    mode: %s
    detect:
      dead_board: {for: 1m, bad: 3, of: 3}
`

// typo is a line of the policy that calls every dragon sick, once its rate is known.
const typo = "    hashrate: 500 TH/s\n"

// instance is a running program with a fleet that lives 60 times faster.
type instance struct {
	t       *testing.T
	dragons *dragontest.Fleet
	dir     string
	base    string
	p       *process
	args    []string
}

func newInstance(t *testing.T, mode string, args ...string) *instance {
	t.Helper()
	clock := dragontest.SpedUp(60)
	dragons, flags := fleetOf(t, dragontest.FleetConfig{Count: 10, Specs: func(int) dragontest.Spec { return dragontest.Spec{Now: clock, Speed: 60} }})
	w := &instance{t: t, dragons: dragons, dir: t.TempDir()}
	file := filepath.Join(t.TempDir(), "mother.yml")
	if err := os.WriteFile(file, fmt.Appendf(nil, hasty, mode), 0o600); err != nil {
		t.Fatal(err)
	}
	w.args = append(flags, "--data-dir="+w.dir, "--config.file="+file, "--simulation.speed=60")
	w.p, w.base = mother(t, append(w.args, args...)...)
	eventually(t, "ten healthy dragons", func() bool {
		out, _ := w.plan()
		return strings.Contains(out, "fleet=10 healthy=10")
	})
	return w
}

func (w *instance) worker(i int) string { return dragon.WorkerName(w.dragons.Dragon(i).Spec().MAC) }

// invoke runs a command on the instance's data directory and returns what it says and its
// exit status.
func (w *instance) invoke(args ...string) (out string, status int) {
	w.t.Helper()
	return w.command(append(args, "--data-dir="+w.dir)...)
}

func (w *instance) command(args ...string) (out string, status int) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), binary, args...)
	cmd.Dir = w.t.TempDir()
	b, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(b), exit.ExitCode()
	} else if err != nil {
		w.t.Fatal(err)
	}
	return string(b), 0
}

func (w *instance) plan(args ...string) (out string, status int) {
	w.t.Helper()
	return w.invoke(append([]string{"plan"}, args...)...)
}

func TestThePlansExitStatus(t *testing.T) {
	t.Parallel()
	w := newInstance(t, "observe")
	if out, status := w.plan(); status != 0 {
		t.Errorf("with nothing to do: exit status %d, want 0\n%s", status, out)
	}
	w.dragons.Dragon(0).Inject(dragontest.DeadBoard)
	eventually(t, "something would be done: exit status 2", func() bool { _, status := w.plan(); return status == 2 })
	if out, status := w.plan("--why", w.worker(0)); status != 2 || !strings.Contains(out, "dead_board") || !strings.Contains(out, "gate") {
		t.Errorf("why: exit status %d\n%s", status, out)
	}
	if out, status := w.command("plan", "--url="+w.base, "--json"); status != 2 || !json.Valid([]byte(out)) || !strings.Contains(out, `"would_act"`) {
		t.Errorf("by address, as JSON: exit status %d\n%s", status, out)
	}
	w.compare()
	w.reload("observe", typo, 1)
	w.reload("observe", "    boards: 3\n", 0)
	for i := range 5 {
		w.dragons.Dragon(i).Inject(dragontest.DeadBoard)
	}
	eventually(t, "a breaker is in the way: exit status 3", func() bool { _, status := w.plan(); return status == 3 })
	if out, _ := w.plan(); !strings.Contains(out, "breaker storm: open") {
		t.Errorf("the plan does not say which\n%s", out)
	}
	for what, args := range map[string][]string{
		"an unknown name": {"plan", "--data-dir=" + w.dir, "--why=nobody"},
		"no instance":     {"plan", "--url=http://127.99.0.1:9"},
		"nothing there":   {"plan", "--data-dir=" + t.TempDir()},
	} {
		if out, status := w.command(args...); status != 1 || strings.Count(out, "\n") != 1 {
			t.Errorf("%s: exit status %d, want 1 and one line\n%s", what, status, out)
		}
	}
	if n := w.dragons.Dragon(0).Truth().MinerStarts; n != 1 {
		t.Errorf("a healer that observes restarted a dragon")
	}
}

// compare shows the running instance files that it does not run on, while one dragon is sick.
func (w *instance) compare() {
	w.t.Helper()
	for _, x := range []struct {
		name, file string
		status     int
		want       []string
	}{
		{"the same", fmt.Sprintf(hasty, "observe"), 2, []string{"mode=observe fleet=10"}},
		{"another mode", fmt.Sprintf(hasty, "enforce"), 2, []string{"0 would become sick", "would act restartCgMiner", "-> sick dead_board: act restartCgMiner", "it would be taken over"}},
		{"a typo", fmt.Sprintf(hasty, "observe") + typo, 3, []string{"9 would become sick (+, at most 2)", "low_hashrate", "REFUSED"}},
		{"no sense", fmt.Sprintf(hasty, "sometimes"), 1, []string{"sometimes"}},
	} {
		file := filepath.Join(w.t.TempDir(), "other.yml")
		if err := os.WriteFile(file, []byte(x.file), 0o600); err != nil {
			w.t.Fatal(err)
		}
		eventually(w.t, fmt.Sprintf("a file with %s: exit status %d, and %q", x.name, x.status, x.want), func() bool { // a rate takes ten minutes to be known
			out, status := w.plan("--config.file=" + file)
			return status == x.status && !slices.ContainsFunc(x.want, func(want string) bool { return !strings.Contains(out, want) })
		})
	}
}

// reload loads other rules into the running instance, and waits for what it makes of them.
func (w *instance) reload(mode, more string, refused float64) {
	w.t.Helper()
	for _, arg := range w.args {
		if file, ok := strings.CutPrefix(arg, "--config.file="); ok {
			if err := os.WriteFile(file, append(fmt.Appendf(nil, hasty, mode), more...), 0o600); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	before := w.value("mother_config_refused_total")
	hash := regexp.MustCompile(`(?m)^mother_config_hash_info.*`)
	inForce := hash.FindString(get(w.t, w.base+"/metrics"))
	if err := w.p.Process.Signal(syscall.SIGHUP); err != nil {
		w.t.Fatal(err)
	}
	eventually(w.t, "the new rules are judged", func() bool {
		changed := hash.FindString(get(w.t, w.base+"/metrics")) != inForce
		return w.value("mother_healer_policy_refused") == refused && w.value("mother_config_refused_total") == before+refused && changed == (refused == 0)
	})
}

func TestAPauseIsEffective(t *testing.T) {
	t.Parallel()
	w := newInstance(t, "enforce")
	starts := func() int { return w.dragons.Dragon(0).Truth().MinerStarts }
	if out, status := w.invoke("healer", "pause", "--scope=fleet", "--reason=a visit", "--owner=ann"); status != 0 || !strings.Contains(out, "pause p1 of fleet") {
		t.Fatalf("exit status %d\n%s", status, out)
	}
	w.dragons.Dragon(0).Inject(dragontest.DeadBoard, dragontest.CuredBy(dragontest.CuredByRestart))
	eventually(t, "the sick dragon is held by the pause", func() bool {
		out, _ := w.plan("--why", w.worker(0))
		return strings.Contains(out, "state     held") && strings.Contains(out, "a visit")
	})
	if out, _ := w.plan(); !strings.Contains(out, "pause p1 of fleet by ann: a visit") {
		t.Errorf("the plan does not show the pause\n%s", out)
	}
	if n := starts(); n != 1 {
		t.Errorf("%d starts of the miner process under a pause, want 1", n)
	}
	if out, status := w.invoke("healer", "reboot", "--yes", "--reason=impatience", w.worker(0)); status != 1 || !strings.Contains(out, "pause") {
		t.Errorf("a reboot under a pause: exit status %d\n%s", status, out)
	}
	if out, status := w.invoke("healer", "resume", "p1"); status != 0 {
		t.Fatalf("exit status %d\n%s", status, out)
	}
	eventually(t, "the dragon is healed", func() bool { return starts() == 2 })
	eventually(t, "the status counts it", func() bool { // which hears of a send a moment later
		out, _ := w.invoke("healer", "status")
		return strings.Contains(out, "enforce") && strings.Contains(out, "fleet in 1h: 1 of 2")
	})
	if n := w.dragons.Dragon(0).Truth().Boots; n != 1 {
		t.Errorf("it was rebooted")
	}
	w.p.stop(t)
	if _, err := os.Stat(filepath.Join(w.dir, "control.sock")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket after the end: %v", err)
	}
}

func TestTheAdminAPIIsOffUnlessAskedFor(t *testing.T) {
	t.Parallel()
	ask := func(base, path, body string) (int, string) {
		t.Helper()
		resp, err := http.Post(base+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var b bytes.Buffer
		_, _ = b.ReadFrom(resp.Body)
		return resp.StatusCode, b.String()
	}
	post := func(base string) (int, string) {
		t.Helper()
		return ask(base, "/api/v1/healer/pause", `{"scope":"fleet","reason":"r","owner":"o"}`)
	}
	w := newInstance(t, "observe")
	if code, body := post(w.base); code != http.StatusForbidden || !strings.Contains(body, "--web.enable-admin-api") {
		t.Errorf("%d %s, want 403", code, body)
	}
	info, err := os.Stat(filepath.Join(w.dir, "control.sock"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v %v, want mode 0600", info, err)
	}
	w.p.stop(t)
	_, base := mother(t, append(w.args, "--web.enable-admin-api")...)
	eventually(t, "the API takes a pause", func() bool { code, _ := post(base); return code == http.StatusOK })
	if page := get(t, base+"/metrics"); !strings.Contains(page, `mother_pauses{scope="fleet"} 1`) {
		t.Error("the metrics do not show the pause")
	}
	if code, body := ask(base, "/api/v1/inventory/look", fmt.Sprintf(`{"dragon":%q,"owner":"o"}`, w.dragons.Addr(3))); code != http.StatusOK || !strings.Contains(body, "true") {
		t.Errorf("a look at a dragon: %d %s", code, body)
	}
}

func TestAPlanWithoutAnInstanceLeavesNoTrace(t *testing.T) {
	t.Parallel()
	w := newInstance(t, "observe")
	if out, status := w.invoke("healer", "quarantine", "--reason=r", w.worker(3)); status != 0 {
		t.Fatalf("exit status %d\n%s", status, out)
	}
	eventually(t, "the inventory is written", func() bool {
		b, err := os.ReadFile(filepath.Join(w.dir, "inventory.json"))
		return err == nil && strings.Count(string(b), `"mac"`) == 10
	})
	w.p.stop(t)
	before := contents(t, w.dir)
	out, status := w.plan()
	if status != 0 || !strings.Contains(out, "no instance runs") || !strings.Contains(out, "fleet=10") || !strings.Contains(out, "quarantined=1") {
		t.Errorf("exit status %d\n%s", status, out)
	}
	if after := contents(t, w.dir); after != before {
		t.Errorf("the data directory was\n%s\nand is\n%s", before, after)
	}
}

// contents says what is in a directory, byte for byte.
func contents(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		fmt.Fprintf(&b, "%s %d %x\n", path, len(data), sha256.Sum256(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTheFastDemoTellsItsStory(t *testing.T) {
	t.Parallel()
	p := spawn(t, nil, binary, "demo", "--dragons=6", "--speed=400", "--data-dir="+filepath.Join(t.TempDir(), "data"), "--web.listen-address=127.0.0.1:0")
	for _, line := range []string{"loses a board", "restarts its miner process (step 1)", `outcome "recovered"`, "new from the factory", "is in sync, and a pool has accepted its work", "every pool fails", "the healer pauses", "the healer resumes"} {
		eventually(t, "the story says: "+line, func() bool { return strings.Contains(p.logged(), line) })
	}
	if story := p.logged(); strings.Contains(story, "reboots it") {
		t.Errorf("a dragon was rebooted:\n%s", story)
	}
	p.stop(t)
}
