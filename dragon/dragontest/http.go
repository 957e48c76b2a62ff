package dragontest

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// request is a call of the API on its way through the device.
type request struct {
	endpoint  string
	form      url.Values // $_POST: form bodies only
	who       who
	now       time.Time // by the simulation's clock
	deviceNow time.Time // by the device's
	state     *state    // what the answer shows; not the state to change where the API is frozen
}

// reply is an answer of the API before anything goes wrong with it.
type reply struct {
	php
	contentType string
	attachment  string
	wait        time.Duration // until it is sent
	drop        bool          // the connection dies instead
}

var replies = sync.Pool{New: func() any { return new(reply) }}

// endpointOf names what a path is for: the part after /api/, upgrade/upload,
// upgrade/download, upgrade/ws, stream/logs, or index.
func endpointOf(path string) string {
	if name, ok := strings.CutPrefix(path, "/api/"); ok {
		return name
	}
	switch path {
	case "/upgrade/upload", "/upgrade/download", "/upgrade/ws", "/stream/logs":
		return path[1:]
	}
	return "index"
}

// ServeHTTP answers as the device's nginx does. A connection that cannot be reset,
// as in a test with a recorder, ends in a panic with http.ErrAbortHandler.
func (d *Dragon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	endpoint := d.enter(r)
	d.mu.Unlock()
	if d.spec.OnRequest != nil {
		d.spec.OnRequest(endpoint)
	}
	leave := sync.OnceFunc(func() {
		if !aside(endpoint) {
			d.mu.Lock()
			d.traffic.InFlight--
			d.mu.Unlock()
		}
	})
	defer leave()

	if !d.admit(w, r, endpoint, leave) {
		return
	}
	switch {
	case r.ContentLength > d.spec.MaxUpload:
		d.errorPage(w, http.StatusRequestEntityTooLarge)
	case strings.HasPrefix(r.URL.Path, "/api/"):
		d.serveAPI(w, r, endpoint)
	case endpoint == "upgrade/upload":
		d.serveUpload(w, r)
	case endpoint == "upgrade/download":
		d.serveDownload(w, r)
	case endpoint == "upgrade/ws":
		d.serveProgress(w, r)
	case endpoint == "stream/logs":
		d.serveLogStream(w, r)
	default:
		d.serveStatic(w, r)
	}
}

// admit applies the faults that strike before a request is looked at. It reports
// whether the request goes on. It calls leave before a reset: the client may ask again at once.
func (d *Dragon) admit(w http.ResponseWriter, r *http.Request, endpoint string, leave func()) bool {
	for {
		d.mu.Lock()
		now := d.advance()
		up, outage, changed, unplugged := d.state.answers(now), d.state.outageUntil.Sub(now), d.changed, d.has(Unplugged) != nil
		faults := slices.DeleteFunc(slices.Clone(d.faults), func(f fault) bool { return !f.strikes(endpoint) })
		d.mu.Unlock()
		of := func(kind Fault) int { return slices.IndexFunc(faults, func(f fault) bool { return f.kind == kind }) }

		again := false
		switch {
		case !up || of(Reset) >= 0: // reset below
		case outage > 0:
			again = d.wait(r.Context(), outage)
		case of(HangReading) >= 0:
			again = d.waitChanged(r, changed, 60*time.Second)
		case of(Hang) >= 0 || unplugged:
			// Only a request that was read to its end tells when the client leaves.
			_, _ = io.Copy(io.Discard, r.Body)
			again = d.waitChanged(r, changed, 0)
		case of(Status500) >= 0:
			d.errorPage(w, http.StatusInternalServerError)
			return false
		case of(Status502) >= 0:
			d.errorPage(w, http.StatusBadGateway)
			return false
		case of(Redirect) >= 0:
			d.setDate(w.Header())
			http.Redirect(w, r, "http://127.255.255.254:9/", http.StatusFound)
			return false
		case of(Endless) >= 0:
			d.endless(w, r)
			return false
		case of(Slow) >= 0:
			return d.wait(r.Context(), faults[of(Slow)].delay)
		default:
			return true
		}
		if !again {
			leave()
			resetConnection(w)
			return false
		}
	}
}

// waitChanged waits until a fault is cleared, or the client leaves, or, if it is
// not zero, for a time. It reports whether there is anything to look at again.
func (d *Dragon) waitChanged(r *http.Request, changed chan struct{}, atMost time.Duration) bool {
	var timeout <-chan time.Time
	if atMost > 0 {
		timeout = time.After(time.Duration(float64(atMost) / d.spec.Speed))
	}
	select {
	case <-changed:
		return true
	case <-timeout:
	case <-r.Context().Done():
	case <-d.closed:
	}
	return false
}

// serveAPI answers /api/<name> through one of the five places of php-fpm.
func (d *Dragon) serveAPI(w http.ResponseWriter, r *http.Request, name string) {
	workers := d.phpWorkers()
	select {
	case workers <- struct{}{}:
		defer func() { <-workers }()
	case <-r.Context().Done():
		return
	case <-d.closed:
		return
	}

	r.Body = http.MaxBytesReader(w, r.Body, d.spec.MaxUpload)
	form := formOf(r)
	out := replies.Get().(*reply)
	*out = reply{php: php{b: out.b[:0], holes: out.holes[:0]}, contentType: "application/json"}
	defer replies.Put(out)

	d.mu.Lock()
	now := d.advance()
	a := request{endpoint: name, form: form, now: now, state: &d.state}
	out.asStrings = d.onEndpoint(NumbersAsStrings, name) != nil
	out.arrays = d.onEndpoint(PHPArrays, name) != nil
	if d.frozen != nil && d.onEndpoint(Frozen, name) != nil {
		a.state, a.now = d.frozen, d.frozen.at
	}
	a.deviceNow = d.deviceTime(a.now)
	d.route(out, &a, r)
	d.mu.Unlock()

	if !d.wait(r.Context(), out.wait) {
		return
	}
	if out.drop {
		resetConnection(w)
		return
	}
	h := w.Header()
	h["Content-Type"] = []string{out.contentType}
	h["X-Powered-By"] = poweredBy
	if out.attachment != "" {
		h.Set("Content-Disposition", `attachment; filename="`+out.attachment+`"`)
	}
	d.send(w, r, name, out.b)
}

// Header values that never change, shared between answers: net/http only reads them.
var (
	poweredBy = []string{"PHP/7.2.4"}
	serverIs  = []string{"nginx/1.12.2"}
	chunked   = []string{"chunked"}
)

// phpWorkers returns the places of php-fpm: pm.max_children is 5.
func (d *Dragon) phpWorkers() chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.workers == nil {
		d.workers = make(chan struct{}, 5)
	}
	return d.workers
}

// formOf parses a body as PHP fills $_POST: forms only, with POST only. Anything
// else, JSON above all, is as if nothing had been sent.
func formOf(r *http.Request) url.Values {
	defer func() { _, _ = io.Copy(io.Discard, r.Body) }()
	if r.Method != http.MethodPost || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil
	}
	contentType := r.Header.Get("Content-Type")
	switch {
	case strings.HasPrefix(contentType, "multipart/form-data"):
		if err := r.ParseMultipartForm(1 << 20); err != nil { //nolint:gosec // serveAPI and serveDownload cap the body
			return nil
		}
		_ = r.MultipartForm.RemoveAll()
	case strings.HasPrefix(contentType, "application/x-www-form-urlencoded"):
		_ = r.ParseForm() // what could be read is there
	}
	// PHP keeps the last of several values of one name, unless the name ends in [].
	for name, values := range r.PostForm {
		if !strings.HasSuffix(name, "[]") {
			r.PostForm[name] = values[len(values)-1:]
		}
	}
	return r.PostForm
}

// deviceTime is the time by the device's clock. The caller holds d.mu.
func (d *Dragon) deviceTime(now time.Time) time.Time {
	now = now.Add(d.spec.ClockOffset)
	if f := d.has(WrongClock); f != nil {
		now = now.Add(f.delay)
	}
	return now.UTC()
}

// setDate sets the headers that nginx sets.
func (d *Dragon) setDate(h http.Header) {
	d.mu.Lock()
	now := d.deviceTime(d.spec.Now())
	d.mu.Unlock()
	h["Server"] = serverIs
	h["Date"] = []string{now.Format(http.TimeFormat)}
}

// send writes the body of a 200, and applies the faults of the body.
func (d *Dragon) send(w http.ResponseWriter, r *http.Request, endpoint string, body []byte) {
	h := w.Header()
	d.setDate(h)
	if h.Get("Content-Length") == "" {
		h["Transfer-Encoding"] = chunked
	}
	d.mu.Lock()
	var trickle time.Duration
	var spoilt Fault
	var amount float64
	if f := d.onEndpoint(Trickle, endpoint); f != nil {
		trickle = f.delay
	}
	if endpoint != "index" {
		for _, kind := range []Fault{Garbage, Cut, Truncated, Huge, Empty, HTML} {
			if f := d.onEndpoint(kind, endpoint); f != nil {
				spoilt, amount = kind, f.amount
				break
			}
		}
	}
	d.mu.Unlock()

	switch spoilt {
	case Garbage:
		body = d.garbage(len(body))
	case Truncated:
		body = body[:len(body)/2]
	case Empty:
		body = nil
	case HTML:
		h.Set("Content-Type", "text/html")
		body = d.indexPage()
	case Cut:
		_, _ = w.Write(body[:len(body)/2]) //nolint:gosec // hostile text is what some faults are for
		_ = http.NewResponseController(w).Flush()
		abort(w)
		return
	case Huge:
		blanks := bytes.Repeat([]byte{' '}, 64<<10)
		for n := range int(amount * 16) {
			if _, err := w.Write(blanks); err != nil {
				return
			}
			if n%16 == 15 && !d.wait(r.Context(), 80*time.Millisecond) {
				return
			}
		}
	}
	if trickle > 0 {
		d.trickle(w, r, body, trickle)
		return
	}
	_, _ = w.Write(body)
}

func (d *Dragon) garbage(n int) []byte {
	b := make([]byte, max(n, 64))
	for i := range b {
		b[i] = byte(mix(d.spec.Seed + uint64(i)))
	}
	return b
}

// trickle sends a byte at a time, and blanks when there are no more, until the client leaves.
func (d *Dragon) trickle(w http.ResponseWriter, r *http.Request, body []byte, each time.Duration) {
	h := w.Header()
	delete(h, "Content-Length")
	h["Transfer-Encoding"] = chunked
	c := http.NewResponseController(w)
	blank := []byte{' '}
	for {
		next := blank
		if len(body) > 0 {
			next, body = body[:1], body[1:]
		}
		if _, err := w.Write(next); err != nil {
			return
		}
		if err := c.Flush(); err != nil || !d.wait(r.Context(), each) {
			return
		}
	}
}

// endless sends the beginning of a string that has no end.
func (d *Dragon) endless(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	d.setDate(h)
	h.Set("Content-Type", "application/json")
	if _, err := io.WriteString(w, `{"success":true,"endless":"`); err != nil {
		return
	}
	block := bytes.Repeat([]byte{'x'}, 32<<10)
	for n := 1; ; n++ {
		if _, err := w.Write(block); err != nil {
			return
		}
		// The network of the device has 100 Mbit/s. Without a pause no time would pass
		// in a bubble, and no deadline come.
		if n%32 == 0 && !d.wait(r.Context(), 80*time.Millisecond) {
			return
		}
	}
}

// errorPage is nginx's own page for a status.
func (d *Dragon) errorPage(w http.ResponseWriter, status int) {
	d.setDate(w.Header())
	writeErrorPage(w, status)
}

func writeErrorPage(w http.ResponseWriter, status int) {
	title := strconv.Itoa(status) + " " + http.StatusText(status)
	body := "<html>\r\n<head><title>" + title + "</title></head>\r\n<body bgcolor=\"white\">\r\n<center><h1>" +
		title + "</h1></center>\r\n<hr><center>nginx/1.12.2</center>\r\n</body>\r\n</html>\r\n"
	w.Header().Set("Content-Type", "text/html")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// logo is a static file that older scans looked for; its name is a build hash.
const logo = "/static/media/logo-inverse.74ec0f24.png"

// serveStatic serves the start page, for every path that is not a file: the status
// proves nothing.
func (d *Dragon) serveStatic(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "max-age=315360000")
	if r.URL.Path == logo {
		png := make([]byte, 11506)
		copy(png, "\x89PNG\r\n\x1a\n")
		h.Set("Content-Type", "image/png")
		h.Set("Content-Length", strconv.Itoa(len(png)))
		d.send(w, r, "index", png)
		return
	}
	page := d.indexPage()
	h.Set("Content-Type", "text/html")
	h.Set("Content-Length", strconv.Itoa(len(page)))
	d.send(w, r, "index", page)
}

func (d *Dragon) indexPage() []byte {
	return []byte(`<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">` +
		`<meta name="viewport" content="width=device-width,initial-scale=1,shrink-to-fit=no">` +
		`<link rel="manifest" href="/manifest.json"><link rel="shortcut icon" href="/favicon.ico">` +
		`<title>` + d.model.title() + `</title><link href="/static/css/main.0d0e1f2a.css" rel="stylesheet"></head>` +
		`<body><noscript>You need to enable JavaScript to run this app.</noscript><div id="root"></div>` +
		`<script type="text/javascript" src="/static/js/main.3b4c5d6e.js"></script></body></html>`)
}

// resetter is a connection that knows how to be reset: those of a network in memory.
type resetter interface{ reset() }

// resetConnection ends the connection of a request as a crash does.
func resetConnection(w http.ResponseWriter) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	reset(c)
}

func reset(c net.Conn) {
	switch c := c.(type) {
	case resetter:
		c.reset()
	case *net.TCPConn:
		_ = c.SetLinger(0)
	}
	_ = c.Close()
}

// abort ends the connection of a request in the middle of the answer.
func abort(w http.ResponseWriter) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_ = c.Close()
}
