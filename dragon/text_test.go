package dragon

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"t1_20180515_060842":     "t1_20180515_060842",
		"Größe ✓ 山":              "Größe ✓ 山",
		"a\x00b\x1b[2Jc\td\ne":   "a�b�[2Jc�d�e",
		"\u202egpj.exe\u2066x":   "�gpj.exe�x", // the direction of what follows
		"a\u200bb\u2060c\ufeffd": "a�b�c�d",    // no width
		"a\u034fb\u115fc\ufe0fd": "a�b�c�d",    // nor these
		"a\u2028b\u2029c\u0085d": "a�b�c�d",    // a line's end
		"a\U000e0041b\ue000c":    "a�b�c",      // a tag, and what has no meaning
		"\xffx\xfe":              "�x�",
	} {
		if got := Printable(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got, want := PrintableLines("a\tb\nc\rd\u202e"), "a\tb\nc�d�"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("\xff\u202e\n\u200b\u2028x")
	f.Fuzz(func(t *testing.T, s string) {
		got := Printable(s)
		if !utf8.ValidString(got) || Printable(got) != got || utf8.RuneCountInString(got) != utf8.RuneCountInString(s) {
			t.Errorf("%q: %q", s, got)
		}
		if text := clean([]byte(s), 20); len(text) > 20 || Printable(text) != text {
			t.Errorf("%q: %q", s, text)
		}
	})
}

func TestAnswersNestedTooDeepAreRefused(t *testing.T) {
	nested := func(depth int) string {
		return `{"success":true,"x":` + strings.Repeat("[", depth-1) + strings.Repeat("]", depth-1) + `,` + overviewT1[1:]
	}
	for depth, bad := range map[int]bool{3: false, maxDepth: false, maxDepth + 1: true, 7900: true} {
		_, err := newDevice(map[string]any{"/api/overview": nested(depth)}).client(t, Options{}).Overview(t.Context())
		if bad {
			wantKind(t, err, ErrBadResponse)
		} else if err != nil {
			t.Errorf("%d levels: %v", depth, err)
		}
	}
	if tooDeep([]byte(`{"a":"` + strings.Repeat(`[\"`, 100) + `"}`)) {
		t.Error("brackets in a text are not levels")
	}
}

// An error is kept as long as a dragon is down, and shown.
func TestTheCauseOfAnErrorIsShortAndPrintable(t *testing.T) {
	err := withoutSecrets(errors.New("malformed \u202e"+strings.Repeat("x", 10000)), nil)
	if text := err.Error(); len(text) > maxCause || Printable(text) != text {
		t.Errorf("%q", text)
	}
}

func TestWhatIsKeptOfAnOverview(t *testing.T) {
	for name, c := range map[string]struct{ answer, want string }{
		"what is known": {`{"success":true,"type":"T1","more":[1,2],"hardware":{"status":"up 10 min","memUsed":1,"memFree":2.5,"spies":{}},"network":{"dhcp":"dhcp","dns2":""},"version":{"ethaddr":"a0: b0","platform_v":"t1\u202e"}}`,
			`{"hardware":{"memFree":2.5,"memUsed":1,"status":"up 10 min"},"network":{"dhcp":"dhcp","dns2":""},"success":true,"type":"T1","version":{"ethaddr":"a0: b0","platform_v":"t1�"}}`},
		"as PHP writes it":        {`{"success":true,"hardware":[],"type":null}`, `{"hardware":{},"success":true,"type":null}`},
		"trees in place of words": {`{"type":{"a":{"b":1}},"version":{"ethaddr":[[[]]],"hwver":"g19"}}`, `{"version":{"hwver":"g19"}}`},
		"a long word":             {`{"type":"` + strings.Repeat("x", 5000) + `"}`, `{"type":"` + strings.Repeat("x", maxText) + `"}`},
		"a long number":           {`{"hardware":{"memUsed":` + strings.Repeat("7", 5000) + `}}`, `{"hardware":{}}`},
		"no object":               {`[1]`, ``},
		"cut short":               {`{"type":"T1"`, ``},
		"too deep":                {`{"type":"T1","x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, ``},
		"nothing":                 {``, ``},
	} {
		if got := string(KnownOverview([]byte(c.answer))); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
