package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWhatDoesNotFitIntoTheWordsOfAnArchitectureIsFound(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example.com/wide\n\ngo 1.26\n",
		"a.go":   "package wide\n\nimport \"fmt\"\n\nvar Wide int = 1 << 40\n\nvar _ = fmt.Sprint(Wide)\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for arch, fits := range map[string]bool{"amd64": true, "arm": false} {
		t.Setenv("GOARCH", arch)
		if err := run(dir); (err == nil) != fits {
			t.Errorf("%s: %v", arch, err)
		}
	}
}
