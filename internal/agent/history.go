package agent

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"slices"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/datadir"
)

// longestLine is more than a line of the audit has; a longer one is left out.
const longestLine = 1 << 20

// historyFiles is how many of the audit's files are looked through, so that a page costs
// no more the longer the healer has been at work. They have some forty thousand lines.
const historyFiles = 2

// History returns the newest lines of the audit, the newest first and n at most. With a
// MAC it returns those about that dragon. It reads the newest files, and so tells also
// what an earlier process did, or the one that owns the state.
func (h *Healer) History(mac string, n int) ([]healer.Audit, error) {
	paths, err := AuditFiles(h.config.Dir)
	if err != nil {
		return nil, err
	}
	var history []healer.Audit
	for _, path := range slices.Backward(paths[max(0, len(paths)-historyFiles):]) {
		if len(history) >= n {
			break
		}
		lines, err := lastLines(path, mac, n-len(history))
		if errors.Is(err, fs.ErrNotExist) { // set aside meanwhile
			continue
		}
		if err != nil {
			return history, err
		}
		records, _ := ReadAudit(bytes.Join(lines, nil)) // what cannot be read is not history
		slices.Reverse(records)
		history = append(history, records...)
	}
	return history, nil
}

// lastLines returns the last n lines of a file that have mac in them, the oldest first.
func lastLines(path, mac string, n int) ([][]byte, error) {
	file, err := datadir.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var want []byte
	if mac != "" {
		want, _ = json.Marshal(mac)
		want = append([]byte(`"mac":`), want...)
	}
	var lines [][]byte
	next := 0 // the oldest, once there are n
	r := bufio.NewReaderSize(file, longestLine)
	for {
		line, err := r.ReadSlice('\n')
		long := errors.Is(err, bufio.ErrBufferFull)
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = r.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		switch {
		case long || !bytes.HasSuffix(line, []byte("}\n")): // torn, or still being written
		case !bytes.Contains(line, want):
		case len(lines) < n:
			lines = append(lines, bytes.Clone(line))
		default:
			lines[next] = append(lines[next][:0], line...)
			next = (next + 1) % n
		}
		if err != nil {
			return append(lines[next:], lines[:next]...), nil
		}
	}
}
