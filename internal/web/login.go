package web

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"math"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"

	toolkit "github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v3"
)

const (
	loginChecks  = 2               // at a time: bcrypt takes a core for 90 ms
	loginWait    = 5 * time.Second // for one of them
	freeLogins   = 10              // wrong ones from an address before it has to wait
	longestDelay = time.Minute     // after more: 1 s, 2 s, 4 s …
	loginMemory  = 15 * time.Minute
	mostLogins   = 4096 // addresses, and right logins, that are remembered
)

// Logins stands around the login check of exporter-toolkit. In front of it, it bounds what
// wrong passwords cost; behind it, it notes that a login was checked. A request that has
// an Authorization header and was not checked counts as one without a login.
type Logins struct {
	file   string // the --web.config.file; empty: there is none
	key    [32]byte
	checks chan struct{}

	mu    sync.Mutex
	right map[[sha256.Size]byte]bool   // logins that passed; they neither wait nor take a place
	wrong map[netip.Addr]*wrongAddress // by address, in IPv6 by its /64
}

type wrongAddress struct {
	count int
	until time.Time // the next try
}

// NewLogins returns the bounds for the users of a --web.config.file.
func NewLogins(file string) *Logins {
	l := &Logins{file: file, checks: make(chan struct{}, loginChecks), right: make(map[[sha256.Size]byte]bool), wrong: make(map[netip.Addr]*wrongAddress)}
	_, _ = rand.Read(l.key[:])
	return l
}

// NamesUsers reports whether the file, as it is now, has clients log in with a password.
// What else is wrong with it is for exporter-toolkit to say.
func (l *Logins) NamesUsers() bool {
	c := l.config()
	return c != nil && len(c.Users) > 0
}

// Authenticates reports whether every client has to log in or show a certificate.
func (l *Logins) Authenticates() bool {
	c := l.config()
	return c != nil && (len(c.Users) > 0 || c.TLSConfig.ClientAuth == "RequireAndVerifyClientCert")
}

func (l *Logins) config() *toolkit.Config {
	if l == nil || l.file == "" {
		return nil
	}
	var c toolkit.Config
	data, err := os.ReadFile(l.file)
	if err != nil || yaml.Unmarshal(data, &c) != nil {
		return nil
	}
	return &c
}

type attemptKey struct{}

// attempt is a request with a login that exporter-toolkit is to check.
type attempt struct {
	user   string
	passed func() // called when the check is over and the login right
	right  bool
}

// loginOf returns who has logged in: a user whose password was checked, or the owner of a
// certificate that was.
func loginOf(r *http.Request) (user string, ok bool) {
	if a, _ := r.Context().Value(attemptKey{}).(*attempt); a != nil && a.right {
		return a.user, true
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		cert := r.TLS.VerifiedChains[0][0]
		return cmp.Or(cert.Subject.CommonName, "certificate "+cert.SerialNumber.Text(16)), true
	}
	return "", false
}

// InFront returns what stands in front of exporter-toolkit's check.
func (l *Logins) InFront(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, given := r.BasicAuth()
		if !given || !l.NamesUsers() {
			next.ServeHTTP(w, r) // nothing is checked
			return
		}
		login, address := l.digest(user, password), addressKey(r.RemoteAddr)
		release := func() {}
		if !l.isRight(login) {
			wait := l.wait(address)
			if wait == 0 {
				if release = l.take(r.Context()); release == nil {
					tooMany(w, http.StatusServiceUnavailable, "too many logins at once", time.Second)
					return
				}
				wait = l.wait(address) // those that came before may have been wrong
			}
			defer release()
			if wait > 0 {
				tooMany(w, http.StatusTooManyRequests, "too many wrong logins", wait)
				return
			}
		}
		a := &attempt{user: user, passed: func() {
			release()
			l.passed(login, address)
		}}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), attemptKey{}, a)))
		if !a.right && w.Header().Get("WWW-Authenticate") != "" { // and no other refusal
			l.failed(login, address)
		}
	})
}

// Behind returns what stands behind exporter-toolkit's check: what comes here has passed it.
func (l *Logins) Behind(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a, _ := r.Context().Value(attemptKey{}).(*attempt); a != nil {
			a.right = true
			a.passed()
		}
		next.ServeHTTP(w, r)
	})
}

// take waits for one of the places in which logins are checked. It returns how to give it
// back, or nil if none becomes free in time.
func (l *Logins) take(ctx context.Context) (release func()) {
	select {
	case l.checks <- struct{}{}:
		return sync.OnceFunc(func() { <-l.checks })
	case <-time.After(loginWait):
	case <-ctx.Done():
	}
	return nil
}

func tooMany(w http.ResponseWriter, code int, text string, wait time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	http.Error(w, text+", try again later", code)
}

// digest tells logins apart without keeping a password.
func (l *Logins) digest(user, password string) (sum [sha256.Size]byte) {
	mac := hmac.New(sha256.New, l.key[:])
	mac.Write([]byte(user + ":" + password)) // a user has no colon
	mac.Sum(sum[:0])
	return sum
}

func (l *Logins) isRight(login [sha256.Size]byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.right[login]
}

// wait returns how long an address has to wait until it may try again.
func (l *Logins) wait(address netip.Addr) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w := l.wrong[address]; w != nil {
		return max(0, time.Until(w.until))
	}
	return 0
}

func (l *Logins) passed(login [sha256.Size]byte, address netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.right) >= mostLogins {
		clear(l.right)
	}
	l.right[login] = true
	delete(l.wrong, address)
}

func (l *Logins) failed(login [sha256.Size]byte, address netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.right, login)
	w := l.wrong[address]
	if w == nil || time.Since(w.until) > loginMemory {
		l.makeRoom()
		w = &wrongAddress{}
		l.wrong[address] = w
	}
	w.count++
	w.until = time.Now()
	if n := w.count - freeLogins; n >= 0 {
		w.until = w.until.Add(min(longestDelay, time.Second<<min(n, 10)))
	}
}

// makeRoom keeps the memory bounded: it drops addresses whose time is over, and if there
// are none all of them. The places bound what many addresses can cost.
func (l *Logins) makeRoom() {
	if len(l.wrong) < mostLogins {
		return
	}
	for address, w := range l.wrong {
		if time.Since(w.until) > loginMemory {
			delete(l.wrong, address)
		}
	}
	if len(l.wrong) >= mostLogins {
		clear(l.wrong)
	}
}

// addressKey is a client's address, in IPv6 its network: a client has 2^64 of those.
func addressKey(remote string) netip.Addr {
	p, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{} // a socket
	}
	address := p.Addr().Unmap().WithZone("")
	if address.Is6() {
		network, _ := address.Prefix(64)
		address = network.Addr()
	}
	return address
}
