package cmd

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
)

func TestCheckConfig(t *testing.T) {
	dir := t.TempDir()
	for _, x := range []struct {
		name, text  string
		args        []string
		status      int
		out, errors string // wanted
	}{
		{name: "good", text: "networks: [{cidr: 127.70.0.0/24}]\n", out: "good.yml: OK\n"},
		{name: "dangerous", text: "networks: [{cidr: 127.70.0.0/24}]\nscrape: {dragon_timeout: 3m}\n", out: ": OK\n",
			errors: "dangerous.yml: warning: scrape.dragon_timeout"},
		{name: "nobody", text: "scrape: {workers: 3}\n", out: ": OK\n", errors: "warning: neither a network"},
		{name: "with-flags", text: "scrape: {workers: 3}\n", args: []string{"--dragon=127.70.0.1"}, out: ": OK\n"},
		{name: "with-the-instances-flags", text: "scrape: {workers: 3}\n",
			args: []string{"--network=127.70.0.0/24", "--web.listen-address=:9000", "--web.config.file=web.yml", "--web.enable-admin-api",
				"--log.level=debug"}, out: ": OK\n"},
		{name: "bad", text: "network: []\nscrape: {workers: many}\n", status: 1, errors: "bad.yml:1: unknown key \"network\"; did you mean networks?\n"},
		{name: "beside", text: "scrape: {workers: 3}\n", args: []string{"--dragon=127.70.0.1", "--print-config", "--dragon-autotune-mode=balanced",
			"--no-collector.pools", "--simulation.speed=2"}, out: "# Flags without a key: --dragon-autotune-mode=balanced\n# Flags without a key: " +
			"--simulation.speed=2\n"},
		{name: "printed", text: "credentials: [{username: admin, password: hunter2}]\n", args: []string{"--network=127.70.0.0/24", "--print-config"},
			out: "password: <secret>\n"},
	} {
		file := filepath.Join(dir, x.name+".yml")
		if err := os.WriteFile(file, []byte(x.text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		err := run(t.Context(), append([]string{"check-config", file}, x.args...), &out, &errs, nil)
		status := 0
		if e, ok := errors.AsType[cli.Exit](err); ok {
			status = int(e)
		} else if err != nil {
			t.Errorf("%s: %v", x.name, err)
		}
		if status != x.status || !strings.Contains(out.String(), x.out) || !strings.Contains(errs.String(), x.errors) || x.errors == "" && errs.Len() > 0 {
			t.Errorf("%s: status %d\n%s\n%s", x.name, status, out.String(), errs.String())
		}
		if x.name == "bad" && strings.Count(errs.String(), "\n") != 2 {
			t.Errorf("not every error is there:\n%s", errs.String())
		}
	}
}

func TestPrintConfigIsTakenAgain(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--network=127.70.0.0/24", "--statsd-host=127.0.0.1", "--print-config"}, &out, &out, nil); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "printed.yml")
	if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	if err := run(t.Context(), []string{"--config.file=" + file, "--print-config"}, &again, &again, nil); err != nil || again.String() != out.String() {
		t.Errorf("%v\n%s\nbecame\n%s", err, out.String(), again.String())
	}
}
