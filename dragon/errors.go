package dragon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
)

// The kinds of failure of a call. Every error that a Client returns is an
// *Error and matches at most one of them with errors.Is; a call whose context was
// cancelled matches context.Canceled.
var (
	// ErrRefused: the host answers, nothing listens on the port.
	ErrRefused = errors.New("connection refused")
	// ErrUnreachable: no route, no neighbour, no connection in time, network down, connection reset.
	ErrUnreachable = errors.New("unreachable")
	// ErrTimeout: no answer, or not all of it, within the call's deadline.
	ErrTimeout = errors.New("timeout")
	// ErrUnauthorized: no credential was accepted, or an endpoint refused the one that was.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrNotDragon: the host answers and is not a dragon.
	ErrNotDragon = errors.New("not a dragon")
	// ErrBadResponse: the answer cannot be decoded.
	ErrBadResponse = errors.New("bad response")
	// ErrNotReady: the dragon answers, its miner process does not (yet).
	ErrNotReady = errors.New("not ready")
	// ErrRejected: the dragon rejected the request, or the client refused to send values
	// that the device would silently alter.
	ErrRejected = errors.New("rejected")
	// ErrUnknownOutcome: a write was sent and no answer came. It may have been done;
	// after a reboot or a change of address that is the usual case. It is not sent again.
	ErrUnknownOutcome = errors.New("sent, outcome unknown")
)

// ErrNotOffered is the cause of an ErrUnauthorized where the login is good and the
// endpoint still answers "invalid request": this firmware does not have it, or the
// user may not call it. The device does not say which.
var ErrNotOffered = errors.New("the firmware does not offer this endpoint, or not to this user")

// The causes of an ErrUnauthorized that no other credential helps against.
var (
	// ErrLockedOut: after too many failed logins the dragon refuses all for a while. Each
	// further try may make that longer.
	ErrLockedOut = errors.New("locked out after failed logins")
	// ErrPasswordChange: the password is right, but the dragon gives no token until it is
	// changed.
	ErrPasswordChange = errors.New("the dragon wants its password changed")
)

// Causes of an ErrNotDragon that describe the host.
var (
	// ErrHTTPS: it wants HTTPS, which no known dragon speaks.
	ErrHTTPS = errors.New("it wants HTTPS, and dragons speak HTTP")
	// ErrOtherLogin: it has a login page, or asks for HTTP authentication, which is not a dragon's.
	ErrOtherLogin = errors.New("it has a login that is not a dragon's")
)

// Error says which call failed and how. It never contains a password or a token.
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
	return slices.DeleteFunc([]error{e.Kind, e.Err}, func(err error) bool { return err == nil })
}

// Reason maps an error to the word that metrics use for it: timeout, refused,
// unreachable, auth, response; ok for nil, canceled for a cancelled context.
func Reason(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, ErrTimeout):
		return "timeout"
	case errors.Is(err, ErrRefused):
		return "refused"
	case errors.Is(err, ErrUnreachable): // its cause may be the time-out of a dial
		return "unreachable"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	case errors.Is(err, ErrUnauthorized):
		return "auth"
	case errors.Is(err, ErrUnknownOutcome) && errors.Is(kindOf(err), ErrUnreachable):
		return "unreachable"
	}
	return "response"
}

// kindOf classifies an error of the transport: its type shows how far the request came.
// Other errors mean an answer that is not HTTP.
func kindOf(err error) error {
	if err == nil {
		return nil
	}
	var timeout net.Error
	var dial *net.OpError
	var dns *net.DNSError
	switch {
	case errors.As(err, &dial) && dial.Op == "dial" && dial.Timeout():
		return ErrUnreachable // the dialer gives up before the kernel says that there is no neighbour
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return ErrTimeout
	case errors.Is(err, syscall.ECONNREFUSED):
		return ErrRefused
	case errors.As(err, &dial), errors.As(err, &dns), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe):
		return ErrUnreachable
	}
	for _, errno := range []syscall.Errno{
		syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ENETDOWN,
		syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.ENOTCONN,
	} {
		if errors.Is(err, errno) {
			return ErrUnreachable
		}
	}
	// net/http wraps these as plain text only.
	if text := err.Error(); strings.Contains(text, "server closed idle connection") || strings.HasSuffix(text, "EOF") {
		return ErrUnreachable
	}
	return ErrBadResponse
}
