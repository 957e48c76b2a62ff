package dragon

import (
	"errors"
	"fmt"
)

// The kinds of failure of a call. Every error that a Client returns is an
// *Error and matches at most one of them with errors.Is; a call whose context was
// cancelled matches context.Canceled.
var (
	// ErrRefused: the host is there, nothing listens on the port.
	ErrRefused = errors.New("connection refused")
	// ErrUnreachable: no route, no neighbour, network down, connection reset.
	ErrUnreachable = errors.New("unreachable")
	// ErrTimeout: no answer, or not all of it, within the call's deadline.
	ErrTimeout = errors.New("timeout")
	// ErrUnauthorized: no credential was accepted, or an endpoint refused the one that was.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrNotDragon: something answers there, and it is not a dragon.
	ErrNotDragon = errors.New("not a dragon")
	// ErrBadResponse: an answer that cannot be read.
	ErrBadResponse = errors.New("bad response")
	// ErrNotReady: the dragon answers, its mining process does not (yet).
	ErrNotReady = errors.New("not ready")
	// ErrRejected: the dragon understood the request and said no, or the client
	// refused to send what the device would silently spoil.
	ErrRejected = errors.New("rejected")
)

// Error tells which call failed and how. It never holds a password or a token.
type Error struct {
	Host     string // as given to New
	Endpoint string // path, e.g. /api/summary
	Kind     error  // one of the Err values above; nil for a cancelled context
	Expected string // what the client looked for, e.g. "JSON object with DEVS"
	Got      string // the first bytes of what came, printable, secrets cut
	Err      error  // the cause, if there is one
}

func (e *Error) Error() string {
	s := fmt.Sprintf("dragon %s: %s: ", e.Host, e.Endpoint)
	switch {
	case e.Kind != nil && e.Err != nil:
		s += fmt.Sprintf("%v: %v", e.Kind, e.Err)
	case e.Kind != nil:
		s += e.Kind.Error()
	case e.Err != nil:
		s += e.Err.Error()
	}
	if e.Expected != "" {
		s += fmt.Sprintf(" (expected %s, got %q)", e.Expected, e.Got)
	}
	return s
}

// Unwrap makes errors.Is and errors.As see the kind and the cause.
func (e *Error) Unwrap() []error {
	var errs []error
	if e.Kind != nil {
		errs = append(errs, e.Kind)
	}
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	return errs
}
