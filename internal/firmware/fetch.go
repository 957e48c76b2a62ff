package firmware

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/sync/semaphore"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// Offer is an image that a vendor's service offers, as a dragon reported it.
type Offer struct {
	Version string `json:"version"`
	URL     string `json:"url"`
	Model   string `json:"model"` // of the dragon that asked
	HWVer   string `json:"hwver"`
}

const (
	fetchAttempts = 5
	fetchTime     = 30 * time.Minute // for one image, all attempts together
	fetchStall    = time.Minute      // without a byte
)

// fetches allows one download at a time: the vendors' hosts are slow, and waiters reuse
// the image.
type fetches struct {
	slot  *semaphore.Weighted
	pause func(context.Context, time.Duration) error // between attempts; tests do not wait
	dial  func(ctx context.Context, network, address string) (net.Conn, error)

	total *prometheus.CounterVec
	bytes prometheus.Counter
}

func (f *fetches) init(r prometheus.Registerer) {
	f.slot = semaphore.NewWeighted(1)
	f.pause = wait
	auto := promauto.With(r)
	f.total = auto.NewCounterVec(prometheus.CounterOpts{
		Name: "mother_firmware_fetches_total",
		Help: "Firmware images fetched from allowed hosts, by outcome: ok, refused (the host, the address or the digest is not what it should be), failed.",
	}, []string{"outcome"})
	for _, o := range []string{"ok", "refused", "failed"} {
		f.total.WithLabelValues(o)
	}
	f.bytes = auto.NewCounter(prometheus.CounterOpts{
		Name: "mother_firmware_fetched_bytes_total",
		Help: "Bytes of firmware images received from allowed hosts.",
	})
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Fetch returns the offered image: the local copy, else a download from the offered host
// if it is allowed. The first download pins the digest.
func (l *Library) Fetch(ctx context.Context, o Offer) (Image, error) {
	u, err := l.allowed(o.URL)
	if err == nil {
		var v dragon.FirmwareVersion
		if v, err = dragon.ParseFirmware(o.Version); err == nil {
			err = v.Fits(o.Model, o.HWVer)
		}
	}
	if err == nil && (len(o.HWVer) > 16 || strings.ContainsAny(o.HWVer, "./\\")) {
		err = fmt.Errorf("%.20q is not a hardware version", o.HWVer)
	}
	if err != nil {
		l.fetches.total.WithLabelValues("refused").Inc()
		return Image{}, fmt.Errorf("firmware %.*q: %w", 64, o.Version, err)
	}
	if err := l.fetches.slot.Acquire(ctx, 1); err != nil {
		return Image{}, err
	}
	defer l.fetches.slot.Release(1)
	p, err := l.pins()
	if err != nil {
		return Image{}, err
	}
	known := p.of(o.Version, o.HWVer)
	if known != nil {
		if f, _, err := l.Open(ctx, known.SHA256); err == nil {
			f.Close()
			return known.image(), nil
		}
	}
	if image, err := l.Find(o.Version, o.Model, o.HWVer); err == nil && !image.own {
		return image, nil // the operator has put it there
	}
	i, err := l.fetch(ctx, o, u, p, known)
	switch {
	case err == nil:
		l.fetches.total.WithLabelValues("ok").Inc()
		level.Info(l.config.Logger).Log("msg", "firmware image fetched", "version", i.Version, "bytes", i.Size, "sha256", i.SHA256, "from", i.Origin)
	case errors.Is(err, ErrDigest), errors.Is(err, ErrNotAllowed):
		l.fetches.total.WithLabelValues("refused").Inc()
	default:
		l.fetches.total.WithLabelValues("failed").Inc()
	}
	if err != nil {
		return Image{}, fmt.Errorf("firmware %s from %s: %w", o.Version, u.Host, err)
	}
	return i, nil
}

func (l *Library) fetch(ctx context.Context, o Offer, u *url.URL, p *pins, known *pin) (Image, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	if err := os.MkdirAll(l.config.Kept, 0o700); err != nil {
		return Image{}, err
	}
	root, err := os.OpenRoot(l.config.Kept)
	if err != nil {
		return Image{}, err
	}
	defer func() { _ = root.Close() }()
	d, err := l.begin(root, u)
	if err != nil {
		return Image{}, err
	}
	defer d.end()
	for n := 1; ; n++ {
		err := d.attempt(ctx)
		if err == nil {
			break
		}
		var final *finalError
		if errors.As(err, &final) || n == fetchAttempts || ctx.Err() != nil {
			return Image{}, err
		}
		level.Warn(l.config.Logger).Log("msg", "firmware fetch interrupted, resuming", "attempt", n, "host", u.Host, "err", err)
		if err := l.fetches.pause(ctx, time.Second<<n); err != nil {
			return Image{}, err
		}
	}
	if _, err := d.part.Seek(0, io.SeekStart); err != nil {
		return Image{}, err
	}
	digest, size, err := digestOf(ctx, d.part)
	if err == nil && known != nil && known.SHA256 != digest {
		err = fmt.Errorf("%w on %s: its digest is %.12s, expected %.12s", ErrDigest, known.Fetched.Format(time.DateOnly), digest, known.SHA256)
	}
	if err != nil {
		d.discard()
		return Image{}, err
	}
	image := Image{Version: o.Version, HWVer: o.HWVer, SHA256: digest, Size: size, Origin: u.Redacted(), file: digest + suffix, own: true}
	// The pin is written first: an image without one is never used.
	if known == nil {
		p.Images = append(p.Images, pin{image.Version, image.HWVer, digest, size, image.Origin, time.Now().UTC().Truncate(time.Second)})
		if err := l.keepPins(p); err != nil {
			return Image{}, err
		}
	}
	return image, d.keep(image.file)
}

// finalError is an error that another attempt cannot fix.
type finalError struct{ error }

func (e *finalError) Unwrap() error { return e.error }

func final(format string, args ...any) error { return &finalError{fmt.Errorf(format, args...)} }

// download is a download in progress. Its part file is named after the URL, so another
// process can continue it.
type download struct {
	l         *Library
	url       *url.URL
	client    *http.Client
	root      *os.Root // of what is kept
	name      string   // of the part in it
	part      *os.File
	validator string // by which the host knows that its file is still the same
}

func (l *Library) begin(root *os.Root, u *url.URL) (*download, error) {
	sum := sha256.Sum256([]byte(u.String()))
	d := &download{l: l, url: u, root: root, name: hex.EncodeToString(sum[:8]) + ".part"}
	var err error
	if d.part, err = root.OpenFile(d.name, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(d.part.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		d.part.Close()
		return nil, fmt.Errorf("another process fetches it: %w", err)
	}
	if data, err := root.ReadFile(d.validatorName()); err == nil {
		d.validator = string(data)
	}
	d.client = &http.Client{
		Transport: &http.Transport{
			DialContext:            l.fetches.dial,
			TLSHandshakeTimeout:    15 * time.Second,
			ResponseHeaderTimeout:  30 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true,
			DisableKeepAlives:      true,
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			switch {
			case len(via) > 3:
				return final("it is redirected too often")
			case req.URL.Host != u.Host || req.URL.Scheme != u.Scheme || req.URL.User != nil:
				return final("a redirect to %.100q is %w", req.URL.Host, ErrNotAllowed)
			}
			return nil
		},
	}
	return d, nil
}

func (d *download) validatorName() string { return d.name + ".validator" }

func (d *download) end() {
	d.part.Close()
	d.client.CloseIdleConnections()
}

func (d *download) discard() {
	_ = d.root.Remove(d.name)
	_ = d.root.Remove(d.validatorName())
}

// keep moves the complete image into place.
func (d *download) keep(name string) error {
	if err := d.part.Sync(); err != nil {
		return err
	}
	if err := d.root.Rename(d.name, name); err != nil {
		return err
	}
	d.discard()
	dir, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// attempt receives the missing bytes.
func (d *download) attempt(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	have, err := d.part.Seek(0, io.SeekEnd)
	if err != nil {
		return &finalError{err}
	}
	if have > 0 && (d.validator == "" || have > dragon.MaxImage) {
		have = 0
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url.String(), nil)
	if err != nil {
		return &finalError{err}
	}
	req.Header.Set("User-Agent", "mother-of-dragons")
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		req.Header.Set("If-Range", d.validator)
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var total int64 // -1: not said
	switch {
	case resp.StatusCode == http.StatusOK:
		have, total = 0, resp.ContentLength
	case resp.StatusCode == http.StatusPartialContent && have > 0:
		from, of, ok := contentRange(resp.Header.Get("Content-Range"))
		if !ok || from != have {
			d.validator = "" // from the beginning, then
			return fmt.Errorf("it answered with the range %.50q, expected one from %d", resp.Header.Get("Content-Range"), have)
		}
		total = of
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		d.validator = ""
		return errors.New("it has no more than was received")
	case resp.StatusCode >= 500, resp.StatusCode == http.StatusTooManyRequests:
		return fmt.Errorf("HTTP status %d", resp.StatusCode)
	default:
		return final("HTTP status %d, expected 200", resp.StatusCode)
	}
	if total > dragon.MaxImage {
		return final("%d bytes, and a dragon takes %d at most", total, int64(dragon.MaxImage))
	}
	if have == 0 {
		if err := d.restart(resp.Header); err != nil {
			return &finalError{err}
		}
	}
	if _, err := d.part.Seek(have, io.SeekStart); err != nil {
		return &finalError{err}
	}
	stall := time.AfterFunc(fetchStall, func() { cancel(fmt.Errorf("no byte came for %s", fetchStall)) })
	defer stall.Stop()
	body := &meter{resp.Body, func(n int) { stall.Reset(fetchStall); d.l.fetches.bytes.Add(float64(n)) }}
	n, err := io.Copy(d.part, io.LimitReader(body, dragon.MaxImage-have+1))
	switch got := have + n; {
	case got > dragon.MaxImage:
		d.discard()
		return final("more than %d bytes, which no dragon takes", int64(dragon.MaxImage))
	case err != nil && context.Cause(ctx) != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	case total >= 0 && got != total:
		return fmt.Errorf("%d bytes came of %d", got, total)
	}
	return nil
}

// restart truncates the part and notes the host's validator of the file.
func (d *download) restart(h http.Header) error {
	d.validator = h.Get("ETag")
	if d.validator == "" || strings.HasPrefix(d.validator, "W/") {
		d.validator = h.Get("Last-Modified")
	}
	if err := d.part.Truncate(0); err != nil {
		return err
	}
	if d.validator == "" {
		_ = d.root.Remove(d.validatorName())
		return nil
	}
	return d.root.WriteFile(d.validatorName(), []byte(d.validator), 0o600)
}

// contentRange reads bytes 100-199/200; of is -1 if the total is unknown.
func contentRange(s string) (from, of int64, ok bool) {
	spec, isBytes := strings.CutPrefix(s, "bytes ")
	span, whole, _ := strings.Cut(spec, "/")
	first, _, dashed := strings.Cut(span, "-")
	from, err := strconv.ParseInt(first, 10, 64)
	if !isBytes || !dashed || err != nil || from < 0 {
		return 0, 0, false
	}
	if of, err = strconv.ParseInt(whole, 10, 64); err != nil {
		of = -1
	}
	return from, of, true
}

// meter counts bytes read.
type meter struct {
	r    io.Reader
	read func(int)
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if n > 0 {
		m.read(n)
	}
	return n, err
}
