package agent

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/datadir"
)

// longestAudit is more than any line of an audit needs.
const longestAudit = 4 << 20

// AuditFiles returns the files of the audit in dir, the oldest first: those that were
// set aside, and the one that is written.
func AuditFiles(dir string) ([]string, error) {
	stem := filepath.Join(dir, strings.TrimSuffix(auditName, ".jsonl"))
	files, err := filepath.Glob(stem + "-*.jsonl")
	if err != nil {
		return nil, err
	}
	slices.Sort(files) // the names are dates
	return append(files, filepath.Join(dir, auditName)), nil
}

// newestAudit returns the last line of the audit in dir; an empty record: there is none.
func newestAudit(dir string) (newest healer.Audit, err error) {
	paths, err := AuditFiles(dir)
	if err != nil {
		return newest, err
	}
	for _, path := range slices.Backward(paths[max(0, len(paths)-historyFiles):]) {
		lines, err := lastLines(path, "", newestOf)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return newest, err
		}
		records, _ := ReadAudit(bytes.Join(lines, nil)) // a torn line tells nothing
		for i := range records {
			newest.Generation = max(newest.Generation, records[i].Generation)
			newest.Epoch = max(newest.Epoch, records[i].Epoch)
		}
		if newest.Generation > 0 {
			break
		}
	}
	return newest, nil
}

// newestOf is the number of lines that tell the newest generation: those of commands that
// were run while no instance did have none.
const newestOf = 1000

// EachAudit calls fn with every record of the audit in dir, the oldest first, and with
// the line that it is in, until fn says false. Torn lines are left out and counted. The
// line is valid during the call only.
func EachAudit(dir string, fn func(line []byte, a *healer.Audit) bool) (torn int, err error) {
	files, err := AuditFiles(dir)
	if err != nil {
		return 0, err
	}
	there := false
	for _, path := range files {
		goOn, n, err := eachAuditIn(path, fn)
		torn += n
		switch {
		case errors.Is(err, fs.ErrNotExist): // set aside, or dropped, meanwhile
			continue
		case err != nil:
			return torn, err
		}
		there = true
		if !goOn {
			return torn, nil
		}
	}
	if !there {
		return 0, fmt.Errorf("no audit in %s: %w", dir, fs.ErrNotExist)
	}
	return torn, nil
}

func eachAuditIn(path string, fn func([]byte, *healer.Audit) bool) (goOn bool, torn int, err error) {
	f, err := datadir.Open(path)
	if err != nil {
		return false, 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 64<<10), longestAudit)
	for lines.Scan() {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		var a healer.Audit
		if json.Unmarshal(line, &a) != nil {
			torn++
			continue
		}
		if !fn(line, &a) {
			return false, torn, nil
		}
	}
	if err := lines.Err(); err != nil {
		return false, torn, fmt.Errorf("%s: %w", path, err)
	}
	return true, torn, nil
}
