// Package etcdtest runs real etcd servers on loopback, and a proxy that can hold back what
// goes to one.
package etcdtest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/internal/installed"
)

// Cluster is a number of etcd servers. They end with the test.
type Cluster struct {
	t       testing.TB
	path    string
	dir     string
	members []*member
	secure  *Secure // nil: without TLS and login
}

type member struct {
	client, peer string // addresses
	cmd          *exec.Cmd
}

// Start starts n servers, and waits until they have a leader.
func Start(t testing.TB, n int) *Cluster {
	t.Helper()
	return start(t, n, nil)
}

func start(t testing.TB, n int, secure *Secure) *Cluster {
	t.Helper()
	c := &Cluster{t: t, path: installed.Tool(t, "etcd", "etcd-server"), dir: t.TempDir(), secure: secure}
	for range n {
		c.members = append(c.members, &member{client: free(t), peer: free(t)})
	}
	for i := range c.members {
		c.start(i, "new")
	}
	t.Cleanup(func() {
		for i := range c.members {
			c.Kill(i)
		}
	})
	c.wait(n - 1)
	return c
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func free(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

func (c *Cluster) start(i int, state string) {
	c.t.Helper()
	var all []string
	for j, m := range c.members {
		all = append(all, fmt.Sprintf("m%d=http://%s", j, m.peer))
	}
	m := c.members[i]
	log, err := os.OpenFile(filepath.Join(c.dir, fmt.Sprintf("m%d.log", i)), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(c.t, err)
	defer log.Close()
	scheme := c.scheme()
	m.cmd = exec.Command(c.path,
		"--name", fmt.Sprintf("m%d", i), "--data-dir", filepath.Join(c.dir, fmt.Sprintf("m%d", i)),
		"--listen-client-urls", scheme+m.client, "--advertise-client-urls", scheme+m.client,
		"--listen-peer-urls", "http://"+m.peer, "--initial-advertise-peer-urls", "http://"+m.peer,
		"--initial-cluster", strings.Join(all, ","), "--initial-cluster-state", state)
	if x := c.secure; x != nil {
		m.cmd.Args = append(m.cmd.Args, "--cert-file", x.ServerCert, "--key-file", x.ServerKey, "--trusted-ca-file", x.CA, "--client-cert-auth")
	}
	m.cmd.Stdout, m.cmd.Stderr = log, log
	must(c.t, m.cmd.Start())
}

// wait waits until a member serves.
func (c *Cluster) wait(i int) {
	c.t.Helper()
	client := http.Client{Timeout: time.Second}
	if c.secure != nil {
		client.Transport = &http.Transport{TLSClientConfig: c.secure.client}
	}
	defer client.CloseIdleConnections()
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		r, err := client.Get(c.scheme() + c.members[i].client + "/health")
		if err == nil {
			body, _ := io.ReadAll(r.Body)
			r.Body.Close()
			if strings.Contains(string(body), `"true"`) {
				return
			}
		}
		if time.Now().After(end) {
			log, _ := os.ReadFile(filepath.Join(c.dir, fmt.Sprintf("m%d.log", i)))
			c.t.Fatalf("etcd does not start: %v\n%s", err, log)
		}
	}
}

// Endpoints are the addresses for clients.
func (c *Cluster) Endpoints() (all []string) {
	for _, m := range c.members {
		all = append(all, c.scheme()+m.client)
	}
	return all
}

func (c *Cluster) scheme() string {
	if c.secure != nil {
		return "https://"
	}
	return "http://"
}

// Kill ends a server at once.
func (c *Cluster) Kill(i int) {
	m := c.members[i]
	if m.cmd == nil {
		return
	}
	_ = m.cmd.Process.Kill()
	_ = m.cmd.Wait()
	m.cmd = nil
}

// Backup keeps the data of a single server as it is now, which stops for that. What is
// returned puts it back in the place of what is there then.
func (c *Cluster) Backup() (restore func()) {
	c.t.Helper()
	kept, data := filepath.Join(c.t.TempDir(), "backup"), filepath.Join(c.dir, "m0")
	replace := func(to, from string) {
		c.t.Helper()
		c.Kill(0)
		err := os.RemoveAll(to)
		if err == nil {
			err = os.CopyFS(to, os.DirFS(from))
		}
		must(c.t, err)
		c.Restart(0)
		c.wait(0)
	}
	replace(kept, data)
	return func() { replace(data, kept) }
}

// Restart starts a killed server again, with its data.
func (c *Cluster) Restart(i int) { c.start(i, "existing") }

// Proxy hands connections on to a server.
type Proxy struct {
	listener net.Listener
	to       string
	drop     atomic.Bool
	cut      atomic.Bool
	delay    atomic.Int64
	onData   atomic.Pointer[func([]byte)]
	wait     sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// NewProxy starts a proxy in front of an endpoint. It ends with the test.
func NewProxy(t testing.TB, endpoint string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &Proxy{listener: l, to: endpoint[strings.LastIndex(endpoint, "/")+1:], conns: make(map[net.Conn]bool)}
	p.wait.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.closeAll()
		p.wait.Wait()
	})
	return p
}

// Endpoint is the proxy's own address.
func (p *Proxy) Endpoint() string { return "http://" + p.listener.Addr().String() }

// DropAnswers has what the server says thrown away, or no longer.
func (p *Proxy) DropAnswers(on bool) { p.set(&p.drop, on) }

// Cut ends all connections and lets none in, or does no longer.
func (p *Proxy) Cut(on bool) { p.set(&p.cut, on) }

// Delay holds back for so long what is said to the server.
func (p *Proxy) Delay(d time.Duration) { p.delay.Store(int64(d)) }

// OnData has each part of what is said to the server shown before it is handed on.
func (p *Proxy) OnData(f func(data []byte)) { p.onData.Store(&f) }

// set changes what happens, and ends the connections that have lost something.
func (p *Proxy) set(what *atomic.Bool, on bool) {
	what.Store(on)
	if what == &p.cut || !on {
		p.closeAll()
	}
}

func (p *Proxy) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

func (p *Proxy) hold(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
}

func (p *Proxy) accept() {
	for {
		from, err := p.listener.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", p.to)
		if err != nil || p.cut.Load() {
			from.Close()
			if err == nil {
				to.Close()
			}
			continue
		}
		p.hold(from)
		p.hold(to)
		p.wait.Go(func() { p.pipe(to, from, nil) })
		p.wait.Go(func() { p.pipe(from, to, &p.drop) })
	}
}

// pipe copies until one side ends. What comes while drop is set is thrown away.
func (p *Proxy) pipe(to, from net.Conn, drop *atomic.Bool) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if f := p.onData.Load(); drop == nil && f != nil {
			(*f)(buffer[:n])
		}
		if drop == nil {
			time.Sleep(time.Duration(p.delay.Load()))
		}
		if n > 0 && (drop == nil || !drop.Load()) {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
