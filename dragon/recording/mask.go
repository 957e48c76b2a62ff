package recording

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// masker gives the same stand-in for the same original throughout a recording, so
// that what belonged together still does. It works on the text of an answer, not on
// its meaning: an answer that is not JSON, or cut short, must lose its secrets too, and
// what a decoder would stumble over is what a recording is made for.
//
// What a key gives away as a secret is one wherever else it stands, so a masker that
// has seen all texts once masks each of them better.
type masker struct {
	users, macs, addresses names

	learned  map[string]string // what stands for a secret
	anywhere *regexp.Regexp    // finds the learned; nil: to be made
}

func newMasker() *masker {
	return &masker{
		users:     names{"user-%d", map[string]string{}, map[string]bool{}},
		macs:      names{"d%05x", map[string]string{}, map[string]bool{}}, // with a letter, so that it is never taken for a number
		addresses: names{"192.0.2.%d", map[string]string{}, map[string]bool{}},
		learned:   map[string]string{},
	}
}

func (m *masker) mask(s string) string {
	s = jwt.ReplaceAllString(s, masked)
	s = m.values(s)
	s = userinfo.ReplaceAllString(s, "${1}"+masked+"@")
	s = m.assignments(s)
	s = m.known(s)
	s = m.separatedMACs(s)
	s = m.hexRuns(s)
	s = m.ipv4s(s)
	return cutEnd(s)
}

const masked = "masked"

// A kind is what the key of a value says about it.
type kind int

const (
	plain kind = iota
	secret
	user
	url
	mac
)

// words tell the kind of a key; the first that is in it counts.
var words = []struct {
	kind kind
	in   *regexp.Regexp
}{
	{secret, regexp.MustCompile(`(?i)pass|pwd|secret|token|jwt|dna`)},
	{user, regexp.MustCompile(`(?i)user|worker|account|login`)},
	{url, regexp.MustCompile(`(?i)url|^pool\d`)},
	{mac, regexp.MustCompile(`(?i)^mac|mac$|ethaddr`)},
}

func kindOf(key string) kind {
	if standsIn.MatchString(key) {
		return plain
	}
	for _, w := range words {
		if w.in.MatchString(key) {
			return w.kind
		}
	}
	return plain
}

var (
	jwt = regexp.MustCompile(`eyJ[\w-]{5,}(?:\.[\w-]*)*`)

	// Quotes may be escaped, as in JSON that is a string in JSON.
	key = regexp.MustCompile(`"((?:[^"]|\\+")*?)\\*"(?:\s|\\+[nrt])*:(?:\s|\\+[nrt])*`)

	// A login may hold any character, so all before the last @ may be its.
	userinfo = regexp.MustCompile(`(:(?:\\*/){2})[^\s"<>]*@`)

	assignment = regexp.MustCompile(`(?i)((?:pass|pwd|secret|token|jwt|user|worker|account|login)[\w-]*'?[ \t]*[=:][ \t]*\\*["']?)([^\s'"&,;<>{}\[\]\\]+)`)
)

func (m *masker) values(s string) string {
	var out strings.Builder
	for {
		at := key.FindStringSubmatchIndex(s)
		if at == nil {
			return out.String() + s
		}
		out.WriteString(s[:at[1]])
		k := kindOf(s[at[2]:at[3]])
		s = s[at[1]:]
		if k != plain {
			n := m.value(&out, k, s)
			s = s[n:]
		}
	}
}

// value writes the value at the beginning of s masked, and returns its length. The
// value may be a whole tree: all in it is of the kind.
func (m *masker) value(out *strings.Builder, k kind, s string) int {
	depth := 0
	for i := 0; i < len(s); {
		quote := i
		for quote < len(s) && s[quote] == '\\' {
			quote++
		}
		switch {
		case quote < len(s) && s[quote] == '"':
			end := stringEnd(s, quote+1, quote-i)
			out.WriteString(s[i : quote+1])
			out.WriteString(m.content(k, s[quote+1:end]))
			i = end
			for i < len(s) && s[i] == '\\' {
				out.WriteByte(s[i])
				i++
			}
			if i < len(s) {
				out.WriteByte('"')
				i++
			}
		case s[i] == '{' || s[i] == '[':
			out.WriteByte(s[i])
			i++
			depth++
			continue
		case depth > 0 && strings.IndexByte(" \t\r\n\\,:", s[i]) >= 0:
			out.WriteByte(s[i])
			i++
			continue
		case depth > 0 && (s[i] == '}' || s[i] == ']'):
			out.WriteByte(s[i])
			i++
			depth--
		default:
			end := len(s)
			if n := strings.IndexAny(s[i:], " \t\r\n\\,:}]\"<&"); n >= 0 {
				end = i + n
			}
			out.WriteString(m.bare(k, s[i:end]))
			i = end
			if i < len(s) && strings.IndexByte("\"<&", s[i]) >= 0 {
				return i // no JSON any more
			}
		}
		if depth == 0 {
			return i
		}
	}
	return len(s)
}

// stringEnd returns where the content of a string ends whose opening quote has level
// backslashes before it. A string that is cut short ends with the text.
func stringEnd(s string, from, level int) int {
	backslashes := 0
	for i := from; i < len(s); i++ {
		switch s[i] {
		case '\\':
			backslashes++
			continue
		case '"':
			if level == 0 && backslashes%2 == 0 {
				return i
			}
			if level > 0 && backslashes <= level {
				return i - backslashes
			}
		}
		backslashes = 0
	}
	return len(s)
}

func (m *masker) content(k kind, s string) string {
	switch {
	case s == "" || s == "expired": // what the device says of a token is not secret
		return s
	case k == secret:
		m.learn(s, masked)
		return masked
	case k == user:
		name := m.users.standIn(s)
		m.learn(s, name)
		if i := strings.IndexAny(s, "./"); i > 0 {
			m.learn(strings.TrimRight(s[:i], `\`), name) // the account, of which the rest is a worker
		}
		return name
	case k == url:
		at := strings.LastIndexByte(s, '@')
		if at < 0 {
			return s
		}
		scheme := schemeOf.FindString(s[:at])
		login, password, _ := strings.Cut(s[len(scheme):at], ":")
		m.learn(login, masked)
		m.learn(password, masked)
		return scheme + masked + s[at:]
	}
	if address, ok := dragon.ParseMAC(s); ok { // kind mac
		return m.writtenAs(s, address)
	}
	return s
}

var schemeOf = regexp.MustCompile(`^[\w+.-]*:(?:\\*/){2}`)

// bare masks a value that is not a string. What is a number remains one.
func (m *masker) bare(k kind, s string) string {
	switch {
	case k == url || k == mac || s == "" || s == "true" || s == "false" || s == "null":
		return s
	case json.Valid([]byte(s)):
		m.learn(s, "0")
		return "0"
	}
	return m.content(k, s)
}

// assignments masks what is written as in forms and messages: user=me, password: x.
// It learns nothing from them: that may be anybody's prose.
func (m *masker) assignments(s string) string {
	return assignment.ReplaceAllStringFunc(s, func(whole string) string {
		parts := assignment.FindStringSubmatch(whole)
		if kindOf(parts[1]) == secret {
			return parts[1] + masked
		}
		return parts[1] + m.users.standIn(parts[2])
	})
}

// What is masked wherever it stands has a least length, since shorter ones, such as the
// password x, are part of every text; and bounds that only nonsense reaches.
const (
	learnable  = 6
	mostLong   = 256
	mostSecret = 64
)

var standsIn = regexp.MustCompile(`^(?:masked|user-\d+)$`)

func (m *masker) learn(s, as string) {
	s = spoken(s)
	if len(s) < learnable || len(s) > mostLong || len(m.learned) >= mostSecret || standsIn.MatchString(s) {
		return
	}
	if _, ok := m.learned[s]; !ok {
		m.learned[s] = as
		m.anywhere = nil
	}
}

var codes = regexp.MustCompile(`(?:\\+u[0-9a-fA-F]{4})+`)

// spoken is a text without case and without what JSON escapes in it, once or more often.
func spoken(s string) string {
	s = codes.ReplaceAllStringFunc(s, func(escaped string) string {
		var units []uint16
		for u := range strings.SplitSeq(strings.ReplaceAll(escaped, `\`, ""), "u") {
			if n, err := strconv.ParseUint(u, 16, 16); err == nil {
				units = append(units, uint16(n))
			}
		}
		return string(utf16.Decode(units))
	})
	return strings.ToLower(strings.ReplaceAll(s, `\`, ""))
}

// written matches a spoken text as it may be written.
func written(s string) string {
	var is strings.Builder
	for _, r := range s {
		is.WriteString(`(?:\\*` + regexp.QuoteMeta(string(r)) + `|`)
		for _, u := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&is, `\\+u%04x`, u)
		}
		is.WriteString(`)`)
	}
	return is.String()
}

func (m *masker) known(s string) string {
	text := spoken(s)
	there := func(known string) bool { return strings.Contains(text, known) }
	if !slices.ContainsFunc(slices.Collect(maps.Keys(m.learned)), there) {
		return s // which is quickly found out, and the rule
	}
	if m.anywhere == nil {
		longest := slices.SortedFunc(maps.Keys(m.learned), func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
		for i, known := range longest {
			longest[i] = written(known)
		}
		m.anywhere = regexp.MustCompile("(?i)" + strings.Join(longest, "|"))
	}
	return replace(m.anywhere, s, func(found string, before, after byte) string {
		if !number(found) {
			return cmp.Or(m.learned[spoken(found)], masked)
		}
		if number(string(before)) || number(string(after)) {
			return found // another number, which holds this one by chance
		}
		return "0"
	})
}

func number(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

var (
	separatedMAC = regexp.MustCompile(`(?i)[0-9a-f]{2}(?:[:-] ?[0-9a-f]{2}){5}|[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}`)
	hexRun       = regexp.MustCompile(`(?i)(?:dragon-)?[0-9a-f]{4,}`)
	dotted       = regexp.MustCompile(`\d{1,3}(?:\.\d{1,3}){3}`)
)

func (m *masker) separatedMACs(s string) string {
	return replace(separatedMAC, s, func(found string, before, after byte) string {
		address, ok := dragon.ParseMAC(found)
		if !ok || isHex(before) || isHex(after) {
			return found
		}
		return m.writtenAs(found, address)
	})
}

// writtenAs masks the machine's own part of a MAC and writes it as the original is:
// blanks, case and separators are among the surprises that a recording is to show.
func (m *masker) writtenAs(original, address string) string {
	digits := strings.ReplaceAll(address, ":", "")
	digits = digits[:6] + m.macs.standIn(digits[6:])
	if strings.ToUpper(original) == original {
		digits = strings.ToUpper(digits)
	}
	i := 0
	return strings.Map(func(r rune) rune {
		if !isHex(byte(r)) {
			return r
		}
		i++
		return rune(digits[i-1])
	}, original)
}

// hexRuns masks MACs without separators, and the workers' names that are made of them:
// dragon- and the last eight digits, once the last five.
func (m *masker) hexRuns(s string) string {
	return replace(hexRun, s, func(found string, before, _ byte) string {
		worker := strings.HasPrefix(strings.ToLower(found), "dragon-")
		prefix, digits := "", strings.ToLower(found)
		if worker {
			prefix, digits = found[:len("dragon-")], digits[len("dragon-"):]
		}
		if !worker && (isHex(before) || number(digits) || len(digits) != 12 && !m.endsMAC(digits)) {
			return found
		}
		n := len(digits) - 6
		if n >= 0 {
			digits = digits[:n] + m.macs.standIn(digits[n:])
		} else {
			digits = m.shortTail(digits)
		}
		if strings.ToUpper(found) == found {
			digits = strings.ToUpper(digits)
		}
		return prefix + digits
	})
}

// endsMAC reports whether digits are the end of a MAC that was seen.
func (m *masker) endsMAC(digits string) bool {
	if len(digits) < 6 || len(digits) > 12 {
		return false
	}
	tail := digits[len(digits)-6:]
	_, seen := m.macs.of[tail]
	return seen || m.macs.given[tail]
}

// shortTail masks fewer digits than a tail has, as those of a MAC that was seen if it can.
func (m *masker) shortTail(digits string) string {
	for _, original := range slices.Sorted(maps.Keys(m.macs.of)) {
		as := m.macs.of[original]
		as = as[len(as)-len(digits):]
		if as == digits || strings.HasSuffix(original, digits) {
			return as
		}
	}
	return strings.Repeat("0", len(digits))
}

func (m *masker) ipv4s(s string) string {
	return replace(dotted, s, func(found string, before, after byte) string {
		addr, err := netip.ParseAddr(found)
		if err != nil || number(string(before)) || number(string(after)) || addr.IsLoopback() || addr.IsUnspecified() || addr.As4()[0] == 255 {
			return found // says nothing about where the dragon is
		}
		return m.addresses.standIn(found)
	})
}

// A text that ends within a string may end within what would have been masked.
var cutEnds = []struct {
	is     *regexp.Regexp
	become string
}{
	{regexp.MustCompile(`(:(?:\\*/){2}).*$`), "${1}" + masked}, // perhaps a login: its @ would come
	{regexp.MustCompile(`(?i)((?:[0-9a-f]{2}[:-] ?){3})[0-9a-f][0-9a-f:-]*$`), "$1"},
	{regexp.MustCompile(`(?i)([0-9a-f]{6})[0-9a-f]+$`), "$1"},
	{regexp.MustCompile(`(?i)(dragon-)[0-9a-f]+$`), "$1"},
	{regexp.MustCompile(`\d+\.\d+\.[\d.]*$|^\d+\.[\d.]*$`), ""},
}

func cutEnd(s string) string {
	open := strings.LastIndexByte(s, '"') + 1
	tail := s[open:]
	if open == 0 || tail == "" || strings.IndexByte(":, ", tail[0]) >= 0 || strings.ContainsAny(tail, "{}[]<>\n") {
		return s // ends elsewhere
	}
	for _, end := range cutEnds {
		tail = end.is.ReplaceAllString(tail, end.become)
	}
	return s[:open] + tail
}

// replace is ReplaceAllStringFunc with the neighbours of what was found; 0 is none. The
// end of an escape, such as \n, is not a neighbour.
func replace(is *regexp.Regexp, s string, by func(found string, before, after byte) string) string {
	var out strings.Builder
	last := 0
	for _, at := range is.FindAllStringIndex(s, -1) {
		var before, after byte
		if at[0] > 0 && !escape.MatchString(s[max(0, at[0]-6):at[0]]) {
			before = s[at[0]-1]
		}
		if at[1] < len(s) {
			after = s[at[1]]
		}
		out.WriteString(s[last:at[0]])
		out.WriteString(by(s[at[0]:at[1]], before, after))
		last = at[1]
	}
	return out.String() + s[last:]
}

var escape = regexp.MustCompile(`\\(?:[a-z]|u[0-9a-fA-F]{4})$`)

func isHex(c byte) bool { return unicode.Is(unicode.ASCII_Hex_Digit, rune(c)) }

// names are the stand-ins of one sort, numbered in order of appearance.
type names struct {
	format string
	of     map[string]string // by original
	given  map[string]bool
}

func (n *names) standIn(original string) string {
	if n.given[original] {
		return original // masked already, by an earlier pass over the same text
	}
	as, ok := n.of[original]
	if !ok {
		as = fmt.Sprintf(n.format, len(n.of)+1)
		n.of[original], n.given[as] = as, true
	}
	return as
}
