package firmware

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// manifestName is the file that pins the images of a directory, as sha256sum writes it:
//
//	cd firmwares && sha256sum *.swu */*.swu > SHA256SUMS
const manifestName = "SHA256SUMS"

const (
	suffix       = ".swu"
	maxManifest  = 1 << 20
	maxManifests = 1000 // entries
)

type entry struct {
	file, version, hwver, digest string
}

// parseManifest reads the output of sha256sum. It skips other files. Each invalid line is
// an error; the other lines still count.
func parseManifest(data []byte) ([]entry, []error) {
	var entries []entry
	var wrong []error
	seen := make(map[string]bool)
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSuffix(lines.Text(), "\r")
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		digest, file, found := strings.Cut(line, " ")
		file = strings.TrimPrefix(strings.TrimPrefix(file, " "), "*") // two spaces, or a star for a binary file
		if found && !strings.HasSuffix(file, suffix) {
			continue
		}
		e, err := parseEntry(digest, path.Clean(file))
		switch {
		case !found:
			err = errors.New("expected a digest, two spaces and a file, as sha256sum writes it")
		case err == nil && seen[e.file]:
			err = fmt.Errorf("%s is there twice", e.file)
		case err == nil && len(entries) == maxManifests:
			return entries, append(wrong, fmt.Errorf("%s:%d: more than %d images", manifestName, n, maxManifests))
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s:%d: %w", manifestName, n, err))
			continue
		}
		seen[e.file] = true
		entries = append(entries, e)
	}
	if err := lines.Err(); err != nil {
		wrong = append(wrong, fmt.Errorf("%s: %w", manifestName, err))
	}
	return entries, wrong
}

func parseEntry(digest, file string) (entry, error) {
	e := entry{file: file, digest: strings.ToLower(digest)}
	if len(digest) != 64 || strings.Trim(e.digest, "0123456789abcdef") != "" {
		return e, fmt.Errorf("%.70q is not a SHA-256 digest", digest)
	}
	dir, base := path.Split(file)
	e.hwver = strings.TrimSuffix(dir, "/")
	if len(e.hwver) > 16 || strings.ContainsAny(e.hwver, "./\\") {
		return e, fmt.Errorf("%.100q: expected VERSION%s, or HARDWARE/VERSION%s, such as g19/t1_20180515_060842%s", file, suffix, suffix, suffix)
	}
	e.version = strings.TrimSuffix(base, suffix)
	_, err := dragon.ParseFirmware(e.version)
	return e, err
}

// readDirectory returns the images in an operator's directory that its manifest pins. A
// missing directory has none.
func readDirectory(dir string) (images []Image, wrong []error) {
	if dir == "" {
		return nil, nil
	}
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, []error{fmt.Errorf("firmware directory: %w", err)}
	}
	defer func() { _ = root.Close() }()
	data, err := readManifest(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, unpinned(root, dir, nil)
	} else if err != nil {
		return nil, []error{fmt.Errorf("firmware directory %s: %w", dir, err)}
	}
	entries, wrong := parseManifest(data)
	pinned := make(map[string]bool, len(entries))
	for _, e := range entries {
		pinned[e.file] = true
		info, err := root.Stat(e.file)
		switch {
		case err == nil && !info.Mode().IsRegular():
			err = fmt.Errorf("%s is not a file", e.file)
		case err == nil && info.Size() > dragon.MaxImage:
			err = fmt.Errorf("%s has %d bytes; a dragon takes %d at most", e.file, info.Size(), int64(dragon.MaxImage))
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("firmware directory %s: %w", dir, err))
			continue
		}
		images = append(images, Image{Version: e.version, HWVer: e.hwver, SHA256: e.digest, Size: info.Size(), Origin: path.Join(dir, e.file), file: e.file})
	}
	return images, append(wrong, unpinned(root, dir, pinned)...)
}

func readManifest(root *os.Root) ([]byte, error) {
	f, err := root.Open(manifestName)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err == nil && len(data) > maxManifest {
		err = fmt.Errorf("%s is larger than %d bytes", manifestName, maxManifest)
	}
	return data, err
}

// unpinned names the images without a digest in the manifest, which are not used.
func unpinned(root *os.Root, dir string, pinned map[string]bool) []error {
	var wrong []error
	for _, pattern := range []string{"*" + suffix, "*/*" + suffix} {
		files, _ := fs.Glob(root.FS(), pattern)
		for _, file := range files {
			if !pinned[file] {
				wrong = append(wrong, fmt.Errorf("firmware directory %s: %s is not used: %s does not pin it; write it with sha256sum *%s > %s",
					dir, file, manifestName, suffix, manifestName))
			}
		}
	}
	return wrong
}
