package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd"
)

// The paths of the documents are as seen from the root of the repository.
func TestMain(m *testing.M) {
	if err := os.Chdir(".."); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

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
	verbs := 0
	for _, command := range cmd.New(nil).Commands() {
		if !strings.HasPrefix(command, "healer ") {
			continue
		}
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
		if err := parses(words(args)); err != nil {
			t.Errorf("%s: %v", args, err)
		}
	}
}

// A reload is refused for other reasons than an error in the file, which check-config does not find.
func TestTheRunbookOfAReloadNamesEveryRefusal(t *testing.T) {
	changed, err := os.ReadFile("internal/config/change.go")
	if err != nil {
		t.Fatal(err)
	}
	const restart = "takes a restart"
	runbook := readDocument(t, "docs/runbooks/ConfigReloadFailed.md")
	if !strings.Contains(string(changed), restart) || !strings.Contains(runbook, restart) || !strings.Contains(runbook, "ConfigRefused.md") {
		t.Errorf("a change that %s, or a policy that is refused, is not there:\n%s", restart, runbook)
	}
}

func TestFirmwareIsDocumented(t *testing.T) {
	data, err := os.ReadFile("docs/firmware.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	for _, command := range cmd.New(nil).Commands() {
		if strings.HasPrefix(command, "firmware ") && !strings.Contains(page, "mother-of-dragons "+command) {
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

// Every line of the threat model is held by the tests that it names.
func TestEveryThreatHasItsTest(t *testing.T) {
	page, err := os.ReadFile("docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	err = filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(source, -1) {
			tests[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test\\w+)`")
	lines := 0
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || strings.HasPrefix(cells[1], "---") {
			continue
		}
		for _, m := range named.FindAllStringSubmatch(line, -1) {
			lines++
			if !tests[m[1]] {
				t.Errorf("there is no %s: %s", m[1], line)
			}
		}
	}
	if lines < 30 {
		t.Errorf("%d tests are named", lines)
	}
}

// go test says nothing of a name in -run that no test has.
func TestTheTestsThatTheMakefileNamesExist(t *testing.T) {
	data, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile(`test (\./\S+)(?:.*?)\s-run '?([A-Za-z|]+)'?`).FindAllStringSubmatch(strings.ReplaceAll(string(data), "\\\n", " "), -1)
	if len(commands) < 4 {
		t.Errorf("only %d commands with -run found", len(commands))
	}
	for _, command := range commands {
		files, err := filepath.Glob(command[1] + "/*_test.go")
		if err != nil || len(files) == 0 {
			t.Errorf("%s: no tests (%v)", command[1], err)
		}
		var tests strings.Builder
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			tests.Write(data)
		}
		for name := range strings.SplitSeq(command[2], "|") {
			if !regexp.MustCompile(`(?m)^func Test\w*` + name).MatchString(tests.String()) {
				t.Errorf("%s has no test of the name %s", command[1], name)
			}
		}
	}
}

func TestCommandsAreDocumented(t *testing.T) {
	data, err := os.ReadFile("docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	verbs := 0
	for _, full := range cmd.New(nil).Commands() {
		verb, ok := strings.CutPrefix(full, "dragon ")
		if !ok {
			continue
		}
		verbs++
		if !strings.Contains(text, "`"+verb) {
			t.Errorf("the verb %s is not there", verb)
		}
	}
	if verbs < 20 {
		t.Errorf("%d verbs", verbs)
	}
	// Every command line on the page is one that the program takes.
	lines := 0
	for line := range strings.Lines(text) {
		args, ok := strings.CutPrefix(strings.TrimSpace(line), "mother-of-dragons ")
		if !ok {
			continue
		}
		lines++
		args, _, _ = strings.Cut(args, ">")
		if err := parses(words(args)); err != nil {
			t.Errorf("%s: %v", args, err)
		}
	}
	if lines < 15 {
		t.Errorf("%d command lines", lines)
	}
}

// Of every flag of the program the reference of the file says which key it is, but for
// those that say how the program is reached and what it tells, and where the file is.
func TestEveryFlagHasAKeyInTheFile(t *testing.T) {
	app := cmd.New(nil)
	run := app.GetCommand("run").Model()
	reference, err := os.ReadFile("docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	without := map[string]string{
		"help": "", "version": "", "print-config": "it is asked instead of running", "utc": "of the terminal", "log.level": "", "log.format": "",
		"config.file":                 "it names the file",
		"pools":                       "profiles[].wish.pools, for all dragons",
		"dragon-autotune-mode":        "profiles[].wish.autotune.mode, for all dragons",
		"simulation.speed":            "for simulated dragons, which no file has",
		"web.listen-address":          "of the exporter toolkit",
		"web.config.file":             "of the exporter toolkit, which has a file of its own",
		"web.systemd-socket":          "of the exporter toolkit",
		"web.telemetry-path":          "the start of the program decides about access",
		"web.enable-pprof":            "likewise",
		"web.enable-lifecycle":        "likewise",
		"web.enable-admin-api":        "likewise",
		"web.admin-api-without-login": "likewise",
		"web.allowed-hosts":           "likewise",
		"web.external-url":            "likewise",
	}
	for _, f := range append(app.Model().Flags, run.Flags...) {
		_, exception := without[f.Name]
		delete(without, f.Name)
		if key := strings.Contains(string(reference), "`--"+f.Name+"` |"); key == exception && !f.Hidden {
			t.Errorf("--%s: in docs/configuration.md %t, among the flags without a key %t: make golden, or add it to without", f.Name, key, exception)
		}
	}
	for name := range without {
		t.Errorf("--%s is an exception and no flag", name)
	}
}

func TestThePortThatIsDocumentedIsTheDefault(t *testing.T) {
	port := ""
	for _, command := range cmd.New(nil).Model().FlattenedCommands() {
		for _, f := range command.Flags {
			if command.Default && f.Name == "web.listen-address" {
				port = strings.TrimPrefix(f.Default[0], ":")
			}
		}
	}
	if len(port) != 4 {
		t.Fatalf("the default is %q", port)
	}
	for file, want := range map[string]string{
		"docs/prometheus-lists.md": "| " + port + " | [mother-of-dragons",
		"docs/prometheus.md":       "port **" + port + "**",
		"packaging/Dockerfile":     "EXPOSE " + port + "\n",
	} {
		if !strings.Contains(readDocument(t, file), want) {
			t.Errorf("%s does not say %q", file, want)
		}
	}
}
