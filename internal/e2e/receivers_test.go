package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/brndnmtthws/mother-of-dragons/internal/installed"
)

// inbox keeps what receivers were sent: the bodies by path, mail at /mail.
type inbox struct {
	mu   sync.Mutex
	sent map[string]string
}

func (b *inbox) add(path, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent[path] += text + "\n"
}

func (b *inbox) all() map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.sent)
}

// ServeHTTP answers as Telegram does, which is good enough for the others.
func (b *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	b.add(r.URL.Path, string(body))
	w.Header().Set("Content-Type", "application/json")
	if strings.HasPrefix(r.URL.Path, "/v2/") {
		w.WriteHeader(http.StatusAccepted)
	}
	fmt.Fprint(w, `{"ok":true,"result":{"message_id":1,"date":1,"chat":{"id":1,"type":"group"}}}`)
}

// mail takes mails until the listener is closed.
func (b *inbox) mail(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		c := textproto.NewConn(conn)
		_ = c.PrintfLine("220 mail.test ESMTP")
		for {
			line, err := c.ReadLine()
			if err != nil {
				break
			}
			switch verb := strings.ToUpper(strings.Fields(line + " .")[0]); verb {
			case "DATA":
				_ = c.PrintfLine("354 go on")
				text, _ := io.ReadAll(quotedprintable.NewReader(c.DotReader()))
				b.add("/mail", string(text))
				_ = c.PrintfLine("250 taken")
			case "QUIT":
				_ = c.PrintfLine("221 bye")
			default:
				_ = c.PrintfLine("250 mail.test")
			}
		}
		c.Close()
	}
}

// receiversOfTheExample is the example for Alertmanager with one route to all its receivers, which are here.
func receiversOfTheExample(t *testing.T, url, smarthost string) string {
	t.Helper()
	data, err := os.ReadFile("../../examples/alertmanager.yml")
	if err != nil {
		t.Fatal(err)
	}
	var example map[string]any
	if err := yaml.Unmarshal(data, &example); err != nil {
		t.Fatal(err)
	}
	here := map[string]map[string]any{
		"telegram_configs":  {"api_url": url},
		"slack_configs":     {"api_url": url + "/slack", "api_url_file": nil},
		"pagerduty_configs": {"url": url + "/v2/enqueue"},
		"email_configs":     {"smarthost": smarthost, "require_tls": false, "auth_username": nil, "auth_password_file": nil},
	}
	all := map[string]any{"name": "all"}
	for _, r := range example["receivers"].([]any) {
		for kind, list := range r.(map[string]any) {
			change, known := here[kind]
			if kind == "name" {
				continue
			}
			if !known {
				t.Fatalf("no test for the receiver %s", kind)
			}
			one := list.([]any)[0].(map[string]any)
			for key, value := range change {
				if one[key] = value; value == nil {
					delete(one, key)
				}
			}
			all[kind] = list
		}
	}
	if len(all) != 1+len(here) {
		t.Fatalf("the example has %v", all)
	}
	template, err := filepath.Abs("../../examples/alertmanager.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	config, err := yaml.Marshal(map[string]any{
		"templates": []string{template}, "receivers": []any{all},
		"route": map[string]any{"receiver": "all", "group_by": []string{"alertname", "site"}, "group_wait": "100ms"},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "alertmanager.yml")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestTheReceiversOfTheExample has a real Alertmanager send an alert with a hostile text to all
// receivers of the example.
func TestTheReceiversOfTheExample(t *testing.T) {
	t.Parallel()
	program := installed.Tool(t, "prometheus-alertmanager", "prometheus-alertmanager")
	b := &inbox{sent: make(map[string]string)}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go b.mail(l)
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	spawn(t, nil, program, "--config.file="+receiversOfTheExample(t, server.URL, l.Addr().String()), "--storage.path="+t.TempDir(),
		"--web.listen-address="+address, "--cluster.listen-address=")
	alert, err := json.Marshal([]any{map[string]any{
		"labels": map[string]string{"alertname": "BoardDead", "severity": "warning", "worker": "dragon-4500e3ab", "site": "hall-a"},
		"annotations": map[string]string{
			"summary": "A hash board is not alive.", "description": "Board 1 of dragon-4500e3ab <!channel> reseat the cables.",
			"dashboard_url": "http://grafana.test/d/mother-dragon", "runbook_url": "http://runbooks.test/BoardDead.md",
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "Alertmanager takes the alert", func() bool {
		resp, err := http.Post("http://"+address+"/api/v2/alerts", "application/json", bytes.NewReader(alert))
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	title, waits := "1 firing: BoardDead at hall-a", "this can wait for the morning"
	want := map[string][]string{
		"/bot123456:the-token-of-your-bot/sendMessage": {title, waits, `&lt;!channel&gt;`, `\"http://runbooks.test/BoardDead.md\"`, `"parse_mode":"HTML"`},
		"/slack":      {title, waits, "dragon-4500e3ab", "!channel", "http://runbooks.test/BoardDead.md|runbook", `"color":"warning"`, "#dragons"},
		"/v2/enqueue": {title, waits, "reseat the cables", `"severity":"warning"`, `"event_action":"trigger"`},
		"/mail":       {"Subject: " + title, waits, "reseat the cables", "Do:   http://runbooks.test/BoardDead.md"},
	}
	var sent map[string]string
	defer func() {
		for path, text := range sent {
			t.Logf("%s was sent\n%s", path, plainJSON(text))
		}
	}()
	eventually(t, "each receiver has its message", func() bool {
		sent = b.all()
		return len(sent) == len(want)
	})
	for path, parts := range want {
		text := plainJSON(sent[path])
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("%s has no %s: %s", path, part, text)
			}
		}
	}
	if slack := plainJSON(sent["/slack"]); strings.Contains(slack, "<!channel>") {
		t.Errorf("a text mentions everybody: %s", slack)
	}
}

// plainJSON undoes JSON's own escapes of HTML.
func plainJSON(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString(strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(line))
	}
	return b.String()
}
