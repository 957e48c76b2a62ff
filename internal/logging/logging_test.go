package logging

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
)

// Every part logs in the same order: our own loggers, whatever the order of the calls, and
// libraries through the bridge.
func TestLinesBeginWithTheSameKeys(t *testing.T) {
	var b strings.Builder
	l := New(&b, "debug", "logfmt")
	web := log.With(l, "component", "web")
	level.Info(web).Log("msg", "one", "n", 1)
	web.Log("n", 2, "level", level.WarnValue(), "msg", "two")
	log.With(level.Debug(l), "component", "healer").Log("err", errors.New("no"), "msg", "three")
	slog := Bridge(web)
	slog.With("address", "[::]:9977").Info("four", "http2", false)
	slog.Error("five", "err", errors.New("no"))
	slog.WithGroup("tls").Warn("six", "msg2", "x")
	want := regexp.MustCompile(`^ts=\S+ level=(debug|info|warn|error) component=(web|healer) msg=\w+( [\w.]+=\S+)*\n$`)
	n := 0
	for line := range strings.Lines(b.String()) {
		n++
		if !want.MatchString(line) {
			t.Errorf("%q does not match %v", line, want)
		}
	}
	if n != 6 {
		t.Errorf("%d lines, want 6:\n%s", n, b.String())
	}
}

// Log messages are short and begin in lower case; values are keys.
func TestLogMessagesAreShort(t *testing.T) {
	message := regexp.MustCompile(`"msg", "([^"]*)"`)
	found := 0
	for _, dir := range []string{"..", "../../collector", "../../discovery", "../../dragon", "../../healer"} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			source, err := os.ReadFile(path)
			for _, m := range message.FindAllSubmatch(source, -1) {
				found++
				words := strings.Fields(string(m[1]))
				if len(words) > 6 || strings.HasSuffix(string(m[1]), ".") {
					t.Errorf("%s: %q: want at most six words", path, m[1])
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found < 60 {
		t.Errorf("%d messages", found)
	}
}

func TestTheJournalIsToldTheLevelAndNotTheTime(t *testing.T) {
	for _, x := range []struct {
		name, format string
		journal      bool
		want         string
	}{
		{"logfmt to the journal", "logfmt", true, "<6>level=info component=a msg=one\n<4>level=warn msg=two n=1\n<3>level=error err=three\n<6>msg=four\n"},
		{"JSON to the " +
			"journal", "json", true, `<6>{"component":"a","level":"info","msg":"one"}` + "\n" + `<4>{"level":"warn","msg":"two","n":1}` + "\n" + `<3>{"err":"three","level":"error"}` + "\n" + `<6>{"msg":"four"}` + "\n"},
		{"a file, though systemd started it", "logfmt", false, "ts="},
	} {
		t.Run(x.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "log")
			w, err := os.Create(file)
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			info, err := w.Stat()
			if err != nil {
				t.Fatal(err)
			}
			s := info.Sys().(*syscall.Stat_t)
			stream := fmt.Sprintf("%d:%d", s.Dev, s.Ino)
			if !x.journal {
				stream += "1"
			}
			t.Setenv("JOURNAL_STREAM", stream)
			l := New(w, "info", x.format)
			Bridge(log.With(l, "component", "a")).Info("one")
			level.Warn(l).Log("msg", "two", "n", 1)
			level.Error(l).Log("err", errors.New("three"))
			level.Debug(l).Log("msg", "too fine")
			_ = l.Log("msg", "four")
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := string(data)
			if x.journal && got != x.want {
				t.Errorf("got\n%swant\n%s", got, x.want)
			}
			if !x.journal && (strings.Count(got, x.want) != 4 || strings.Contains(got, "<")) {
				t.Errorf("got\n%s, want four lines with the time, none with a priority", got)
			}
		})
	}
}
