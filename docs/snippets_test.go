package docs_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kingpin/v2"
	"go.yaml.in/yaml/v3"

	"github.com/brndnmtthws/mother-of-dragons/internal/cmd"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cmdtest"
)

// Every snippet of the documents is held against what it is for: command lines are
// parsed, URLs asked for, configurations checked, queries parsed. One in a language that
// is not checked here is an error too.

// snippet is a fenced block of a document.
type snippet struct {
	file     string
	line     int
	language string
	text     string
}

func (s *snippet) String() string { return fmt.Sprintf("%s:%d", s.file, s.line) }

func documents(t *testing.T) []string {
	t.Helper()
	files := []string{"README.md"}
	if err := filepath.WalkDir("docs", func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(path) == ".md" {
			files = append(files, path)
		}
		return err
	}); err != nil || len(files) < 8 {
		t.Fatalf("%v: %v", files, err)
	}
	return files
}

func readDocument(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func snippets(t *testing.T) (all []snippet) {
	t.Helper()
	for _, file := range documents(t) {
		var open *snippet
		n := 0
		for line := range strings.Lines(readDocument(t, file)) {
			n++
			fence, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
			switch {
			case isFence && open == nil:
				open = &snippet{file: file, line: n, language: fence}
			case isFence:
				all = append(all, *open)
				open = nil
			case open != nil:
				open.text += line
			}
		}
		if open != nil {
			t.Errorf("%s is not closed", open)
		}
	}
	return all
}

func TestDocsEverySnippetIsOfAKindThatIsChecked(t *testing.T) {
	for _, s := range snippets(t) {
		switch s.language {
		case "sh", "console", "yaml", "promql", "ini", "toml":
		case "json":
			if !json.Valid([]byte(s.text)) {
				t.Errorf("%s: no JSON", &s)
			}
		case "nix":
			checkWith(t, &s, "nix-bin", "nix-instantiate", "--parse", "-E", s.text)
		case "": // a drawing, or what something prints
			if strings.Contains(s.text, "mother-of-dragons ") && strings.Contains(s.text, "--") {
				t.Errorf("%s: an unchecked command line; say sh or console", &s)
			}
		default:
			t.Errorf("%s: no test checks %q", &s, s.language)
		}
	}
}

// commandLines takes a script apart as a shell does: words of simple commands, without
// redirections. What it does not know is an error.
func commandLines(script string) (lines [][]string, err error) {
	var line []string
	var word strings.Builder
	inWord, skip := false, false
	endWord := func() {
		if inWord && !skip {
			line = append(line, word.String())
		}
		skip = skip && !inWord
		inWord = false
		word.Reset()
	}
	endLine := func() {
		endWord()
		if len(line) > 0 {
			lines = append(lines, line)
		}
		line = nil
	}
	r := []rune(script)
	for i := 0; i < len(r); i++ {
		switch c := r[i]; {
		case c == '\\' && i+1 < len(r):
			i++
			if r[i] != '\n' {
				inWord = true
				word.WriteRune(r[i])
			}
		case c == '\'' || c == '"':
			end := slices.Index(r[i+1:], c)
			if end < 0 {
				return nil, errors.New("a quote is not closed")
			}
			inWord = true
			word.WriteString(string(r[i+1 : i+1+end]))
			i += end + 1
		case c == '$' && i+1 < len(r) && r[i+1] == '(':
			end := slices.Index(r[i:], ')')
			if end < 0 {
				return nil, errors.New("$( is not closed")
			}
			inWord = true
			word.WriteString(string(r[i : i+end+1]))
			i += end
		case c == '#' && !inWord:
			for i+1 < len(r) && r[i+1] != '\n' {
				i++
			}
		case c == '\n' || c == ';' || c == '|' || c == '&':
			endLine()
		case c == '>' || c == '<':
			if inWord && strings.Trim(word.String(), "0123456789") == "" { // 2>
				word.Reset()
				inWord = false
			}
			endWord()
			skip = true
		case c == ' ' || c == '\t':
			endWord()
		default:
			inWord = true
			word.WriteRune(c)
		}
	}
	endLine()
	return lines, nil
}

// script is the commands of a snippet; of a console's, what follows the prompt.
func (s *snippet) script() string {
	if s.language == "sh" {
		return s.text
	}
	var b strings.Builder
	for line := range strings.Lines(s.text) {
		if command, ok := strings.CutPrefix(strings.TrimSpace(line), "$ "); ok {
			b.WriteString(command + "\n")
		}
	}
	return b.String()
}

var (
	assignment = regexp.MustCompile(`^[A-Z_]+=`)
	ourPath    = regexp.MustCompile(`(?:^|=)((?:examples|docs|alerts|dashboards|tools|scripts|packaging)/[^\s:]*)`)
	makeTarget = regexp.MustCompile(`(?m)^([a-z-]+):`)
)

// others are the programs beside ours that a document may name; what their arguments
// mean is theirs.
var others = strings.Fields("amtool apt apt-get caddy cd chgrp chmod chown cosign cp dig docker dpkg getcap getent gh go git grep head helm htpasswd ip install journalctl " +
	"etcdctl jq kill kubectl ls mkdir mv openssl ping podman prometheus promtool rpm dnf rm sed setcap sha256sum skopeo sort source statsd_exporter . ss ssh sysctl systemctl systemd-analyze systemd-run tail touch useradd vi visudo tee cat man complete")

func TestDocsEveryCommandLineIsTaken(t *testing.T) {
	makefile := makeTarget.FindAllString(readDocument(t, "Makefile"), -1)
	ours, urls := 0, map[string]string{}
	for _, s := range snippets(t) {
		if s.language != "sh" && s.language != "console" {
			continue
		}
		lines, err := commandLines(s.script())
		if err != nil {
			t.Errorf("%s: %v", &s, err)
		}
		for _, words := range lines {
			for len(words) > 0 && (assignment.MatchString(words[0]) || words[0] == "sudo" || words[0] == "-u" || len(words) > 1 && words[0] == "mother-of-dragons" && words[1] == "mother-of-dragons") {
				words = words[1:]
			}
			if len(words) == 0 {
				continue
			}
			for _, w := range words {
				if m := ourPath.FindStringSubmatch(w); m != nil {
					if found, err := filepath.Glob(m[1]); err != nil || len(found) == 0 {
						t.Errorf("%s: there is no %s", &s, m[1])
					}
				}
			}
			switch program := filepath.Base(words[0]); {
			case program == cli.Name:
				ours++
				if err := parses(words[1:]); err != nil {
					t.Errorf("%s: %q: %v", &s, strings.Join(words, " "), err)
				}
			case program == "make":
				for _, target := range words[1:] {
					if !assignment.MatchString(target) && !slices.Contains(makefile, target+":") {
						t.Errorf("%s: the Makefile has no %s", &s, target)
					}
				}
			case program == "curl":
				for _, w := range words[1:] {
					if _, url, ok := strings.Cut(w, "localhost:9977"); ok {
						method := "GET"
						if slices.Contains(words, "POST") || slices.Contains(words, "-XPOST") || slices.Contains(words, "-d") {
							method = "POST"
						}
						urls[url] = method + " " + s.String()
					}
				}
			case !slices.Contains(others, program):
				t.Errorf("%s: no test checks %s", &s, program)
			}
		}
	}
	if ours < 25 || len(urls) < 5 {
		t.Errorf("only %d command lines and %d URLs", ours, len(urls))
	}
	dragons := cmdtest.FleetOf(t, 1, nil)
	address, _, _ := cmdtest.Start(t, cmd.New, "--dragon="+dragons.Addr(0), "--web.enable-lifecycle", "--web.enable-admin-api", "--web.enable-pprof")
	for url, asked := range urls {
		method, where, _ := strings.Cut(asked, " ")
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+url, nil)
		if err != nil {
			t.Errorf("%s: %v", where, err)
			continue
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if unknown := resp.StatusCode == 404 && !strings.Contains(url, "dragon-"); unknown || resp.StatusCode == 405 || resp.StatusCode == 400 && method == "GET" {
			t.Errorf("%s: %s %s answers %s: %.200s", where, method, url, resp.Status, body)
		}
	}
}

// parses reports what is wrong with a command line of ours. Nothing of it is run.
func parses(args []string) error {
	app := cmd.New(nil)
	app.UsageWriter(io.Discard).ErrorWriter(io.Discard)
	app.Terminate(nil)
	for _, f := range []string{"--help", "-h", "--help-long", "--help-man", "--version"} {
		args = slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == f })
	}
	if len(args) > 0 && args[0] == cli.CompletionFlag {
		return nil
	}
	_, err := app.ParseContext(args)
	if err != nil {
		return err
	}
	_, err = app.Parse(args)
	return err
}

// inline is a command line of ours in the text of a runbook; named stands there for what is to
// be put in.
var (
	inline = regexp.MustCompile("`mother-of-dragons ([^`]*)`")
	named  = strings.NewReplacer("NETWORK", "192.0.2.0/24", "ADDRESS", "192.0.2.7")
)

// An operator copies the commands of a runbook as they are, so each has to be whole.
func TestDocsEveryCommandOfARunbookIsTaken(t *testing.T) {
	files, err := filepath.Glob("docs/runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range files {
		for _, m := range inline.FindAllStringSubmatch(readDocument(t, file), -1) {
			found++
			lines, err := commandLines(named.Replace(m[1]))
			if err != nil || len(lines) != 1 {
				t.Errorf("%s: %s: %v", file, m[1], err)
				continue
			}
			if err := parses(lines[0]); err != nil {
				t.Errorf("%s: %s: %v", file, m[1], err)
			}
		}
	}
	if found < 30 {
		t.Errorf("only %d command lines", found)
	}
}

func TestCommandLinesAreTakenApart(t *testing.T) {
	got, err := commandLines("A=1 a 'b c'  \"d\" # no\nx \\\n  y 2>/dev/null | z >f; q $(p r)s\n")
	if want := [][]string{{"A=1", "a", "b c", "d"}, {"x", "y"}, {"z"}, {"q", "$(p r)s"}}; err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q, %v", got, err)
	}
	for _, script := range []string{"a 'b", "$(a"} {
		if _, err := commandLines(script); err == nil {
			t.Errorf("%s is taken", script)
		}
	}
}

// sitesOfDocs are the networks that snippets of a configuration leave out.
const sitesOfDocs = "networks: [{cidr: 192.0.2.0/25, site: hall-a}, {cidr: 192.0.2.128/25, site: hall-b}]\n"

var passwordFile = regexp.MustCompile(`(?:password|url|secret)_file: ([^\s,}]+)`)

func TestDocsEveryYAMLIsTaken(t *testing.T) {
	ours, theirs := 0, 0
	for _, s := range snippets(t) {
		if s.language != "yaml" {
			continue
		}
		var top map[string]any
		if err := yaml.Unmarshal([]byte(s.text), &top); err != nil {
			t.Errorf("%s: %v", &s, err)
			continue
		}
		has := func(keys ...string) bool {
			return slices.ContainsFunc(keys, func(k string) bool { _, ok := top[k]; return ok })
		}
		dir := t.TempDir()
		write := func(name, text string) string {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		switch {
		case has("scrape_configs", "remote_write", "alerting", "rule_files", "global"):
			theirs++
			checkWith(t, &s, "prometheus", "promtool", "check", "config", "--syntax-only", write("prometheus.yml", s.text))
		case has("groups"):
			theirs++
			checkWith(t, &s, "prometheus", "promtool", "check", "rules", write("rules.yml", s.text))
		case has("route", "receivers"):
			theirs++
			checkWith(t, &s, "prometheus-alertmanager", "amtool", "check-config", write("alertmanager.yml", s.text))
		case has("mappings", "services", "tls_server_config", "basic_auth_users", "apiVersion", "config", "podAnnotations", "mother_of_dragons_config"): // of statsd_exporter, compose, the web configuration, Grafana, Kubernetes, the chart, the role
		default:
			ours++
			text := s.text
			if !has("networks") {
				text = sitesOfDocs + text
			}
			for _, m := range passwordFile.FindAllStringSubmatch(text, -1) {
				if !filepath.IsAbs(m[1]) {
					write(m[1], "https://hunter2.example.net/\n")
				} else {
					text = strings.ReplaceAll(text, m[1], write(filepath.Base(m[1]), "https://hunter2.example.net/\n"))
				}
			}
			var out bytes.Buffer
			if err := cmd.New(nil).Run(t.Context(), []string{"check-config", write("mother.yml", text)}, &out, &out); err != nil {
				t.Errorf("%s: %v\n%s", &s, err, out.String())
			}
		}
	}
	if ours < 4 || theirs < 2 {
		t.Errorf("%d of ours, %d of others", ours, theirs)
	}
}

// checkWith has another program check a file, where it is installed.
func checkWith(t *testing.T, s *snippet, pkg string, command ...string) {
	t.Helper()
	if _, err := exec.LookPath(command[0]); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not installed (apt-get install %s)", command[0], pkg)
		}
		t.Logf("%s: %s is not installed (apt-get install %s): not checked", s, command[0], pkg)
		return
	}
	if out, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput(); err != nil {
		t.Errorf("%s: %v: %v\n%s", s, command, err, out)
	}
}

func TestDocsEveryQueryIsTaken(t *testing.T) {
	rules := map[string]any{}
	var list []map[string]string
	var asked []snippet
	for _, s := range snippets(t) {
		if s.language != "promql" {
			continue
		}
		asked = append(asked, s)
		var query string // each begins at the margin, and goes on indented
		end := func() {
			if strings.TrimSpace(query) != "" {
				list = append(list, map[string]string{"record": fmt.Sprintf("doc:query:%d", len(list)), "expr": query})
			}
			query = ""
		}
		for line := range strings.Lines(s.text) {
			if !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, ")") {
				end()
			}
			if !strings.HasPrefix(line, "#") {
				query += line
			}
		}
		end()
	}
	if len(list) < 2 {
		t.Fatalf("%d queries", len(list))
	}
	rules["groups"] = []map[string]any{{"name": "docs", "rules": list}}
	text, err := yaml.Marshal(rules)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	checkWith(t, &asked[0], "prometheus", "promtool", "check", "rules", file)
}

var (
	flagWord = regexp.MustCompile("`[^`\n]*--([a-z][a-z0-9.-]*)")
	envWord  = regexp.MustCompile(`MOTHER_OF_DRAGONS_[A-Z_]*[A-Z]`)
	link     = regexp.MustCompile(`\]\(([^)\s#]+)(?:#[^)]*)?\)`)
)

// foreign are flags of other programs.
var foreign = strings.Fields("enable-feature web.enable-remote-write-receiver network=host open")

func TestDocsEveryFlagVariableAndLinkIsThere(t *testing.T) {
	app := cmd.New(nil)
	flags, variables := map[string]bool{}, map[string]bool{}
	add := func(list []*kingpin.FlagModel) {
		for _, f := range list {
			flags[f.Name], flags["no-"+f.Name] = true, true
			variables[f.Envar] = true
		}
	}
	var walk func([]*kingpin.CmdModel)
	walk = func(list []*kingpin.CmdModel) {
		for _, c := range list {
			add(c.Flags)
			walk(c.Commands)
		}
	}
	if _, err := app.ParseContext([]string{"--help"}); err != nil { // which also names the variables
		t.Fatal(err)
	}
	model := app.Model()
	add(model.Flags)
	walk(model.Commands)
	for _, file := range documents(t) {
		text := readDocument(t, file)
		for _, m := range flagWord.FindAllStringSubmatch(text, -1) {
			if name := strings.TrimRight(m[1], ".-"); !flags[name] && !slices.Contains(foreign, name) && name != "dragon-health" && name != "web" {
				t.Errorf("%s: there is no flag --%s", file, name)
			}
		}
		for _, v := range envWord.FindAllString(text, -1) {
			if !variables[v] {
				t.Errorf("%s: there is no variable %s", file, v)
			}
		}
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), m[1])); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
	if len(flags) < 50 || len(variables) < 20 {
		t.Errorf("%d flags, %d variables", len(flags), len(variables))
	}
}

func TestDocsEveryUnitIsOfOurs(t *testing.T) {
	units := 0
	for _, s := range snippets(t) {
		if s.language != "ini" {
			continue
		}
		units++
		text := strings.ReplaceAll(s.text, "\\\n", " ")
		// systemd starts a unit in /, where its user may not make the data directory.
		state := regexp.MustCompile(`(?m)^StateDirectory=(.+)$`).FindStringSubmatch(text)
		if state == nil || !strings.Contains(text, "\nWorkingDirectory=/var/lib/"+state[1]+"\n") {
			t.Errorf("%s: no directory for the data", &s)
		}
		for line := range strings.Lines(text) {
			key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
			if ok && key == "ExecStart" && value != "" {
				lines, err := commandLines(value)
				if err != nil || len(lines) != 1 || filepath.Base(lines[0][0]) != cli.Name {
					t.Errorf("%s: %q, %v", &s, lines, err)
				} else if err := parses(lines[0][1:]); err != nil {
					t.Errorf("%s: %v", &s, err)
				}
			}
		}
	}
	if units == 0 {
		t.Error("no unit")
	}
}

var (
	seriesWord = regexp.MustCompile(`\b(?:dragon|mother)_[a-z0-9_]*[a-z0-9]\b`)
	documented = regexp.MustCompile("(?m)^\\| `((?:dragon|mother)_[a-z0-9_]+)`")
)

// A document may name the start of series, as in mother_healer_*.
func TestDocsEverySeriesIsThere(t *testing.T) {
	known := map[string]bool{}
	for _, m := range documented.FindAllStringSubmatch(readDocument(t, "docs/metrics.md"), -1) {
		known[m[1]] = true
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			known[m[1]+suffix] = true
		}
	}
	if len(known) < 100 {
		t.Fatalf("%d series", len(known))
	}
	for _, file := range documents(t) {
		text := readDocument(t, file)
		for _, at := range seriesWord.FindAllStringIndex(text, -1) {
			name, rest := text[at[0]:at[1]], text[at[1]:]
			before := text[max(0, at[0]-1):at[0]]
			open := strings.HasPrefix(rest, "_*") || strings.HasPrefix(rest, "*") || strings.HasPrefix(rest, "_…")
			role := strings.HasPrefix(name, "mother_of_dragons") // Ansible's, and its variables
			if known[name] || open || role || strings.ContainsAny(before, ":_/.-") || strings.HasPrefix(rest, ":") {
				continue // a recording rule, or a part of something else
			}
			t.Errorf("%s: there is no series %s", file, name)
		}
	}
}
