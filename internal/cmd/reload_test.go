package cmd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cmdtest"
)

func reload(t *testing.T, base string) (status int, answer string) {
	t.Helper()
	resp, err := http.Post(base+"/-/reload", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func mustReload(t *testing.T, base string) {
	t.Helper()
	if status, answer := reload(t, base); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
}

// startOn runs the program on a file.
func startOn(t *testing.T, text string, args ...string) (base, file string, logs *cmdtest.LogBuffer) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "mother.yml")
	cmdtest.Rewrite(t, file, text)
	address, logs, _ := start(t, append([]string{"--config.file=" + file, "--web.enable-lifecycle"}, args...)...)
	return "http://" + address, file, logs
}

func TestAReloadLosesNoScrape(t *testing.T) {
	dragons := cmdtest.FleetOf(t, 3, nil)
	statsd, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer statsd.Close()
	_, port, err := net.SplitHostPort(statsd.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	text := func(site, more string) string {
		var b strings.Builder
		b.WriteString("dragons:\n")
		for i := range 3 {
			fmt.Fprintf(&b, "  - {address: %q, site: %s}\n", dragons.Addr(i), site)
		}
		return b.String() + more
	}
	hallA := text("hall-a", "")
	hallB := text("hall-b", "statsd: {host: 127.0.0.1, port: "+port+", interval: 1s}\ndiscovery: {interval: 1m}\nscrape: {workers: 2, dragon_timeout: 5s}\n"+
		"credentials: [{username: admin, password: dragonadmin}]\nhealing: {poll: 10s}\nprofiles: [{name: b, match: {site: hall-b}, healing: {grace: "+
		"{rate: 20m}}}]\n")
	base, file, _ := startOn(t, hallA)
	cmdtest.Eventually(t, "three dragons up", func() bool {
		_, page := cmdtest.Get(t, base+"/metrics")
		return strings.Count(page, "\ndragon_boards{") == 3
	})

	ctx, stop := context.WithCancel(t.Context())
	var scraping sync.WaitGroup
	scrapes := make([]int, 2)
	for i := range scrapes {
		scraping.Go(func() {
			for ctx.Err() == nil {
				resp, err := http.Get(base + "/metrics")
				if err != nil {
					t.Errorf("a scrape was lost: %v", err)
					return
				}
				var page bytes.Buffer
				_, err = page.ReadFrom(resp.Body)
				resp.Body.Close()
				if n := strings.Count(page.String(), "\ndragon_boards{"); err != nil || resp.StatusCode != 200 || n != 3 {
					t.Errorf("a scrape in between: %v, status %d, %d dragons", err, resp.StatusCode, n)
				}
				scrapes[i]++
			}
		})
	}
	for range 5 {
		for site, text := range map[string]string{"hall-b": hallB, "hall-a": hallA} {
			cmdtest.Rewrite(t, file, text)
			mustReload(t, base)
			if _, sd := cmdtest.Get(t, base+"/sd"); strings.Count(sd, site) != 3 {
				t.Errorf("after the reload the dragons are not at %s: %s", site, sd)
			}
		}
	}
	cmdtest.Rewrite(t, file, hallB)
	mustReload(t, base)
	packet := make([]byte, 2000)
	if n, _, err := statsd.ReadFrom(packet); err != nil || n == 0 {
		t.Errorf("nothing is mirrored: %v", err)
	}
	stop()
	scraping.Wait()
	if scrapes[0] == 0 || scrapes[1] == 0 {
		t.Errorf("scrapes beside the reloads: %v", scrapes)
	}
}

func TestABadFileChangesNothing(t *testing.T) {
	dragons := cmdtest.FleetOf(t, 1, nil)
	good := "dragons: [{address: '" + dragons.Addr(0) + "', site: here}]\n"
	base, file, logs := startOn(t, good)
	cmdtest.Eventually(t, "the dragon is up", func() bool {
		_, page := cmdtest.Get(t, base+"/metrics")
		return strings.Contains(page, "\ndragon_boards{") && strings.Contains(page, "\nmother_config_last_reload_successful 1")
	})
	for _, x := range []struct{ name, text, want string }{
		{"a typo", "dragons: [{address: '" + dragons.Addr(0) + "', site: there}]\nscrap: {workers: 3}\n", file + `:2: unknown key "scrap"; did you mean scrape?`},
		{"no YAML", "dragons: [", "not YAML"},
		{"another data directory", good + "data_dir: elsewhere\n", "data_dir:"},
		{"no network and no dragon", "statsd: {host: 127.0.0.1}\n", "no network and no dragon named"},
	} {
		cmdtest.Rewrite(t, file, x.text)
		status, answer := reload(t, base)
		if status != 500 || !strings.Contains(answer, x.want) {
			t.Errorf("%s: %d %s\nwant 500 and %s", x.name, status, answer, x.want)
		}
		_, page := cmdtest.Get(t, base+"/metrics")
		if !strings.Contains(page, "\ndragon_boards{") || !strings.Contains(page, "\nmother_config_last_reload_successful 0") {
			t.Errorf("%s: the page is another", x.name)
		}
		if _, sd := cmdtest.Get(t, base+"/sd"); !strings.Contains(sd, `"here"`) {
			t.Errorf("%s: the site is another: %s", x.name, sd)
		}
	}
	if !strings.Contains(logs.String(), "did you mean scrape") {
		t.Errorf("the log does not say what is wrong:\n%s", logs)
	}
	cmdtest.Rewrite(t, file, good+"scrape: {dragon_timeout: 2m}\n")
	if status, answer := reload(t, base); status != 200 || !strings.Contains(answer, "warning: scrape.dragon_timeout: ") {
		t.Errorf("a dangerous file: %d %s", status, answer)
	}
	if _, page := cmdtest.Get(t, base+"/metrics"); !strings.Contains(page, "\nmother_config_last_reload_successful 1") {
		t.Error("a good file does not count")
	}
}

func TestNewCredentialsAndDragonsAreTakenOverAtOnce(t *testing.T) {
	dragons := cmdtest.FleetOf(t, 2, func(i int) dragontest.Spec {
		if i == 1 {
			return dragontest.Spec{Password: "changed"}
		}
		return dragontest.Spec{}
	})
	text := "networks: [{cidr: " + dragons.Host(0).String() + "/32}]\ndiscovery: {port: " + fmt.Sprint(dragons.Port()) + "}\n"
	base, file, _ := startOn(t, text)
	up := func() int {
		_, page := cmdtest.Get(t, base+"/metrics")
		return strings.Count(page, "\ndragon_boards{")
	}
	cmdtest.Eventually(t, "one dragon up", func() bool { return up() == 1 })

	text = strings.Replace(text, "}]", "}, {cidr: "+dragons.Host(1).String()+"/32}]", 1)
	cmdtest.Rewrite(t, file, text)
	mustReload(t, base)
	cmdtest.Eventually(t, "the other one was found, and is locked", func() bool {
		_, page := cmdtest.Get(t, base+"/metrics")
		return strings.Contains(page, `mother_discovery_identifications_total{outcome="locked"} 1`)
	})
	cmdtest.Rewrite(t, file, text+"credentials:\n  - {username: admin, password: dragonadmin}\n  - {username: admin, password: changed, match: "+
		"{network: "+dragons.Host(1).String()+"/32}}\n")
	mustReload(t, base)
	cmdtest.Eventually(t, "two dragons up", func() bool { return up() == 2 })
	if n := dragons.Dragon(0).Traffic().Credentials; len(n) != 1 {
		t.Errorf("the first one was tried with %d passwords", len(n))
	}
}

func TestAReloadNeedsTheFlagAndAFile(t *testing.T) {
	address, _, _ := start(t, "--dragon=127.70.0.1:9")
	if status, answer := reload(t, "http://"+address); status != 403 || !strings.Contains(answer, "--web.enable-lifecycle") {
		t.Errorf("%d %s", status, answer)
	}
	address, _, _ = start(t, "--dragon=127.70.0.1:9", "--web.enable-lifecycle")
	if status, answer := reload(t, "http://"+address); status != 500 || !strings.Contains(answer, "--config.file") {
		t.Errorf("%d %s", status, answer)
	}
	if _, page := cmdtest.Get(t, "http://"+address+"/metrics?collect[]=program"); !strings.Contains(page, "\nmother_config_last_reload_successful 1") {
		t.Error("that there is no file counts as a bad one")
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/-/reload", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 403 {
		t.Errorf("another site's page may reload: %s", resp.Status)
	}
}

func TestFirmwareComesFromElsewhereAfterAReload(t *testing.T) {
	image := []byte("070701 an image")
	dir := t.TempDir()
	for name, data := range map[string]string{
		"t1_20181101_120000.swu": string(image),
		"SHA256SUMS":             fmt.Sprintf("%x  t1_20181101_120000.swu\n", sha256.Sum256(image)),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	base, file, _ := startOn(t, "dragons: [{address: '127.70.0.1:9'}]\nfirmware: {path: ''}\n")
	var status int
	var answer string
	cmdtest.Eventually(t, "the healer has looked at the fleet", func() bool {
		status, answer = cmdtest.Get(t, base+"/api/v1/firmware")
		return status == 200
	})
	if strings.Contains(answer, "t1_20181101_120000") {
		t.Errorf("there is an image before the reload: %s", answer)
	}
	cmdtest.Rewrite(t, file, "dragons: [{address: '127.70.0.1:9'}]\nfirmware: {path: '"+dir+"', auto_upgrade: true}\n")
	mustReload(t, base)
	if _, answer := cmdtest.Get(t, base+"/api/v1/firmware"); !strings.Contains(answer, "t1_20181101_120000") {
		t.Errorf("there is no image after the reload: %s", answer)
	}
	cmdtest.Rewrite(t, file, "dragons: [{address: '127.70.0.1:9'}]\ncollectors: {chips: true}\n")
	if status, answer := reload(t, base); status != 500 || !strings.Contains(answer, "collectors.chips") || !strings.Contains(answer, "restart") {
		t.Errorf("%d %s", status, answer)
	}
	if _, page := cmdtest.Get(t, base+"/metrics?collect[]=program"); !strings.Contains(page, "\nmother_config_last_reload_successful 0") {
		t.Error("the metric does not tell that the reload was refused")
	}
}

func TestAPolicyThatCallsTheFleetSickIsRefusedWithTheFile(t *testing.T) {
	dragons := cmdtest.FleetOf(t, 6, func(int) dragontest.Spec {
		return dragontest.Spec{Uptime: 48 * time.Hour, Faults: []dragontest.Fault{dragontest.DeadBoard}}
	})
	text := "healing: {poll: 1s, start_observe: 0s, start_samples: 1, new_device_observe: 0s, new_device_samples: 1, default: {grace: {dead_board: 240h}}}\ndragons:\n"
	for i := range 6 {
		text += "  - {address: '" + dragons.Addr(i) + "', site: here}\n"
	}
	base, file, _ := startOn(t, text)
	cmdtest.Eventually(t, "the healer has read six dragons", func() bool {
		_, page := cmdtest.Get(t, base+"/metrics")
		_, plan := cmdtest.Get(t, base+"/api/v1/healer")
		return strings.Count(page, "\ndragon_boards{") == 6 && strings.Contains(plan, `"n":6`)
	})
	strict := strings.Replace(text, "dead_board: 240h", "dead_board: 0s", 1)
	cmdtest.Rewrite(t, file, strings.ReplaceAll(strict, "here", "there"))
	status, answer := reload(t, base)
	if status != 500 || !strings.Contains(answer, "healing: ") || !strings.Contains(answer, "dragon-") {
		t.Errorf("%d %s", status, answer)
	}
	if _, sd := cmdtest.Get(t, base+"/sd"); strings.Contains(sd, "there") {
		t.Errorf("half of the file was taken: %s", sd)
	}
}
