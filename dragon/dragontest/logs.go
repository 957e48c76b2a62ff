package dragontest

import (
	"fmt"
	"net/http"
	"time"
)

func (d *Dragon) getLogs(out *reply, a *request) {
	out.contentType, out.attachment = "text/plain", "miner-logs.txt"
	const lines = 200
	for i := range lines {
		out.b = d.appendLogLine(out.b, a.deviceNow.Add(time.Duration(i-lines)*5*time.Second))
	}
}

func (d *Dragon) appendLogLine(b []byte, at time.Time) []byte {
	return fmt.Appendf(b, "%s dragonMint cgminer[412]: (5s):%.2fT (avg):%.2fT h/s | A:%d  R:%d  HW:%d\n",
		at.Format("Jan _2 15:04:05"), d.model.Hashrate/1e12*(1+0.04*d.noise(uint64(at.Unix()), 12)),
		d.model.Hashrate/1e12, at.Unix()%1e6, at.Unix()%97, at.Unix()%1013)
}

// serveLogStream follows the journal and never ends: a line every five seconds
// after the newest ten.
func (d *Dragon) serveLogStream(w http.ResponseWriter, r *http.Request) {
	if !d.mayUpgrade(w, r) {
		return
	}
	h := w.Header()
	d.setDate(h)
	h.Set("Content-Type", "text/plain")
	c := http.NewResponseController(w)
	for n := -10; ; n++ {
		d.mu.Lock()
		now := d.deviceTime(d.advance())
		up := d.state.answers(d.spec.Now())
		d.mu.Unlock()
		if !up {
			abort(w)
			return
		}
		if _, err := w.Write(d.appendLogLine(nil, now.Add(time.Duration(min(n, 0))*5*time.Second))); err != nil {
			return
		}
		if n < 0 {
			continue
		}
		if err := c.Flush(); err != nil || !d.wait(r.Context(), 5*time.Second) {
			return
		}
	}
}
