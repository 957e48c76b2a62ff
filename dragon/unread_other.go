//go:build !unix

package dragon

import "net"

// unread tells nothing here.
func unread(net.Conn) waiting { return nothingUnread }
