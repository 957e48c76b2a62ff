package notify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/template"
	"time"
)

// Message is the body of one request: the events of a few seconds. A template is given the same.
type Message struct {
	Version  int       `json:"version"` // 1
	ID       string    `json:"id"`      // the same when the message is sent again
	Instance string    `json:"instance"`
	SentAt   time.Time `json:"sent_at"` // of the first attempt
	Dropped  uint64    `json:"dropped"` // events that found no place in the queue since the last message
	Events   []Event   `json:"events"`
}

const (
	largest = 256 << 10 // bytes of a body
	most    = 100       // events of a message
)

// Template makes bodies of messages.
type Template struct{ tmpl *template.Template }

// ParseTemplate parses a Go text/template and tries it on an example. Beside the standard
// functions it has json, which writes a value as JSON, lines, which is the texts of all events in
// one line each, upper and join.
func ParseTemplate(text string) (*Template, error) {
	tmpl, err := template.New("template").Option("missingkey=error").Funcs(template.FuncMap{
		"json":  asJSON,
		"upper": func(s any) string { return strings.ToUpper(fmt.Sprint(s)) },
		"join":  strings.Join,
		"lines": lines,
	}).Parse(text)
	if err != nil {
		return nil, err
	}
	t := &Template{tmpl}
	body, err := t.body(example())
	if err == nil && len(bytes.TrimSpace(body)) == 0 {
		err = errors.New("it writes nothing for an example of a message")
	}
	return t, err
}

// MakesJSON returns an error if the example of a message does not become JSON. Its texts have
// quotes and newlines, as a device's may have.
func (t *Template) MakesJSON() error {
	body, err := t.body(example())
	if err == nil && !json.Valid(body) {
		err = fmt.Errorf("it does not write JSON, write texts with {{ json .Text }}: %.120q", body)
	}
	return err
}

func lines(m *Message) string {
	var list []string
	for i := range m.Events {
		list = append(list, m.Events[i].Text)
	}
	if m.Dropped > 0 {
		list = append(list, fmt.Sprintf("%d more were dropped", m.Dropped))
	}
	return strings.Join(list, "\n")
}

func asJSON(v any) (string, error) {
	data, err := json.Marshal(v)
	return string(data), err
}

func (t *Template) body(m *Message) ([]byte, error) {
	if t == nil {
		return json.Marshal(m)
	}
	var b bytes.Buffer
	err := t.tmpl.Execute(&limited{&b}, m)
	return b.Bytes(), err
}

// limited ends a template that writes without an end.
type limited struct{ *bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > largest {
		return 0, fmt.Errorf("the body is larger than %d bytes", largest)
	}
	return l.Buffer.Write(p)
}

// example is a message with every kind of event, and texts that break careless templates.
func example() *Message {
	m := &Message{Version: 1, ID: "example", Instance: "host-a", SentAt: time.Unix(0, 0).UTC()}
	for _, kind := range Kinds() {
		e := Event{
			Kind: kind, At: m.SentAt, Worker: "dragon-4500e3ab", MAC: "a0:b0:45:00:e3:ab", Address: "192.0.2.10", Model: "T1", Site: "hall-a",
			Place: `rack "a12"`, Reason: "dead_board", Action: "reboot", Outcome: "recovered", Actor: "healer", Note: "a \"quoted\"\nnote \\",
		}
		e.Text = e.text()
		m.Events = append(m.Events, e)
	}
	return m
}
