// Package firmware has the firmware images: those of an operator's directory, and those
// fetched from hosts that the operator allows. Each is pinned by its digest, which is
// checked at every use. Names and addresses that a dragon reports are not used otherwise.
package firmware

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// Image is a firmware image on this host.
type Image struct {
	Version string `json:"version"`
	HWVer   string `json:"hwver,omitempty"` // the boards it is for, such as g19; empty: those that its version's form says
	SHA256  string `json:"sha256"`
	Size    int64  `json:"size"`
	Origin  string `json:"origin"` // its file in the operator's directory, or where it was fetched from

	file string // below the root that it is kept in
	own  bool   // fetched, not the operator's
}

// Fits returns why the image does not fit a model and hardware version; nil if it fits.
func (i Image) Fits(model, hwver string) error {
	v, err := dragon.ParseFirmware(i.Version)
	if err != nil {
		return err
	}
	if i.HWVer != "" && !strings.EqualFold(i.HWVer, hwver) {
		return fmt.Errorf("it is for hardware %s, not for %s", i.HWVer, hwver)
	}
	return v.Fits(model, hwver)
}

// The errors of a Library.
var (
	// ErrNoImage says that the image does not exist here.
	ErrNoImage = errors.New("no such image")
	// ErrDigest says that a file has another digest than the pinned one.
	ErrDigest = errors.New("it is not the image that was pinned")
	// ErrNotAllowed says that a host is not an allowed source of images.
	ErrNotAllowed = errors.New("not allowed")
)

// Config has the sources of a Library.
type Config struct {
	Dir     string // the operator's; empty: none. It need not be there
	Kept    string // where what was fetched is kept, with its pins
	Allowed []Host // from where images may be fetched; empty: nowhere

	Logger     log.Logger            // default none
	Registerer prometheus.Registerer // default none
}

// Library is the set of available images. Its methods may be called from any goroutine.
type Library struct {
	config  Config
	sources atomic.Pointer[sources]
	fetches fetches
}

// sources are what may change while the program runs.
type sources struct {
	dir     string
	allowed []Host
}

// New returns a library. It reads nothing yet.
func New(c Config) *Library {
	c.Logger = cmp.Or[log.Logger](c.Logger, log.NewNopLogger())
	l := &Library{config: c}
	l.Change(c.Dir, c.Allowed)
	l.fetches.init(c.Registerer)
	l.fetches.dial = l.dialer
	return l
}

// Change sets other sources: see Config. Fetched images stay.
func (l *Library) Change(dir string, allowed []Host) { l.sources.Store(&sources{dir, allowed}) }

// Images returns the available images, newest first by build date, and errors for those
// that cannot be used.
func (l *Library) Images() ([]Image, []error) {
	images, wrong := readDirectory(l.sources.Load().dir)
	p, err := l.pins()
	if err != nil {
		return images, append(wrong, err)
	}
	for _, pin := range p.Images {
		if _, err := os.Stat(l.path(pin.image())); err == nil {
			images = append(images, pin.image())
		}
	}
	for _, i := range images {
		if pin := p.of(i.Version, i.HWVer); pin != nil && pin.SHA256 != i.SHA256 {
			wrong = append(wrong, fmt.Errorf("%s of %s: %w at %s, which has another digest", i.Version, i.Origin, ErrDigest, pin.Fetched.Format(time.DateTime)))
			images = slices.DeleteFunc(images, func(x Image) bool { return x == i })
		}
	}
	slices.SortStableFunc(images, func(a, b Image) int {
		av, _ := dragon.ParseFirmware(a.Version)
		bv, _ := dragon.ParseFirmware(b.Version)
		return cmp.Or(cmp.Compare(av.Model, bv.Model), bv.Built.Compare(av.Built), cmp.Compare(a.HWVer, b.HWVer))
	})
	return images, wrong
}

// Find returns the image of a version for a model and hardware version. Two images of one
// version that differ are an error.
func (l *Library) Find(version, model, hwver string) (Image, error) {
	var found *Image
	images, wrong := l.Images()
	for _, i := range images {
		switch {
		case i.Version != version || i.Fits(model, hwver) != nil:
		case found != nil && found.SHA256 != i.SHA256:
			return Image{}, fmt.Errorf("firmware %s: %s and %s differ", version, found.Origin, i.Origin)
		case found == nil:
			found = &i
		}
	}
	if found == nil {
		return Image{}, fmt.Errorf("firmware %s for a %s on %s: %w", version, model, cmp.Or(hwver, "any hardware"), noImage(wrong))
	}
	return *found, nil
}

// Latest returns the newest available image for a model and hardware version.
func (l *Library) Latest(model, hwver string) (Image, error) {
	images, wrong := l.Images()
	for _, i := range images { // newest first
		if i.Fits(model, hwver) == nil {
			return l.Find(i.Version, model, hwver)
		}
	}
	return Image{}, fmt.Errorf("firmware for a %s on %s: %w", model, cmp.Or(hwver, "any hardware"), noImage(wrong))
}

// noImage is ErrNoImage on one line with what is wrong with the images that there are.
func noImage(wrong []error) error {
	err := ErrNoImage
	for _, w := range wrong {
		err = fmt.Errorf("%w; %w", err, w)
	}
	return err
}

// Open opens the image with a digest, after checking the digest of the whole file.
func (l *Library) Open(ctx context.Context, digest string) (*os.File, int64, error) {
	images, wrong := l.Images()
	i := slices.IndexFunc(images, func(i Image) bool { return i.SHA256 == digest })
	if i < 0 {
		return nil, 0, fmt.Errorf("firmware with digest %.12s: %w", digest, noImage(wrong))
	}
	image := images[i]
	f, err := l.open(image)
	if err != nil {
		return nil, 0, fmt.Errorf("firmware %s: %w", image.Version, err)
	}
	got, size, err := digestOf(ctx, f)
	if err == nil && got != digest {
		err = fmt.Errorf("%s: %w: its digest is %.12s, expected %.12s", image.Origin, ErrDigest, got, digest)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("firmware %s: %w", image.Version, err)
	}
	return f, size, nil
}

func (l *Library) open(i Image) (*os.File, error) {
	dir := l.sources.Load().dir
	if i.own {
		dir = l.config.Kept
	}
	root, err := os.OpenRoot(dir) // a link in it must not lead out of it
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	return root.Open(i.file)
}

// archive is the beginning of a .swu, which is a CPIO archive.
const archive = "07070"

// digestOf computes the digest of a file, which must be an image of a valid size.
func digestOf(ctx context.Context, f io.Reader) (digest string, size int64, err error) {
	h := sha256.New()
	head := make([]byte, len(archive))
	if _, err := io.ReadFull(f, head); err != nil || string(head) != archive {
		return "", 0, fmt.Errorf("not a firmware image: it begins with %q, expected a CPIO archive (%s…)", head, archive)
	}
	h.Write(head)
	size, err = io.Copy(h, io.LimitReader(untilDone{ctx, f}, dragon.MaxImage+1))
	size += int64(len(head))
	if err == nil && size > dragon.MaxImage {
		err = fmt.Errorf("it is larger than %d bytes, which no dragon takes", int64(dragon.MaxImage))
	}
	return hex.EncodeToString(h.Sum(nil)), size, err
}

// untilDone is a reader that ends with its context.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}
