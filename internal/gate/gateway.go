package gate

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"
)

const (
	tries  = 2               // one lost packet is no outage
	atOnce = 3 * time.Second // per try: the kernel asks twice in it
)

// Answers reports whether anybody is at an address and port, by a TCP connection that
// nothing is sent on: nil if it is taken or refused. No privilege is needed for that,
// as one would be for a ping.
func Answers(ctx context.Context, address string) (err error) {
	dialer := net.Dialer{Timeout: atOnce}
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
