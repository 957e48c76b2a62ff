package e2e

import (
	"encoding/base64"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

// disguises are the forms in which a secret might get out.
func disguises(secret string) []string {
	json := strings.NewReplacer(`"`, `\"`, "/", `\/`).Replace(secret)
	all := []string{secret, url.QueryEscape(secret), url.PathEscape(secret), json, fmt.Sprintf("%q", secret)[1 : len(secret)+1], fmt.Sprintf("%x", secret)}
	for _, basic := range []string{secret, "admin:" + secret} {
		all = append(all, base64.RawStdEncoding.EncodeToString([]byte(basic)))
	}
	return slices.Compact(slices.Sorted(slices.Values(all)))
}

var jwt = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}`)

// TestNoSecretGetsOut runs the program with secrets wherever there may be one, makes it
// succeed and fail in all its ways, and looks for the secrets in everything that it
// says to anybody but a dragon.
func TestNoSecretGetsOut(t *testing.T) {
	t.Parallel()
	secrets := map[string]string{
		"the first credential":                    "mellon+Gate/1",
		"the second, in a file":                   "2nd gate&key",
		"the password of a dragon that is locked": "balrog=Flame",
		"the wanted pools":                        "wishpool%secret",
		"the pools of a dragon":                   "minepool#secret",
		"the login in a pool's URL":               "urlpool-secret",
		"the password of the factory":             "dragonadmin",
		"a password that was changed":             "changed:later9",
	}
	pools := []dragontest.Pool{
		{URL: "stratum+tcp://farm:" + secrets["the login in a pool's URL"] + "@one.pool.example.com:3333", User: "farm.x", Password: secrets["the pools of a dragon"]},
		{URL: "stratum+tcp://two.pool.example.com:3333", User: "farm.x", Password: secrets["the pools of a dragon"]},
	}
	dragons, flags := fleetOf(t, dragontest.FleetConfig{Count: 6, Specs: func(i int) dragontest.Spec {
		return []dragontest.Spec{
			{Pools: pools, Password: secrets["the first credential"]},
			{Pools: pools, Password: secrets["the second, in a file"], Model: "t3+"},
			{Pools: pools, Password: secrets["the password of a dragon that is locked"]},
			{Pools: pools, Password: secrets["the password of the factory"], Model: "a9"},
			{Pools: pools, Password: secrets["the first credential"]},
			{Pools: pools, Password: secrets["a password that was changed"]},
		}[i]
	}})
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file("gate", secrets["the second, in a file"]+"\n")
	credentials := fmt.Sprintf("credentials:\n  - {username: admin, password: %q}\n  - {username: admin, password_file: gate}\n  - {username: admin, password: %q}\n",
		secrets["the first credential"], secrets["the password of the factory"])
	data, inventory := filepath.Join(dir, "data"), filepath.Join(dir, "copy.json")
	config := file("config.yml", credentials+fmt.Sprintf("inventory: {file: %q}\n", inventory))
	wish := fmt.Sprintf(`[{"mac_addresses":[],"pools":[{"id":0,"url":"stratum+tcp://wish.example.com:3333","username":"farm","password":%q}]}]`, secrets["the wanted pools"])

	statsd, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, statsdPort, err := net.SplitHostPort(statsd.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	var mirrored strings.Builder
	var reading sync.WaitGroup
	reading.Go(func() {
		for packet := make([]byte, 1<<16); ; {
			n, _, err := statsd.ReadFrom(packet)
			if err != nil {
				return
			}
			mirrored.Write(append(packet[:n], '\n'))
		}
	})

	outputs := map[string]string{}
	p, base := mother(t, append(flags, "--log.level=debug", "--config.file="+config, "--data-dir="+data, "--pools="+wish,
		"--statsd-host=127.0.0.1", "--statsd-port="+statsdPort, "--statsd-interval=2", "--scan-interval=3", "--dragon-timeout=1", "--web.enable-pprof", "--collector.chips")...)
	up := func(want int) func() bool {
		return func() bool { return strings.Count(get(t, base+"/metrics"), "\ndragon_boards{") == want }
	}
	eventually(t, "4 dragons are read", up(4))
	fetch := func(when string) {
		paths := []string{"/metrics", "/sd", "/", "/-/ready", "/-/healthy", "/nowhere", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2", "/probe?target=127.99.0.1", "/api/v1/plan", "/api/v1/healer"}
		for i := range dragons.Len() {
			target := url.QueryEscape(dragons.Addr(i))
			paths = append(paths, "/probe?target="+target, "/probe?debug=true&target="+target)
		}
		for _, path := range paths {
			outputs[when+path], _ = tryGet(base + path)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
		outputs[when+"openmetrics"] = fetched(t, r)
	}
	fetch("all is well: ")
	if n := strings.Count(outputs["all is well: /probe?debug=true&target="+url.QueryEscape(dragons.Addr(0))], "pool.example.com"); n == 0 {
		t.Error("the debug page does not show what the dragon said")
	}
	dragons.Dragon(0).Inject(dragontest.WrongPassword)
	dragons.Dragon(1).Inject(dragontest.AlwaysExpired)
	dragons.Dragon(3).Inject(dragontest.HTML)
	dragons.Dragon(4).SetPassword("admin", secrets["a password that was changed"])
	dragons.Dragon(4).Inject(dragontest.Garbage, dragontest.On("summary"))
	eventually(t, "all of them are down", up(0))
	fetch("all is ill: ")
	eventually(t, "the mirror sent something", func() bool { return strings.Contains(get(t, base+"/metrics"), "mother_statsd_lines_total") })
	p.stop(t)
	outputs["the log"] = p.logged()
	if !strings.Contains(outputs["the log"], "level=debug") {
		t.Error("nothing was logged at level debug")
	}
	statsd.Close()
	reading.Wait()
	outputs["statsd"] = mirrored.String()
	files := 0
	for _, root := range []string{data, inventory} {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			files++
			b, err := os.ReadFile(path)
			outputs[path] = string(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 2 || !strings.Contains(outputs[inventory], "mac_address") {
		t.Errorf("%d files, and %q", files, outputs[inventory])
	}

	// What does not run for long.
	host, port, err := net.SplitHostPort(dragons.Addr(0))
	if err != nil {
		t.Fatal(err)
	}
	broken := file("broken.yml", credentials+"    pasword: "+secrets["the first credential"]+"\n")
	listless := file("listless.yml", "credentials: "+secrets["the first credential"]+"\n")
	dragons.Dragon(3).Clear()
	for name, args := range map[string][]string{
		"--help":                   {"--help"},
		"--help, with secrets":     {"--pools=" + wish, "--help"},
		"--version":                {"--version"},
		"pools that are cut short": {"--network=127.0.0.0/29", "--pools=" + wish[:len(wish)-3]},
		"pools in a wrong form":    {"--network=127.0.0.0/29", "--pools=" + strings.Replace(wish, `"password"`, `"pasword"`, 1)},
		"pools with a wrong type":  {"--network=127.0.0.0/29", "--pools=" + strings.Replace(wish, `"id":0`, `"id":"0"`, 1)},
		"pools with a bad URL":     {"--network=127.0.0.0/29", "--pools=" + strings.Replace(wish, "stratum+tcp://", "stratum:/farm:"+secrets["the login in a pool's URL"]+"@", 1)},
		"a broken file":            {"--network=127.0.0.0/29", "--config.file=" + broken},
		"a file without a list":    {"--network=127.0.0.0/29", "--config.file=" + listless},
		"scan":                     {"scan", "--json", "--dragon-port=" + port, host[:strings.LastIndexByte(host, '.')] + ".0/28"},
		"capture":                  {"capture", dragons.Addr(3)},
		"capture, not let in":      {"capture", dragons.Addr(2)},
	} {
		run := exec.CommandContext(t.Context(), binary, args...)
		run.Dir = t.TempDir()
		run.Env = append(os.Environ(), "MOTHER_OF_DRAGONS_POOLS="+wish)
		out, err := run.CombinedOutput()
		if ok := name == "capture" || strings.HasPrefix(name, "--"); ok != (err == nil) && name != "scan" {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		outputs[name] = string(out)
	}

	for name, output := range outputs {
		for whose, secret := range secrets {
			for _, form := range disguises(secret) {
				if strings.Contains(output, form) && (name != "--help" || whose != "the password of the factory") {
					t.Errorf("%s shows %s: %s", name, whose, around(output, form))
				}
			}
		}
		if token := jwt.FindString(output); token != "" {
			t.Errorf("%s shows a token: %s", name, around(output, token))
		}
	}
}

// around is where in a text something stands.
func around(text, what string) string {
	i := strings.Index(text, what)
	return fmt.Sprintf("%q", text[max(0, i-80):min(len(text), i+len(what)+40)])
}

// fetched is the body of whatever answer comes.
func fetched(t *testing.T, r *http.Request) string {
	t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b strings.Builder
	if err := resp.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
