package dragon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// updater is a device whose /upgrade/ws says some frames.
func updater(t *testing.T, say func(context.Context, *websocket.Conn)) *device {
	return newDevice(map[string]any{"/upgrade/ws": func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("it was sent a login")
		}
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.CloseNow() }()
		say(conn.CloseRead(context.Background()), conn)
	}})
}

func TestInvalidFramesAreSkipped(t *testing.T) {
	d := updater(t, func(ctx context.Context, c *websocket.Conn) {
		for _, frame := range []string{
			"{\r\n\t\"type\": \"status\",\r\n\t\"status\": \"START\"\r\n}\r\n",
			"{\r\n\t\"type\": \"info\",\r\n\t\"source\": WEBSERVER\r\n}\r\n", "", "[]", "null", "{}", `{"type":{}}`, "\x00\xff", `{"status":"RUN"`,
			`{"type":"step","number":"3","step":"2","name":"rootfs.ubifs","percent":"45"}`,
			`{"type":"step","number":3,"step":2,"percent":"4500"}`,
			`{"type":"message","level":"6","text":"a \"quoted\" line\n"}`,
		} {
			_ = c.Write(ctx, websocket.MessageText, []byte(frame))
		}
		_ = c.Write(ctx, websocket.MessageBinary, []byte(`{"type":"status","status":"BINARY"}`))
		_ = c.Write(ctx, websocket.MessageText, []byte(`{"type":"status","status":"SUCCESS"}`))
		<-ctx.Done()
	})
	var said []UpgradeProgress
	err := d.client(t, Options{}).WatchUpgrade(t.Context(), func(p UpgradeProgress) bool {
		said = append(said, p)
		return !p.Over()
	})
	want := []UpgradeProgress{
		{Type: "status", Status: "START"},
		{Type: "step", Name: "rootfs.ubifs", Step: Known(2), Steps: Known(3), Share: Known(0.45)},
		{Type: "step", Step: Known(2), Steps: Known(3)},
		{Type: "message", Text: "a \"quoted\" line\ufffd"},
		{Type: "status", Status: "SUCCESS"},
	}
	if err != nil || !reflect.DeepEqual(said, want) {
		t.Errorf("%v, said\n%+v, want\n%+v", err, said, want)
	}
}

func TestOtherServersAreNotUpdaters(t *testing.T) {
	elsewhere := newDevice(nil)
	for name, c := range map[string]struct {
		answer any
		kind   error
	}{
		"the page":         {titled, ErrBadResponse},
		"not permitted":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, ErrUnauthorized},
		"no updater":       {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, ErrBadResponse},
		"a redirect":       {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, serve(t, elsewhere), 302) }, ErrBadResponse},
		"a broken upgrade": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, ErrUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			err := newDevice(map[string]any{"/upgrade/ws": c.answer}).client(t, Options{}).WatchUpgrade(t.Context(), func(UpgradeProgress) bool { return true })
			wantKind(t, err, c.kind)
			if len(elsewhere.asked) > 0 {
				t.Error("the redirect was followed")
			}
		})
	}
}

func TestAnUpdaterThatSaysTooMuchIsLeft(t *testing.T) {
	for name, say := range map[string]func(context.Context, *websocket.Conn){
		"a frame without end": func(ctx context.Context, c *websocket.Conn) {
			_ = c.Write(ctx, websocket.MessageText, []byte(`{"type":"message","text":"`+strings.Repeat("x", maxFrame)+`"}`))
			<-ctx.Done()
		},
		"frames without end": func(ctx context.Context, c *websocket.Conn) {
			for c.Write(ctx, websocket.MessageText, []byte(`{}`)) == nil {
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := updater(t, say).client(t, Options{}).WatchUpgrade(t.Context(), func(UpgradeProgress) bool { return true })
			wantKind(t, err, ErrBadResponse)
		})
	}
}

func TestWatchingEndsWithItsContext(t *testing.T) {
	d := updater(t, func(ctx context.Context, c *websocket.Conn) {
		_ = c.Write(ctx, websocket.MessageText, []byte(`{"type":"status","status":"RUN"}`))
		<-ctx.Done()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := d.client(t, Options{}).WatchUpgrade(ctx, func(UpgradeProgress) bool { cancel(); return true })
	if !errors.Is(err, context.Canceled) {
		t.Error(fmt.Sprint(err))
	}
}

func FuzzUpgradeProgress(f *testing.F) {
	f.Add([]byte(`{"type":"step","number":"3","step":"2","name":"rootfs.ubifs","percent":"45"}`))
	f.Add([]byte("{\"type\": \"info\",\"source\": WEBSERVER}"))
	f.Fuzz(func(t *testing.T, frame []byte) {
		p, _ := upgradeProgress(frame)
		sane(t, "UpgradeProgress", reflect.ValueOf(p))
	})
}
