package web

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	toolkit "github.com/prometheus/exporter-toolkit/web"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
)

// rebound is the attacker's name. It resolves to the attacker's server first and to this
// program later; for the browser, the page and the program then have the same origin.
const rebound = "miners.attacker.example"

// attack sends what a rebound page may send without the browser asking anybody: with a
// made-up login, and with none.
const attack = `(async () => {
	const ask = async (method, path, headers, body) => {
		const r = await fetch(path, { method, headers, body });
		return [method + " " + path, r.status, await r.text()];
	};
	const json = { "Content-Type": "application/json" }, login = { ...json, "Authorization": "Basic " + btoa("operator:x") };
	const form = { "Content-Type": "application/x-www-form-urlencoded" };
	const pause = JSON.stringify({ scope: "fleet", reason: "r", owner: "o" });
	const reboot = JSON.stringify({ dragon: "WORKER", reason: "r", owner: "o", force: true });
	return [
		await ask("GET", "/metrics"), await ask("GET", "/api/v1/dragons"), await ask("GET", "/configuration"),
		await ask("GET", "/metrics", login), await ask("GET", "/api/v1/dragons", login),
		await ask("POST", "/api/v1/healer/pause", json, pause), await ask("POST", "/api/v1/healer/pause", login, pause),
		await ask("POST", "/api/v1/healer/reboot", json, reboot), await ask("POST", "/api/v1/healer/reboot", login, reboot),
		await ask("POST", "/confirm", { ...form, ...{ "Authorization": login.Authorization } }, "do=pause&scope=fleet&reason=r&owner=o&for=1h"),
		await ask("POST", "/-/reload"), await ask("POST", "/-/reload", login),
	];
})()`

// serveOn serves the program's pages at an address as the program does, and returns how
// to stop it.
func serveOn(t *testing.T, listener net.Listener, h http.Handler, l *Logins) {
	server := &http.Server{Handler: l.InFront(h), ReadHeaderTimeout: time.Minute}
	var serving sync.WaitGroup
	serving.Go(func() {
		_ = toolkit.Serve(listener, server, &toolkit.FlagConfig{WebConfigFile: new(string)}, slog.New(slog.DiscardHandler))
	})
	t.Cleanup(func() {
		server.Close()
		serving.Wait()
	})
}

func TestAReboundNameReachesNothing(t *testing.T) {
	b := newBrowser(t, "--host-resolver-rules=MAP "+rebound+" 127.0.0.1")
	c := newClinicOf(t, dragontest.FleetConfig{Count: 3})
	for _, withoutLogin := range []bool{false, true} {
		t.Run(fmt.Sprintf("without-login=%t", withoutLogin), func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			address := listener.Addr().String()
			_, port, _ := net.SplitHostPort(address)
			attackers := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "<!doctype html>cats")
			})}
			var serving sync.WaitGroup
			serving.Go(func() { _ = attackers.Serve(listener) })
			tab := b.open(800, 600, "light")
			defer tab.close()
			tab.visit("http://" + rebound + ":" + port + "/")
			attackers.Close() // from here on the name is the program's
			serving.Wait()
			if listener, err = net.Listen("tcp", address); err != nil {
				t.Fatal(err)
			}
			conf := config(t, "/metrics")
			conf.API = APIConfig{Fleet: c.fleet, Healer: c.healer, Admin: true, WithoutLogin: withoutLogin}
			h, err := Handler(conf)
			if err != nil {
				t.Fatal(err)
			}
			serveOn(t, listener, h, NewLogins(""))

			var answers [][]json.RawMessage
			tab.eval(strings.ReplaceAll(attack, "WORKER", c.worker), &answers)
			if len(answers) != 12 {
				t.Fatalf("%d answers: %s", len(answers), answers)
			}
			for _, a := range answers {
				if string(a[1]) != "403" || strings.Contains(string(a[2]), "dragon-") {
					t.Errorf("%s gets %s: %s", a[0], a[1], a[2])
				}
			}
			if p := c.pauses(); len(p) > 0 {
				t.Errorf("it paused the healer: %+v", p)
			}
			if n := c.simulated.Dragon(0).Truth().Boots; n != 1 {
				t.Errorf("the dragon booted %d times", n)
			}

			// The same script in a page of the program itself, to know that it could.
			tab.visit("http://" + address + "/healer")
			tab.eval(strings.ReplaceAll(attack, "WORKER", c.worker), &answers)
			p := c.pauses()
			if len(p) == 0 || p[0].Owner != agent.Unverified+"o" || c.simulated.Dragon(0).Truth().Boots < 2 && !withoutLogin {
				t.Errorf("the operator's own page could not: %s, %+v", answers, p)
			}
			for _, x := range p {
				if err := c.healer.Resume(t.Context(), x.ID, "o"); err != nil {
					t.Error(err)
				}
			}
		})
		c = newClinicOf(t, dragontest.FleetConfig{Count: 3})
	}
}
