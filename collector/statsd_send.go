package collector

import (
	"bytes"
	"context"
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/go-kit/log/level"
)

const (
	// What an Ethernet frame of 1,500 bytes leaves for data after the headers of IPv6,
	// a tunnel and UDP: a packet that is never cut.
	maxPacket = 1432

	resolveAgain = time.Minute      // a name may mean another host by then
	resolveRetry = 10 * time.Second // after a failure
)

// gathering is how long a packet waits for more lines: the dragons of a slot are read at
// about the same time.
const gathering = 250 * time.Millisecond

type packer struct{ packet []byte }

// add adds the lines of a message, and calls full with each packet that is. The packet is
// only good until full returns.
func (p *packer) add(m *message, full func(packet []byte)) {
	begin := 0
	for _, end := range m.units {
		unit := m.text[begin:end]
		begin = end
		if len(p.packet) > 0 && len(p.packet)+len(unit)-1 > maxPacket {
			p.flush(full)
		}
		p.packet = append(p.packet, unit...)
		if m.oneLine {
			p.flush(full)
		}
	}
}

// flush calls full with what has been added since the last full packet, if anything was.
func (p *packer) flush(full func(packet []byte)) {
	if n := len(p.packet); n > 0 {
		full(p.packet[:n-1]) // without the last newline
		p.packet = p.packet[:0]
	}
}

// enqueue queues a message. It never blocks: if the queue is full, the message is dropped,
// as UDP would.
func (s *Statsd) enqueue(m *message) {
	select {
	case s.queue <- m:
	default:
		s.metrics.errors.Inc()
	}
}

// send sends what is enqueued until ctx is done.
func (s *Statsd) send(ctx context.Context) {
	w := wire{Statsd: s}
	defer w.close()
	one := func(packet []byte) {
		sent, err := w.write(ctx, packet)
		if sent {
			s.metrics.lines.Add(float64(1 + bytes.Count(packet, []byte{'\n'})))
		}
		if ctx.Err() == nil {
			w.tell(err)
		}
	}
	var p packer
	var due <-chan time.Time // when what is gathered is sent, full or not
	for {
		select {
		case <-ctx.Done():
			p.flush(one) // through the connection that there is
			return
		case m := <-s.queue:
			p.add(m, one)
			if len(p.packet) > 0 && due == nil {
				due = time.After(gathering)
			}
		case <-due:
			p.flush(one)
			due = nil
		}
	}
}

// wire is the connection to the server. The library's senders do not fit: they fail if the
// name cannot be resolved at the start, and their sockets are not connected, so the kernel
// does not report a closed port.
type wire struct {
	*Statsd
	conn net.Conn  // nil while the name could not be resolved
	err  error     // why not
	due  time.Time // when to resolve it again

	down   bool // that it was said
	failed time.Time
}

// connect resolves the name. If that fails, the previous address stays.
func (w *wire) connect(ctx context.Context) {
	conn, err := w.Dial(ctx, "udp", w.Address)
	if err != nil {
		w.err, w.due = err, time.Now().Add(resolveRetry)
		return
	}
	w.close()
	w.conn, w.err, w.due = conn, nil, time.Now().Add(resolveAgain)
}

func (w *wire) close() {
	if w.conn != nil {
		_ = w.conn.Close()
	}
}

// write sends a packet. An error may belong to an earlier packet, because ICMP errors
// arrive later.
func (w *wire) write(ctx context.Context, packet []byte) (sent bool, err error) {
	if !time.Now().Before(w.due) {
		w.connect(ctx)
	}
	if w.conn == nil {
		return false, w.err
	}
	_, err = w.conn.Write(packet)
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err == nil, err
	}
	// The kernel returned an earlier error instead of sending; try again.
	_, again := w.conn.Write(packet)
	return again == nil, err
}

// tell logs that the server is down or up again. It is up after an interval without an
// error: not every packet is reported.
func (w *wire) tell(err error) {
	now := time.Now()
	if err != nil {
		w.metrics.errors.Inc()
		w.failed = now
		if !w.down {
			w.down = true
			level.Warn(w.Logger).Log("msg", "statsd unreachable, still sending", "address", w.Address, "err", err)
		}
		return
	}
	if w.down && now.Sub(w.failed) >= w.Interval {
		w.down = false
		level.Info(w.Logger).Log("msg", "statsd reachable again", "address", w.Address)
	}
}
