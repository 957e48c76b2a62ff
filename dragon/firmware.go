package dragon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// LatestFirmware is the vendor's offer to the dragon.
type LatestFirmware struct {
	Version            string // version, e.g. t1_20180515_060842
	VersionDate        string // versionDate as reported
	URL                string // url of the image
	Info               string // info, e.g. important
	CurrentVersion     string
	CurrentVersionDate string
	// UpToDate is isUpdated, 1 or 0: the device compares dates. Another version than
	// the current one may be an older one.
	UpToDate Number
}

var latestFirmwareFields = table(
	text("version", func(f *LatestFirmware) *string { return &f.Version }).always(),
	text("versionDate", func(f *LatestFirmware) *string { return &f.VersionDate }),
	text("url", func(f *LatestFirmware) *string { return &f.URL }),
	text("info", func(f *LatestFirmware) *string { return &f.Info }),
	text("currentVersion", func(f *LatestFirmware) *string { return &f.CurrentVersion }),
	text("currentVersionDate", func(f *LatestFirmware) *string { return &f.CurrentVersionDate }),
	flag("isUpdated", func(f *LatestFirmware) *Number { return &f.UpToDate }),
)

var latestFirmware = endpoint{
	name: "getLatestFirmwareVersion", path: "/api/getLatestFirmwareVersion", method: http.MethodPost,
	timeout: func(o *Options) time.Duration { return o.FirmwareTimeout },
}

// LatestFirmware reads /api/getLatestFirmwareVersion. The dragon itself asks its
// vendor, without a limit of time: up to two minutes, and ErrRejected when the vendor
// does not answer it.
func (c *Client) LatestFirmware(ctx context.Context) (*LatestFirmware, error) {
	f, _, err := call(ctx, c, latestFirmware, nil, &latestFirmwareFields)
	return f, err
}

// MaxImage is the largest firmware image that a dragon takes in bytes (vendor nginx.conf).
const MaxImage = 100 << 20

// UpgradeUpload sends a firmware image of size bytes to /upgrade/upload. It streams the
// image. progress, if set, gets the bytes sent so far, from another goroutine but not
// after the return. Success means that the image was received: the dragon then checks and
// flashes it, and reboots, by itself.
func (c *Client) UpgradeUpload(ctx context.Context, name string, image io.Reader, size int64, progress func(sent int64)) error {
	e := endpoint{
		name: "upgrade_upload", path: "/upgrade/upload", method: http.MethodPost, writes: true,
		timeout: func(o *Options) time.Duration { return o.UploadTimeout },
		// 413 for too large an image, 500 while another is being flashed.
		refuses: func(status int) bool { return status == 413 || status == 500 },
	}
	switch {
	case size <= 0 || size > MaxImage:
		return c.refuse(e, "an image of %d bytes; a dragon takes 1 to %d", size, int64(MaxImage))
	case name == "" || !plain(name) || strings.ContainsAny(name, `/\"`):
		return c.refuse(e, "%q is not a plain file name", name)
	}
	ctx, cancel := context.WithTimeout(ctx, e.timeout(&c.opts))
	defer cancel()
	if err := c.take(ctx, e); err != nil {
		return err
	}
	defer c.give()
	// The image can be read only once: a request first makes sure of the token.
	if _, err := c.authorized(ctx, read("type"), nil, func(a *answer) error {
		r, err := readAnswer(a.Raw, &typeFields, new(typeAnswer))
		return judge(read("type"), r, nil, err)
	}); err != nil {
		return err
	}
	upload, err := newUpload(name, image, size, progress)
	if err != nil {
		return c.refuse(e, "%w", err)
	}
	req := c.request(e, nil, c.session.token)
	req.Header["Content-Type"] = []string{upload.contentType}
	req.Body, req.ContentLength = upload, upload.length
	_, err = c.exchangeRequest(ctx, e, req, func() []string { return c.secretsOf(nil, c.session.token) }, func(a *answer) error {
		if line := firstLine(a.Raw); !strings.HasPrefix(line, "Ok") {
			return &Error{Kind: ErrBadResponse, Expected: "Ok"}
		}
		return nil
	})
	if cause := upload.finish(ctx); cause != nil && err != nil {
		return c.refuse(e, "%w", cause)
	}
	return err
}

// upload is the body of a firmware upload: the image with a multipart form around it.
type upload struct {
	contentType string
	length      int64
	body        io.Reader
	size        int64
	closed      chan struct{}
	close       func()

	mu       sync.Mutex
	sent     int64
	failed   error
	over     bool
	progress func(int64)
}

func newUpload(name string, image io.Reader, size int64, progress func(int64)) (*upload, error) {
	var frame bytes.Buffer
	form := multipart.NewWriter(&frame)
	if _, err := form.CreateFormFile("upfile", name); err != nil {
		return nil, err
	}
	head := frame.Len()
	if err := form.Close(); err != nil {
		return nil, err
	}
	u := &upload{
		contentType: form.FormDataContentType(),
		length:      int64(frame.Len()) + size,
		size:        size,
		closed:      make(chan struct{}),
		progress:    progress,
	}
	u.close = sync.OnceFunc(func() { close(u.closed) })
	u.body = io.MultiReader(bytes.NewReader(frame.Bytes()[:head]), &imageReader{u, image}, bytes.NewReader(frame.Bytes()[head:]))
	return u, nil
}

func (u *upload) Read(p []byte) (int, error) { return u.body.Read(p) }

func (u *upload) Close() error {
	u.close()
	return nil
}

// finish waits until the transport no longer reads the image, and returns a read error.
// The transport may still read it when the answer has come.
func (u *upload) finish(ctx context.Context) error {
	select {
	case <-u.closed:
	case <-ctx.Done():
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.over = true
	return u.failed
}

type imageReader struct {
	u     *upload
	image io.Reader
}

var errUploadOver = errors.New("upload is over")

func (i *imageReader) Read(p []byte) (int, error) {
	u := i.u
	u.mu.Lock()
	over, left := u.over, u.size-u.sent
	u.mu.Unlock()
	if over {
		return 0, errUploadOver
	}
	if left == 0 {
		return 0, io.EOF
	}
	n, err := i.image.Read(p[:min(int64(len(p)), left)])
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sent += int64(n)
	if n > 0 && u.progress != nil && !u.over {
		u.progress(u.sent)
	}
	switch {
	case u.sent == u.size:
		return n, nil
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
		u.failed = fmt.Errorf("the image has %d bytes, not %d", u.sent, u.size)
	case err != nil:
		u.failed = fmt.Errorf("reading the image: %w", err)
	}
	return n, err
}

// UpgradeDownload makes the dragon fetch an image itself, by /upgrade/download. It is
// unreliable, according to the Python tool; use UpgradeUpload.
func (c *Client) UpgradeDownload(ctx context.Context, image string) error {
	e := endpoint{name: "upgrade_download", path: "/upgrade/download", method: http.MethodPost, writes: true, timeout: restarting}
	u, err := url.Parse(image)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return c.refuse(e, "%q is not an http or https URL", hideLogin(image))
	}
	ctx, cancel := context.WithTimeout(ctx, e.timeout(&c.opts))
	defer cancel()
	if err := c.take(ctx, e); err != nil {
		return err
	}
	defer c.give()
	_, err = c.authorized(ctx, e, url.Values{"url": {image}}, func(a *answer) error {
		// Its answer is text and not described anywhere; a refusal would be JSON.
		if r, err := readAnswer(a.Raw, &noFields, new(nothing)); err == nil {
			return judge(e, r, nil, nil)
		}
		return nil
	})
	return err
}
