package dragontest

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
)

var discard = log.New(io.Discard, "", 0)

// exchange takes the connections of a whole network in memory to one http.Server.
type exchange struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (x *exchange) Accept() (net.Conn, error) {
	select {
	case c := <-x.conns:
		return c, nil
	case <-x.closed:
		return nil, net.ErrClosed
	}
}

func (x *exchange) Close() error   { return nil } // the hostServer is closed instead
func (x *exchange) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 0)} }

func (x *exchange) dial(ctx context.Context, h *hostServer, at host, to netip.AddrPort) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, dialError(to, err)
	}
	takes, refuses := at.reachable()
	switch {
	case takes:
	case refuses:
		return nil, dialError(to, os.NewSyscallError("connect", syscall.ECONNREFUSED))
	default:
		return silence(ctx, to)
	}
	at.connected()
	ours, theirs := pipe(to)
	if at.speaksHTTP() == nil {
		h.serveRaw(at, theirs)
		return ours, nil
	}
	select {
	case x.conns <- conn{theirs, at}:
		return ours, nil
	case <-x.closed:
		return nil, dialError(to, os.NewSyscallError("connect", syscall.ECONNREFUSED))
	case <-ctx.Done():
		return nil, dialError(to, ctx.Err())
	}
}

// silence is a connection to an address without a host: it never answers.
func silence(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	<-ctx.Done()
	return nil, dialError(to, ctx.Err())
}

func dialError(to netip.AddrPort, err error) error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: err}
}

// pipe returns the two ends of a connection to an address. Unlike those of net.Pipe
// they have addresses and can be reset.
func pipe(to netip.AddrPort) (client, server net.Conn) {
	a, b := net.Pipe()
	wasReset := new(atomic.Bool)
	from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 40000)
	return &pipeConn{a, from, to, wasReset}, &pipeConn{b, to, from, wasReset}
}

type pipeConn struct {
	net.Conn
	local, remote netip.AddrPort
	wasReset      *atomic.Bool
}

func (c *pipeConn) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(c.local) }
func (c *pipeConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }
func (c *pipeConn) reset()               { c.wasReset.Store(true); _ = c.Close() }

func (c *pipeConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	return n, c.after("read", err)
}

func (c *pipeConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	return n, c.after("write", err)
}

// after makes a connection that was reset end with that error.
func (c *pipeConn) after(op string, err error) error {
	if (errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe)) && c.wasReset.Load() {
		return &net.OpError{
			Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(),
			Err: os.NewSyscallError(op, syscall.ECONNRESET),
		}
	}
	return err
}
