package packaging_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/brndnmtthws/mother-of-dragons/internal/cmd"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cmdtest"
	"github.com/brndnmtthws/mother-of-dragons/internal/installed"
)

// The configuration that the role and the module are given here.
const settings = `{"networks": [{"cidr": "127.70.0.0/24", "site": "hall-a"}]}`

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func version(t *testing.T) string { return strings.TrimSpace(readFile(t, "VERSION")) }

// A unit is what hosts need of the packages' unit.
type unit struct {
	config, defaults, check, user, group string
}

func readUnit(t *testing.T) unit {
	t.Helper()
	text := readFile(t, "packaging/mother-of-dragons.service")
	get := func(pattern string) string {
		m := regexp.MustCompile("(?m)^" + pattern + "$").FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("the unit has no %s", pattern)
		}
		return m[1]
	}
	return unit{
		config: get(`ExecStart=/usr/bin/mother-of-dragons --config.file=(\S+) .* \$OPTIONS`), defaults: get("EnvironmentFile=-(.*)"),
		check: get(`ExecReload=/usr/bin/(mother-of-dragons check-config .*) \$OPTIONS .*`), user: get("User=(.*)"), group: get("Group=(.*)"),
	}
}

// checkConfig has the program read a file that was made from the settings.
func checkConfig(t *testing.T, file string) {
	t.Helper()
	out, errs, err := cmdtest.Invoke(t, cmd.New(nil), "check-config", "--print-config", file)
	if err != nil || !strings.Contains(out, "hall-a") {
		t.Errorf("%v\n%s\n%s", err, errs, out)
	}
}

// checkOptions has the program parse the line of the unit's environment file.
func checkOptions(t *testing.T, text, want string) {
	t.Helper()
	line, ok := strings.CutPrefix(strings.TrimSpace(text), `OPTIONS="`)
	options := strings.TrimSuffix(line, `"`)
	if !ok || options != want {
		t.Errorf("the options are %q, want %q", text, want)
	}
	app := cmd.New(nil)
	app.Terminate(nil).UsageWriter(io.Discard).ErrorWriter(io.Discard)
	if _, err := app.Parse(strings.Fields(options)); err != nil {
		t.Errorf("%s: %v", options, err)
	}
}

// run runs a program of others, and returns what it prints.
func run(t *testing.T, c *exec.Cmd) []byte {
	t.Helper()
	var errs strings.Builder
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", c, err, out, errs.String())
	}
	return out
}

const role = "packaging/ansible/mother_of_dragons"

type task = map[string]any

// tasks are those of the role, by name.
func tasks(t *testing.T) map[string]task {
	t.Helper()
	var list []task
	readYAML(t, role+"/tasks/main.yml", &list)
	named := map[string]task{}
	for _, one := range list {
		named[one["name"].(string)] = one
	}
	return named
}

func TestAnsibleRoleFitsTheUnit(t *testing.T) {
	u, named := readUnit(t), tasks(t)
	configure := named["Configure"]["ansible.builtin.copy"].(task)
	if configure["dest"] != u.config || configure["group"] != u.group || configure["validate"] != u.check+" %s" {
		t.Errorf("%v does not fit %+v", configure, u)
	}
	if dest := named["Set the options"]["ansible.builtin.copy"].(task)["dest"]; dest != u.defaults {
		t.Errorf("the options are in %s, the unit reads %s", dest, u.defaults)
	}
	var defaults map[string]any
	readYAML(t, role+"/defaults/main.yml", &defaults)
	if defaults["mother_of_dragons_version"] != version(t) {
		t.Errorf("%v", defaults)
	}
	var handlers []task
	readYAML(t, role+"/handlers/main.yml", &handlers)
	has := map[any]bool{}
	for _, h := range append(handlers, named["Start"]) {
		has[h["name"]] = true
		if service := h["ansible.builtin.systemd"].(task)["name"]; service != "mother-of-dragons" {
			t.Errorf("%v is about %s", h["name"], service)
		}
	}
	for name, one := range named {
		if h := one["notify"]; h != nil && !has[h] {
			t.Errorf("%s notifies %s, which is not there", name, h)
		}
	}
}

// Ansible itself parses the role and renders what the tasks write.
func TestAnsibleRoleRendersAConfigurationThatTheProgramTakes(t *testing.T) {
	ansible := installed.Tool(t, "ansible-playbook", "ansible-core")
	dir, named := t.TempDir(), tasks(t)
	play := func(name string, plays any, args ...string) {
		t.Helper()
		data, err := yaml.Marshal(plays)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		c := exec.CommandContext(t.Context(), ansible, append(args, filepath.Join(dir, name))...)
		roles, err := filepath.Abs(filepath.Dir(role))
		if err != nil {
			t.Fatal(err)
		}
		c.Env = append(c.Environ(), "ANSIBLE_ROLES_PATH="+roles, "ANSIBLE_LOCALHOST_WARNING=false", "ANSIBLE_INVENTORY_UNPARSED_WARNING=false", "LC_ALL=C.UTF-8", "HOME="+dir)
		run(t, c)
	}
	play("role.yml", []task{{"hosts": "localhost", "roles": []string{"mother_of_dragons"}}}, "--syntax-check")

	write := func(one task, file string) task {
		return task{"ansible.builtin.copy": task{"content": one["ansible.builtin.copy"].(task)["content"], "dest": filepath.Join(dir, file)}}
	}
	packages := map[string]task{ // by the name of the file
		"mother-of-dragons_" + version(t) + "_amd64.deb":     {"pkg_mgr": "apt", "architecture": "x86_64"},
		"mother-of-dragons_" + version(t) + "_armhf.deb":     {"pkg_mgr": "apt", "architecture": "armv7l"},
		"mother-of-dragons-" + version(t) + "-1.aarch64.rpm": {"pkg_mgr": "dnf5", "architecture": "aarch64"},
		"mother-of-dragons-" + version(t) + "-1.armv6hl.rpm": {"pkg_mgr": "dnf", "architecture": "armv6l"},
	}
	steps := []task{write(named["Configure"], "config.yml"), write(named["Set the options"], "options")}
	for file, facts := range packages {
		facts["cacheable"] = true
		steps = append(steps, task{"ansible.builtin.set_fact": facts}, named["Say which package this host takes"],
			task{"ansible.builtin.assert": task{"that": "mother_of_dragons_package == '" + file + "'"}})
	}
	var variables, config task
	readYAML(t, role+"/defaults/main.yml", &variables)
	if err := json.Unmarshal([]byte(settings), &config); err != nil {
		t.Fatal(err)
	}
	variables["mother_of_dragons_config"], variables["mother_of_dragons_options"] = config, "--web.enable-admin-api --utc"
	play("render.yml", []task{{"hosts": "localhost", "connection": "local", "gather_facts": false, "vars": variables, "tasks": steps}})
	checkConfig(t, filepath.Join(dir, "config.yml"))
	checkOptions(t, readFile(t, filepath.Join(dir, "options")), "--web.enable-admin-api --utc")
}

// nixpkgs stands for what the module and the package use of Nixpkgs.
const nixpkgs = `
let
  lib = {
    mkEnableOption = what: { }; mkOption = option: option; mkIf = condition: value: if condition then value else { };
    concatStringsSep = builtins.concatStringsSep;
    types = { package = "package"; str = "str"; listOf = type: type; };
  };
  pkgs.formats.yaml = _: { type = "yaml"; generate = name: value: value; };
  module = import %[1]s/module.nix {
    inherit lib pkgs;
    config.services.mother-of-dragons = {
      enable = true; package = "the package"; settings = builtins.fromJSON ''%[2]s''; extraFlags = [ "--web.enable-admin-api" "--utc" ];
    };
  };
  package = system: import %[1]s/package.nix {
    stdenvNoCC = { mkDerivation = x: x; hostPlatform.system = system; };
    fetchurl = x: x; installShellFiles = "installShellFiles"; coreutils = "/coreutils"; sha256 = "0";
  };
in {
  inherit (module) config;
  options = builtins.attrNames module.options.services.mother-of-dragons;
  packages = map package [ "x86_64-linux" "aarch64-linux" "armv7l-linux" "armv6l-linux" ];
}`

func TestNixOSModuleFitsTheUnitAndItsPackageTheTarball(t *testing.T) {
	nix := installed.Tool(t, "nix-instantiate", "nix-bin")
	dir, err := filepath.Abs("packaging/nix")
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), nix, "--eval", "--strict", "--json", "-E", fmt.Sprintf(nixpkgs, dir, settings))
	c.Env = append(c.Environ(), "NIX_STATE_DIR="+t.TempDir(), "NIX_STORE_DIR="+t.TempDir(), "HOME="+t.TempDir())
	var got struct {
		Options []string
		Config  struct {
			Environment struct {
				Etc map[string]struct {
					Source json.RawMessage
					Text   string
				}
			}
			Users   struct{ Users, Groups map[string]any }
			Systemd struct {
				Packages []string
				Services map[string]any
			}
		}
		Packages []struct {
			Src          struct{ URL string }
			Version      string
			InstallPhase string
		}
	}
	if err := json.Unmarshal(run(t, c), &got); err != nil {
		t.Fatal(err)
	}
	u, etc := readUnit(t), got.Config.Environment.Etc
	if !slices.Equal(got.Options, []string{"enable", "extraFlags", "package", "settings"}) || len(got.Config.Systemd.Packages) != 1 ||
		got.Config.Systemd.Services["mother-of-dragons"] == nil || got.Config.Users.Users[u.user] == nil || got.Config.Users.Groups[u.group] == nil {
		t.Errorf("%+v does not fit %+v", got, u)
	}
	file := filepath.Join(t.TempDir(), "mother-of-dragons.yml")
	cmdtest.Rewrite(t, file, string(etc[strings.TrimPrefix(u.config, "/etc/")].Source))
	checkConfig(t, file)
	checkOptions(t, etc[strings.TrimPrefix(u.defaults, "/etc/")].Text, "--web.enable-admin-api --utc")

	release := readFile(t, "scripts/release")
	_, line, _ := strings.Cut(release, "set -- ")
	architectures, _, _ := strings.Cut(line, "\n")
	var from []string
	for _, p := range got.Packages {
		if p.Version != version(t) {
			t.Errorf("version %s", p.Version)
		}
		name, arch, _ := strings.Cut(strings.TrimSuffix(filepath.Base(p.Src.URL), ".tar.gz"), ".linux-")
		if name != "mother-of-dragons-"+p.Version {
			t.Errorf("no release has %s", p.Src.URL)
		}
		from = append(from, arch)
	}
	if diff := cmp.Diff(strings.Fields(architectures), from); diff != "" {
		t.Error(diff)
	}
	installs(t, got.Packages[0].InstallPhase)
}

// installs runs the phase in a directory that has what the tarball has.
func installs(t *testing.T, phase string) {
	t.Helper()
	dir := t.TempDir()
	prelude := fmt.Sprintf(`set -euo pipefail
cd %[1]s
repository=$OLDPWD out=%[1]s/out
for path in mother-of-dragons mother-of-dragons.cdx.json man/mother-of-dragons.1.gz completion/completion.bash completion/completion.zsh; do
  mkdir -p "$(dirname $path)" && touch $path
done
cp "$repository/packaging/mother-of-dragons.service" .
cp -r "$repository"/{docs,alerts,dashboards,examples} .
installManPage() { ls "$@"; }
installShellCompletion() { ls "$4"; }
substituteInPlace() {
  local file=$1
  shift
  while [ $# -gt 0 ]; do
    [ "$1" = --replace-fail ] && grep -q -- "$2" "$file"
    sed -i "s|$2|$3|g" "$file"
    shift 3
  done
}
`, dir)
	run(t, exec.CommandContext(t.Context(), "bash", "-c", prelude+phase))
	text := readFile(t, filepath.Join(dir, "out/lib/systemd/system/mother-of-dragons.service"))
	if strings.Contains(text, "/usr/bin/") || !strings.Contains(text, "ExecStart="+dir+"/out/bin/mother-of-dragons ") || !strings.Contains(text, "ExecReload=/coreutils/bin/kill ") {
		t.Errorf("%s", text)
	}
}

func TestPKGBUILDInstallsWhatThePackagesDo(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	repository, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(repository, filepath.Join(dir, "mother-of-dragons-"+version(t))); err != nil {
		t.Fatal(err)
	}
	script := `set -euo pipefail
srcdir=$PWD pkgdir=$PWD/pkg
. "$1"
(build >&2)
(package)
printf '%s\n' "$pkgname" "$pkgver" "$pkgdesc" "${license[*]}" "${backup[*]}" "${source[*]}" "${#sha256sums[@]}"`
	c := exec.CommandContext(t.Context(), "bash", "-c", script, "makepkg", filepath.Join(repository, "packaging/arch/PKGBUILD"))
	c.Dir = dir
	got := strings.Split(strings.TrimSpace(string(run(t, c))), "\n")

	var p struct {
		Name, Description, License string
		Contents                   []struct{ Src, Dst, Type, Packager string }
	}
	readYAML(t, "packaging/nfpm.yaml", &p)
	var backup []string
	for _, c := range p.Contents {
		if strings.HasPrefix(c.Type, "config") {
			backup = append(backup, strings.TrimPrefix(c.Dst, "/"))
		}
		// A build from source has no SBOM, and Arch keeps licenses elsewhere.
		if c.Packager == "deb" || strings.HasSuffix(c.Dst, ".cdx.json") || strings.HasSuffix(c.Dst, "/copyright") || c.Type == "dir" {
			continue
		}
		found, err := filepath.Glob(c.Src)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{strings.TrimSuffix(c.Dst, ".gz")}
		if strings.HasSuffix(c.Dst, "/") {
			want = nil
			for _, f := range found {
				want = append(want, c.Dst+filepath.Base(f))
			}
		}
		for _, w := range want {
			if _, err := os.Lstat(filepath.Join(dir, "pkg", w)); err != nil {
				t.Error(err)
			}
		}
	}
	description, _, _ := strings.Cut(p.Description, "\n")
	url := "mother-of-dragons-" + version(t) + ".tar.gz::https://github.com/brndnmtthws/mother-of-dragons/archive/v" + version(t) + ".tar.gz"
	if diff := cmp.Diff([]string{p.Name, version(t), description, p.License, strings.Join(backup, " "), url, "1"}, got); diff != "" {
		t.Error(diff)
	}
	u := readUnit(t)
	for file, want := range map[string]string{"sysusers.d": "u " + u.user + " - ", "tmpfiles.d": "z " + u.config + " 0640 root " + u.group + " -"} {
		if text := readFile(t, filepath.Join(dir, "pkg/usr/lib", file, "mother-of-dragons.conf")); !strings.HasPrefix(text, want) {
			t.Errorf("%s: %s", file, text)
		}
	}
	out := run(t, exec.CommandContext(t.Context(), filepath.Join(dir, "pkg/usr/bin/mother-of-dragons"), "--version"))
	if !strings.Contains(string(out), "version "+version(t)) {
		t.Errorf("%s", out)
	}
}
