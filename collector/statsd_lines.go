package collector

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/cactus/go-statsd-client/v5/statsd"

	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// The fields that the original tool sends, in its order, by the device's names.
var (
	boardLines = []string{
		"Temperature", "MHS av", "MHS 5s", "MHS 1m", "MHS 5m", "MHS 15m", "Accepted", "Rejected", "Hardware Errors", "Utility",
		"Last Share Pool", "Last Share Time", "Total MH", "Diff1 Work", "Difficulty Accepted", "Difficulty Rejected",
		"Last Share Difficulty", "Last Valid Work", "Device Hardware%", "Device Rejected%", "Device Elapsed", "Hash Rate", "Hash Rate H",
	}
	poolLines = []string{
		"Getworks", "Accepted", "Rejected", "Works", "Discarded", "Stale", "Get Failures", "Remote Failures", "Last Share Time",
		"Diff1 Shares", "Difficulty Accepted", "Difficulty Rejected", "Difficulty Stale", "Last Share Difficulty", "Work Difficulty",
		"Stratum Difficulty", "Best Share", "Pool Rejected%", "Pool Stale%", "Bad Work", "Current Block Height", "Current Block Version",
	}
	lineName = strings.NewReplacer(" ", "-", "%", "")
)

// A message is the lines that one occasion makes. The library's client joins names,
// prefix and value; we collect what it would send, because packets are made of it
// later (packets), and write the values ourselves: its own gauges are whole numbers,
// or floats in another form than the original's.
type message struct {
	statsd.Statter
	oneLine bool
	lines   [][]byte
}

func newMessage(prefix string, oneLine bool) *message {
	m := &message{oneLine: oneLine}
	m.Statter, _ = statsd.NewClientWithSender(m, prefix, 0) // fails for want of a sender only
	return m
}

// Send takes one line. It makes the message a statsd.Sender.
func (m *message) Send(line []byte) (int, error) {
	m.lines = append(m.lines, bytes.Clone(line)) // it is the client's buffer
	return len(line), nil
}

// Close does nothing; a statsd.Sender has it.
func (m *message) Close() error { return nil }

// gauge sets a gauge. A bare negative value would be a decrement of it, so that the
// gauge is set to zero first, as the original's client does. Both lines must arrive,
// and in this order: they go in one packet where a packet may hold two.
func (m *message) gauge(to statsd.StatSender, name, value string) {
	number, err := strconv.ParseFloat(value, 64)
	negative := err == nil && number < 0 // -0.0 is not, to that client either
	if negative {
		_ = to.Raw(name, "0|g", 1)
	}
	_ = to.Raw(name, value+"|g", 1)
	if n := len(m.lines); negative && !m.oneLine {
		m.lines[n-2] = append(append(m.lines[n-2], '\n'), m.lines[n-1]...)
		m.lines = m.lines[:n-1]
	}
}

// summary adds the lines of one /api/summary as the device sent it. What is not
// there, or is no number, has no line.
func (m *message) summary(info *fleet.Info, body []byte) error {
	var root map[string]json.RawMessage
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&root); err != nil {
		return err
	}
	if root == nil {
		return errors.New("expected an object, got null")
	}
	worker := m.NewSubStatter(workerName(info))
	if duty, ok := pythonNumber(object(root["HARDWARE"])["Fan duty"]); ok {
		m.gauge(worker, "hardware.fan_duty", duty)
	}
	for _, board := range elements(root["DEVS"]) {
		fields := object(board)
		id, ok := pythonName(fields["ID"])
		if !ok {
			continue
		}
		dev := worker.NewSubStatter("dev." + id)
		if status, ok := pythonText(fields["Status"]); ok {
			alive := "0"
			if status == "Alive" {
				alive = "1"
			}
			m.gauge(dev, "Alive", alive)
		}
		m.fields(dev, fields, boardLines)
	}
	for _, p := range elements(root["POOLS"]) {
		fields := object(p)
		if index, ok := pythonName(fields["POOL"]); ok {
			m.fields(worker.NewSubStatter("pool."+index), fields, poolLines)
		}
	}
	return nil
}

func (m *message) fields(to statsd.StatSender, fields map[string]json.RawMessage, names []string) {
	for _, name := range names {
		if value, ok := pythonNumber(fields[name]); ok {
			m.gauge(to, lineName.Replace(name), value)
		}
	}
}

// workerName is what the names of a dragon's lines begin with.
func workerName(info *fleet.Info) string {
	return "worker." + component(info.Model) + "." + component(info.Worker)
}

// maxComponent bounds what a device or an address adds to a name, so that a gauge
// with its prefix always fits into a packet.
const maxComponent = 100

// component makes one level of a name of what may hold anything. What separates
// levels, values and types, and what servers take for tags, is replaced.
func component(s string) string {
	return strings.Map(func(r rune) rune {
		if letterOrDigit(r) || strings.ContainsRune("_-+", r) {
			return r
		}
		return '_'
	}, s[:min(len(s), maxComponent)])
}

func letterOrDigit(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// object returns the members of a JSON object, and none of another value: PHP writes an empty
// object as [].
func object(raw json.RawMessage) map[string]json.RawMessage {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return nil
	}
	return members
}

// elements returns the elements of a list, in their order. PHP writes a list that
// lost an element as an object.
func elements(raw json.RawMessage) []json.RawMessage {
	var all []json.RawMessage
	if json.Unmarshal(raw, &all) != nil {
		all = nil
		d := json.NewDecoder(bytes.NewReader(raw))
		if open, err := d.Token(); err != nil || open != json.Delim('{') {
			return nil
		}
		for d.More() && len(all) < maxItems {
			var element json.RawMessage
			if _, err := d.Token(); err != nil || d.Decode(&element) != nil {
				break
			}
			all = append(all, element)
		}
	}
	return all[:min(len(all), maxItems)]
}

func pythonText(raw json.RawMessage) (string, bool) {
	var s *string
	if json.Unmarshal(raw, &s) != nil || s == nil {
		return "", false
	}
	return *s, true
}

// pythonName is what Python puts into a name for a value. Boards and pools are numbered;
// another value is possible.
func pythonName(raw json.RawMessage) (string, bool) {
	name, ok := pythonNumber(raw)
	if !ok {
		name, ok = pythonText(raw)
	}
	return component(name), ok && name != ""
}

// maxNumber bounds the digits of a number. No figure of a dragon has half of them.
const maxNumber = 64

// pythonNumber writes a JSON number as Python prints what its parser makes of it: an
// integer stays one, whatever its size, and a float is the shortest decimal that
// means the same float. A number in quotes, which some answers are full of, counts as
// a number.
func pythonNumber(raw json.RawMessage) (string, bool) {
	literal := string(raw)
	if text, ok := pythonText(raw); ok {
		literal = strings.TrimSpace(text)
		if !json.Valid([]byte(literal)) {
			return "", false
		}
	}
	if literal == "" || len(literal) > maxNumber || !strings.ContainsRune("-0123456789", rune(literal[0])) {
		return "", false
	}
	if !strings.ContainsAny(literal, ".eE") {
		if literal == "-0" {
			return "0", true
		}
		return literal, true
	}
	v, err := strconv.ParseFloat(literal, 64)
	if err != nil {
		return "", false // infinite, which JSON cannot mean
	}
	return pythonFloat(v), true
}

// pythonFloat is repr(v) in Python: 70.0, 4932258.41, 1e+16, 1e-05.
func pythonFloat(v float64) string {
	exponential := strconv.FormatFloat(v, 'e', -1, 64)
	exponent, err := strconv.Atoi(exponential[strings.IndexByte(exponential, 'e')+1:])
	if err != nil || math.IsInf(v, 0) || math.IsNaN(v) {
		return exponential // neither comes from JSON
	}
	if exponent < -4 || exponent >= 16 {
		return exponential
	}
	plain := strconv.FormatFloat(v, 'f', -1, 64)
	if !strings.Contains(plain, ".") {
		plain += ".0"
	}
	return plain
}
