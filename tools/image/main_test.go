package main

import (
	"archive/tar"
	"crypto/x509"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

var platforms = []string{"linux/amd64", "linux/arm64", "linux/arm/v7", "linux/arm/v6"}

// made writes a release of files that name their platform, and returns its layout.
func made(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	var args []string
	for _, p := range platforms {
		from := filepath.Join(dir, p)
		if err := os.MkdirAll(from, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{name, sbom} {
			if err := os.WriteFile(filepath.Join(from, file), []byte(file+" of "+p), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		args = append(args, p+"="+from)
	}
	r := release{version: "1.2.3", revision: "abc", made: time.Unix(1e9, 0).UTC()}
	index, err := r.index(args)
	if err == nil {
		err = r.write(filepath.Join(dir, "layout"), index)
	}
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "layout")
}

func readIndex(t *testing.T, dir string) v1.ImageIndex {
	t.Helper()
	outer, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	m, err := outer.IndexManifest()
	if err != nil || len(m.Manifests) != 1 || m.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != "1.2.3" {
		t.Fatalf("%+v, %v", m, err)
	}
	index, err := outer.ImageIndex(m.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

// contents are the files of an image by name, and directories with their owner and mode.
func contents(t *testing.T, image v1.Image) map[string]*tar.Header {
	t.Helper()
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*tar.Header{}
	for _, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for in := tar.NewReader(r); ; {
			h, err := in.Next()
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(in)
			if err != nil {
				t.Fatal(err)
			}
			h.PAXRecords = map[string]string{"data": string(data)}
			all[h.Name] = h
		}
	}
	return all
}

func TestImageHasItsProgramAndSBOMForEveryPlatform(t *testing.T) {
	index := readIndex(t, made(t))
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range m.Manifests {
		p := d.Platform.String()
		got = append(got, p)
		image, err := index.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		files := contents(t, image)
		if f := files[name]; f == nil || f.Mode != 0o755 || f.Uid != 0 || f.PAXRecords["data"] != name+" of "+p {
			t.Errorf("%s: the program is %+v", p, f)
		}
		if f := files[sbomDir+sbom]; f == nil || f.Mode != 0o644 || f.PAXRecords["data"] != sbom+" of "+p {
			t.Errorf("%s: the SBOM is %+v", p, f)
		}
		if d := files["data/"]; d == nil || d.Uid != user || d.Gid != user || d.Mode != 0o700 {
			t.Errorf("%s: the data directory is %+v", p, d)
		}
		if f := files["etc/ssl/certs/ca-certificates.crt"]; f == nil || !x509.NewCertPool().AppendCertsFromPEM([]byte(f.PAXRecords["data"])) {
			t.Errorf("%s: no certificate can be read", p)
		}
	}
	if !slices.Equal(got, platforms) {
		t.Errorf("%q", got)
	}
}

// The two ways to build the image give the same one.
func TestImageIsThatOfTheDockerfile(t *testing.T) {
	text, err := os.ReadFile("../../packaging/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	_, last, _ := strings.Cut(string(text), "\nFROM scratch\n")
	said := map[string]string{}
	for line := range strings.Lines(last) {
		if instruction, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && instruction != "COPY" && instruction != "#" {
			said[instruction] = value
		}
	}
	index := readIndex(t, made(t))
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range m.Manifests {
		image, err := index.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		file, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		c := file.Config
		keys := func(m map[string]struct{}) string {
			for k := range m {
				return k
			}
			return ""
		}
		is := map[string]string{
			"USER": c.User, "VOLUME": keys(c.Volumes), "EXPOSE": keys(c.ExposedPorts), "ENV": strings.Join(c.Env, " "),
			"ENTRYPOINT": `["` + strings.Join(c.Entrypoint, `", "`) + `"]`,
		}
		if diff := cmp.Diff(said, is); diff != "" {
			t.Errorf("%s: %s", d.Platform, diff)
		}
		if file.Platform().String() != d.Platform.String() || c.Labels["org.opencontainers.image.version"] != "1.2.3" {
			t.Errorf("%s: %s, labels %v", d.Platform, file.Platform(), c.Labels)
		}
	}
}

func TestImageIsTheSameBytesTwice(t *testing.T) {
	read := func() map[string]string {
		dir := made(t)
		files := map[string]string{}
		if err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			files[strings.TrimPrefix(path, dir)] = string(data)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return files
	}
	if first, second := read(), read(); len(first) < 10 || !cmp.Equal(first, second) {
		t.Error("two layouts of the same files differ")
	}
}

func TestAPlatformWithoutAProgramIsAnError(t *testing.T) {
	if _, err := (release{}).index([]string{"linux/amd64=" + t.TempDir()}); err == nil || !strings.Contains(err.Error(), "linux/amd64") {
		t.Errorf("%v", err)
	}
}
