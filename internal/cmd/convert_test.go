package cmd

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConvertConfig(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "config.toml"), filepath.Join(dir, "mother.yml")
	text := "[main.local_network]\nnetwork = '127.70.0.0/24'\n[[main.credentials]]\nusername = 'admin'\npassword = 'hunter2'\n[main]\nblue = 1\n"
	text = strings.Replace(text, "[main]\n", "[other]\n", 1)
	if err := os.WriteFile(from, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var shown, said bytes.Buffer
	if err := run(t.Context(), []string{"convert-config", from}, &shown, &said, nil); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(shown.String(), "hunter2") || !strings.Contains(shown.String(), "cidr: 127.70.0.0/24") ||
		said.String() != from+": other.blue: left out, it is not known here\n" {
		t.Errorf("%s\n%s", shown.String(), said.String())
	}
	if err := run(t.Context(), []string{"convert-config", from, "--output=" + to}, &shown, &said, nil); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(to); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	var checked bytes.Buffer
	if err := run(t.Context(), []string{"check-config", to}, &checked, &checked, nil); err != nil {
		t.Errorf("%v\n%s", err, checked.String())
	}
	if err := run(t.Context(), []string{"convert-config", from, "--output=" + to}, &shown, &said, nil); !os.IsExist(err) {
		t.Errorf("a file was written over: %v", err)
	}
}
