package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/discovery"
	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/firmware"
	"github.com/brndnmtthws/mother-of-dragons/internal/notify"
)

// kind is how one type of value is written: in the file, after a flag, in the reference and
// in the schema.
type kind struct {
	name   string // in the reference, such as duration
	wants  string // in errors, such as: a duration like 90s, 15m or 6h
	parse  func(text string) (any, error)
	show   func(v any) string // as the file has it
	schema schema
}

type schema = map[string]any

func kindOf[T any](name, wants string, parse func(string) (T, error), show func(T) string, s schema) *kind {
	return &kind{
		name: name, wants: wants, schema: s,
		parse: func(text string) (any, error) { return parse(text) },
		show:  func(v any) string { return show(v.(T)) },
	}
}

// kinds has one kind for each type that a value may have. A row of the settings may name
// another.
var kinds = func() map[reflect.Type]*kind {
	pattern := func(p string) schema { return schema{"type": "string", "pattern": p} }
	// YAML may take an unquoted string for a number or a boolean.
	anything := schema{"type": []string{"string", "number", "boolean"}}
	step := choice("restart", "reboot")
	same := func(s string) string { return s }
	return map[reflect.Type]*kind{
		reflect.TypeFor[string](): kindOf("string", "a string", Text, same, anything),
		reflect.TypeFor[dragon.Secret](): kindOf("string", "a string", func(s string) (dragon.Secret, error) { return dragon.Secret(s), nil },
			dragon.Secret.String, anything),
		reflect.TypeFor[hookURL](): kindOf("URL", "a URL like https://hooks.example.net/dragons", func(s string) (hookURL, error) { return hookURL(s), nil },
			hookURL.String, anything),
		reflect.TypeFor[bool]():    kindOf("boolean", "true or false", parseBool, strconv.FormatBool, schema{"type": "boolean"}),
		reflect.TypeFor[int]():     kindOf("integer", "an integer", parseInt, strconv.Itoa, schema{"type": "integer"}),
		reflect.TypeFor[float64](): kindOf("number", "a number", parseNumber, showNumber, schema{"type": "number"}),
		reflect.TypeFor[uint16](): kindOf("port", "a port", parsePort, func(n uint16) string { return strconv.Itoa(int(n)) },
			schema{"type": "integer", "minimum": 1, "maximum": 65535}),
		reflect.TypeFor[time.Duration](): duration(ParseDuration),
		reflect.TypeFor[healer.Ratio](): kindOf("share", "a share like 20% or 0.2", parseRatio, showRatio,
			either(schema{"type": "number", "minimum": 0, "maximum": 1}, pattern(`^[0-9.]+ ?%?$`))),
		reflect.TypeFor[netip.Prefix](): kindOf("network", "a network like 192.0.2.0/24", discovery.ParseCIDR, netip.Prefix.String,
			pattern(`^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+/[0-9]+$`)),
		reflect.TypeFor[discovery.Range](): kindOf("address, range or network", "an address like 192.0.2.1, 192.0.2.10-192.0.2.99 or 192.0.2.64/28",
			discovery.ParseRange, discovery.Range.String, pattern(`^[0-9.]+(/[0-9]+| ?- ?[0-9.]+)?$`)),
		reflect.TypeFor[discovery.PortRange](): kindOf("port or range", "a port like 80 or 8101-8120", discovery.ParsePorts, discovery.PortRange.String,
			either(schema{"type": "integer", "minimum": 1, "maximum": 65535}, pattern(`^[0-9]+( ?- ?[0-9]+)?$`))),
		reflect.TypeFor[firmware.Host](): kindOf("host", "a host like files.example.com:8080", firmware.ParseHost, firmware.Host.String, anything),
		reflect.TypeFor[healer.Mode]():   choice(healer.Observe, healer.Enforce),
		reflect.TypeFor[notify.Kind]():   choice(notify.Kinds()...),
		reflect.TypeFor[healer.Kind](): kindOf(step.name, step.wants, func(s string) (healer.Kind, error) {
			_, err := step.parse(s)
			return map[string]healer.Kind{"restart": healer.Restart, "reboot": healer.Reboot}[s], err
		}, func(k healer.Kind) string {
			return map[healer.Kind]string{healer.Restart: "restart", healer.Reboot: "reboot"}[k]
		}, step.schema),
	}
}()

func either(schemas ...schema) schema { return schema{"anyOf": schemas} }

func duration(parse func(string) (time.Duration, error)) *kind {
	return kindOf("duration", "a duration like 90s, 15m or 6h", parse, Span, either(schema{"type": "number", "minimum": 0},
		schema{"type": "string", "pattern": `^([0-9.]+|([0-9.]+(ns|us|µs|ms|s|m|h))+)$`}))
}

// interval is a duration that is not zero.
var interval = duration(ParseInterval)

// hashrate is a number that is written with its unit.
var hashrate = kindOf("hash rate", "a hash rate like 14.7 TH/s", ParseHashrate, func(v float64) string {
	if v == 0 {
		return "0"
	}
	return strconv.FormatFloat(v/1e9, 'g', -1, 64) + " GH/s"
}, either(schema{"type": "string", "pattern": `^[0-9.]+ ?([kMGTP]?H|k?Sol)/s$`}, schema{"const": 0}))

// statsdPrefix is a string that leaves a statsd line a name, a value and a type.
var statsdPrefix = kindOf("string", "a string", func(s string) (string, error) {
	const longest = 100
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-+/", r)
	}
	if len(s) > longest || strings.ContainsFunc(s, odd) {
		return "", fmt.Errorf("invalid value %s: want at most %d letters, digits and ._-+/", shown(s), longest)
	}
	return s, nil
}, func(s string) string { return s }, schema{"type": []string{"string", "number", "boolean"}})

// network is a range that is not a single address, which is probably a typing error.
var network = kindOf("network or range", "a network like 192.0.2.0/24 or 192.0.2.10-192.0.2.99", func(s string) (discovery.Range, error) {
	n, err := discovery.ParseNetwork(s)
	if err == nil && len(n.Ports) > 0 {
		err = fmt.Errorf("network %s has ports; they belong to the key ports", shown(s))
	}
	return n.Range, err
}, discovery.Range.String, schema{"type": "string", "pattern": `^[0-9.]+(/[0-9]+| ?- ?[0-9.]+)$`})

// choice is one of a few words.
func choice[T ~string](words ...T) *kind {
	var names []string
	for _, w := range words {
		names = append(names, string(w))
	}
	last := len(names) - 1
	list := strings.Join(names[:last], ", ") + " or " + names[last]
	parse := func(s string) (T, error) {
		name, err := Choice(names...)(s)
		return T(name), err
	}
	return kindOf(list, list, parse, func(word T) string { return string(word) }, schema{"enum": names})
}

func parseBool(s string) (bool, error) {
	if s != "true" && s != "false" {
		return false, fmt.Errorf("%s is neither true nor false", shown(s))
	}
	return s == "true", nil
}

func parseInt(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fmt.Errorf("%s is not an integer", shown(s))
	}
	return n, nil
}

func parseNumber(s string) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || v-v != 0 {
		return 0, fmt.Errorf("%s is not a number", shown(s))
	}
	return v, nil
}

func showNumber(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func parseRatio(s string) (r healer.Ratio, err error) {
	err = r.UnmarshalText([]byte(s))
	return r, err
}

func showRatio(r healer.Ratio) string {
	percent := strconv.FormatFloat(float64(r)*100, 'g', 6, 64) + "%"
	if again, err := parseRatio(percent); err != nil || again != r {
		return showNumber(float64(r))
	}
	return percent
}

// isScalar reports whether a value of this type is written as a single word.
func isScalar(t reflect.Type) bool { return kinds[t] != nil }

// kindAt is the kind of the value at a path, which need not be a key of the table.
func kindAt(path string, t reflect.Type) *kind {
	if row := rowAt(path); row != nil && row.as != nil {
		return row.as
	}
	return kinds[t]
}

func assign(text, path string, v reflect.Value) error {
	parsed, err := kindAt(path, v.Type()).parse(text)
	if err == nil {
		v.Set(reflect.ValueOf(parsed))
	}
	return err
}

// show writes the value at a path as the file has it.
func show(path string, v reflect.Value) string { return kindAt(path, v.Type()).show(v.Interface()) }

// outOfRange says what is wrong with a value that has a range; empty if nothing is.
func (s *setting) outOfRange(v reflect.Value) string {
	if s.from == "" {
		return ""
	}
	k := cmp.Or(s.as, kinds[v.Type()])
	value := quantity(v)
	if bound(k, s.from) <= value && (s.to == "" || value <= bound(k, s.to)) {
		return ""
	}
	return fmt.Sprintf("invalid value %s: want %s", k.show(v.Interface()), s.limits())
}

func (s *setting) limits() string {
	if s.to == "" {
		return s.from + " or more"
	}
	return s.from + " to " + s.to
}

func bound(k *kind, text string) float64 {
	v, _ := k.parse(text) // a test reads every bound
	return quantity(reflect.ValueOf(v))
}

func quantity(v reflect.Value) float64 {
	switch {
	case v.CanInt():
		return float64(v.Int())
	case v.CanUint():
		return float64(v.Uint())
	}
	return v.Float()
}

// Choice parses one of a few words.
func Choice(words ...string) func(string) (string, error) {
	return func(s string) (string, error) {
		if slices.Contains(words, s) {
			return s, nil
		}
		return "", fmt.Errorf("invalid value %s: want one of %s", shown(s), strings.Join(words, ", "))
	}
}
