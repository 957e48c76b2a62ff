package firmware

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
)

const pinsName = "pins.json"

// pins are the digests of all images ever fetched. They outlive the images: a second fetch
// must match.
type pins struct {
	Version int   `json:"version"`
	Images  []pin `json:"images"`
}

type pin struct {
	Version string    `json:"version"`
	HWVer   string    `json:"hwver,omitempty"`
	SHA256  string    `json:"sha256"`
	Size    int64     `json:"size"`
	URL     string    `json:"url"`
	Fetched time.Time `json:"fetched"`
}

func (p *pin) image() Image {
	return Image{Version: p.Version, HWVer: p.HWVer, SHA256: p.SHA256, Size: p.Size, Origin: p.URL, file: p.SHA256 + suffix, own: true}
}

func (p *pins) of(version, hwver string) *pin {
	for i := range p.Images {
		if x := &p.Images[i]; x.Version == version && x.HWVer == hwver {
			return x
		}
	}
	return nil
}

func (l *Library) path(i Image) string { return filepath.Join(l.config.Kept, i.file) }

// pins reads the pins. An unreadable file is an error, not an empty list: without pins any
// image would be accepted.
func (l *Library) pins() (*pins, error) {
	path := filepath.Join(l.config.Kept, pinsName)
	data, err := os.ReadFile(path) //nolint:gosec // it is the operator's own directory
	if errors.Is(err, fs.ErrNotExist) {
		return &pins{Version: 1}, nil
	} else if err != nil {
		return nil, fmt.Errorf("the digests of fetched firmware: %w", err)
	}
	return parsePins(path, data)
}

func parsePins(path string, data []byte) (*pins, error) {
	var p pins
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, fmt.Errorf("the digests of fetched firmware in %s: %w", path, err)
	}
	if p.Version != 1 {
		return nil, fmt.Errorf("the digests of fetched firmware in %s: version %d, expected 1", path, p.Version)
	}
	for i := range p.Images {
		x := &p.Images[i]
		if _, err := parseEntry(x.SHA256, x.Version+suffix); err != nil || x.SHA256 != strings.ToLower(x.SHA256) {
			return nil, fmt.Errorf("the digests of fetched firmware in %s: image %d makes no sense", path, i+1)
		}
	}
	return &p, nil
}

func (l *Library) keepPins(p *pins) error {
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(l.config.Kept, pinsName), append(data, '\n'), 0o600)
}
