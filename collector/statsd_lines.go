package collector

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/cactus/go-statsd-client/v5/statsd"

	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// lineTable is the fields of one object that the original tool sends, in its order.
type lineTable struct {
	fields map[string]int // the places of the fields by the device's names
	names  []string       // of the lines, in order; empty for a value without a line of its own
}

func newLineTable(fields ...string) *lineTable {
	t := &lineTable{fields: make(map[string]int), names: make([]string, len(fields))}
	for i, field := range fields {
		t.fields[field] = i
		if i >= headFields {
			t.names[i] = lineName.Replace(field)
		}
	}
	return t
}

// A board and a pool begin with the field that numbers them and with a status.
const headFields = 2

var (
	lineName = strings.NewReplacer(" ", "-", "%", "")

	hardwareLines = &lineTable{fields: map[string]int{"Fan duty": 0}, names: []string{"fan_duty"}}
	boardLines    = newLineTable("ID", "Status",
		"Temperature", "MHS av", "MHS 5s", "MHS 1m", "MHS 5m", "MHS 15m", "Accepted", "Rejected", "Hardware Errors", "Utility",
		"Last Share Pool", "Last Share Time", "Total MH", "Diff1 Work", "Difficulty Accepted", "Difficulty Rejected",
		"Last Share Difficulty", "Last Valid Work", "Device Hardware%", "Device Rejected%", "Device Elapsed", "Hash Rate", "Hash Rate H",
	)
	poolLines = newLineTable("POOL", "Status",
		"Getworks", "Accepted", "Rejected", "Works", "Discarded", "Stale", "Get Failures", "Remote Failures", "Last Share Time",
		"Diff1 Shares", "Difficulty Accepted", "Difficulty Rejected", "Difficulty Stale", "Last Share Difficulty", "Work Difficulty",
		"Stratum Difficulty", "Best Share", "Pool Rejected%", "Pool Stale%", "Bad Work", "Current Block Height", "Current Block Version",
	)
)

// A message is a batch of lines. The gauges, some 120 a reading, are appended here,
// because the library's client allocates for each and formats floats differently from the
// original. Other lines come from that client.
type message struct {
	statsd.Statter
	prefix  string
	oneLine bool
	text    []byte // the lines, each with a newline at its end
	units   []int  // where each line ends in text, or each pair of lines that stays together
}

func newMessage(prefix string, oneLine bool) *message {
	m := &message{prefix: prefix, oneLine: oneLine}
	m.Statter, _ = statsd.NewClientWithSender(m, prefix, 0) // fails for want of a sender only
	return m
}

// Send takes one line. It makes the message a statsd.Sender.
func (m *message) Send(line []byte) (int, error) {
	m.text = append(append(m.text, line...), '\n')
	m.units = append(m.units, len(m.text))
	return len(line), nil
}

// Close does nothing; a statsd.Sender has it.
func (m *message) Close() error { return nil }

// gauge appends a gauge with a number as the device wrote it; anything else is dropped. To
// a server a negative value is a decrement, so a line that sets the gauge to zero goes
// before it, as in the original. Both must arrive, and in this order: they stay in one
// packet.
func (m *message) gauge(path []byte, name string, raw []byte) {
	var buffer [maxNumber]byte
	value, ok := appendPython(buffer[:0], raw)
	if !ok {
		return
	}
	if negative(value) {
		m.line(path, name, zeroValue)
		if m.oneLine {
			m.units = append(m.units, len(m.text))
		}
	}
	m.line(path, name, value)
	m.units = append(m.units, len(m.text))
}

var zeroValue, oneValue = []byte{'0'}, []byte{'1'}

// negative reports whether a number as Python prints it is below zero; -0.0 is not.
func negative(value []byte) bool { return value[0] == '-' && bytes.ContainsAny(value, "123456789") }

func (m *message) line(path []byte, name string, value []byte) {
	m.text = append(m.text, path...)
	m.text = append(m.text, name...)
	m.text = append(m.text, ':')
	m.text = append(m.text, value...)
	m.text = append(m.text, "|g\n"...)
}

// summary adds the lines of one /api/summary as the device sent it. Missing values and
// values that are not numbers have no line.
func (m *message) summary(info *fleet.Info, body []byte) error {
	s, err := scanSummary(body)
	if err != nil {
		return err
	}
	m.text = slices.Grow(m.text, 8<<10)
	var path []byte
	if m.prefix != "" {
		path = append(append(path, m.prefix...), '.')
	}
	path = append(append(path, workerName(info)...), '.')
	m.rows(append(path, "hardware."...), hardwareLines, s.hardware)
	for board := range s.boards.all() {
		id, ok := pythonName(board[0])
		if !ok {
			continue
		}
		at := append(append(append(path, "dev."...), id...), '.')
		if status, ok := pythonText(board[1]); ok {
			alive := zeroValue
			if status == "Alive" {
				alive = oneValue
			}
			m.line(at, "Alive", alive)
			m.units = append(m.units, len(m.text))
		}
		m.rows(at, boardLines, board)
	}
	for pool := range s.pools.all() {
		if index, ok := pythonName(pool[0]); ok {
			m.rows(append(append(append(path, "pool."...), index...), '.'), poolLines, pool)
		}
	}
	return nil
}

func (m *message) rows(path []byte, t *lineTable, values [][]byte) {
	for i, raw := range values {
		if t.names[i] != "" && raw != nil {
			m.gauge(path, t.names[i], raw)
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

// component makes one level of a name from any text. It replaces characters that separate
// levels, values, types or tags.
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

func pythonText(raw []byte) (string, bool) {
	var s *string
	if json.Unmarshal(raw, &s) != nil || s == nil {
		return "", false
	}
	return *s, true
}

// pythonName formats a value as part of a name, as Python does. Boards and pools have
// numbers; other values are possible.
func pythonName(raw []byte) (string, bool) {
	if number, ok := appendPython(nil, raw); ok {
		return component(string(number)), true
	}
	name, ok := pythonText(raw)
	return component(name), ok && name != ""
}

// maxNumber bounds the digits of a number. No figure of a dragon has half of them.
const maxNumber = 64

// appendPython appends a JSON number as Python parses and prints it: an integer stays one,
// whatever its size, and a float is the shortest decimal with the same value. A number in
// quotes, frequent in some answers, counts as a number.
func appendPython(to, raw []byte) (number []byte, ok bool) {
	if len(raw) > 0 && raw[0] == '"' {
		text, ok := pythonText(raw)
		raw = []byte(strings.TrimSpace(text))
		if !ok || !json.Valid(raw) {
			return to, false
		}
	}
	if len(raw) == 0 || len(raw) > maxNumber || raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
		return to, false
	}
	if !bytes.ContainsAny(raw, ".eE") {
		if string(raw) == "-0" {
			raw = zeroValue
		}
		return append(to, raw...), true
	}
	v, err := strconv.ParseFloat(string(raw), 64)
	if err != nil {
		return to, false // infinite, which JSON cannot mean
	}
	return appendFloat(to, v), true
}

// appendFloat appends repr(v) in Python: 70.0, 4932258.41, 1e+16, 1e-05. v is finite.
func appendFloat(to []byte, v float64) []byte {
	if size := math.Abs(v); size >= 1e16 || size < 1e-4 && size != 0 {
		return strconv.AppendFloat(to, v, 'e', -1, 64)
	}
	begin := len(to)
	to = strconv.AppendFloat(to, v, 'f', -1, 64)
	if bytes.IndexByte(to[begin:], '.') < 0 {
		to = append(to, ".0"...)
	}
	return to
}
