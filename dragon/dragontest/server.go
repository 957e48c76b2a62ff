package dragontest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// host is what can live at an address: a dragon or a stranger.
type host interface {
	// reachable reports whether something takes a connection now, and whether
	// a connection is refused where nothing takes it.
	reachable() (takes, refuses bool)
	connected()
	// speaksHTTP returns the handler; nil for a host that serves its connections itself.
	speaksHTTP() http.Handler
	serveConn(net.Conn)
	Close()
}

func (d *Dragon) speaksHTTP() http.Handler { return d }
func (d *Dragon) serveConn(c net.Conn)     { _ = c.Close() }

// reachable: a system that boots refuses connections, one without power or cable does not answer.
func (d *Dragon) reachable() (takes, refuses bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.advance()
	if d.has(Unplugged) != nil || d.state.off {
		return false, false
	}
	return d.state.answers(now), true
}

// conn is a connection that a hostServer took for one of its hosts.
type conn struct {
	net.Conn
	host host
}

func (c conn) reset() { reset(c.Conn) }

type connKey struct{}

// hostServer serves any number of hosts with one http.Server.
type hostServer struct {
	http    *http.Server
	closed  chan struct{}
	once    sync.Once
	serving sync.WaitGroup // accept loops, and connections that are not HTTP
	conns   sync.WaitGroup // HTTP connections
}

// newHostServer returns a server without hosts. lives, unless it is nil, says whether a
// host is still at the address where a connection was made.
func newHostServer(lives func(host, netip.Addr) bool) *hostServer {
	h := &hostServer{closed: make(chan struct{})}
	h.http = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c := r.Context().Value(connKey{}).(conn)
			if lives != nil && !lives(c.host, c.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()) {
				resetConnection(w)
				return
			}
			c.host.speaksHTTP().ServeHTTP(w, r)
		}),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c.(conn))
		},
		ConnState: func(_ net.Conn, s http.ConnState) {
			switch s {
			case http.StateNew:
				h.conns.Add(1)
			case http.StateClosed, http.StateHijacked:
				h.conns.Done()
			}
		},
		ReadHeaderTimeout: 60 * time.Second,  // nginx: client_header_timeout 60, its default
		IdleTimeout:       120 * time.Second, // nginx: keepalive_timeout 120
		ErrorLog:          discard,
	}
	return h
}

// serve accepts connections from l until the server is closed.
func (h *hostServer) serve(l net.Listener) {
	h.serving.Go(func() { _ = h.http.Serve(l) })
}

// serveRaw has a host that does not speak HTTP serve a connection.
func (h *hostServer) serveRaw(at host, c net.Conn) {
	h.serving.Go(func() {
		done := make(chan struct{})
		defer close(done)
		h.serving.Go(func() {
			select {
			case <-h.closed:
			case <-done:
			}
			_ = c.Close()
		})
		at.serveConn(c)
	})
}

func (h *hostServer) close() {
	h.once.Do(func() { close(h.closed) })
	_ = h.http.Close()
	h.serving.Wait()
	h.conns.Wait()
}

// door is the listener of one host on a real port of loopback.
type door struct {
	server *hostServer
	host   host
	addr   string

	mu     sync.Mutex
	l      net.Listener // nil while the host does not answer
	closed chan struct{}
	once   sync.Once
}

// openDoor listens at addr, which must be of 127.0.0.0/8.
func (h *hostServer) openDoor(at host, addr netip.AddrPort) (*door, error) {
	if err := loopback(addr.Addr()); err != nil {
		return nil, err
	}
	l, err := listen(addr.String())
	if err != nil {
		return nil, fmt.Errorf("dragontest: %w", err)
	}
	return &door{server: h, host: at, addr: l.Addr().String(), l: l, closed: make(chan struct{})}, nil
}

// listen opens a port; a listener lives longer than any context.
func listen(addr string) (net.Listener, error) {
	var c net.ListenConfig
	return c.Listen(context.Background(), "tcp4", addr)
}

func loopback(a netip.Addr) error {
	if !a.Is4() || !a.IsLoopback() {
		return fmt.Errorf("dragontest: %v is not an address of 127.0.0.0/8", a)
	}
	return nil
}

func (o *door) Addr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(o.addr))
}

func (o *door) Close() error {
	o.once.Do(func() { close(o.closed) })
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.l != nil {
		return o.l.Close()
	}
	return nil
}

// Accept returns the next connection for http.Server. While the host does not
// answer, the first connection that finds out is reset and the port is really
// closed until the host is back, so that the kernel refuses the next ones.
func (o *door) Accept() (net.Conn, error) {
	for {
		l := o.listener()
		if l == nil {
			return nil, net.ErrClosed
		}
		c, err := l.Accept()
		if err != nil {
			return nil, err
		}
		if takes, _ := o.host.reachable(); !takes {
			reset(c)
			o.shut()
			continue
		}
		o.host.connected()
		if o.host.speaksHTTP() == nil {
			o.server.serveRaw(o.host, c)
			continue
		}
		return conn{c, o.host}, nil
	}
}

func (o *door) shut() {
	o.mu.Lock()
	defer o.mu.Unlock()
	_ = o.l.Close()
	o.l = nil
}

// listener returns the open port; where it is shut, once the host answers again;
// nil when the door is closed for good.
func (o *door) listener() net.Listener {
	o.mu.Lock()
	l := o.l
	o.mu.Unlock()
	if l != nil {
		return l
	}
	// The simulation's clock has no timers, and this waits in real time only.
	look := time.Tick(20 * time.Millisecond)
	for {
		select {
		case <-o.closed:
			return nil
		case <-look:
		}
		if takes, _ := o.host.reachable(); !takes {
			continue
		}
		l, err := listen(o.addr)
		if err != nil {
			continue // someone else has the port for a moment
		}
		o.mu.Lock()
		select {
		case <-o.closed:
			o.mu.Unlock()
			_ = l.Close()
			return nil
		default:
		}
		o.l = l
		o.mu.Unlock()
		return l
	}
}

// Server is a dragon on a port of 127.0.0.1.
type Server struct {
	*Dragon
	URL  string // http://127.0.0.1:port, without a slash at the end
	Addr string // 127.0.0.1:port

	server *hostServer
}

// NewServer returns a dragon that listens on a port of 127.0.0.1. The caller closes
// it. Like httptest.NewServer it panics where that cannot be.
func NewServer(spec Spec) *Server { return New(spec).Start() }

// Start makes the dragon listen on a port of 127.0.0.1.
//
// While it boots or is off its port is really closed: only the first connection
// that finds out is accepted, and reset. One that is unplugged refuses too, for
// want of a way to keep the kernel silent; on a network in memory it does not answer.
func (d *Dragon) Start() *Server {
	h, addr := serveAlone(d)
	return &Server{Dragon: d, URL: "http://" + addr, Addr: addr, server: h}
}

// serveAlone serves one host on a port of 127.0.0.1.
func serveAlone(at host) (h *hostServer, addr string) {
	h = newHostServer(nil)
	door, err := h.openDoor(at, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0))
	if err != nil {
		panic(err)
	}
	h.serve(door)
	return h, door.addr
}

// Close ends the server with all its connections and waits for its goroutines.
func (s *Server) Close() {
	s.Dragon.Close()
	s.server.close()
}
