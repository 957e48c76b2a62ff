package dragon

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// aDragon answers like a dragon.
func aDragon(more map[string]any) *device {
	answers := map[string]any{"/": titled}
	maps.Copy(answers, more)
	return newDevice(answers)
}

func TestDragonIsIdentified(t *testing.T) {
	d := aDragon(nil)
	id, err := d.client(t, Options{}).Identify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if id.Brand != DragonMint || id.Overview.MAC != "a0:b0:45:11:22:33" {
		t.Errorf("%+v", id)
	}
	if diff := cmp.Diff([]string{"/", refused, "/api/auth", "/api/overview"}, d.asks()); diff != "" {
		t.Error(diff)
	}
}

func TestBrandIsTheTitle(t *testing.T) {
	for page, want := range map[string]Brand{
		titled:                                         DragonMint,
		"<title>InnoMiner</title>":                     InnoMiner,
		"<TITLE>\n AsicMiner \n</TITLE>":               AsicMiner,
		"<title lang=en>AsicMiner</title>":             AsicMiner,
		"<title></title>":                              "",
		"<title>dragonmint</title>":                    "",
		"<title>DragonMint firmware downloads</title>": "",
		"<p>DragonMint</p>":                            "",
		"<!-- <title>DragonMint</title> --><title>Router</title>":               "",
		"<script>var t='<title>DragonMint</title>'</script><title>Shop</title>": "",
		"<title>Router</title><title>DragonMint</title>":                        "",
		"<textarea><title>DragonMint</title></textarea>":                        "",
		"DragonMint": "",
		"":           "",
		"\xff\xfe<":  "",
	} {
		if got := readStartPage([]byte(page)).brand(); got != want {
			t.Errorf("%q: %q, want %q", page, got, want)
		}
	}
}

func TestNothingElseIsTakenForADragonNorSentAPassword(t *testing.T) {
	page := func(body string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) }
	}
	status := func(code int, body string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			io.WriteString(w, body)
		}
	}
	router := "<html><title></title>" + strings.Repeat("x", 46<<10)
	for name, d := range map[string]*device{
		"a switch":                         newDevice(map[string]any{"/": status(401, "401 Unauthorized\r\n")}),
		"a switch that knows the title":    aDragon(map[string]any{"/": status(401, titled)}),
		"a server without this method":     newDevice(map[string]any{"/": status(501, "")}),
		"a router with a page for all":     newDevice(map[string]any{"/": page(router), refused: page(router)}),
		"a page about dragons":             newDevice(map[string]any{"/": page("<title>Mining news</title><p>DragonMint InnoMiner")}),
		"a page that never ends":           newDevice(map[string]any{"/": endless}),
		"a redirect":                       newDevice(map[string]any{"/": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/home", 302) }, "/home": titled}),
		"a copy of the page":               newDevice(map[string]any{"/": titled, refused: page(titled)}),
		"another API":                      newDevice(map[string]any{"/": titled, refused: page(`{"error":"no such path"}`)}),
		"another API that asks for a name": newDevice(map[string]any{"/": titled, refused: status(401, `{"success":false}`)}),
		"an API that refuses nothing":      newDevice(map[string]any{"/": titled, refused: page(overviewT1)}),
		"a page, and no API":               newDevice(map[string]any{"/": titled, refused: status(404, "")}),
		"an endless API":                   newDevice(map[string]any{"/": titled, refused: endless}),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := d.client(t, Options{}).Identify(t.Context())
			wantKind(t, err, ErrNotDragon)
			if d.count("/api/auth") > 0 || d.count("/home") > 0 {
				t.Errorf("asked %v", d.asks())
			}
		})
	}
}

func endless(w http.ResponseWriter, _ *http.Request) {
	for {
		if _, err := w.Write([]byte(strings.Repeat("x", 32<<10))); err != nil {
			return
		}
	}
}

func TestAnAntminerWithDragonFirmwareIsNotADragon(t *testing.T) {
	for name, d := range map[string]*device{
		"by its token": aDragon(map[string]any{"/api/auth": `{"success":true,"jwt":"h.eyJpc3MiOiJBbnRNaW5lciJ9.s"}`}),
		"by its type":  aDragon(map[string]any{"/api/overview": strings.Replace(overviewT1, `"T1"`, `"Antminer S9"`, 1)}),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := d.client(t, Options{}).Identify(t.Context())
			wantKind(t, err, ErrNotDragon)
		})
	}
}

func TestAnAntminerAtADragonsAddressIsNotADragon(t *testing.T) {
	d := aDragon(map[string]any{"/api/overview": []string{overviewT1, expired, overviewT1}})
	c := d.client(t, Options{})
	if _, err := c.Identify(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.mu.Lock()
	d.answers["/api/auth"] = `{"success":true,"jwt":"h.eyJpc3MiOiJBbnRNaW5lciJ9.s"}`
	d.mu.Unlock()
	_, err := c.Identify(t.Context()) // with the dragon's token, which expires in the middle
	wantKind(t, err, ErrNotDragon)
}

func TestDragonWithAnUnknownPasswordIsADragon(t *testing.T) {
	id, err := aDragon(map[string]any{"/api/auth": loginWrong}).client(t, Options{}).Identify(t.Context())
	if e := wantKind(t, err, ErrUnauthorized); e.Endpoint != "/api/auth" {
		t.Errorf("%v: the login was refused, and nothing else is asked", err)
	}
	if id == nil || id.Brand != DragonMint || id.Overview != nil {
		t.Errorf("%+v", id)
	}
}

func TestAnAnswerThatIsBrokenMayBeADragons(t *testing.T) {
	gateway := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }
	cut := func(body string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, body)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	}
	for name, c := range map[string]struct {
		answers map[string]any
		want    error
	}{
		"a gateway error for the page":    {map[string]any{"/": gateway}, ErrBadResponse},
		"half a page":                     {map[string]any{"/": cut("<html><head>")}, ErrBadResponse},
		"half a page of something else":   {map[string]any{"/": cut("<title>Router</title>")}, ErrNotDragon},
		"a gateway error for the refusal": {map[string]any{refused: gateway}, ErrBadResponse},
		"no refusal":                      {map[string]any{refused: ""}, ErrBadResponse},
		"half a refusal":                  {map[string]any{refused: `{"success":false,"mes`}, ErrBadResponse},
		"a refusal that is cut":           {map[string]any{refused: cut(`{"success":false,"mes`)}, ErrBadResponse},
		"JSON that is none":               {map[string]any{refused: `{success}`}, ErrNotDragon},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := aDragon(c.answers).client(t, Options{}).Identify(t.Context())
			wantKind(t, err, c.want)
		})
	}
}

func TestOtherServicesAreNotDragons(t *testing.T) {
	for name, say := range map[string]string{"ssh": "SSH-2.0-OpenSSH_9.2\r\n", "noise": strings.Repeat("\x00\xff", 40<<10), "ftp": "220 welcome\r\n"} {
		t.Run(name, func(t *testing.T) {
			host := rawServer(t, func(conn net.Conn) {
				io.WriteString(conn, say)
				io.Copy(io.Discard, conn)
			})
			_, err := New(host, Options{}).Identify(t.Context())
			wantKind(t, err, ErrNotDragon)
		})
	}
}

func TestSilentHostEndsWithTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDevice(map[string]any{"/": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }})
		start := time.Now()
		_, err := New("host", Options{Transport: inMemory(t, d), Timeout: 5 * time.Second}).Identify(t.Context())
		wantKind(t, err, ErrTimeout)
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestIdentificationThatIsBrokenOffSaysNothingOfTheHost(t *testing.T) {
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	half := func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "<html>")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	for name, d := range map[string]*device{
		"before the page": aDragon(map[string]any{"/": hang}),
		"in the page":     aDragon(map[string]any{"/": half}),
		"at the refusal":  aDragon(map[string]any{refused: hang}),
		"in the refusal":  aDragon(map[string]any{refused: half}),
		"at the login":    aDragon(map[string]any{"/api/auth": hang}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				transport := inMemory(t, d)
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				_, err := New("host", Options{Transport: transport}).Identify(ctx)
				if !errors.Is(err, context.Canceled) || errors.Is(err, ErrNotDragon) || Reason(err) != "canceled" {
					t.Errorf("cancelled: %v", err)
				}
				_, err = New("host", Options{Transport: transport}).Identify(t.Context())
				wantKind(t, err, ErrTimeout)
			})
		})
	}
}
