package dragontest

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// StrangerKind is a kind of host that a scan meets and that is not a dragon.
type StrangerKind string

// The kinds of strangers.
const (
	Router        StrangerKind = "router"         // 46 KB of HTML with an empty title, 200 for every path and method
	Switch        StrangerKind = "switch"         // 401 with a clock in 1993
	Antminer      StrangerKind = "antminer"       // a modified Antminer S9: its start page says DragonMint, its tokens AntMiner
	SSH           StrangerKind = "ssh"            // a banner, and HTTP is not a protocol
	EndlessStream StrangerKind = "endless-stream" // HTTP, and an answer that goes on forever
	Mute          StrangerKind = "mute"           // takes connections and says nothing
	TLSOnly       StrangerKind = "tls-only"       // a TLS alert is its answer to HTTP
	ToHTTPS       StrangerKind = "to-https"       // redirects every path to https
	LoginPage     StrangerKind = "login-page"     // another miner's login page, 200 for every path
)

// StrangerKinds returns all kinds.
func StrangerKinds() []StrangerKind {
	return []StrangerKind{Router, Switch, Antminer, SSH, EndlessStream, Mute, TLSOnly, ToHTTPS, LoginPage}
}

// Stranger is a host that is not a dragon. It counts what others send to it.
type Stranger struct {
	kind   StrangerKind
	dragon *Dragon // of an Antminer: it talks like one
	closed chan struct{}
	once   sync.Once // closes it

	mu          sync.Mutex
	connections int
	requests    int
	credentials int
}

// StrangerTraffic is what others did to a stranger.
type StrangerTraffic struct {
	Connections int
	Requests    int
	Credentials int // requests that had a password or a token in them
}

func newStranger(kind StrangerKind) *Stranger {
	s := &Stranger{kind: kind, closed: make(chan struct{})}
	if kind == Antminer {
		s.dragon = New(Spec{Model: "S9", Brand: AntMiner, Firmware: "s9_20180601_101500", Hashrate: 13.5e12, MAC: "2c:00:f0:00:5e:ed"})
	}
	return s
}

// Kind returns what kind of host it is.
func (s *Stranger) Kind() StrangerKind { return s.kind }

// Traffic returns what others did to the stranger so far.
func (s *Stranger) Traffic() StrangerTraffic {
	s.mu.Lock()
	defer s.mu.Unlock()
	return StrangerTraffic{s.connections, s.requests, s.credentials}
}

// Close ends whatever the stranger is still saying.
func (s *Stranger) Close() {
	s.once.Do(func() { close(s.closed) })
	if s.dragon != nil {
		s.dragon.Close()
	}
}

func (s *Stranger) reachable() (takes, refuses bool) { return true, true }

func (s *Stranger) connected() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connections++
}

func (s *Stranger) speaksHTTP() http.Handler {
	if s.kind == SSH || s.kind == Mute || s.kind == TLSOnly {
		return nil
	}
	return s
}

// serveConn is for those who do not speak HTTP.
func (s *Stranger) serveConn(c net.Conn) {
	if s.kind == SSH {
		if _, err := io.WriteString(c, "SSH-2.0-dropbear_2017.75\r\n"); err != nil {
			return
		}
		// It hangs up on the first line that is not a banner of its own kind.
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		line, _ := bufio.NewReaderSize(c, 256).ReadString('\n')
		s.count(strings.Contains(line, "HTTP/"), false)
		return
	}
	b := make([]byte, 4096)
	for {
		n, err := c.Read(b)
		s.count(bytes.Contains(b[:n], []byte("HTTP/1")), bytes.Contains(b[:n], []byte("Authorization:")))
		if s.kind == TLSOnly {
			_, _ = c.Write([]byte{0x15, 3, 1, 0, 2, 2, 22}) // record overflow, as OpenSSL answers
			return
		}
		if err != nil {
			return
		}
	}
}

func (s *Stranger) count(request, credential bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if request {
		s.requests++
	}
	if credential {
		s.credentials++
	}
}

// ServeHTTP answers as the stranger does.
func (s *Stranger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	s.count(true, r.Header.Get("Authorization") != "" || bytes.Contains(body, []byte("password=")))
	h := w.Header()
	switch s.kind {
	case Antminer:
		r.Body = io.NopCloser(bytes.NewReader(body))
		s.dragon.ServeHTTP(w, r)
	case Switch:
		h.Set("Server", "cisco-IOS")
		h.Set("Date", "Mon, 01 Mar 1993 00:47:12 GMT")
		h.Set("Content-Type", "text/html")
		h.Set("WWW-Authenticate", `Basic realm="level_15_access"`)
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "401 Unauthorized\r\n")
	case EndlessStream:
		h.Set("Content-Type", "text/html")
		block := bytes.Repeat([]byte("<p>more</p>\n"), 1024)
		pause := time.Tick(time.Millisecond) // 12 MB a second
		for {
			select {
			case <-s.closed:
				return
			case <-r.Context().Done():
				return
			case <-pause:
			}
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	case ToHTTPS:
		h.Set("Location", "https://"+r.Host+r.URL.Path)
		w.WriteHeader(http.StatusMovedPermanently)
	case LoginPage:
		h.Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<html><head><title>Miner Console</title></head><body><form><input type=\"text\"><input type='password'></form></body></html>\n")
	default: // Router
		h.Set("Server", "lighttpd/1.4.39")
		page := []byte("<html><head><title></title></head><body>\n" +
			strings.Repeat("<div class=\"menu\"><a href=\"#\">Status</a></div>\n", 980) + "</body></html>\n")
		h.Set("Content-Type", "text/html")
		h.Set("Content-Length", strconv.Itoa(len(page)))
		_, _ = w.Write(page)
	}
}

// StrangerServer is a stranger on a port of 127.0.0.1.
type StrangerServer struct {
	*Stranger
	URL  string
	Addr string

	server *hostServer
}

// NewStranger returns a stranger that listens on a port of 127.0.0.1. The caller closes it.
func NewStranger(kind StrangerKind) *StrangerServer {
	s := newStranger(kind)
	h, addr := serveAlone(s)
	return &StrangerServer{Stranger: s, URL: "http://" + addr, Addr: addr, server: h}
}

// Close ends the server with all its connections and waits for its goroutines.
func (s *StrangerServer) Close() {
	s.Stranger.Close()
	s.server.close()
}
