package gate

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"
)

const (
	tries  = 2               // one lost packet is not an outage
	perTry = 3 * time.Second // in which the kernel sends two SYNs
)

// Answers reports whether a host answers at an address and port, by a TCP connection on which
// nothing is sent: nil if it is accepted or refused. Unlike a ping it needs no privilege.
func Answers(ctx context.Context, address string) (err error) {
	dialer := net.Dialer{Timeout: perTry}
	for range tries {
		var c net.Conn
		if c, err = dialer.DialContext(ctx, "tcp", address); err == nil {
			return c.Close()
		}
		if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) {
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
	}
	return err
}
