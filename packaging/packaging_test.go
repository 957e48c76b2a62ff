package packaging_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kingpin/v2"
	"go.yaml.in/yaml/v3"

	"github.com/brndnmtthws/mother-of-dragons/internal/cmd"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cmdtest"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/installed"
)

// The paths are as seen from the root of the repository.
func TestMain(m *testing.M) {
	if err := os.Chdir(".."); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func readYAML(t *testing.T, path string, to any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, to); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func TestComposeMountsWhatIsThere(t *testing.T) {
	const dir = "packaging/compose"
	var compose struct {
		Services map[string]struct {
			Image   string
			Build   struct{ Context, Dockerfile string }
			Volumes []string
			Command []string
			Ports   []string
		}
		Volumes map[string]any
	}
	readYAML(t, filepath.Join(dir, "compose.yml"), &compose)
	for _, name := range []string{"mother-of-dragons", "prometheus", "alertmanager", "grafana"} {
		if _, ok := compose.Services[name]; !ok {
			t.Errorf("%s is not there", name)
		}
	}
	for name, s := range compose.Services {
		if s.Image == "" {
			if _, err := os.Stat(filepath.Join(dir, s.Build.Context, s.Build.Dockerfile)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		} else if !regexp.MustCompile(`:v?\d+\.\d+\.\d+$`).MatchString(s.Image) {
			t.Errorf("%s: the image %s is of no version", name, s.Image)
		}
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if strings.HasPrefix(from, ".") {
				if _, err := os.Stat(filepath.Join(dir, from)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			} else if _, ok := compose.Volumes[from]; !ok {
				t.Errorf("%s: the volume %s is not declared", name, from)
			}
		}
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s: %s is open to everybody", name, p)
			}
		}
	}
	var source struct {
		Datasources []struct{ Name, URL string }
	}
	var shipped = source
	readYAML(t, dir+"/grafana/datasources/dragons.yml", &source)
	readYAML(t, "dashboards/provisioning/datasources/dragons.yml", &shipped)
	if len(source.Datasources) != 1 || source.Datasources[0].Name != shipped.Datasources[0].Name || source.Datasources[0].URL != "http://prometheus:9090" {
		t.Errorf("%+v", source)
	}
}

func TestComposesPrometheusTakesItsConfiguration(t *testing.T) {
	promtool := installed.Tool(t, "promtool", "prometheus")
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "alerts"), os.DirFS("alerts")); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("packaging/compose/prometheus.yml")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "prometheus.yml"), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), promtool, "check", "config", filepath.Join(dir, "prometheus.yml")).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "rule") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestComposesAlertmanagerTakesItsConfiguration(t *testing.T) {
	amtool := installed.Tool(t, "amtool", "prometheus-alertmanager")
	if out, err := exec.CommandContext(t.Context(), amtool, "check-config", "packaging/compose/alertmanager.yml").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestTheImageIsStaticAndNotRoots(t *testing.T) {
	data, err := os.ReadFile("packaging/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	stages := strings.Split(string(data), "\nFROM ")
	last := stages[len(stages)-1]
	if !strings.HasPrefix(last, "scratch\n") || !strings.Contains(last, "\nUSER 65534:65534\n") || !strings.Contains(string(data), "CGO_ENABLED=0") {
		t.Errorf("%s", data)
	}
	// The compose file makes everything else read-only.
	for _, value := range regexp.MustCompile(`MOTHER_OF_DRAGONS_\w+=(\S*)`).FindAllStringSubmatch(last, -1) {
		if !strings.HasPrefix(value[1], "/data") {
			t.Errorf("%s: nothing can be written there", value[0])
		}
	}
	if regexp.MustCompile(`(?m)^(COPY|RUN|ADD) .*--(chmod|mount|link)`).Match(data) {
		t.Errorf("this needs BuildKit, which Debian's docker does not use by itself:\n%s", data)
	}
}

func TestTheUnitsCommandIsOneThatTheProgramTakes(t *testing.T) {
	data, err := os.ReadFile("packaging/mother-of-dragons.service")
	if err != nil {
		t.Fatal(err)
	}
	unit := string(data)
	command := regexp.MustCompile(`(?m)^ExecStart=/usr/bin/mother-of-dragons (.*) \$OPTIONS$`).FindStringSubmatch(unit)
	if command == nil || !strings.Contains(unit, "\nType=notify\n") {
		t.Fatalf("%s", unit)
	}
	app := kingpin.New("test", "")
	config.Register(app)
	if _, err := app.Parse(strings.Fields(command[1])); err != nil {
		t.Errorf("%s: %v", command[1], err)
	}
	if analyze, err := exec.LookPath("systemd-analyze"); err == nil {
		out, err := exec.CommandContext(t.Context(), analyze, "security", "--offline=true", "--threshold=15", "packaging/mother-of-dragons.service").CombinedOutput()
		if err != nil { // the threshold is ten times the exposure that is allowed
			t.Errorf("%v\n%s", err, out)
		}
	}
}

// Before the service is signalled to reload, the file is checked with the same flags, so
// that systemctl reload shows its errors.
func TestTheUnitChecksTheFileBeforeAReload(t *testing.T) {
	unit, err := os.ReadFile("packaging/mother-of-dragons.service")
	if err != nil {
		t.Fatal(err)
	}
	defaults, err := os.ReadFile("packaging/default")
	if err != nil {
		t.Fatal(err)
	}
	const program, file = "/usr/bin/mother-of-dragons ", "/etc/mother-of-dragons/mother-of-dragons.yml"
	start := regexp.MustCompile(`(?m)^ExecStart=` + program + `--config.file=` + file + ` (.*)$`).FindStringSubmatch(string(unit))
	reload := regexp.MustCompile(`(?m)^ExecReload=(.*)$`).FindAllStringSubmatch(string(unit), -1)
	options := regexp.MustCompile(`(?m)^#OPTIONS="(.*)"$`).FindSubmatch(defaults)
	if start == nil || options == nil || len(reload) != 2 || reload[1][1] != "/bin/kill -HUP $MAINPID" {
		t.Fatalf("%q, %q, %q", start, options, reload)
	}
	if want := program + "check-config " + start[1] + " " + file; reload[0][1] != want {
		t.Fatalf("%s\nwant %s", reload[0][1], want)
	}
	here := filepath.Join(t.TempDir(), "mother-of-dragons.yml")
	args := strings.Fields(strings.NewReplacer(program, "", "$OPTIONS", string(options[1]), file, here).Replace(reload[0][1]))
	for text, good := range map[string]bool{"networks: [{cidr: 127.70.0.0/24}]\n": true, "network: []\n": false} {
		cmdtest.Rewrite(t, here, text)
		if _, errs, err := cmdtest.Invoke(t, cmd.New(nil), args...); (err == nil) != good || !good && !strings.Contains(errs, "did you mean networks?") {
			t.Errorf("%s: %q: %v\n%s", args, text, err, errs)
		}
	}
}

// What the packages hold is there, but for what is built.
func TestPackagesHaveEveryFile(t *testing.T) {
	var p struct {
		Contents []struct{ Src, Dst, Type string }
		Scripts  map[string]string
	}
	readYAML(t, "packaging/nfpm.yaml", &p)
	for _, c := range p.Contents {
		if c.Type == "dir" || c.Type == "symlink" || strings.HasPrefix(c.Src, "${BUILT}/") {
			continue
		}
		if found, err := filepath.Glob(c.Src); err != nil || len(found) == 0 {
			t.Errorf("%s: %v", c.Src, err)
		}
	}
	if len(p.Scripts) != 3 {
		t.Errorf("%v", p.Scripts)
	}
	for _, s := range p.Scripts {
		if out, err := exec.CommandContext(t.Context(), "sh", "-n", s).CombinedOutput(); err != nil {
			t.Errorf("%s: %v %s", s, err, out)
		}
	}
}

// The documents are packed as they are in the repository: a link leads to a file that is there.
func TestLinksOfThePackedDocumentsLeadSomewhere(t *testing.T) {
	var p struct {
		Contents []struct{ Src, Dst, Type string }
	}
	readYAML(t, "packaging/nfpm.yaml", &p)
	const docs = "/usr/share/doc/mother-of-dragons/"
	packed, links := map[string]bool{}, map[string]string{} // files by their path in the package
	for _, c := range p.Contents {
		if c.Type == "symlink" {
			links[c.Dst] = c.Src
		}
		found, err := filepath.Glob(c.Src)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			if strings.HasSuffix(c.Dst, "/") {
				packed[c.Dst+filepath.Base(f)] = true
			} else {
				packed[c.Dst] = true
			}
		}
	}
	isThere := func(path string) bool {
		for link, to := range links {
			if rest, ok := strings.CutPrefix(path, link); ok && (rest == "" || rest[0] == '/') {
				path = to + rest
			}
		}
		for file := range packed {
			if file == path || strings.HasPrefix(file, strings.TrimSuffix(path, "/")+"/") {
				return true
			}
		}
		return false
	}
	link := regexp.MustCompile(`\]\(([^)#:]+)[)#]`)
	n := 0
	for file := range packed {
		page, ok := strings.CutPrefix(file, docs)
		if !ok || filepath.Ext(page) != ".md" {
			continue
		}
		data, err := os.ReadFile(page)
		if err != nil {
			t.Error(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(data), -1) {
			n++
			to := filepath.Join(docs, filepath.Dir(page), m[1])
			if repository := strings.HasPrefix(to, docs+"packaging/") || strings.HasPrefix(to, docs+"mixin/"); !repository && !isThere(to) {
				t.Errorf("%s: %s is not packed", page, m[1])
			}
		}
	}
	if n < 200 {
		t.Errorf("only %d links", n)
	}
}

// ProtectClock= would forbid adjtimex, and the healer would take every clock for one that
// NTP does not keep right.
func TestTheUnitLetsTheClockBeAskedAbout(t *testing.T) {
	data, err := os.ReadFile("packaging/mother-of-dragons.service")
	if err != nil {
		t.Fatal(err)
	}
	unit := string(data)
	if strings.Contains(unit, "\nProtectClock=yes") || !strings.Contains(unit, "\nSystemCallFilter=~@privileged @resources\n") ||
		strings.Index(unit, "\nSystemCallFilter=adjtimex\n") < strings.Index(unit, "\nSystemCallFilter=~") {
		t.Errorf("the unit does not allow adjtimex:\n%s", unit)
	}
}

// upgrade runs the script after an upgrade in a directory, with a shell's functions in place of what
// changes the host.
func upgrade(t *testing.T, root, functions string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(root, "var/lib/mother-of-dragons"), 0o755); err != nil {
		t.Fatal(err)
	}
	script := regexp.MustCompile(`/(etc|var|run)/`).ReplaceAllString(readFile(t, "packaging/postinstall"), root+"/$1/")
	functions += "getent() { :; }\nchown() { [ -e \"$2\" ]; }\n"
	out, err := exec.CommandContext(t.Context(), "sh", "-c", functions+script, "postinst", "configure", "0.1.0").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// An upgrade of the package succeeds where the administrator has removed the configuration or keeps it
// elsewhere: dpkg does not bring it back.
func TestAnUpgradeNeedsNoConfiguration(t *testing.T) {
	for name, there := range map[string]bool{"it is there": true, "it was removed": false} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			file := filepath.Join(root, "etc/mother-of-dragons/mother-of-dragons.yml")
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if there {
				cmdtest.Rewrite(t, file, "")
			}
			upgrade(t, root, "")
			if info, err := os.Stat(file); there && (err != nil || info.Mode().Perm() != 0o640) {
				t.Errorf("%v, %v", info, err)
			}
		})
	}
}

// A service that does not start, or that was disabled when the package was removed before, does not fail
// the upgrade, and it is said.
func TestAnUpgradeSaysThatTheServiceDoesNotRun(t *testing.T) {
	for status, says := range map[string]bool{"0": false, "1": true} {
		root := t.TempDir()
		if err := os.MkdirAll(filepath.Join(root, "run/systemd/system"), 0o755); err != nil {
			t.Fatal(err)
		}
		out := upgrade(t, root, "systemctl() { [ \"$1\" = daemon-reload ] || return "+status+"; }\n")
		if strings.Contains(out, "does not run") != says {
			t.Errorf("systemctl ends with %s: %q", status, out)
		}
	}
}
