//go:build unix

package dragon

import (
	"errors"
	"net"
	"syscall"
)

// unread looks at what waits to be read, without reading it or waiting for it. A
// connection that is not a socket has nothing.
func unread(conn net.Conn) (found waiting) {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return nothingUnread
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return endUnread
	}
	err = raw.Read(func(fd uintptr) bool {
		var one [1]byte
		n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case n > 0:
			found = bytesUnread
		case err == nil || !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR):
			found = endUnread
		}
		return true
	})
	if err != nil {
		return endUnread
	}
	return found
}
