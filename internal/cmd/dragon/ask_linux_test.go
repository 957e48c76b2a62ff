package dragon

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cmdtest"
)

func TestWhatCannotBeUndoneIsTyped(t *testing.T) {
	l := newFarm(t, dragontest.Spec{SleepTime: -1, BootTime: -1, MinerStart: -1})
	a := l.Worker(0)
	for _, c := range []struct{ typed, want string }{
		{"\n", "not done: the typed names are not " + a},
		{"y\n", "not done: the typed names are not"},
		{a + "," + a + "\n", "not done: the typed names are not"},
		{"\x04", "not done: no answer"}, // Ctrl-D
	} {
		_, err := cmdtest.AtTerminal(t).WriteString(c.typed)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := l.dragon("factory-reset", a); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.typed, err, c.want)
		}
	}
	if w := l.Dragon(0).Writes(); len(w) > 0 {
		t.Fatalf("it was written to: %v", w)
	}
	if _, err := cmdtest.AtTerminal(t).WriteString(" " + a + "\n"); err != nil {
		t.Fatal(err)
	}
	if out, errs, err := l.dragon("factory-reset", a); err != nil || !strings.Contains(out, "done") {
		t.Fatalf("%v\n%s%s", err, out, errs)
	}
	if truth := l.Dragon(0).Truth(); truth.Boots != 2 || !strings.Contains(fmt.Sprint(truth.Configured), "vendor") {
		t.Errorf("it is not as its factory made it: %+v", truth)
	}
}

// Ctrl-C at a question is an answer: nothing is sent, without pressing enter.
func TestCtrlCAtAQuestion(t *testing.T) {
	l := newFarm(t, dragontest.Spec{})
	for _, c := range []struct {
		args []string
		asks string
	}{
		{[]string{"factory-reset", l.Worker(0)}, "> "},
		{[]string{"reboot", l.Worker(0)}, "reboot " + l.Worker(0) + "? [y/N] "},
		{[]string{"reboot", "--all"}, "reboot all 1 dragons of the inventory? [y/N] "},
		{[]string{"password", "--all-default"}, "[y/N] "},
	} {
		cmdtest.AtTerminal(t)
		ctx, interrupt := context.WithCancel(t.Context())
		errs := &cmdtest.OnText{Text: c.asks, Do: interrupt}
		err := run(ctx, append([]string{"dragon", "--data-dir=" + l.Dir}, c.args...), io.Discard, errs)
		if err == nil || !strings.HasSuffix(err.Error(), "not done: interrupted") || errs.Do != nil {
			t.Errorf("%v: %v\n%s", c.args, err, errs.String())
		}
	}
	if n := l.Dragon(0).Traffic().Total(); n > 0 {
		t.Errorf("%d requests were sent", n)
	}
}

// linesUntil reads what is drawn on a terminal until it says end, less what moves nothing.
func linesUntil(t *testing.T, human *os.File, end string) []string {
	t.Helper()
	var drawn []byte
	for !strings.HasSuffix(string(drawn), end) {
		b := make([]byte, 1000)
		n, err := human.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		drawn = append(drawn, b[:n]...)
	}
	return strings.Split(strings.NewReplacer("\x1b[0K", "", "\x1b[2K", "").Replace(string(drawn)), "\r")
}

func TestABarFitsIntoItsTerminal(t *testing.T) {
	for _, columns := range []uint16{40, 59, 60, 120} {
		for verb, size := range map[string]int64{"factory-reset": 0, "upgrade": 20 << 20} {
			tty, human := cmdtest.Terminal(t, columns)
			b := &batch{verb: verb, size: size, stderr: tty, hosts: make([]host, 199)}
			bar := b.progress()
			bar(0, 20*size, size == 0) // a bar is redrawn at a whole percent
			if _, err := tty.WriteString("\rend"); err != nil {
				t.Fatal(err)
			}
			shown, lines := false, linesUntil(t, human, "end")
			for _, line := range lines {
				shown = shown || strings.HasPrefix(line, verb+" ")
				if n := utf8.RuneCountInString(line); n > int(columns) {
					t.Errorf("%d columns for %d: %q", n, columns, line)
				}
			}
			if !shown {
				t.Errorf("no bar: %q", lines)
			}
		}
	}
}

func TestABarFitsIntoATerminalThatBecomesNarrower(t *testing.T) {
	t.Setenv("TERM", "xterm")
	tty, human := cmdtest.Terminal(t, 120)
	b := &batch{verb: "upgrade", size: 20 << 20, stderr: tty, hosts: make([]host, 2)}
	bar := b.progress()
	bar(0, 0, true)
	if _, err := tty.WriteString("\rnarrower"); err != nil {
		t.Fatal(err)
	}
	if lines := linesUntil(t, human, "narrower"); !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "upgrade  50% ") }) {
		t.Errorf("no bar: %q", lines)
	}
	if err := unix.IoctlSetWinsize(int(human.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 20, Col: 40}); err != nil {
		t.Fatal(err)
	}
	bar(1, 0, true)
	if _, err := tty.WriteString("\rend"); err != nil {
		t.Fatal(err)
	}
	for _, line := range linesUntil(t, human, "end") {
		if n := utf8.RuneCountInString(line); n > 40 {
			t.Errorf("%d columns for 40: %q", n, line)
		}
	}
}
