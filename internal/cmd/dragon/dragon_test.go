package dragon

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cmdtest"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
)

func TestEveryQuestionIsAnsweredAsATableAndAsJSON(t *testing.T) {
	l := newFarm(t, dragontest.Spec{}, dragontest.Spec{Model: "t2t"})
	for verb, want := range map[string]string{
		"summary": "TH/s", "overview": "a0:b0:45:", "pools": "stratum+tcp://one.pool.example.com:3333", "errors": "none", "debug": "with",
		"stats": "{", "hashrates": "TH/s", "network": "DHCP", "autotune": "factory", "firmware": "yes", "type": "T2T", "unit": "H/s",
		"get-all": "TH/s", "runtime-pools": "in use", "ping": "in ",
	} {
		t.Run(verb, func(t *testing.T) {
			table, errs, err := l.dragon(verb, l.Worker(1))
			if err != nil || !strings.HasPrefix(table, "DRAGON") || !strings.Contains(table, "\n"+l.Worker(1)) || !strings.Contains(table, want) {
				t.Errorf("%v\n%s%s\nwant %q", err, table, errs, want)
			}
			out, _, err := l.dragon(verb, "--json", l.Dragon(1).Spec().MAC)
			var got []struct {
				Dragon, Address, MAC, Error string
				OK                          bool
				Result                      any
			}
			if err != nil || json.Unmarshal([]byte(out), &got) != nil || len(got) != 1 || !got[0].OK || got[0].Dragon != l.Worker(1) ||
				got[0].Address != l.Addr(1) || got[0].Result == nil {
				t.Errorf("%v\n%s", err, out)
			}
			if strings.Contains(out, `"raw"`) {
				t.Errorf("the answer as it came is in\n%s", out)
			}
		})
	}
}

func TestAFailureIsReportedAndTheOthersAreShown(t *testing.T) {
	l := newFarm(t, dragontest.Spec{}, dragontest.Spec{Password: "changed"}, dragontest.Spec{})
	table, errs, err := l.dragon("overview", "--all")
	if err == nil || !strings.Contains(err.Error(), "1 of 3 failed") {
		t.Errorf("%v", err)
	}
	if strings.Count(table, "\n") != 3 || !strings.Contains(errs, l.Worker(1)+": ") || !strings.Contains(errs, "unauthorized") {
		t.Errorf("%s\n%s", table, errs)
	}
	out, _, err := l.dragon("overview", "--all", "--json")
	var got []outcome
	if err == nil || json.Unmarshal([]byte(out), &got) != nil || len(got) != 3 || !got[0].OK || got[1].OK || got[1].Error == "" || !got[2].OK {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestDragonsAreNamedByWorkerMACOrAddress(t *testing.T) {
	l := newFarm(t, dragontest.Spec{}, dragontest.Spec{})
	for _, name := range []string{l.Worker(1), l.Dragon(1).Spec().MAC, strings.ToUpper(strings.ReplaceAll(l.Dragon(1).Spec().MAC, ":", "")), l.Addr(1)} {
		out, _, err := l.dragon("overview", "--json", name, l.Addr(1)) // the same, once
		if err != nil || strings.Count(out, `"dragon"`) != 1 || !strings.Contains(out, l.Dragon(1).Spec().MAC) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	_, port, _ := strings.Cut(l.Addr(0), ":")
	if out, _, err := l.dragon("type", "--dragon-port="+port, l.Host(0).String()); err != nil || !strings.Contains(out, "T1") {
		t.Errorf("by host and port: %v %s", err, out)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"dragon-00000000"}, "not in the inventory"},
		{[]string{"00:11:22:33:44:55"}, "not in the inventory"},
		{[]string{"what is this"}, "is not a host"},
		{nil, "--all"},
		{[]string{"--all", "127.78.0.1"}, "one of the two"},
	} {
		if _, _, err := l.dragon(append([]string{"type"}, c.args...)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.args, err, c.want)
		}
	}
	if _, _, err := invoke(t, "dragon", "type", "--data-dir="+t.TempDir(), "--all"); err == nil || !strings.Contains(err.Error(), "--data-dir") {
		t.Errorf("without an inventory: %v", err)
	}
}

func TestAWriteNeedsTheNamedDragon(t *testing.T) {
	l := newFarm(t, dragontest.Spec{}, dragontest.Spec{})
	if err := l.Swap(0, 1); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"summary"}, {"reboot", "--yes"}, {"poweroff", "--yes-i-mean=" + l.Worker(0)}} {
		_, errs, err := l.dragon(append(args, l.Worker(0))...)
		if err == nil || !strings.Contains(errs, "answers at") {
			t.Errorf("%v: %v %s", args, err, errs)
		}
	}
	for i := range 2 {
		if w := l.Dragon(i).Writes(); len(w) > 0 {
			t.Errorf("dragon %d was written to: %v", i, w)
		}
	}
}

func TestEveryChangeIsSentOnceAndIsOnRecord(t *testing.T) {
	l := newFarm(t, dragontest.Spec{Model: "t2t", SleepTime: -1, RestartTime: -1, OutageTime: -1})
	pools := filepath.Join(t.TempDir(), "pools.json")
	if err := os.WriteFile(pools, []byte(`[{"pools":[{"url":"stratum+tcp://new.pool.example.com:3333","username":"farm","password":"hunter2"}]}]`),
		0o600); err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(t.TempDir(), "t2t.swu")
	if err := os.WriteFile(image, []byte("no image at all"), 0o600); err != nil {
		t.Fatal(err)
	}
	worker := l.Worker(0)
	writes := 0
	for _, c := range []struct {
		args     []string
		endpoint string
	}{
		{[]string{"locate", "on", worker}, "SetMonitor"},
		{[]string{"restart", "--yes", "--reason=a visit", worker}, "restartCgMiner"},
		{[]string{"set-autotune", "--yes", "efficient:3", worker}, "setAutoTune"},
		{[]string{"set-pools", "--yes", "--pools-file=" + pools, worker}, "updatePools"},
		{[]string{"upgrade", "--yes", "--image=" + image, worker}, "upgrade/upload"},
		{[]string{"set-network", "--yes", "--dhcp", worker}, "updateNetwork"},
	} {
		out, errs, err := l.dragon(c.args...)
		if err != nil || !strings.Contains(out, worker) {
			t.Errorf("%v: %v\n%s%s", c.args, err, out, errs)
		}
		if strings.Contains(out+errs, "hunter2") {
			t.Errorf("a secret is in %s%s", out, errs)
		}
		all := l.Dragon(0).Writes()
		if len(all) != writes+1 || all[writes].Endpoint != c.endpoint {
			t.Errorf("%v: writes %v, want one more, %s", c.args, all, c.endpoint)
		}
		writes = len(all)
	}
	truth := l.Dragon(0).Truth()
	if !truth.RedLight || truth.AutoTune.Mode != "efficient" || truth.Configured[0].User != "farm."+worker {
		t.Errorf("%+v", truth)
	}
	data, err := os.ReadFile(filepath.Join(l.Dir, "audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), "hunter2") {
		t.Error("a secret is in the audit")
	}
	records, err := agent.ReadAudit(data)
	if err != nil {
		t.Fatal(err)
	}
	var done []string
	for _, r := range records {
		if r.Decision != healer.Manual || r.MAC != l.Dragon(0).Spec().MAC || !strings.HasPrefix(r.Actor, "user:") {
			t.Errorf("%+v", r)
		}
		done = append(done, string(r.Action))
	}
	if diff := cmp.Diff([]string{"locate", "restart", "set-autotune", "set-pools", "upgrade", "set-network"}, done); diff != "" {
		t.Error(diff)
	}
	if !strings.HasPrefix(records[1].Note, "a visit: ") {
		t.Errorf("note %q", records[1].Note)
	}
	// A profile that is set already is not set again, and that is not a failure.
	if out, errs, err := l.dragon("set-autotune", "--yes", "efficient:3", worker); err != nil || !strings.Contains(out, "it has this profile") {
		t.Errorf("%v %s%s", err, out, errs)
	}
	if all := l.Dragon(0).Writes(); len(all) != writes {
		t.Errorf("it was written to again: %v", all[writes:])
	}
}

func TestAnImageOfAnotherModelIsRefused(t *testing.T) {
	l := newFarm(t, dragontest.Spec{}, dragontest.Spec{Model: "t2t"})
	image := filepath.Join(t.TempDir(), "t1_20180515_060842.swu")
	if err := os.WriteFile(image, []byte("no image at all"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, errs, err := l.dragon("upgrade", "--yes", "--image="+image, "--all")
	if err == nil || !strings.Contains(errs, l.Worker(1)+": not sent: t1_20180515_060842.swu: it is for a T1, not for a T2T") ||
		strings.Contains(errs, l.Worker(0)) {
		t.Errorf("%v\n%s", err, errs)
	}
	if _, errs, err := l.dragon("upgrade", "--yes", "--url=http://127.0.0.1:9/x/t1_20180515_060842.swu", l.Worker(1)); err == nil ||
		!strings.Contains(errs, "not sent") {
		t.Errorf("by URL: %v\n%s", err, errs)
	}
	if n := len(l.Dragon(0).Writes()); n != 1 {
		t.Errorf("its own dragon got it %d times", n)
	}
	if w := l.Dragon(1).Writes(); len(w) > 0 {
		t.Fatalf("another model got it: %v", w)
	}
	if _, errs, err := l.dragon("upgrade", "--yes", "--force", "--image="+image, l.Worker(1)); err != nil || len(l.Dragon(1).Writes()) != 1 {
		t.Errorf("with --force: %v\n%s", err, errs)
	}
}

// Only balanced is ignored where no profile is written yet, so only there another mode helps.
func TestTheHintForAnIgnoredProfileIsForBalancedOnly(t *testing.T) {
	l := newFarm(t, dragontest.Spec{Model: "t2t"}, dragontest.Spec{Model: "t2t"})
	l.Dragon(1).Inject(dragontest.Frozen)
	for i, mode := range []string{"balanced", "performance"} {
		_, errs, err := l.dragon("set-autotune", "--yes", mode, l.Worker(i))
		hint := strings.Contains(errs, "set another mode first")
		if err == nil || !strings.Contains(errs, "reports success but still has factory") || hint != (mode == "balanced") {
			t.Errorf("%s: %v\n%s", mode, err, errs)
		}
	}
}

func TestWhatCannotBeUndoneIsNamedTwice(t *testing.T) {
	l := newFarm(t, dragontest.Spec{SleepTime: -1}, dragontest.Spec{SleepTime: -1})
	a, b := l.Worker(0), l.Worker(1)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"poweroff", a}, "--yes-i-mean=" + a},
		{[]string{"poweroff", "--yes-i-mean=" + b, a}, "are not " + a},
		{[]string{"poweroff", "--yes-i-mean=" + a, a, b}, "are not " + a + "," + b},
		{[]string{"factory-reset", "--all", "--yes-i-mean=" + a + "," + b}, "--all is not allowed"},
		{[]string{"poweroff", "--yes", a}, "unknown long flag"},
		{[]string{"reboot", a}, "confirm it with --yes"},
		{[]string{"set-network", "--yes", "--dhcp", "--address=127.78.0.9", a}, "give --dhcp, or --address"},
		{[]string{"set-network", "--yes", "--address=127.78.0.9", a, b}, "an address is for one dragon"},
		{[]string{"upgrade", "--yes", a}, "give --image or --url"},
		{[]string{"set-autotune", "--yes", "loud", a}, "invalid autotune mode"},
		{[]string{"set-pools", "--yes", "--pools-file=/nowhere", a}, "/nowhere"},
	} {
		if _, _, err := l.dragon(c.args...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.args, err, c.want)
		}
	}
	for i := range 2 {
		if w := l.Dragon(i).Writes(); len(w) > 0 {
			t.Fatalf("dragon %d was written to: %v", i, w)
		}
	}
	if out, errs, err := l.dragon("poweroff", "--yes-i-mean="+a+","+b, a, b); err != nil || strings.Count(out, "dragon-") != 2 {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
	for i := range 2 {
		if l.Dragon(i).Truth().On {
			t.Errorf("dragon %d is on", i)
		}
	}
}

func TestAtOnceBoundsTheDragonsAskedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &batch{family: &family{parallel: 3}, config: &config.Config{}, verb: "wait", stdout: io.Discard, stderr: io.Discard}
		for i := range 10 {
			b.hosts = append(b.hosts, host{Name: fmt.Sprint(i), Address: fmt.Sprint("127.78.0.", i)})
		}
		var mu sync.Mutex
		now, most := 0, 0
		outcomes := b.each(t.Context(), func(_ context.Context, v *target) (any, error) {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			now--
			mu.Unlock()
			return v.Name, nil
		})
		if most != 3 || len(outcomes) != 10 || outcomes[7].Dragon != "7" || outcomes[7].Result != "7" {
			t.Errorf("%d at a time, want 3; %+v", most, outcomes)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, o := range b.each(ctx, func(context.Context, *target) (any, error) { return nil, nil }) {
			if o.OK {
				t.Error("a dragon was visited after Ctrl-C")
			}
		}
	})
}

func TestPasswordsComeFromFilesAndAreNeverShown(t *testing.T) {
	l := newFarm(t, dragontest.Spec{Password: "hunter2-of-the-dragon"})
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("hunter2-of-the-dragon\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, errs, err := l.dragon("overview", "--password-file="+file, l.Worker(0)); err != nil {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
	configuration := filepath.Join(t.TempDir(), "mother.yml")
	if err := os.WriteFile(configuration, []byte("data_dir: "+l.Dir+"\ncredentials: [{username: admin, password_file: "+file+"}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, errs, err := invoke(t, "dragon", "pools", "--json", "--config.file="+configuration, l.Worker(0)); err != nil || strings.Contains(out, `"x"`) {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
	if err := os.WriteFile(file, []byte("hunter2-of-another"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, err := l.dragon("overview", "--password-file="+file, l.Worker(0))
	if err == nil || strings.Contains(out+errs+err.Error(), "hunter2") {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
	for _, bad := range []string{"", "two\nlines\n"} {
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := l.dragon("overview", "--password-file="+file, l.Worker(0)); err == nil || !strings.Contains(err.Error(), "want one line") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, _, err := l.dragon("overview", "--ask-password", l.Worker(0)); err == nil || !strings.Contains(err.Error(), "not a terminal") {
		t.Errorf("%v", err)
	}
}

func TestJournalsOfManyAreTold(t *testing.T) {
	l := newFarm(t, dragontest.Spec{}, dragontest.Spec{})
	out, errs, err := l.dragon("logs", "--all")
	if err != nil {
		t.Fatalf("%v\n%s", err, errs)
	}
	seen := map[string]int{}
	for line := range strings.Lines(out) {
		worker, rest, ok := strings.Cut(line, " | ")
		if !ok || strings.TrimSpace(rest) == "" {
			t.Fatalf("%q", line)
		}
		seen[worker]++
	}
	if len(seen) != 2 || seen[l.Worker(0)] == 0 || seen[l.Worker(1)] == 0 {
		t.Errorf("%v", seen)
	}
	if out, _, err := l.dragon("logs", l.Worker(0)); err != nil || out == "" || strings.HasPrefix(out, l.Worker(0)) {
		t.Errorf("%v %.200s", err, out)
	}
}

func TestJournalsAreFollowedUntilTheUserHasSeenEnough(t *testing.T) {
	l := newFarm(t, dragontest.Spec{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &cmdtest.LogBuffer{}
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, []string{"dragon", "logs", "-f", "--data-dir=" + l.Dir, l.Worker(0)}, out, io.Discard)
	}()
	cmdtest.Eventually(t, "a line", func() bool { return strings.Contains(out.String(), "\n") })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestLogsOfUnreachableDragonsFailAtOnce(t *testing.T) {
	l := newFarm(t, dragontest.Spec{}, dragontest.Spec{Password: "changed"})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	errs := &cmdtest.OnText{Text: l.Worker(1) + ": ", Do: cancel} // without that it would go on for ever
	err := run(ctx, []string{"dragon", "logs", "-f", "--data-dir=" + l.Dir, "--all"}, io.Discard, errs)
	if err == nil || strings.Count(errs.String(), l.Worker(1)) != 1 {
		t.Errorf("%v\n%s", err, errs.String())
	}
}

func TestCtrlCNamesTheDragonsNotAsked(t *testing.T) {
	l := newFarm(t, dragontest.Spec{}, dragontest.Spec{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var errs strings.Builder
	err := run(ctx, []string{"dragon", "overview", "--data-dir=" + l.Dir, "--all"}, io.Discard, &errs)
	if err == nil || strings.Count(errs.String(), "not asked: interrupted") != 2 {
		t.Errorf("%v\n%s", err, errs.String())
	}
}

func TestLinesAreWholeAndHarmless(t *testing.T) {
	var b strings.Builder
	l := &lines{mu: &sync.Mutex{}, to: &b, prefix: "a | "}
	for _, p := range []string{"on", "e\ntw\x1b[2Jo\n\nthr", "ee"} {
		if _, err := l.Write([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.end(); err != nil {
		t.Fatal(err)
	}
	if got, want := b.String(), "a | one\na | tw�[2Jo\na | \na | three\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestFieldsInJSONAreInSnakeCase(t *testing.T) {
	for name, want := range map[string]string{
		"MAC": "mac", "HWVersion": "hw_version", "IPAddress": "ip_address", "Hashrate15m": "hashrate_15m", "PLLOptimal": "pll_optimal", "FanDuty": "fan_duty", "DNS": "dns",
	} {
		if got := snakeCase(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	got := jsonOf(&struct {
		dragon.Answer
		Secret  dragon.Secret
		Unknown dragon.Number
		Known   dragon.Number
		None    *dragon.Board
		hidden  int
	}{Secret: "hunter2", Known: dragon.Known(1.5)})
	data, err := json.Marshal(got)
	if want := `{"known":1.5,"none":null,"secret":"\u003csecret\u003e","unknown":null}`; err != nil || string(data) != want {
		t.Errorf("%s, want %s", data, want)
	}
}
