package dragon

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// peer is the other end of a transport: it gives each new connection to serve.
func peer(t *testing.T, serve func(n int, c net.Conn)) (tr *Transport, dials *int) {
	tr, dials = NewTransport(), new(int)
	tr.DialContext = func(context.Context, string, string) (net.Conn, error) {
		*dials++
		ours, theirs := net.Pipe()
		go serve(*dials, theirs)
		return ours, nil
	}
	t.Cleanup(tr.CloseIdleConnections)
	return tr, dials
}

// answering reads requests and says the same to each, until the connection ends.
func answering(c net.Conn, answer string) {
	defer c.Close()
	for r := bufio.NewReader(c); ; {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
		if _, err := io.WriteString(c, answer); err != nil {
			return
		}
	}
}

func asked(ctx context.Context, tr *Transport) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://dragon/api/summary", strings.NewReader("a=b"))
	if err != nil {
		return "", err
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

const said = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

func TestAConnectionIsUsedAgain(t *testing.T) {
	for name, answer := range map[string]string{
		"length":  said,
		"chunks":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n",
		"a 100":   "HTTP/1.1 100 Continue\r\n\r\n" + said,
		"nothing": "HTTP/1.1 204 No Content\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			tr, dials := peer(t, func(_ int, c net.Conn) { answering(c, answer) })
			for range 3 {
				if got, err := asked(t.Context(), tr); err != nil || got != "hi" && name != "nothing" {
					t.Fatalf("%q %v", got, err)
				}
			}
			if *dials != 1 {
				t.Errorf("%d connections", *dials)
			}
		})
	}
}

func TestATraceSeesNewAndKeptConnections(t *testing.T) {
	tr, _ := peer(t, func(_ int, c net.Conn) { answering(c, said) })
	var reused []bool
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { reused = append(reused, c.Reused) }})
	for range 2 {
		if _, err := asked(ctx, tr); err != nil {
			t.Fatal(err)
		}
	}
	if want := []bool{false, true}; !slices.Equal(reused, want) {
		t.Errorf("reused %v, want %v", reused, want)
	}
}

func TestAConnectionIsNotUsedAgain(t *testing.T) {
	for name, answer := range map[string]string{
		"the dragon closes it":             "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
		"it ends with the answer":          "HTTP/1.0 200 OK\r\n\r\nhi",
		"something follows the answer":     said + "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nnever",
		"the dragon says less than it has": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi, and more",
	} {
		t.Run(name, func(t *testing.T) {
			tr, dials := peer(t, func(_ int, c net.Conn) {
				defer c.Close()
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_, _ = io.WriteString(c, answer)
				}
			})
			for range 3 {
				if got, err := asked(t.Context(), tr); err != nil || got != "hi" {
					t.Fatalf("%q %v", got, err)
				}
			}
			if *dials != 3 {
				t.Errorf("%d connections for three requests", *dials)
			}
		})
	}
}

// What a dragon says unasked, after an answer and before the next question, is not an answer.
func TestAnUnrequestedAnswerIsDiscarded(t *testing.T) {
	for name, surplus := range map[string]string{
		"another answer": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nnever",
		"a byte":         "x",
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			said, sent := make(chan struct{}), make(chan struct{})
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						defer c.Close()
						r := bufio.NewReader(c)
						for {
							if _, err := http.ReadRequest(r); err != nil {
								return
							}
							_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
							<-said // the answer was read, and its connection is kept
							_, _ = io.WriteString(c, surplus)
							sent <- struct{}{}
						}
					}()
				}
			}()
			tr, surpluses := NewTransport(), 0
			tr.OnSurplus = func(string) { surpluses++ }
			defer tr.CloseIdleConnections()
			for range 3 {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String()+"/", http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := tr.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || string(body) != "hi" {
					t.Errorf("%q, %v", body, err)
				}
				said <- struct{}{}
				<-sent
			}
			if surpluses != 2 { // the last is not looked at
				t.Errorf("%d times something unasked, want 2", surpluses)
			}
		})
	}
}

func TestAConnectionThatDiedIdleCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, dials := peer(t, func(_ int, c net.Conn) {
			defer c.Close()
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, _ = io.WriteString(c, said)
			}
		})
		for range 3 {
			got, err := asked(t.Context(), tr)
			if err != nil || got != "hi" {
				t.Fatalf("%q %v", got, err)
			}
			synctest.Wait() // until the other end is closed
		}
		if *dials != 3 {
			t.Errorf("%d connections", *dials)
		}
	})
}

func TestANewConnectionThatDiesIsAnError(t *testing.T) {
	tr, dials := peer(t, func(_ int, c net.Conn) { c.Close() })
	if _, err := asked(t.Context(), tr); !errors.Is(kindOf(err), ErrUnreachable) {
		t.Errorf("%v", err)
	}
	if *dials != 1 {
		t.Errorf("%d connections: a new one is not tried twice", *dials)
	}
}

func TestAnIdleConnectionIsClosedBeforeTheDragonDoesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended time.Duration
		start := time.Now()
		tr, dials := peer(t, func(_ int, c net.Conn) {
			answering(c, said)
			ended = time.Since(start)
		})
		for range 2 {
			if _, err := asked(t.Context(), tr); err != nil {
				t.Fatal(err)
			}
			time.Sleep(60 * time.Second)
		}
		time.Sleep(60 * time.Second)
		synctest.Wait()
		if *dials != 1 || ended != 60*time.Second+idleFor {
			t.Errorf("%d connections, the first closed after %v", *dials, ended)
		}
		if _, err := asked(t.Context(), tr); err != nil || *dials != 2 {
			t.Errorf("%v, %d connections", err, *dials)
		}
	})
}

func TestABodyThatIsNotReadToItsEndEndsTheConnection(t *testing.T) {
	closed := make(chan struct{})
	tr, _ := peer(t, func(_ int, c net.Conn) {
		defer close(closed)
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		for err == nil {
			_, err = io.WriteString(c, "for ever ")
		}
	})
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://dragon/", nil)
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	<-closed
	if _, err := resp.Body.Read(make([]byte, 1)); err == nil {
		t.Error("a closed body can be read")
	}
}

func TestAnAnswerThatIsClosedUnreadEndsItsConnectionIfItHasABody(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		dials  int
	}{
		"no body":                {"HTTP/1.1 204 No Content\r\n\r\n", 1},
		"a body that is to come": {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", 2},
	} {
		t.Run(name, func(t *testing.T) {
			tr, dials := peer(t, func(_ int, conn net.Conn) { answering(conn, c.answer) })
			for range 2 {
				req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://dragon/", nil)
				resp, err := tr.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
			}
			if *dials != c.dials {
				t.Errorf("%d connections, want %d", *dials, c.dials)
			}
		})
	}
}

// An answer to a request that was not sent whole is not an answer to it.
func TestARequestThatCannotBeSentIsAnErrorWhateverComes(t *testing.T) {
	broken := errors.New("no route")
	tr := NewTransport()
	tr.DialContext = func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			_, _ = io.WriteString(theirs, said)
		}()
		return unwritable{ours, broken}, nil
	}
	if got, err := asked(t.Context(), tr); !errors.Is(err, broken) {
		t.Errorf("%q, %v", got, err)
	}
}

type unwritable struct {
	net.Conn
	err error
}

func (u unwritable) Write([]byte) (int, error) { return 0, u.err }

func TestAConnectionThatMadeRoomIsForgotten(t *testing.T) {
	dials := map[string]int{}
	tr := NewTransport()
	tr.DialContext = func(_ context.Context, _, address string) (net.Conn, error) {
		dials[address]++
		ours, theirs := net.Pipe()
		go answering(theirs, said)
		return ours, nil
	}
	defer tr.CloseIdleConnections()
	tr.Limit(2)
	request := func(host string) io.ReadCloser {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+"/", nil)
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		return resp.Body
	}
	whole := func(host string) {
		body := request(host)
		defer body.Close()
		if _, err := io.ReadAll(body); err != nil {
			t.Fatal(err)
		}
	}
	whole("a")
	b, c := request("b"), request("c") // in the place of the idle one
	b.Close()
	c.Close()
	whole("a")
	whole("a")
	if dials["a:80"] != 2 {
		t.Errorf("%d connections, want 2: one is kept again", dials["a:80"])
	}
}

func TestAHeaderWithoutEndIsAnError(t *testing.T) {
	tr, _ := peer(t, func(_ int, c net.Conn) {
		defer c.Close()
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n")
		for err == nil {
			_, err = io.WriteString(c, "X-More: and more\r\n")
		}
	})
	if _, err := asked(t.Context(), tr); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("%v", err)
	}
}

func TestTheEndOfTheContextEndsARequest(t *testing.T) {
	for name, answer := range map[string]string{"before the answer": "", "in its header": "HTTP/1.1 200", "in its body": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan struct{})
				tr, _ := peer(t, func(_ int, c net.Conn) {
					defer close(ended)
					r := bufio.NewReader(c)
					if _, err := http.ReadRequest(r); err == nil {
						_, _ = io.WriteString(c, answer)
					}
					_, _ = io.Copy(io.Discard, r) // until the other end is closed
				})
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				if _, err := asked(ctx, tr); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
					t.Errorf("%v after %v", err, time.Since(start))
				}
				<-ended
			})
		})
	}
}

func TestNoMoreConnectionsAreOpenThanAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		open, most := 0, 0
		count := func(n int) {
			mu.Lock()
			defer mu.Unlock()
			open += n
			most = max(most, open)
		}
		tr := NewTransport()
		tr.DialContext = func(context.Context, string, string) (net.Conn, error) {
			count(1)
			ours, theirs := net.Pipe()
			go answering(slowly{theirs}, said)
			return counted{ours, func() { count(-1) }}, nil
		}
		defer tr.CloseIdleConnections()
		tr.Limit(3)
		for range 3 {
			var asking sync.WaitGroup
			for i := range 10 {
				asking.Go(func() {
					req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://dragon-%d/", i), nil)
					resp, err := tr.RoundTrip(req)
					if err != nil {
						t.Error(err)
						return
					}
					if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "hi" {
						t.Errorf("%q %v", b, err)
					}
				})
			}
			asking.Wait()
			synctest.Wait()
		}
		if most > 3 {
			t.Errorf("%d connections at once", most)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for range 3 {
			tr.open <- struct{}{} // all taken, none idle
		}
		if _, err := asked(ctx, tr); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
}

type counted struct {
	net.Conn
	closed func()
}

func (c counted) Close() error {
	c.closed()
	return c.Conn.Close()
}

// slowly takes a second for what it says.
type slowly struct{ net.Conn }

func (s slowly) Write(b []byte) (int, error) {
	time.Sleep(time.Second)
	return s.Conn.Write(b)
}
