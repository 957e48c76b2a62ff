package main

import (
	"bytes"
	"debug/buildinfo"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// build makes the program, and returns its path.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "mother-of-dragons")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", binary, ".")
	cmd.Dir = "../.."
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

func TestSBOMHasEveryModuleOfTheProgramAndGo(t *testing.T) {
	t.Setenv("GOPROXY", "off")
	binary := build(t)
	made := time.Unix(1e9, 0).UTC()
	var first, second bytes.Buffer
	for _, w := range []*bytes.Buffer{&first, &second} {
		if err := write(w, binary, "1.2.3", made); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the same binary has two SBOMs")
	}
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(&first, cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	if c := bom.Metadata.Component; c.Version != "v1.2.3" || bom.Metadata.Timestamp != "2001-09-09T01:46:40Z" || bom.SerialNumber == "" {
		t.Errorf("%s %s %s", c.Version, bom.Metadata.Timestamp, bom.SerialNumber)
	}
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"std": info.GoVersion}
	for _, m := range info.Deps {
		want[m.Path] = m.Version
	}
	got := map[string]string{}
	for _, c := range *bom.Components {
		got[c.Name] = c.Version
		if c.PackageURL == "" {
			t.Errorf("%s has no package URL", c.Name)
		}
	}
	for path, version := range want {
		if !strings.HasSuffix(got[path], strings.TrimPrefix(version, "v")) {
			t.Errorf("%s: %q, want %s", path, got[path], version)
		}
	}
	if len(got) != len(want) || len(got) < 20 {
		t.Errorf("%d components, want %d", len(got), len(want))
	}
	t.Run("without the sources there are no licenses", func(t *testing.T) {
		t.Setenv("GOMODCACHE", t.TempDir())
		if err := write(&bytes.Buffer{}, binary, "1.2.3", time.Unix(0, 0)); err == nil || !strings.Contains(err.Error(), "license") {
			t.Errorf("%v", err)
		}
	})
}
