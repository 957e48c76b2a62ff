package dragontest

import (
	"fmt"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// upgradeState is what the updater would say now.
type upgradeState struct {
	Status  string // IDLE, RUN, FAILURE; the reboot after a success ends every connection
	Percent int
}

// upgrading returns what the updater does now. The caller holds d.mu and has called advance.
func (d *Dragon) upgrading(now time.Time) upgradeState {
	s := &d.state
	switch {
	case !s.flashAt.IsZero():
		left := s.flashAt.Sub(now)
		return upgradeState{"RUN", int(100 - 100*left.Seconds()/max(d.spec.FlashTime.Seconds(), 1))}
	case s.imageRefused:
		return upgradeState{Status: "FAILURE"}
	}
	return upgradeState{Status: "IDLE"}
}

// serveProgress is swupdate's websocket: it answers without a login, and
// in frames as swupdate prints them, one of which is not JSON.
func (d *Dragon) serveProgress(w http.ResponseWriter, r *http.Request) {
	d.setDate(w.Header())
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // the device checks no origin
	if err != nil {
		return
	}
	defer func() { _ = conn.CloseNow() }()
	ctx := conn.CloseRead(r.Context())
	say := func(format string, args ...any) bool {
		return conn.Write(ctx, websocket.MessageText, fmt.Appendf(nil, format, args...)) == nil
	}
	d.mu.Lock()
	boots := d.state.boots
	d.mu.Unlock()
	for last := (upgradeState{}); ; {
		d.mu.Lock()
		now := d.upgrading(d.advance())
		over := d.state.boots != boots || d.state.off || d.onEndpoint(Reset, "upgrade/ws") != nil
		d.mu.Unlock()
		if over {
			return
		}
		if now != last {
			ok := true
			if now.Status != last.Status {
				ok = say("{\r\n\t\"type\": \"status\",\r\n\t\"status\": \"%s\"\r\n}\r\n", now.Status)
			}
			if ok && now.Status == "RUN" && last.Status != "RUN" {
				ok = say("{\r\n\t\"type\": \"info\",\r\n\t\"source\": WEBSERVER\r\n}\r\n") // as it stands in swupdate's source
			}
			if ok && now.Status == "RUN" {
				ok = say("{\r\n\t\"type\": \"step\",\r\n\t\"number\": \"%d\",\r\n\t\"step\": \"%d\",\r\n\t\"name\": \"%s\",\r\n\t\"percent\": \"%d\"\r\n}\r\n",
					1, 1, "rootfs.ubifs", now.Percent)
			}
			if ok && now.Status == "FAILURE" {
				ok = say("{\r\n\t\"type\": \"message\",\r\n\t\"level\": \"3\",\r\n\t\"text\": \"ERROR : Image invalid or corrupted. Not installing ...\"\r\n}\r\n")
			}
			if !ok {
				return
			}
			last = now
		}
		if !d.wait(ctx, time.Second) {
			return
		}
	}
}
