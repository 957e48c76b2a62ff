package etcdtest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// History is every record of a dragon that instances have ever committed to a shared state.
type History struct {
	client *clientv3.Client
	prefix string
	stop   func()

	mu      sync.Mutex
	seen    int64                               // revision of the latest record that was taken
	actions map[string]map[string]healer.Action // by MAC and ID, as it was committed last
	wrong   []string
}

// Write is a write that a dragon has received, by the dragon's clock.
type Write struct {
	MAC string
	At  time.Time
}

// recordHeader is what the store puts before a record.
const recordHeader = 16

// Record begins to record what is committed below a prefix, until the test ends.
func (c *Cluster) Record(prefix string) *History {
	c.t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: c.Endpoints(), Logger: zap.NewNop()})
	must(c.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	h := &History{client: client, prefix: prefix + "state/dragon/", actions: make(map[string]map[string]healer.Action)}
	watch := client.Watch(ctx, h.prefix, clientv3.WithPrefix(), clientv3.WithRev(1))
	var wait sync.WaitGroup
	wait.Go(func() {
		for r := range watch {
			for _, e := range r.Events {
				if e.Type == clientv3.EventTypePut {
					h.take(strings.TrimPrefix(string(e.Kv.Key), h.prefix), e.Kv.Value, e.Kv.ModRevision)
				}
			}
		}
	})
	h.stop = sync.OnceFunc(func() {
		cancel()
		_ = client.Close()
		wait.Wait()
	})
	c.t.Cleanup(h.stop)
	return h
}

func (h *History) take(mac string, value []byte, revision int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = revision
	var r struct{ Actions []healer.Action }
	if len(value) < recordHeader || json.Unmarshal(value[recordHeader:], &r) != nil {
		h.wrong = append(h.wrong, "unreadable record of "+mac)
		return
	}
	if h.actions[mac] == nil {
		h.actions[mac] = make(map[string]healer.Action)
	}
	for _, a := range r.Actions {
		if was, there := h.actions[mac][a.ID]; there && !was.Wall.Equal(a.Wall) {
			h.wrong = append(h.wrong, fmt.Sprintf("%s: the ID %s was used twice", mac, a.ID))
		}
		h.actions[mac][a.ID] = a
	}
}

// Intents is the number of intents for a dragon.
func (h *History) Intents(mac string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.actions[mac])
}

// catchUp waits until the watch has delivered all that is committed by now: on a busy
// machine a dragon receives a write before this test hears of its intent.
func (h *History) catchUp(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := h.client.Get(ctx, h.prefix, clientv3.WithPrefix())
	if err != nil {
		t.Errorf("what is committed cannot be read: %v", err)
		return
	}
	var newest int64
	for _, kv := range r.Kvs {
		newest = max(newest, kv.ModRevision)
	}
	for {
		h.mu.Lock()
		seen := h.seen
		h.mu.Unlock()
		if seen >= newest {
			return
		}
		select {
		case <-ctx.Done():
			t.Errorf("the watch stands at revision %d, want %d", seen, newest)
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Check holds what dragons have received against what was committed: each write has an
// intent of its own, nothing that was accepted is missing, and all instances together keep
// within the budgets of one healer, of perHour writes in an hour.
func (h *History) Check(t testing.TB, writes []Write, perHour int) {
	t.Helper()
	h.catchUp(t)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.wrong {
		t.Error(w)
	}
	writes = slices.SortedFunc(slices.Values(writes), func(a, b Write) int { return a.At.Compare(b.At) })
	received := make(map[string]int)
	for i, w := range writes {
		received[w.MAC]++
		hour := 0
		for _, x := range writes[:i+1] {
			age := w.At.Sub(x.At)
			if age < 45*time.Minute { // what the dragon's clock says is later than the intent
				hour++
			}
			if x.MAC == w.MAC && x.At != w.At && age < 8*time.Minute {
				t.Errorf("%s received two writes within %s", w.MAC, age)
			}
		}
		if hour > perHour {
			t.Errorf("%d writes within an hour, want at most %d", hour, perHour)
		}
	}
	for mac, n := range received {
		if h.actions[mac] == nil && n > 0 {
			t.Errorf("%s received %d writes without an intent", mac, n)
		}
	}
	for mac, actions := range h.actions {
		sent, accepted := 0, 0
		for _, a := range actions {
			if a.Result != healer.NotSent {
				sent++
			}
			if a.Result == healer.Accepted {
				accepted++
			}
		}
		if n := received[mac]; n > sent || n < accepted {
			t.Errorf("%s received %d writes, want %d to %d by the intents %v", mac, n, accepted, sent, slices.Sorted(maps.Keys(actions)))
		}
	}
}
