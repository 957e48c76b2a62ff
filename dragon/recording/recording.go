// Package recording keeps what one dragon answers in one file: without passwords,
// pool users, the machine's own part of a MAC, or addresses, and otherwise byte for
// byte. It is made to be attached to a bug report and to be replayed.
package recording

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// format is the version of the file's form.
const format = 1

// Recording is the answers of one dragon.
type Recording struct {
	Format  int       `json:"format"`
	Taken   time.Time `json:"taken"`
	Answers []Answer  `json:"answers"`
}

// Answer is what came for one path. Body holds text; what is not UTF-8 is in Bytes.
type Answer struct {
	Path        string `json:"path"`
	Status      int    `json:"status,omitempty"`
	ContentType string `json:"content_type,omitempty"`
	Body        string `json:"body,omitempty"`
	Bytes       []byte `json:"bytes,omitempty"`
	Cut         int    `json:"cut,omitempty"`   // bytes that the body had beyond what is kept
	Error       string `json:"error,omitempty"` // why there is no answer
}

// Take asks a dragon for everything that only reads, but for the logs, which are long
// and tell of people, and returns the masked recording. An answer that does not come is
// recorded as its error; only a dragon that cannot be logged in to, or a ctx that ends,
// is an error of Take. Asking, if set, is told what is asked.
func Take(ctx context.Context, c *dragon.Client, asking func(endpoint string)) (*Recording, error) {
	r := &Recording{Format: format, Taken: time.Now().UTC().Truncate(time.Second)}
	m := newMasker()
	var bodies []string
	for _, endpoint := range dragon.Readable() {
		if asking != nil {
			asking(endpoint)
		}
		var a Answer
		var body string
		f, err := c.Fetch(ctx, endpoint)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, dragon.ErrUnauthorized) && endpoint != "index":
			return nil, err
		case err != nil:
			a.Path, a.Error, body = told(endpoint, err)
		default:
			a = Answer{Path: f.Path, Status: f.Status, ContentType: f.ContentType}
			most := longest(endpoint)
			a.Cut = max(0, len(f.Body)-most)
			body = string(f.Body[:len(f.Body)-a.Cut])
		}
		m.mask(body) // for what is to be learned: what one answer gives away another may hold
		r.Answers, bodies = append(r.Answers, a), append(bodies, body)
	}
	for i := range r.Answers {
		r.Answers[i].hold(m, bodies[i])
	}
	return r, nil
}

// longest is how many bytes of an answer are kept: far more than dragons say that are in
// order.
func longest(endpoint string) int {
	switch endpoint {
	case "getDebugStats", "getHashRates", "stats": // each chip, or a whole day
		return 256 << 10
	}
	return 64 << 10
}

// told is what a recording says of an error: where, what kind, and the beginning of what
// came. What net/http made of it is left out: that quotes the answer and names the host.
func told(endpoint string, err error) (path, reason, got string) {
	e, ok := errors.AsType[*dragon.Error](err)
	switch {
	case !ok || e.Kind == nil:
		return "/api/" + endpoint, dragon.Reason(err), ""
	case e.Expected == "":
		return e.Endpoint, e.Kind.Error(), e.Got
	}
	return e.Endpoint, fmt.Sprintf("%v: expected %s", e.Kind, e.Expected), e.Got
}

// hold puts the body into the answer, masked.
func (a *Answer) hold(m *masker, body string) {
	a.ContentType = m.mask(a.ContentType)
	switch masked := m.mask(body); {
	case a.Error != "":
		if masked != "" {
			a.Error += fmt.Sprintf(", got %q", masked)
		}
	case utf8.ValidString(masked):
		a.Body = masked
	default:
		a.Bytes = []byte(masked)
	}
}

// Write writes the recording as one JSON file.
func (r *Recording) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// Read reads what Write wrote.
func Read(r io.Reader) (*Recording, error) {
	var rec Recording
	if err := json.NewDecoder(r).Decode(&rec); err != nil {
		return nil, fmt.Errorf("not a recording: %w", err)
	}
	if rec.Format != format {
		return nil, fmt.Errorf("not a recording of format %d: its format is %d", format, rec.Format)
	}
	return &rec, nil
}

// Content is the body of the answer, text or not.
func (a Answer) Content() []byte {
	if a.Bytes != nil {
		return a.Bytes
	}
	return []byte(a.Body)
}
