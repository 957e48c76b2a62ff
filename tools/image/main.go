// Command image writes the OCI image of the program for several architectures, as an OCI
// image layout, without a container engine:
//
//	image -version V -revision R -time T -layout DIR linux/amd64=FROM linux/arm/v7=FROM …
//
// Each FROM holds the binary and its SBOM. The image is that of packaging/Dockerfile. The
// same files give the same bytes.
package main

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

const (
	name       = "mother-of-dragons"
	repository = "https://github.com/brndnmtthws/mother-of-dragons"
	user       = 65534 // nobody
	sbom       = name + ".cdx.json"
	sbomDir    = "usr/share/doc/" + name + "/" // as in the packages
)

func main() {
	var r release
	flag.StringVar(&r.version, "version", "", "version of the program")
	flag.StringVar(&r.revision, "revision", "", "commit that it is built from")
	flag.Func("time", "time of the release, in seconds since 1970", func(s string) error {
		seconds, err := strconv.ParseInt(s, 10, 64)
		r.made = time.Unix(seconds, 0).UTC()
		return err
	})
	dir := flag.String("layout", "", "directory to write")
	flag.Parse()
	index, err := r.index(flag.Args())
	if err == nil {
		err = r.write(*dir, index)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
	digest, _ := index.Digest() // written already
	fmt.Println(digest)
}

// A release is what all its images have in common.
type release struct {
	version, revision string
	made              time.Time
}

// labels are those of the OCI image specification; the index has them as annotations.
func (r release) labels() map[string]string {
	const in = "org.opencontainers.image."
	return map[string]string{
		in + "title":         name,
		in + "description":   "Exporter and healer for DragonMint and Innosilicon miners",
		in + "version":       r.version,
		in + "revision":      r.revision,
		in + "created":       r.made.Format(time.RFC3339),
		in + "source":        repository,
		in + "url":           repository,
		in + "documentation": repository + "/tree/main/docs",
		in + "licenses":      "Apache-2.0",
	}
}

// index makes the image of each platform, which is given as os/arch/variant=directory.
func (r release) index(platforms []string) (v1.ImageIndex, error) {
	base, err := r.layer(
		entry{name: "data/", mode: 0o700, owner: user},
		entry{name: "etc/"}, entry{name: "etc/ssl/"}, entry{name: "etc/ssl/certs/"},
		entry{name: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, data: roots()},
	)
	if err != nil {
		return nil, err
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range platforms {
		spec, from, _ := strings.Cut(p, "=")
		platform, err := v1.ParsePlatform(spec)
		if err != nil {
			return nil, err
		}
		image, err := r.image(platform, base, from)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: platform}})
	}
	return mutate.Annotations(index, r.labels()).(v1.ImageIndex), nil
}

func (r release) image(platform *v1.Platform, base v1.Layer, from string) (v1.Image, error) {
	binary, err := os.ReadFile(filepath.Join(from, name)) //nolint:gosec // scripts/release names the directory
	if err != nil {
		return nil, err
	}
	components, err := os.ReadFile(filepath.Join(from, sbom)) //nolint:gosec // as above
	if err != nil {
		return nil, err
	}
	program, err := r.layer(
		entry{name: name, mode: 0o755, data: binary},
		entry{name: "usr/"}, entry{name: "usr/share/"}, entry{name: "usr/share/doc/"}, entry{name: sbomDir},
		entry{name: sbomDir + sbom, mode: 0o644, data: components},
	)
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.ConfigFile(image, &v1.ConfigFile{
		Architecture: platform.Architecture, OS: platform.OS, Variant: platform.Variant,
		Created: v1.Time{Time: r.made},
		RootFS:  v1.RootFS{Type: "layers"},
		Config: v1.Config{
			User:         fmt.Sprintf("%d:%[1]d", user),
			ExposedPorts: map[string]struct{}{"9977": {}},
			Volumes:      map[string]struct{}{"/data": {}},
			Env:          []string{"MOTHER_OF_DRAGONS_DATA_DIR=/data", "MOTHER_OF_DRAGONS_INVENTORY_FILE=/data/dragon-inventory.json"},
			Entrypoint:   []string{"/" + name},
			Labels:       r.labels(),
		},
	})
	if err != nil {
		return nil, err
	}
	history := func(what string) v1.History {
		return v1.History{Created: v1.Time{Time: r.made}, CreatedBy: what}
	}
	return mutate.Append(image, mutate.Addendum{Layer: base, History: history("CA certificates, /data")},
		mutate.Addendum{Layer: program, History: history("the program and its SBOM")})
}

// write makes the layout. The annotations name the image where it is loaded.
func (r release) write(dir string, index v1.ImageIndex) error {
	to, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	return to.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": r.version,
		"io.containerd.image.name":          "ghcr.io/brndnmtthws/" + name + ":" + r.version,
	}))
}

// An entry is a file or, with a slash at the end of its name, a directory.
type entry struct {
	name  string
	mode  int64 // of a directory 0755 if it is 0
	owner int
	data  []byte
}

func (r release) layer(entries ...entry) (v1.Layer, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: tar.TypeReg, Mode: e.mode, Uid: e.owner, Gid: e.owner, Size: int64(len(e.data)), ModTime: r.made}
		if strings.HasSuffix(e.name, "/") {
			h.Typeflag = tar.TypeDir
			if h.Mode == 0 {
				h.Mode = 0o755
			}
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
}

// roots are the certificates of Mozilla's root program, but for those that it trusts only in part.
func roots() []byte {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})
		}
	}
	return b.Bytes()
}
