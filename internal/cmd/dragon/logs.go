package dragon

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"unicode"

	"github.com/alecthomas/kingpin/v2"
)

func (d *dragonCommand) addLogs() {
	var follow bool
	d.add("logs", "Print the journal, which may be many megabytes. Of many dragons each line begins with its dragon.", func(cmd *kingpin.CmdClause) {
		cmd.Flag("follow", "Go on printing what comes, until Ctrl-C.").Short('f').NoEnvar().BoolVar(&follow)
	}, func(ctx context.Context, r *round) error {
		if r.json {
			return errors.New("logs: a journal is text; there is no JSON of it")
		}
		if follow {
			r.atOnce = len(r.hosts) // none of them ends
		}
		r.streams = true
		var out sync.Mutex
		outcomes := r.visitAll(ctx, func(ctx context.Context, v *visit) (any, error) {
			w := &lines{mu: &out, to: r.stdout}
			if len(r.hosts) > 1 {
				w.prefix = v.Name + " | "
			}
			var err error
			if follow {
				err = v.FollowLogs(ctx, w)
			} else {
				_, err = v.Logs(ctx, w)
			}
			if errors.Is(err, context.Canceled) {
				err = nil // by the user, who has seen enough
			}
			return nil, errors.Join(err, w.end())
		})
		r.stdout = io.Discard // it is all there
		return r.show(outcomes, "", func(any) []string { return nil })
	})
}

// lines writes whole lines, each behind a prefix and without what could play tricks on a
// terminal.
type lines struct {
	mu     *sync.Mutex // of the writer, which many share
	to     io.Writer
	prefix string
	rest   []byte // of a line that has not ended
}

// longestLine bounds what is kept of a line without an end.
const longestLine = 64 << 10

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 && len(l.rest) < longestLine {
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
	text := strings.Map(func(r rune) rune {
		if r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return -1
	}, string(line))
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := io.WriteString(l.to, l.prefix+text+"\n")
	return err
}
