// Command sbom writes what a binary of the program is made of, in CycloneDX's JSON: its
// modules with versions, checksums and licenses, and Go's own library. The same binary gives
// the same bytes.
//
//	sbom VERSION TIME BINARY >FILE
//
// TIME is in seconds since 1970. The sources of the modules must be in Go's module cache,
// because the licenses are found there.
package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/CycloneDX/cyclonedx-gomod/pkg/generate/bin"
	"github.com/CycloneDX/cyclonedx-gomod/pkg/licensedetect/local"
	"github.com/google/uuid"
	"github.com/rs/zerolog"
)

func main() {
	if len(os.Args) != 4 {
		fail("usage: sbom VERSION TIME BINARY >FILE")
	}
	seconds, err := strconv.ParseInt(os.Args[2], 10, 64)
	if err != nil {
		fail("the time: ", err)
	}
	if err := write(os.Stdout, os.Args[3], os.Args[1], time.Unix(seconds, 0).UTC()); err != nil {
		fail(os.Args[3], ": ", err)
	}
}

func fail(v ...any) {
	fmt.Fprintln(os.Stderr, fmt.Sprint(v...))
	os.Exit(1)
}

func write(w io.Writer, binary, version string, made time.Time) error {
	// What the logger would say is checked below: a component without a license.
	quiet := zerolog.Nop()
	// The licenses are read from the module cache, whose sums go.sum checked when the program was
	// built: there is no need for a network. Without sums no other toolchain is trusted, and the
	// one at hand can tell where the cache is.
	for name, value := range map[string]string{"GOSUMDB": "off", "GOTOOLCHAIN": "local"} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	generator, err := bin.NewGenerator(binary, bin.WithIncludeStdlib(true), bin.WithLogger(quiet),
		bin.WithLicenseDetector(local.NewDetector(quiet)), bin.WithVersionOverride("v"+version))
	if err != nil {
		return err
	}
	bom, err := generator.Generate()
	if err != nil {
		return err
	}
	data, err := os.ReadFile(binary) //nolint:gosec // scripts/release names it
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	bom.SerialNumber = uuid.NewSHA1(uuid.Nil, sum[:]).URN()
	bom.Metadata.Timestamp = made.Format(time.RFC3339)
	bom.Metadata.Tools = &cdx.ToolsChoice{Components: &[]cdx.Component{{
		Type: cdx.ComponentTypeApplication, Name: "cyclonedx-gomod", Version: moduleVersion("github.com/CycloneDX/cyclonedx-gomod"),
	}}}
	// These two are in no module cache.
	bom.Metadata.Component.Licenses = license("Apache-2.0")
	for i := range *bom.Components {
		c := &(*bom.Components)[i]
		if c.Name == "std" {
			c.Licenses = license("BSD-3-Clause")
		} else if c.Evidence == nil || c.Evidence.Licenses == nil {
			return fmt.Errorf("the license of %s %s is not found", c.Name, c.Version)
		}
	}
	return cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6)
}

func license(id string) *cdx.Licenses {
	return &cdx.Licenses{{License: &cdx.License{ID: id}}}
}

// moduleVersion is that of a module that this command is made of.
func moduleVersion(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == path {
				return m.Version
			}
		}
	}
	return ""
}
