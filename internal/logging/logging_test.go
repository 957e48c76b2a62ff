package logging

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
)

func TestTheJournalIsToldTheLevelAndNotTheTime(t *testing.T) {
	for _, x := range []struct {
		name, format string
		journal      bool
		want         string
	}{
		{"logfmt to the journal", "logfmt", true, "<6>component=a level=info msg=one\n<4>level=warn msg=two n=1\n<3>level=error err=three\n<6>msg=four\n"},
		{"JSON to the journal", "json", true, `<6>{"component":"a","level":"info","msg":"one"}` + "\n" + `<4>{"level":"warn","msg":"two","n":1}` + "\n" + `<3>{"err":"three","level":"error"}` + "\n" + `<6>{"msg":"four"}` + "\n"},
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
