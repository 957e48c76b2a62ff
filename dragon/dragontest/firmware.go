package dragontest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
)

// Outcome is how a dragon is after it was flashed with an image.
type Outcome string

// What an image may do.
const (
	Good          Outcome = "good"
	BricksNow     Outcome = "bricks-now"       // never comes back from the reboot after flashing
	BricksNext    Outcome = "bricks-next-boot" // comes back, and not from the next reboot
	WrongVersion  Outcome = "wrong-version"    // comes back with the version that it had
	LosesBoard    Outcome = "loses-board"      // comes back without its last board
	SlowHash      Outcome = "slow-hash"        // hashes at 0.8 of its rate
	SignatureFail Outcome = "signature-fail"   // is received and not taken
)

// Image is a firmware image that simulated dragons understand. Anything else that
// is uploaded fails its signature check: received, and nothing happens.
type Image struct {
	Version string  // e.g. t1_20181101_120000
	Model   string  // type; empty: the version's part before the first _
	Outcome Outcome // default Good
	Size    int64   // bytes; default what the header needs
}

// imageMagic begins as a CPIO archive does, which an image is.
const imageMagic = "070702 dragontest image"

// Name is the file name of the image.
func (i Image) Name() string { return i.Version + ".swu" }

// Open returns a reader of the file, which is made while it is read.
func (i Image) Open() io.Reader {
	head := fmt.Sprintf("%s\nversion %s\nmodel %s\noutcome %s\n\n", imageMagic, i.Version, i.model(), cmp.Or(string(i.Outcome), string(Good)))
	return io.MultiReader(strings.NewReader(head), io.LimitReader(zeros{}, max(0, i.Size-int64(len(head)))))
}

// Bytes returns the whole file.
func (i Image) Bytes() []byte {
	b, _ := io.ReadAll(i.Open())
	return b
}

func (i Image) model() string {
	if i.Model != "" {
		return i.Model
	}
	before, _, _ := strings.Cut(i.Version, "_")
	return before
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// parseImage reads the beginning of an uploaded file; nil where it is not an image.
func parseImage(head []byte) *Image {
	text, _, found := bytes.Cut(head, []byte("\n\n"))
	lines := strings.Split(string(text), "\n")
	if !found || lines[0] != imageMagic {
		return nil
	}
	var i Image
	for _, line := range lines[1:] {
		key, value, _ := strings.Cut(line, " ")
		switch key {
		case "version":
			i.Version = value
		case "model":
			i.Model = value
		case "outcome":
			i.Outcome = Outcome(value)
		}
	}
	return &i
}

// mayUpgrade answers 401 to all users but admin: outside /api/ the status is honest.
func (d *Dragon) mayUpgrade(w http.ResponseWriter, r *http.Request) bool {
	d.mu.Lock()
	ok := d.caller(r, d.deviceTime(d.advance())) == admin
	d.mu.Unlock()
	if !ok {
		d.errorPage(w, http.StatusUnauthorized)
	}
	return ok
}

// serveUpload receives an image. That it was received is all that the answer says;
// it is flashed afterwards, and then the system reboots.
func (d *Dragon) serveUpload(w http.ResponseWriter, r *http.Request) {
	if !d.mayUpgrade(w, r) {
		return
	}
	d.mu.Lock()
	d.advance()
	busy := !d.state.flashAt.IsZero()
	d.mu.Unlock()
	if busy {
		d.errorPage(w, http.StatusInternalServerError)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, d.spec.MaxUpload)
	name, head, size, err := receiveFile(r)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		d.errorPage(w, http.StatusRequestEntityTooLarge)
		return
	case err != nil:
		d.errorPage(w, http.StatusBadRequest)
		return
	}
	d.received(w, r, "upgrade/upload", parseImage(head), name, size)
}

// receiveFile reads the field upfile to its end and returns its name, its first
// bytes and its size. It keeps no more of it.
func receiveFile(r *http.Request) (name string, head []byte, size int64, err error) {
	parts, err := r.MultipartReader()
	if err != nil {
		return "", nil, 0, err
	}
	for {
		part, err := parts.NextPart()
		if err != nil {
			return "", nil, 0, err
		}
		if part.FormName() != "upfile" {
			continue
		}
		head = make([]byte, 512)
		n, err := io.ReadFull(part, head)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return "", nil, 0, err
		}
		rest, err := io.Copy(io.Discard, part)
		if err != nil {
			return "", nil, 0, err
		}
		if _, err := parts.NextPart(); err != io.EOF {
			return "", nil, 0, errors.Join(errors.New("more than one file, or cut short"), err)
		}
		return part.FileName(), head[:n], int64(n) + rest, nil
	}
}

// serveDownload is asked to fetch an image by itself. The simulation fetches
// nothing and takes the version from the name in the URL.
func (d *Dragon) serveDownload(w http.ResponseWriter, r *http.Request) {
	if !d.mayUpgrade(w, r) {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, d.spec.MaxUpload)
	u, err := url.Parse(formOf(r).Get("url"))
	if err != nil || u.Path == "" {
		d.errorPage(w, http.StatusBadRequest)
		return
	}
	name := path.Base(u.Path)
	d.received(w, r, "upgrade/download", &Image{Version: strings.TrimSuffix(name, ".swu")}, name, 0)
}

// received starts flashing an image, nil for something else, and says so.
func (d *Dragon) received(w http.ResponseWriter, r *http.Request, endpoint string, image *Image, name string, size int64) {
	d.mu.Lock()
	now := d.advance()
	form := url.Values{"file": {name}, "bytes": {strconv.FormatInt(size, 10)}}
	if image != nil {
		form.Set("version", image.Version)
		if image.Outcome == SignatureFail || !strings.EqualFold(image.model(), d.model.Type) {
			image = nil
		}
	}
	d.writes = append(d.writes, Write{At: now, Endpoint: endpoint, Form: form})
	d.state.imageRefused = image == nil
	if image != nil {
		d.state.flashAt, d.state.flashing = now.Add(d.spec.FlashTime), image
	}
	d.mu.Unlock()

	w.Header().Set("Content-Type", "text/plain")
	d.send(w, r, endpoint, fmt.Appendf(nil, "Ok, %s - %d bytes.\r\n", name, size))
}

// flash reboots into the image that was uploaded. What stands in /config survives.
func (d *Dragon) flash(at time.Time) {
	s := &d.state
	image := s.flashing
	s.flashing = nil
	if image.Outcome != WrongVersion {
		s.firmware = image.Version
	}
	s.lostBoard = image.Outcome == LosesBoard
	s.slow = 1
	if image.Outcome == SlowHash {
		s.slow = 0.8
	}
	s.brickNext = false
	s.bricked = image.Outcome == BricksNow
	d.boot(at, CuredByReboot)
	s.brickNext = image.Outcome == BricksNext
}

// SetLatest changes what the vendor's update service says.
func (d *Dragon) SetLatest(r Release) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r.Info = cmp.Or(r.Info, "important")
	d.latest = r
}

// getLatestFirmwareVersion makes the device ask its vendor. Injecting Hang on it is
// a service that takes the question and never answers.
func (d *Dragon) getLatestFirmwareVersion(out *reply, a *request) {
	if d.latest.Fails {
		out.failure("can't fetch firmware versions")
		return
	}
	current := a.state.firmware
	version := cmp.Or(d.latest.Version, current)
	model := strings.ToLower(d.model.Type)
	out.success(
		"version", version, "versionDate", buildDate(version),
		"url", cmp.Or(d.latest.URL, "https://firmware.example.com/files/"+model+"/"+version+".swu"), "info", d.latest.Info,
		"currentVersion", current, "currentVersionDate", buildDate(current), "isUpdated", !buildTime(current).Before(buildTime(version)))
}

// buildTime is the time in a firmware's name; zero where there is none.
func buildTime(firmware string) time.Time {
	parts := strings.Split(firmware, "_")
	if len(parts) < 3 {
		return time.Time{}
	}
	t, err := time.Parse("20060102 150405", strings.Join(parts[len(parts)-2:], " "))
	if err != nil {
		return time.Time{}
	}
	return t
}

// buildDate is that time as PHP's "jS \of F Y h:i A" writes it.
func buildDate(firmware string) string {
	t := buildTime(firmware)
	if t.IsZero() {
		return ""
	}
	suffix := "th"
	if n := t.Day(); n < 11 || n > 13 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return fmt.Sprintf("%d%s of %s", t.Day(), suffix, t.Format("January 2006 03:04 PM"))
}
