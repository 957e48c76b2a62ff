package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/go-kit/log/level"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

type verdict string

const (
	isDragon     verdict = "dragon"
	isStranger   verdict = "stranger"
	isLocked     verdict = "locked"     // a dragon that accepts none of the credentials
	isUnanswered verdict = "unanswered" // no sensible answer in time
	isKnown      verdict = "known"      // a dragon that the fleet has come to know meanwhile
	isWaiting    verdict = "waiting"    // a new dragon that waits for a human: too many at once
	isDown       verdict = "down"       // a known dragon that does not answer; the fleet itself asks for it all the time
)

// How long a host is not asked again.
const (
	strangerFor = time.Hour        // not a dragon: for as long as it holds its address
	lockedFor   = 15 * time.Minute // refused credentials: a login is tried no more often
)

// answer is the result of identifying a host.
type answer struct {
	verdict verdict
	found   Found // of a dragon
	brand   dragon.Brand
	err     error // why it cannot be read; nil where the host was not asked
}

// silent reports whether the host may be a dragon that has not answered yet.
func (a *answer) silent() bool {
	return a.verdict == isUnanswered && !errors.Is(a.err, dragon.ErrRefused)
}

// ask identifies the host at an address and adds a dragon to the fleet. named: the
// operator has named it.
func (s *Scanner) ask(ctx context.Context, address string, named bool) answer {
	if !s.asking.claim(ctx, address) {
		return answer{verdict: isUnanswered}
	}
	defer s.asking.release(address)
	if s.fleet.Answered(address, s.lately()) {
		return answer{verdict: isKnown}
	}
	if v, ok := s.nonDragons.recall(address); ok {
		return answer{verdict: v}
	}

	ctx, cancel := context.WithTimeout(ctx, mostQuestions*s.cfg.IdentifyTimeout)
	defer cancel()
	client, identity, err := s.identify(ctx, address)
	switch {
	case errors.Is(err, errDown):
		return answer{verdict: isDown}
	case errors.Is(err, errBusy):
		return answer{verdict: isKnown}
	}
	a := answer{verdict: judge(err), err: err}
	if identity != nil {
		a.brand = identity.Brand
	}
	if a.verdict == isDragon {
		a.found = Found{Address: address, Identity: identity}
		a.found.Change = s.fleet.Sighted(ctx, fleet.Sighting{Address: address, Client: client, Identity: identity, Named: named})
		switch a.found.Change {
		case fleet.Refused:
			a.verdict = isStranger
		case fleet.Waits:
			a.verdict = isWaiting
		}
	}
	s.note(address, a)
	return a
}

// mostQuestions is the most requests of one identification.
const mostQuestions = 6

// note remembers, counts and logs an answer.
func (s *Scanner) note(address string, a answer) {
	if errors.Is(a.err, context.Canceled) {
		return
	}
	s.metrics.identified.WithLabelValues(string(a.verdict)).Inc()
	switch a.verdict {
	case isDragon:
		s.nonDragons.forget(address)
		s.unlock(address)
		return
	case isWaiting:
		s.unlock(address)
	case isLocked:
		if s.lock(address, a) {
			return
		}
	case isStranger:
		s.nonDragons.remember(address, a.verdict, strangerFor)
		s.unlock(address)
	case isUnanswered:
		if s.gone(address, a.err) {
			s.nonDragons.forget(address)
			s.unlock(address)
		}
	}
	level.Debug(s.cfg.Logger).Log("msg", "host is not readable", "address", address, "verdict", string(a.verdict), "err", a.err)
}

// gone reports whether no host took the connection at an address, and not because this
// host has no way there.
func (s *Scanner) gone(address string, err error) bool {
	failed, ok := errors.AsType[*net.OpError](err)
	return ok && failed.Op == "dial" && !ours(err) && !s.routeless(endpoint(address).Addr(), err)
}

// lock notes a dragon that rejects all credentials, and reports whether it logged that:
// the first time, and when the reason changes. A known dragon stays in the fleet.
func (s *Scanner) lock(address string, a answer) (said bool) {
	news := s.nonDragons.remember(address, a.verdict, lockedFor)
	if s.fleet.Lookup(address) == nil {
		var total int
		news, total = s.status.setLocked(address, a.brand, a.err)
		s.metrics.locked.Set(float64(total))
	}
	if news {
		level.Warn(s.cfg.Logger).Log("msg", "dragon refuses our credentials", "address", address, "brand", a.brand, "reason", lockedReason(a.err), "err", a.err)
		if s.cfg.OnLocked != nil {
			s.cfg.OnLocked(address, string(a.brand), string(lockedReason(a.err)))
		}
	}
	return news
}

func (s *Scanner) unlock(address string) {
	s.metrics.locked.Set(float64(s.status.unlock(address)))
}

// errDown says that a known dragon is down; the fleet retries it.
var errDown = errors.New("the dragon is down")

// identify identifies the host at an address. At the address of a known dragon it uses
// that dragon's lane and session, to spare the device a second connection and login.
func (s *Scanner) identify(ctx context.Context, address string) (client *dragon.Client, identity *dragon.Identity, err error) {
	err = errMovedAway
	for errors.Is(err, errMovedAway) { // to an address where it was seen, so it ends
		known := s.fleet.Lookup(address)
		if known == nil {
			return s.identifyNew(ctx, address)
		}
		if s.leftToFleet(address, known) {
			return nil, nil, errDown
		}
		if isBusy(known) {
			return nil, nil, errBusy
		}
		refused := isDownNow(known)
		err = known.Do(ctx, func(ctx context.Context, c *dragon.Client) (err error) {
			if s.fleet.Lookup(address) != known { // so this is a session somewhere else
				return errMovedAway
			}
			if refused {
				s.refused.remember(address, isLocked, s.loginRetry())
				identity, err = s.identifyAsOther(ctx, address)
				return err
			}
			client = c
			identity, err = identify(ctx, c)
			return err
		})
		if refused && err != nil && !errors.Is(err, errMovedAway) {
			err = errDown
		}
	}
	return client, identity, err
}

// identifyNew identifies the host at an address where no dragon is known.
func (s *Scanner) identifyNew(ctx context.Context, address string) (*dragon.Client, *dragon.Identity, error) {
	client := dragon.New(address, s.cfg.Client)
	identity, err := identify(ctx, client)
	if judge(err) == isLocked && lockedReason(err) == LockedPassword {
		if other, otherErr := s.identifyAsOther(ctx, address); otherErr == nil {
			return nil, other, nil
		}
	}
	return client, identity, err
}

// identifyAsOther identifies the host at an address with the credentials of dragons that
// may have come to it. The client is not kept: which credentials it needs is known now.
func (s *Scanner) identifyAsOther(ctx context.Context, address string) (*dragon.Identity, error) {
	if s.cfg.Others == nil {
		return nil, errDown
	}
	list := s.cfg.Others(address)
	if len(list) == 0 {
		return nil, errDown
	}
	o := s.cfg.Client
	o.Credentials, o.CredentialsFor = list, nil
	return identify(ctx, dragon.New(address, o))
}

// errMovedAway says that a dragon was sighted elsewhere while we waited for its lane.
var errMovedAway = errors.New("the dragon has moved to another address")

// leftToFleet reports whether a known dragon is down, so that the fleet retries it. The fleet
// also finds out if another host has its address now, unless that is a dragon that refuses
// its password: that one is asked here, as seldom as a login is tried.
func (s *Scanner) leftToFleet(address string, d *fleet.Dragon) bool {
	if !isDownNow(d) {
		return false
	}
	if h := d.Health(); s.cfg.Others == nil || h.Reason != "auth" || lockedReason(h.Err) != LockedPassword {
		return true
	}
	_, lately := s.refused.recall(address)
	return lately
}

func (s *Scanner) loginRetry() time.Duration { return cmp.Or(s.cfg.Client.LoginRetry, lockedFor) }

// errBusy says that a write holds a known dragon.
var errBusy = errors.New("the dragon is busy")

// isBusy reports whether a write holds a dragon, or waits for it: an upload takes minutes.
func isBusy(d *fleet.Dragon) bool { return d.Health().Busy != "" }

func isDownNow(d *fleet.Dragon) bool {
	h := d.Health()
	return !h.Up && h.Reason != ""
}

// identify is Identify with panics turned into errors, so that no answer can end the
// program.
func identify(ctx context.Context, c *dragon.Client) (id *dragon.Identity, err error) {
	defer func() {
		if p := recover(); p != nil {
			id, err = nil, fmt.Errorf("dragon %s: identification panicked: %v\n%s", c.Host(), p, debug.Stack())
		}
	}()
	return c.Identify(ctx)
}

func judge(err error) verdict {
	switch {
	case err == nil:
		return isDragon
	case errors.Is(err, dragon.ErrNotDragon):
		return isStranger
	case errors.Is(err, dragon.ErrUnauthorized):
		return isLocked
	}
	return isUnanswered
}

// claims allows one goroutine per address, to avoid a second connection to a dragon.
type claims struct {
	mu   sync.Mutex
	held map[string]chan struct{}
}

func newClaims() *claims { return &claims{held: make(map[string]chan struct{})} }

// claim waits until the address is free, and reports false where ctx ended before.
func (c *claims) claim(ctx context.Context, address string) bool {
	for {
		c.mu.Lock()
		busy, held := c.held[address]
		if !held {
			c.held[address] = make(chan struct{})
			c.mu.Unlock()
			return true
		}
		c.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return false
		}
	}
}

func (c *claims) release(address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.held[address])
	delete(c.held, address)
}

// verdicts are remembered for a while, of hosts that are not asked again until then.
type verdicts struct {
	mu    sync.Mutex
	m     map[string]memory
	swept time.Time
}

type memory struct {
	verdict verdict
	until   time.Time
}

// remembered bounds the memory; a host beyond it is asked at every scan.
const remembered = 1 << 16

func newVerdicts() *verdicts { return &verdicts{m: make(map[string]memory)} }

func (s *verdicts) remember(address string, v verdict, d time.Duration) (news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, before := time.Now(), s.m[address].verdict
	if len(s.m) >= remembered && now.Sub(s.swept) >= time.Minute {
		s.swept = now
		for a, m := range s.m {
			if !now.Before(m.until) {
				delete(s.m, a)
			}
		}
	}
	if len(s.m) < remembered {
		s.m[address] = memory{v, now.Add(d)}
	}
	return v != before
}

func (s *verdicts) recall(address string) (verdict, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.m[address]
	if !ok || !time.Now().Before(m.until) { // what was known then tells what is news
		return "", false
	}
	return m.verdict, true
}

func (s *verdicts) forget(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.m, address)
}

// forgetLocked forgets the hosts that rejected all credentials, because the credentials
// have changed.
func (s *verdicts) forgetLocked() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for a, m := range s.m {
		if m.verdict == isLocked {
			delete(s.m, a)
		}
	}
}
