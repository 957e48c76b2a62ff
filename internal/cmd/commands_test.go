package cmd

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cmdtest"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

func TestInventoryShowsWhatIsKnown(t *testing.T) {
	l := cmdtest.NewFarm(t, dragontest.Spec{}, dragontest.Spec{})
	out, _, err := invoke(t, "inventory", "--data-dir="+l.Dir)
	if err != nil || strings.Count(out, "\n") != 3 || !strings.Contains(out, l.Worker(1)+"  "+l.Addr(1)) {
		t.Errorf("%v\n%s", err, out)
	}
	out, _, err = invoke(t, "inventory", "--json", "--data-dir="+l.Dir)
	var known []knownDragon
	if err != nil || json.Unmarshal([]byte(out), &known) != nil || len(known) != 2 || known[0].MAC != l.Dragon(0).Spec().MAC || known[0].LastSeen == nil {
		t.Errorf("%v\n%s", err, out)
	}
	for i := range 2 {
		if n := l.Dragon(i).Traffic().Total(); n > 0 {
			t.Errorf("dragon %d was asked %d times", i, n)
		}
	}
	file := filepath.Join(t.TempDir(), "mother.yml")
	cmdtest.Rewrite(t, file, "data_dir: "+l.Dir+"\nnetworks: [{cidr: 127.78.0.0/16, site: hall}]\n")
	if out, _, err := invoke(t, "inventory", "--config.file="+file); err != nil || strings.Count(out, " hall ") != len(l.Dragons()) {
		t.Errorf("the sites of the file are not shown: %v\n%s", err, out)
	}
	cmdtest.Rewrite(t, file, "data_dir: "+l.Dir+"\ninventory: {labels: [rack]}\ndragons: [{mac: '"+l.Dragon(1).Spec().MAC+"', name: Bertha, labels: {rack: a12}}]\n")
	out, _, err = invoke(t, "inventory", "--config.file="+file)
	if err != nil || !strings.Contains(out, "NAME") || !strings.Contains(out, "Bertha") || !strings.Contains(out, "rack=a12") {
		t.Errorf("the labels of the file are not shown: %v\n%s", err, out)
	}
	if _, _, err := invoke(t, "inventory", "--data-dir="+t.TempDir()); err == nil || !strings.Contains(err.Error(), "--data-dir") {
		t.Errorf("%v", err)
	}

	instance := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/sd" {
			io.WriteString(w, `[{"targets":["127.78.0.1"],"labels":{"__meta_dragon_worker":"dragon-45000001","__meta_dragon_mac":"a0:b0:45:00:00:01","__meta_dragon_site":"hall-a","__meta_dragon_name":"Emma","__meta_dragon_label_rack":"b3"}}]`)
		}
	}))
	defer instance.Close()
	out, _, err = invoke(t, "inventory", "--url="+instance.URL)
	if err != nil || !strings.Contains(out, "dragon-45000001  127.78.0.1") || !strings.Contains(out, "hall-a") || !strings.Contains(out, "Emma") || !strings.Contains(out, "rack=b3") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestAuditFindsWhatIsAskedFor(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"audit-20260101T000000.000000Z.jsonl": `{"ts":"2026-01-01T00:00:00Z","worker":"dragon-45000001","mac":"a0:b0:45:00:00:01","decision":"act","action":"restart","actor":"healer"}
`,
		"audit-20260102T000000.000000Z.jsonl": `{"ts":"2026-01-02T00:00:00Z","worker":"dragon-45000002","mac":"a0:b0:45:00:00:02","ip":"127.78.0.2","decision":"manual","action":"reboot","actor":"user:ada","note":"a\u001b[2Jb"}
{"ts":"2026-01-0
`,
		"audit.jsonl": `{"ts":"2026-01-03T00:00:00Z","worker":"dragon-45000001","mac":"a0:b0:45:00:00:01","decision":"blocked","action":"reboot","actor":"healer","gates":[{"name":"spacing","open":false,"detail":"too soon"}]}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args []string
		want string // the days found
	}{
		{nil, "123"},
		{[]string{"--dragon=dragon-45000001"}, "13"},
		{[]string{"--dragon=A0-B0-45-00-00-02"}, "2"},
		{[]string{"--dragon=127.78.0.2"}, "2"},
		{[]string{"--since=2026-01-01T12:00:00Z"}, "23"},
		{[]string{"--since=2026-01-01T12:00:00Z", "--until=2026-01-02T12:00:00Z"}, "2"},
		{[]string{"--since=1h"}, ""},
		{[]string{"--decision=act", "--decision=manual"}, "12"},
		{[]string{"--action=reboot"}, "23"},
		{[]string{"--action=reboot", "--actor=healer"}, "3"},
		{[]string{"--last=2"}, "23"},
		{[]string{"--last=1", "--decision=act"}, "1"},
	} {
		out, errs, err := invoke(t, append([]string{"audit", "--json", "--data-dir=" + dir}, c.args...)...)
		got := ""
		for line := range strings.Lines(out) {
			got += line[len(`{"ts":"2026-01-0`):][:1]
		}
		if err != nil || got != c.want || !strings.Contains(errs, "1 torn lines left out") {
			t.Errorf("%v: %v, the days %q, want %q\n%s", c.args, err, got, c.want, errs)
		}
	}
	if out, _, err := invoke(t, "audit", "--utc", "--output=csv", "--last=1", "--data-dir="+dir); err != nil ||
		out != "time,dragon,decision,state,action,reason,actor,note\n2026-01-03 00:00:00Z,dragon-45000001,blocked,,reboot,,healer,spacing: too soon\n" {
		t.Errorf("CSV: %v\n%s", err, out)
	}
	table, _, err := invoke(t, "audit", "--data-dir="+dir)
	if err != nil || strings.Count(table, "\n") != 4 || strings.Contains(table, "\x1b") || !strings.Contains(table, "spacing: too soon") ||
		!strings.Contains(table, "user:ada") {
		t.Errorf("%v\n%s", err, table)
	}
	if _, _, err := invoke(t, "audit", "--data-dir="+t.TempDir()); err == nil || !strings.Contains(err.Error(), "no audit") {
		t.Errorf("%v", err)
	}
	if _, _, err := invoke(t, "audit", "--since=yesterday"); err == nil || !strings.Contains(err.Error(), "--since") {
		t.Errorf("%v", err)
	}
}

// A typo is not an empty table: nothing happened is what an operator would read.
func TestAuditRefusesWhatNoRecordCanHave(t *testing.T) {
	dir := t.TempDir()
	text := `{"ts":"2026-01-01T00:00:00Z","worker":"dragon-45000001","mac":"a0:b0:45:00:00:01","decision":"act","action":"dusted","actor":"user:ada"}
`
	if err := os.WriteFile(filepath.Join(dir, "audit.jsonl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for filter, want := range map[string]string{
		"--decision=would-act": `invalid value "would-act": want one of act, would_act,`, "--action=reboots": "reboot", "--dragon=dragon-45000002": "no such dragon",
	} {
		if _, _, err := invoke(t, "audit", filter, "--data-dir="+dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", filter, err, want)
		}
	}
	if _, _, err := invoke(t, "audit", "--since=1h", "--until=2h", "--data-dir="+dir); err == nil || !strings.Contains(err.Error(), "before --since") {
		t.Errorf("%v", err)
	}
	for _, filter := range []string{"--decision=no_effect", "--action=dusted", "--action=poweroff", "--action=reboot", "--dragon=a0:b0:45:00:00:09"} {
		if _, _, err := invoke(t, "audit", filter, "--data-dir="+dir); err != nil {
			t.Errorf("%s: %v", filter, err)
		}
	}
	if _, errs, err := invoke(t, "audit", "--actor=ada", "--data-dir="+dir); err != nil || !strings.Contains(errs, "user:NAME") {
		t.Errorf("%v %s", err, errs)
	}
	if err := os.WriteFile(filepath.Join(dir, "audit.jsonl"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs, err := invoke(t, "audit", "--data-dir="+dir); err != nil || errs != "" {
		t.Errorf("an empty audit: %v %s", err, errs)
	}
}

// Only the instance that leads writes an audit.
func TestAuditAtAStandbyNamesTheLeader(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, config.ControlSocket))
	if err != nil {
		t.Fatal(err)
	}
	instance := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"standby":true,"shared":true,"leader":{"id":"north","url":"http://192.0.2.1:9977/"}}`)
	})}}
	instance.Start()
	defer instance.Close()
	if _, _, err := invoke(t, "audit", "--data-dir="+dir); err == nil || !strings.Contains(err.Error(), "instance north leads") ||
		!strings.Contains(err.Error(), "http://192.0.2.1:9977/") {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "audit.jsonl"), []byte(`{"ts":"2026-01-01T00:00:00Z","decision":"act"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, errs, err := invoke(t, "audit", "--json", "--data-dir="+dir); err != nil || !json.Valid([]byte(out)) ||
		!strings.Contains(errs, "instance north leads") {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
}

// What was done before the dragon was identified has its MAC only, and what concerns many
// has none.
func TestAuditNamesTheDragonOfEveryRecord(t *testing.T) {
	l := cmdtest.NewFarm(t, dragontest.Spec{})
	mac, worker := l.Dragon(0).Spec().MAC, l.Worker(0)
	text := `{"ts":"2026-01-01T00:00:00Z","mac":"` + mac + `","decision":"manual","action":"reboot","actor":"user:ada"}
{"ts":"2026-01-02T00:00:00Z","decision":"hold","pool":"stratum+tcp://one:1","actor":"healer"}
{"ts":"2026-01-03T00:00:00Z","decision":"hold","domain":"hall","actor":"healer"}
{"ts":"2026-01-04T00:00:00Z","decision":"pause","actor":"user:ada"}
`
	if err := os.WriteFile(filepath.Join(l.Dir, "audit.jsonl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _, err := invoke(t, "audit", "--data-dir="+l.Dir, "--output=csv")
	for i, want := range []string{"dragon", worker, "pool stratum+tcp://one:1", "site hall", "fleet"} {
		if err != nil || strings.Split(strings.Split(out, "\n")[i], ",")[1] != want {
			t.Errorf("%v: line %d is not of %s:\n%s", err, i, want, out)
		}
	}
	if err := os.Remove(filepath.Join(l.Dir, fleet.InventoryName)); err != nil {
		t.Fatal(err)
	}
	if out, _, err := invoke(t, "audit", "--data-dir="+l.Dir, "--dragon="+worker, "--json"); err != nil || !strings.Contains(out, mac) {
		t.Errorf("without an inventory: %v\n%s", err, out)
	}
	l.Remember()
	for _, name := range []string{worker, mac, l.Addr(0), l.Host(0).String()} {
		out, _, err := invoke(t, "audit", "--data-dir="+l.Dir, "--dragon="+name, "--json")
		if err != nil || strings.Count(out, "\n") != 1 || !strings.Contains(out, mac) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// The healer writes a restart by the name that the dragons give it, "dragon restart" by its own.
func TestAuditFindsEveryRestart(t *testing.T) {
	dir := t.TempDir()
	text := `{"ts":"2026-01-01T00:00:00Z","decision":"act","action":"restartCgMiner","actor":"healer"}
{"ts":"2026-01-02T00:00:00Z","decision":"manual","action":"restart","actor":"user:ada"}
{"ts":"2026-01-03T00:00:00Z","decision":"act","action":"reboot","actor":"healer"}
`
	if err := os.WriteFile(filepath.Join(dir, "audit.jsonl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for action, want := range map[string]int{"restart": 2, "restartCgMiner": 2, "reboot": 1} {
		out, _, err := invoke(t, "audit", "--json", "--data-dir="+dir, "--action="+action)
		if got := strings.Count(out, "\n"); err != nil || got != want {
			t.Errorf("%s: %v, %d records, want %d:\n%s", action, err, got, want, out)
		}
	}
}

// On a full disk a list is cut short, and the exit status says so.
func TestACommandWhoseOutputCannotBeWrittenFails(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = full.Close() })
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "audit.jsonl"), []byte(`{"ts":"2026-01-01T00:00:00Z","decision":"act"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "mother.yml")
	if err := os.WriteFile(file, []byte("networks: [{cidr: 127.0.0.0/30}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"audit", "--json", "--data-dir=" + dir}, {"--help"}, {"help", "plan"}, {"--version"}, {"check-config", file}} {
		if err := New(nil).Run(t.Context(), args, full, full); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%v: %v, want no space", args, err)
		}
	}
}

// A dragon answers every request with 200. It is not an instance with nothing to do.
func TestADragonIsNoInstance(t *testing.T) {
	l := cmdtest.NewFarm(t, dragontest.Spec{})
	for _, args := range [][]string{{"plan"}, {"plan", "--json"}, {"firmware", "list"}, {"firmware", "rollout", "status"}, {"healer", "status"},
		{"healer", "resume", "all"}, {"healer", "pause", "--scope=fleet", "--reason=x"}} {
		out, _, err := invoke(t, append(args, "--url=http://"+l.Addr(0))...)
		if err == nil || !strings.Contains(err.Error(), "this is a dragon, expected an instance of mother-of-dragons") || out != "" {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}

func TestTimesHaveAZone(t *testing.T) {
	local := time.Local
	time.Local = time.FixedZone("", 2*60*60) // another one than UTC, wherever the test runs
	t.Cleanup(func() { time.Local = local })
	l := cmdtest.NewFarm(t, dragontest.Spec{})
	for flag, zone := range map[string]string{"--utc": "Z", "--no-utc": time.Now().Format("Z07:00")} {
		out, _, err := invoke(t, "inventory", flag, "--data-dir="+l.Dir, "--output=csv")
		row := strings.Split(out[strings.IndexByte(out, '\n')+1:], ",")
		seen := row[8]
		if _, bad := time.Parse(cli.TimeFormat, seen); err != nil || bad != nil || !strings.HasSuffix(seen, zone) {
			t.Errorf("%s: %q, %v", flag, seen, err)
		}
		if _, err := parseMoment(seen); err != nil {
			t.Errorf("--since does not take what is printed: %v", err)
		}
	}
}

func TestMoments(t *testing.T) {
	for s, want := range map[string]time.Time{
		"2026-01-31":           time.Date(2026, 1, 31, 0, 0, 0, 0, time.Local),
		"2026-01-31 15:04":     time.Date(2026, 1, 31, 15, 4, 0, 0, time.Local),
		"2026-01-31T15:04:05Z": time.Date(2026, 1, 31, 15, 4, 5, 0, time.UTC),
	} {
		if got, err := parseMoment(s); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
}

func TestShellsComplete(t *testing.T) {
	l := cmdtest.NewFarm(t, dragontest.Spec{}, dragontest.Spec{})
	file := filepath.Join(l.Dir, "mother.yml")
	cmdtest.Rewrite(t, file, "data_dir: "+l.Dir+"\nnetworks: [{cidr: 127.78.0.0/16, site: hall}]\n")
	mac := func(i int) string { return l.Dragon(i).Spec().MAC }
	for _, c := range []struct {
		words []string
		want  []string
	}{
		{[]string{"pl"}, []string{"plan"}},
		{[]string{"--netw"}, []string{"--network"}},
		{[]string{"dragon", "rest"}, []string{"restart"}},
		{[]string{"dragon", "reboot", "--y"}, []string{"--yes"}},
		{[]string{"dragon", "reboot", "--at"}, []string{"--at-once"}},
		{[]string{"dragon", "locate", ""}, []string{"off", "on"}},
		{[]string{"dragon", "locate", "on", "--data-dir=" + l.Dir, ""}, []string{l.Worker(0), l.Worker(1)}},
		{[]string{"dragon", "reboot", "--data-dir", l.Dir, l.Worker(0), l.Worker(1)[:len(l.Worker(1))-1]}, []string{l.Worker(0), l.Worker(1)}},
		{[]string{"healer", "--data-dir=" + l.Dir, "reboot", l.Worker(1)}, []string{l.Worker(1)}},
		{[]string{"dragon", "--data-dir", l.Dir, "summary", l.Worker(1)}, []string{l.Worker(1)}},
		{[]string{"dragon", "--config.file=" + file, "summary", l.Worker(1)}, []string{l.Worker(1)}},
		{[]string{"dragon", "--config.file", file, "summary", l.Worker(1)}, []string{l.Worker(1)}},
		{[]string{"--config.file", ""}, nil}, // the shell knows files
		{[]string{"scan", "--netw"}, nil},
		{[]string{"--data-dir=" + l.Dir, "inven"}, []string{"inventory"}},
		{[]string{"healer", "--data-dir=" + l.Dir, "pause", "--scope="},
			[]string{"--scope=fleet", "--scope=mac=" + mac(0), "--scope=mac=" + mac(1), "--scope=model=T1",
				"--scope=worker=" + l.Worker(0), "--scope=worker=" + l.Worker(1)}},
		{[]string{"healer", "--config.file=" + file, "pause", "--scope=si"}, []string{"--scope=site=hall"}},
		{[]string{"healer", "--config.file=" + file, "pause", "--scope", "model=T"}, []string{"model=T1"}},
		{[]string{"firmware", "--data-dir=" + l.Dir, "rollout", "start", "--model", ""}, []string{"T1"}},
		{[]string{"plan", "--data-dir=" + l.Dir, "--why="}, []string{"--why=" + l.Worker(0), "--why=" + l.Worker(1)}},
		{[]string{"audit", "--data-dir=" + l.Dir, "--dragon", l.Worker(1)}, []string{l.Worker(1)}},
		{[]string{"run", "--dragon", ""}, nil},
		{[]string{"audit", "--output="}, []string{"--output=csv", "--output=json", "--output=table"}},
		{[]string{"capture", "--output="}, nil},
		{[]string{"nonsense", ""}, nil},
	} {
		out, _, err := invoke(t, append([]string{cli.CompletionFlag}, c.words...)...)
		got := strings.Fields(out)
		if c.words[0] == "nonsense" { // it may be meant for the default command, which takes no words
			got = nil
		}
		if err != nil || !cmp.Equal(got, c.want, cmp.Comparer(func(a, b []string) bool { return strings.Join(a, " ") == strings.Join(b, " ") })) {
			t.Errorf("%q: %v, %q, want %q", c.words, err, got, c.want)
		}
	}
	script, _, err := invoke(t, "completion", "bash")
	if err != nil {
		t.Fatal(err)
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not installed")
	}
	for line, want := range map[string]string{"pl": "plan", "healer pause --scope=model=T": "T1", "healer pause --scope=mo": "model=T1"} {
		try := script + `
mother-of-dragons() { echo inventory; echo plan; echo --scope=model=T1; }
COMP_LINE="mother-of-dragons ` + line + `"; COMP_POINT=${#COMP_LINE}
_mother_of_dragons; echo "${COMPREPLY[@]}"`
		if out, err := exec.CommandContext(t.Context(), bash, "-c", try).CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("bash: %s: %v %s, want %s", line, err, out, want)
		}
	}
	if out, _, err := invoke(t, "completion", "zsh"); err != nil || !strings.HasPrefix(out, "#compdef mother-of-dragons\n") {
		t.Errorf("%v %s", err, out)
	}
}

// A running instance is asked; one that does not answer is not waited for.
func TestCompletionAsksTheInstance(t *testing.T) {
	l := cmdtest.NewFarm(t, dragontest.Spec{})
	for _, c := range []struct {
		answer string // empty: none
		want   []string
	}{
		{`{"dragons":[{"worker":"dragon-45000009","mac":"a0:b0:45:00:00:09","model":"T9","site":"hall-9"}]}`, []string{"--scope=site=hall-9"}},
		{`{"dragons":[]}`, nil},
		{"", nil},
	} {
		end := make(chan struct{})
		instance := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/api/v1/dragons" {
				t.Errorf("asked for %s", r.URL)
			}
			if c.answer == "" {
				<-end
			}
			_, _ = io.WriteString(w, c.answer)
		}))
		t.Cleanup(instance.Close)
		t.Cleanup(func() { close(end) })
		out, _, err := invoke(t, cli.CompletionFlag, "healer", "--url="+instance.URL, "--data-dir="+l.Dir, "pause", "--scope=site")
		if got := strings.Fields(out); err != nil || strings.Join(got, " ") != strings.Join(c.want, " ") {
			t.Errorf("%q: %v, %q, want %q", c.answer, err, got, c.want)
		}
		if c.answer == "" { // then the inventory
			out, _, err := invoke(t, cli.CompletionFlag, "healer", "--url="+instance.URL, "--data-dir="+l.Dir, "reboot", "")
			if err != nil || strings.TrimSpace(out) != l.Worker(0) {
				t.Errorf("%v, %q, want the worker of the inventory", err, out)
			}
		}
	}
}

func TestTheManualHasEveryCommandAndFlag(t *testing.T) {
	man, lookErr := exec.LookPath("man")
	for page, wants := range map[string][]string{
		"":          {".TH MOTHER-OF-DRAGONS 1", `\fB\-\-statsd\-host=HOST\fR`, `\fBaudit\fR`, `\fBdragon\fR \fIsubcommand\fR`, "SIGUSR1"},
		"dragon":    {".TH MOTHER-OF-DRAGONS-DRAGON 1", `\fBdragon factory\-reset\fR \fIhost\fR...`, `\fB\-\-yes\-i\-mean=HOSTS\fR`, `\fB\-\-at\-once=16\fR`},
		"inventory": {`\fBinventory forget\fR`},
		"healer":    {`\fBhealer pause\fR`, `\fB\-\-scope=SCOPE\fR`},
		"firmware":  {`\fBfirmware rollout start\fR \fIversion\fR`, `\fB\-\-allow\-downgrade\fR`},
	} {
		args := strings.Fields("man " + page)
		out, _, err := invoke(t, args...)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(out, want) {
				t.Errorf("%v: %s is not in it", args, want)
			}
		}
		for range 5 { // a package that is built again has the same bytes
			if again, _, _ := invoke(t, args...); again != out {
				t.Fatalf("%v: another time it is another:\n%s", args, cmp.Diff(out, again))
			}
		}
		for i, line := range strings.Split(out, "\n") {
			if strings.HasPrefix(line, "'") || strings.TrimSpace(line) == "" && i < strings.Count(out, "\n") {
				t.Errorf("%v: line %d: %q", args, i+1, line)
			}
		}
		if lookErr != nil {
			continue
		}
		cmd := exec.CommandContext(t.Context(), man, "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-")
		cmd.Env = append(os.Environ(), "MANROFFOPT=", "LC_ALL=C.UTF-8", "MAN_KEEP_STDERR=1")
		cmd.Stdin = strings.NewReader(out)
		var errs strings.Builder
		cmd.Stderr = &errs
		if _, err := cmd.Output(); err != nil || errs.Len() > 0 {
			t.Errorf("%v: %v\n%s", args, err, errs.String())
		}
	}
	for _, c := range New(nil).Model().Commands {
		if family := len(c.Commands) > 0; family != slices.Contains(families, c.Name) {
			t.Errorf("%s: subcommands: %t, a page of its own: %t", c.Name, family, !family)
		}
	}
	if _, _, err := invoke(t, "man", "scan"); err == nil {
		t.Error("a command that is not a family has a page of its own")
	}
}
