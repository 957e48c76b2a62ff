package web

import (
	"bytes"
	"flag"
	"fmt"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/healer"
)

var pictures = flag.String("pictures", "", "keep the pictures of the pages in this directory, to be looked at")

// contrast returns the texts of a page whose contrast with what is behind them is too low
// to read, by the formula of WCAG 2.
const contrast = `(() => {
	const parse = (c) => (c.match(/[\d.]+/g) || []).map(Number);
	const light = ([r, g, b]) => [r, g, b].map((x) => x / 255).map((x) => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
		.reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
	const behind = (e) => {
		for (; e; e = e.parentElement) {
			const c = parse(getComputedStyle(e).backgroundColor);
			if (c.length === 3 || c[3] === 1) return c;
		}
		return parse(getComputedStyle(document.body).backgroundColor);
	};
	const faint = new Set();
	const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (texts.nextNode()) {
		const e = texts.currentNode.parentElement, text = texts.currentNode.data.trim(), style = getComputedStyle(e);
		if (!text || !e.checkVisibility() || e.closest("option, script, style")) continue;
		const [a, b] = [light(parse(style.color)), light(behind(e))].sort((x, y) => y - x);
		const size = parseFloat(style.fontSize), large = size >= 24 || size >= 18.66 && Number(style.fontWeight) >= 700;
		const ratio = (a + 0.05) / (b + 0.05);
		if (ratio < (large ? 3 : 4.5)) faint.add(ratio.toFixed(2) + " " + e.tagName + "." + e.className + ": " + text.slice(0, 40));
	}
	return [...faint].slice(0, 10);
})()`

// A page in a real browser has nothing to complain of, is no wider than the screen, and
// is dark where that is wanted.
func TestPagesInABrowser(t *testing.T) {
	b := newBrowser(t)
	faults := map[int]dragontest.Fault{
		2: dragontest.DeadBoard, 3: dragontest.Overheat, 4: dragontest.MissingBoard, 5: dragontest.HostileLabels, 6: dragontest.NotReady, 7: dragontest.PoolDead,
	}
	c := newClinicOf(t, dragontest.FleetConfig{Count: 40, Specs: func(i int) dragontest.Spec {
		spec := hostile(i)
		if f, ok := faults[i]; ok {
			spec.Faults = []dragontest.Fault{f}
		}
		return spec
	}}, healer.Calendar{Name: "tariff-of-the-grid-operator-in-winter", Kind: healer.Curtailed, Mode: "efficient", Scope: "domain", Value: "hall-a",
		Reason: strings.Repeat("power is expensive on weekdays ", 5), Open: func(time.Time) bool { return true }},
		healer.Calendar{Name: "peak", Kind: healer.Paused, Scope: "mac", Value: "a0:b0:45:00:00:01", Reason: "nothing restarts at peak price",
			Open: func(at time.Time) bool { return at.UTC().Hour() == time.Now().UTC().Add(3*time.Hour).Hour() }})
	worker := func(i int) string { return dragon.WorkerName(c.simulated.Dragon(i).Spec().MAC) }
	for _, err := range []error{
		c.healer.Quarantine(t.Context(), worker(2), "operator", "waits for a board"),
		func() error {
			_, err := c.healer.Pause(t.Context(), healer.PauseRequest{Scope: "model", Value: "T1", Owner: "operator", Reason: "new fans"})
			return err
		}(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	c.recent = NewRecent()
	for i := range 120 {
		c.recent.Add(c.fleet.Lookup(worker(2)).Info().MAC, reading(float64(14+i%7)*1e12, float64(60+i%30), float64(i*i)), time.Now().Add(time.Duration(i-119)*3*time.Minute))
	}
	server := httptest.NewServer(c.surface(true))
	defer server.Close()

	for _, p := range []struct{ name, path string }{
		{"fleet", "/"}, {"dragon", "/dragon?worker=" + worker(2)}, {"hostile", "/dragon?worker=" + worker(1)}, {"long", "/dragon?worker=" + worker(5)},
		{"silent", "/dragon?worker=" + worker(6)}, {"healer", "/healer"}, {"rollouts", "/rollouts"}, {"configuration", "/configuration"}, {"confirm", "/confirm?do=reboot&dragon=" + worker(2)}, {"nobody", "/dragon?worker=nobody"},
		{"groups", "/fleet?group=model"}, {"history", "/healer?kind=hold&since=24h"}, {"setting", "/confirm?do=pools&dragon=" + worker(2) + "&dragon=" + worker(3)}, {"many", "/confirm?do=restart&dragon=" + worker(2) + "&dragon=" + worker(3) + "&dragon=" + worker(9)},
	} {
		for _, screen := range []struct {
			name          string
			width, height int
		}{{"desktop", 1400, 900}, {"laptop", 1280, 720}, {"window", 1010, 700}, {"tablet", 768, 1024}, {"phone", 390, 844}, {"small", 340, 640}} {
			for _, scheme := range []string{"light", "dark"} {
				common := screen.name == "desktop" && scheme == "light" || screen.name == "phone" && scheme == "dark"
				table := p.name == "fleet" || p.name == "dragon" || p.name == "healer" // what is wide
				if !common && !(table && (scheme == "light" || screen.name == "desktop")) {
					continue
				}
				t.Run(strings.Join([]string{p.name, screen.name, scheme}, "-"), func(t *testing.T) {
					tab := b.open(screen.width, screen.height, scheme)
					defer tab.close()
					tab.visit(server.URL + p.path)
					var width int
					tab.eval("document.documentElement.scrollWidth", &width)
					if width > screen.width {
						var wide []string
						tab.eval(`[...document.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().right > innerWidth && !e.closest(".scroll, .chips")).map(e => e.tagName + "." + e.className).slice(0, 5)`, &wide)
						t.Errorf("it is %d wide on a screen of %d: %v", width, screen.width, wide)
					}
					var cut []string
					tab.eval(`[...document.querySelectorAll(".scroll:has(.stack)")].filter(e => e.scrollWidth > e.clientWidth).map(e => e.innerText.slice(0, 40))`, &cut)
					if len(cut) > 0 && p.name == "healer" {
						t.Errorf("tables that are wider than the page: %q", cut)
					}
					var faint []string
					tab.eval(contrast, &faint)
					if len(faint) > 0 {
						t.Errorf("text with a contrast below 4.5 (3 where it is large): %v", faint)
					}
					data := tab.picture()
					if *pictures != "" {
						if err := os.WriteFile(filepath.Join(*pictures, p.name+"-"+screen.name+"-"+scheme+".png"), data, 0o644); err != nil {
							t.Error(err)
						}
					}
					bright, colours := looks(t, data)
					if colours < 50 {
						t.Errorf("the picture has %d colours: there is nothing on it", colours)
					}
					if dark := scheme == "dark"; dark != (bright < 0.4) {
						t.Errorf("the page is %.0f %% bright where it is to be %s", 100*bright, scheme)
					}
					expected := 0 // the browser says that the answer was 404
					if p.name == "nobody" {
						expected = 1
					}
					if problems := tab.trouble(); len(problems) != expected {
						t.Errorf("the browser complains: %v", problems)
					}
				})
			}
		}
	}

	t.Run("a refresh keeps what is chosen and where the keyboard is", func(t *testing.T) {
		tab := b.open(1400, 900, "light")
		defer tab.close()
		tab.visit(server.URL + "/")
		for _, what := range []string{`tbody input[value="` + worker(9) + `"]`, `tbody a.name[href$="` + worker(8) + `"]`, ".chips a:nth-child(2)", ".bulk button"} {
			var kept bool
			tab.eval(`(async () => {
				const find = () => document.querySelector('`+what+`'), part = find().closest("[data-live]");
				find().focus();
				if (find().type == "checkbox") find().checked = true;
				part.append("changed");
				document.dispatchEvent(new Event("visibilitychange"));
				for (const end = Date.now() + 30000; part.isConnected && Date.now() < end;) await new Promise((done) => setTimeout(done, 20));
				return !part.isConnected && document.activeElement === find() && find().checked !== false;
			})()`, &kept)
			if !kept {
				t.Errorf("%s has lost the focus or its mark", what)
			}
		}
	})

	t.Run("the keyboard reaches what the mouse does", func(t *testing.T) {
		tab := b.open(1400, 600, "light")
		defer tab.close()
		tab.visit(server.URL + "/")
		press := func(key string, modifiers int) (focused string) {
			for _, kind := range []string{"rawKeyDown", "keyUp"} {
				tab.do("Input.dispatchKeyEvent", map[string]any{"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": 9, "modifiers": modifiers}, nil)
			}
			tab.eval(`(() => {
				const e = document.activeElement, r = e.getBoundingClientRect(), head = document.querySelector(".top").getBoundingClientRect().bottom;
				const ring = getComputedStyle(e).outlineStyle != "none" ? "" : " without a ring";
				const hidden = !e.closest(".top, .skip") && (r.top < head - 1 || r.bottom > innerHeight + 1) ? " out of sight" : "";
				let cut = "";
				for (let a = e.parentElement; a && !cut; a = a.parentElement) {
					const s = getComputedStyle(a), b = a.getBoundingClientRect();
					if (/auto|scroll|hidden/.test(s.overflowX) && (r.left - 4 < b.left || r.top - 4 < b.top || r.bottom + 4 > b.bottom)) cut = " with a cut ring";
				}
				return e.tagName + ring + hidden + cut + " " + (e.name || e.textContent).trim().slice(0, 20);
			})()`, &focused)
			return focused
		}
		if first := press("Tab", 0); first != "A Skip to the content" {
			t.Errorf("the first stop is %q", first)
		}
		seen, wrong := map[string]bool{}, []string{}
		for i := range 120 {
			modifiers := 0
			if i >= 90 {
				modifiers = 8 // back, below the head
			}
			focused := press("Tab", modifiers)
			seen[strings.Fields(focused)[0]] = true
			if strings.Contains(focused, "without a ring") || strings.Contains(focused, "out of sight") || strings.Contains(focused, "cut ring") {
				wrong = append(wrong, focused)
			}
		}
		if len(wrong) > 0 || !seen["A"] || !seen["INPUT"] || !seen["SELECT"] || !seen["BUTTON"] {
			t.Errorf("%v %v", seen, wrong)
		}
	})

	t.Run("an arrow in a filter's list leaves the page as it is", func(t *testing.T) {
		tab := b.open(1400, 600, "light")
		defer tab.close()
		tab.visit(server.URL + "/")
		var chosen string
		tab.eval(`document.querySelector("form.filter").addEventListener("formdata", () => { window.sent = true; });
			window.here = true;
			document.querySelector("[name=group]").focus(); ""`, &chosen)
		for _, kind := range []string{"rawKeyDown", "keyUp"} {
			tab.do("Input.dispatchKeyEvent", map[string]any{"type": kind, "key": "ArrowDown", "code": "ArrowDown", "windowsVirtualKeyCode": 40}, nil)
		}
		tab.eval(`(window.here && !window.sent ? "" : "sent with ") + document.querySelector("[name=group]").value`, &chosen)
		if chosen != "model" {
			t.Errorf("%q", chosen)
		}
	})

	t.Run("a confirmed action is done", func(t *testing.T) {
		tab := b.open(1400, 900, "light")
		defer tab.close()
		tab.visit(server.URL + "/dragon?worker=" + worker(9))
		tab.follow(`[...document.querySelectorAll("a.button")].find(a => a.textContent == "Quarantine").click()`)
		tab.follow(`document.querySelector("[name=owner]").value = "operator";
			document.querySelector("[name=reason]").value = "it hums";
			document.querySelector("main form button").click()`)
		if d, err := c.healer.Why(worker(9)); err != nil || d.State != healer.StateQuarantined {
			var text string
			tab.eval("document.body.innerText", &text)
			t.Errorf("%v %s: %s", err, d.State, text)
		}
	})
	// Beyond longList rows the rows are laid out one by one, and must agree with the head.
	for _, width := range []int{1400, 1010, 390} {
		t.Run(fmt.Sprintf("a long table is aligned at %d", width), func(t *testing.T) {
			tab := b.open(width, 900, "light")
			defer tab.close()
			tab.visit(server.URL + "/")
			var wrong []string
			tab.eval(`(() => {
				const table = document.querySelector("table.fleet");
				table.classList.add("long");
				const lefts = (row) => [...row.cells].filter(c => c.checkVisibility()).map(c => Math.round(c.getBoundingClientRect().left)).join();
				const head = lefts(table.tHead.rows[0]);
				const rows = innerWidth > 860 ? [...table.tBodies[0].rows].slice(0, 8).map(lefts).filter(x => x != head) : [];
				return document.documentElement.scrollWidth > innerWidth ? ["too wide", ...rows] : rows;
			})()`, &wrong)
			if len(wrong) > 0 {
				t.Errorf("rows that are not below the head: %v", wrong)
			}
			if *pictures != "" {
				if err := os.WriteFile(filepath.Join(*pictures, fmt.Sprintf("long-%d.png", width)), tab.picture(), 0o644); err != nil {
					t.Error(err)
				}
			}
		})
	}

	t.Run("what a page elsewhere sends is not done", func(t *testing.T) {
		elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `<!doctype html><form method="post" action="%s/confirm">
				<input name="do" value="quarantine"><input name="dragon" value="%s"><input name="owner" value="o"><input name="reason" value="r"></form>`, server.URL, worker(10))
		}))
		defer elsewhere.Close()
		tab := b.open(1400, 900, "light")
		defer tab.close()
		tab.visit(elsewhere.URL)
		tab.follow(`document.querySelector("form").submit()`)
		var text string
		tab.eval("document.body.innerText", &text)
		if d, err := c.healer.Why(worker(10)); err != nil || d.State == healer.StateQuarantined || !strings.Contains(text, "Forbidden") {
			t.Errorf("%v %s: %s", err, d.State, text)
		}
	})

	t.Run("what is looked at stays up to date", func(t *testing.T) {
		tab := b.open(1400, 900, "light")
		defer tab.close()
		tab.visit(server.URL + "/")
		if _, err := c.healer.Pause(t.Context(), healer.PauseRequest{Scope: "fleet", Owner: "operator", Reason: "a visit"}); err != nil {
			t.Fatal(err)
		}
		var shown bool
		tab.eval(`new Promise(done => {
			document.querySelector("input[name=q]").value = "half a wor";
			const alerts = () => document.querySelector("[data-live=alerts]").textContent.includes("a visit");
			new MutationObserver(() => alerts() && done(!document.getElementById("stale").checkVisibility())).observe(document.body, { childList: true, subtree: true });
			document.dispatchEvent(new Event("visibilitychange")); // as if the user came back to it
			setTimeout(() => done(false), 20000);
		})`, &shown)
		if !shown {
			t.Error("the page does not show what is new")
		}
		var typed string
		tab.eval(`document.querySelector("input[name=q]").value`, &typed)
		if typed != "half a wor" {
			t.Errorf("the text being typed is %q now", typed)
		}
		server.CloseClientConnections()
		server.Close()
		tab.eval(`new Promise(done => {
			new MutationObserver(() => done(document.getElementById("stale").checkVisibility())).observe(document.getElementById("stale"), { attributes: true });
			document.dispatchEvent(new Event("visibilitychange"));
			setTimeout(() => done(false), 20000);
		})`, &shown)
		if !shown {
			t.Error("a page whose program has ended does not say that it is old")
		}
	})
}

// looks returns how bright a picture is, 0 to 1, and how many colours it has.
func looks(t *testing.T, data []byte) (bright float64, colours int) {
	t.Helper()
	picture, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[[3]uint32]bool)
	sum, n := 0.0, 0
	for y := picture.Bounds().Min.Y; y < picture.Bounds().Max.Y; y += 2 {
		for x := picture.Bounds().Min.X; x < picture.Bounds().Max.X; x += 2 {
			r, g, b, _ := picture.At(x, y).RGBA()
			seen[[3]uint32{r, g, b}] = true
			sum += float64(r+g+b) / 3 / 0xffff
			n++
		}
	}
	return sum / float64(n), len(seen)
}
