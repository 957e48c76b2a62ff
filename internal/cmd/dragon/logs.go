package dragon

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"

	"github.com/alecthomas/kingpin/v2"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

func (f *family) addLogs() {
	var follow bool
	f.add("logs", "Print the journal, which can be many megabytes. With several dragons each line begins with its dragon.", func(cmd *kingpin.CmdClause) {
		cmd.Flag("follow", "Print new lines until Ctrl-C.").Short('f').NoEnvar().BoolVar(&follow)
	}, func(ctx context.Context, b *batch) error {
		if !b.output.Table() {
			return errors.New("logs: a journal is text; --output does not apply")
		}
		if follow {
			b.parallel = len(b.hosts) // none of them ends
		}
		b.streams = true
		var out sync.Mutex
		outcomes := b.each(ctx, func(ctx context.Context, t *target) (any, error) {
			w := &lines{mu: &out, to: b.stdout}
			if len(b.hosts) > 1 {
				w.prefix = t.Name + " | "
			}
			var err error
			if follow {
				err = t.FollowLogs(ctx, w)
			} else {
				_, err = t.Logs(ctx, w)
			}
			if errors.Is(err, context.Canceled) {
				err = nil // Ctrl-C
			}
			return nil, errors.Join(err, w.end())
		})
		b.stdout = io.Discard // everything is printed
		return b.show(outcomes, nil, func(any) [][]string { return nil })
	})
}

// lines writes whole lines with a prefix, without control characters.
type lines struct {
	mu     *sync.Mutex // guards to, which many share
	to     io.Writer
	prefix string
	rest   []byte // of an unfinished line
}

// maxLine is the longest line that is kept until its end, in bytes.
const maxLine = 64 << 10

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 && len(l.rest) < maxLine {
			return len(p), nil
		}
		line := l.rest
		if i >= 0 {
			line, l.rest = l.rest[:i], l.rest[i+1:]
		} else {
			l.rest = nil
		}
		if err := l.line(line); err != nil {
			return 0, err
		}
	}
}

func (l *lines) end() error {
	if len(l.rest) == 0 {
		return nil
	}
	return l.line(l.rest)
}

func (l *lines) line(line []byte) error {
	text := dragon.PrintableLines(strings.TrimRight(string(line), "\r"))
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := io.WriteString(l.to, l.prefix+text+"\n")
	return err
}
