package web

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/internal/installed"
)

// browser is a Chromium without a window, spoken to in its own protocol over a pipe.
type browser struct {
	t  *testing.T
	in io.Writer

	mu      sync.Mutex
	last    int
	answers map[int]chan spoken
	tabs    map[string]*tab // by session
}

// spoken is a message of the browser: the answer to a call, or an event.
type spoken struct {
	ID      int             `json:"id"`
	Session string          `json:"sessionId"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
	Result  json.RawMessage `json:"result"`
	Error   *struct{ Message string }
}

// tab is a page that is open in the browser.
type tab struct {
	*browser
	target  string
	session string
	loaded  chan struct{}

	mu       sync.Mutex
	problems []string // that the browser had with the page: in the console, of security, of scripts
}

// newBrowser starts a browser, which ends with the test. Without Chromium the test
// is skipped, but not in CI, which installs it.
func newBrowser(t *testing.T, flags ...string) *browser {
	t.Helper()
	if testing.Short() {
		t.Skip("a browser takes its time")
	}
	path := installed.Tool(t, "chromium", "chromium")
	ours, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	said, saying, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := exec.CommandContext(ctx, path, append(flags, "--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--user-data-dir="+t.TempDir())...)
	cmd.ExtraFiles = []*os.File{ours, saying} // what the browser reads, and what it writes
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ours.Close()
	saying.Close()
	b := &browser{t: t, in: theirs, answers: make(map[int]chan spoken), tabs: make(map[string]*tab)}
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		b.listen(said)
	}()
	t.Cleanup(func() {
		_, _ = theirs.WriteString(`{"id":0,"method":"Browser.close"}` + "\x00") // it has children, who end with it
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = cmd.Wait()
		}()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			cancel()
			<-ended
		}
		cancel()
		theirs.Close()
		<-heard
		said.Close()
	})
	return b
}

func (b *browser) listen(said io.Reader) {
	r := bufio.NewReader(said)
	for {
		line, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m spoken
		if json.Unmarshal(line[:len(line)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		answer, tab := b.answers[m.ID], b.tabs[m.Session]
		delete(b.answers, m.ID)
		b.mu.Unlock()
		switch {
		case answer != nil:
			answer <- m
		case tab != nil:
			tab.heard(m)
		}
	}
}

// call asks the browser for something and reads the answer into result, unless that is nil.
func (b *browser) call(session, method string, params, result any) {
	b.t.Helper()
	answer := make(chan spoken, 1)
	b.mu.Lock()
	b.last++
	data, err := json.Marshal(map[string]any{"id": b.last, "method": method, "params": params})
	if session != "" && err == nil {
		data, err = json.Marshal(map[string]any{"id": b.last, "method": method, "params": params, "sessionId": session})
	}
	b.answers[b.last] = answer
	if err == nil {
		_, err = b.in.Write(append(data, 0))
	}
	b.mu.Unlock()
	if err != nil {
		b.t.Fatal(err)
	}
	select {
	case m := <-answer:
		if m.Error != nil {
			b.t.Fatalf("the browser on %s: %s", method, m.Error.Message)
		}
		if result != nil {
			err = json.Unmarshal(m.Result, result)
		}
	case <-time.After(time.Minute):
		err = errors.New("no answer within a minute")
	}
	if err != nil {
		b.t.Fatalf("the browser on %s: %v", method, err)
	}
}

// open makes a tab of a size, light or dark.
func (b *browser) open(width, height int, scheme string) *tab {
	b.t.Helper()
	var target struct{ TargetID string }
	b.call("", "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	p := &tab{browser: b, target: target.TargetID, session: attached.SessionID, loaded: make(chan struct{}, 1)}
	b.mu.Lock()
	b.tabs[p.session] = p
	b.mu.Unlock()
	for _, what := range []string{"Page.enable", "Runtime.enable", "Log.enable"} {
		p.do(what, nil, nil)
	}
	p.do("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700}, nil)
	p.do("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	return p
}

func (p *tab) close() {
	p.t.Helper()
	p.call("", "Target.closeTarget", map[string]any{"targetId": p.target}, nil)
}

func (p *tab) do(method string, params, result any) {
	p.t.Helper()
	if params == nil {
		params = struct{}{}
	}
	p.call(p.session, method, params, result)
}

func (p *tab) heard(m spoken) {
	switch m.Method {
	case "Page.loadEventFired":
		select {
		case p.loaded <- struct{}{}:
		default:
		}
		return
	case "Log.entryAdded":
		var e struct {
			Entry struct{ Level, Text, URL string }
		}
		if json.Unmarshal(m.Params, &e) == nil && e.Entry.Level != "error" && e.Entry.Level != "warning" {
			return
		}
	case "Runtime.consoleAPICalled", "Runtime.exceptionThrown":
	default:
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.problems = append(p.problems, fmt.Sprintf("%s: %s", m.Method, m.Params))
}

// visit opens an address and waits until it is there.
func (p *tab) visit(url string) {
	p.t.Helper()
	p.leave(func() { p.do("Page.navigate", map[string]any{"url": url}, nil) })
}

// follow runs a script that leads to another page, and waits until that is there.
func (p *tab) follow(script string) {
	p.t.Helper()
	p.leave(func() { p.do("Runtime.evaluate", map[string]any{"expression": script}, nil) })
}

func (p *tab) leave(how func()) {
	p.t.Helper()
	select {
	case <-p.loaded:
	default:
	}
	how()
	select {
	case <-p.loaded:
	case <-time.After(time.Minute):
		p.t.Fatal("no page loads")
	}
}

// eval runs a script in the page and reads what it gives into result.
func (p *tab) eval(script string, result any) {
	p.t.Helper()
	var answer struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	p.do("Runtime.evaluate", map[string]any{"expression": script, "returnByValue": true, "awaitPromise": true}, &answer)
	if answer.ExceptionDetails != nil {
		p.t.Fatalf("%s: %s", script, answer.ExceptionDetails)
	}
	if err := json.Unmarshal(answer.Result.Value, result); err != nil {
		p.t.Fatalf("%s: %v", script, err)
	}
}

// picture takes a picture of what is seen, as PNG.
func (p *tab) picture() []byte {
	p.t.Helper()
	var shot struct{ Data string }
	p.do("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	data, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		p.t.Fatal(err)
	}
	return data
}

func (p *tab) trouble() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.problems
}
