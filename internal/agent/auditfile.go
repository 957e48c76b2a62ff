package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-kit/log/level"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/datadir"
	"github.com/brndnmtthws/mother-of-dragons/internal/store"
)

const (
	auditName    = "audit.jsonl"
	auditSize    = 16 << 20 // bytes; then it is set aside under a dated name
	auditKept    = 8        // of those
	auditWaiting = 4096     // lines that wait for the disk to take them
)

// auditFile is audit.jsonl: the healer's history for people and log shippers. The
// store is what the healer itself remembers by; still nothing is sent while this file
// cannot be written: afterwards the reason could not be told.
//
// Lines about actions are on the disk before the dragon's lane is free. Lines about decisions
// are left to the system, which takes a few seconds: after a power cut the last of them
// may be missing, never an action.
type auditFile struct {
	path    string
	file    *os.File
	size    int64
	max     int64
	waiting [][]byte
	err     error // why the last line was not written; nil if it was
}

func newAuditFile(dir string) *auditFile {
	return &auditFile{path: filepath.Join(dir, auditName), max: auditSize}
}

// auditLines are to be written.
type auditLines struct {
	lines [][]byte
	sync  bool // they are to be on the disk
}

// newAuditor starts what writes the audit, beside the owner.
func (h *Healer) newAuditor() *store.Writer[auditLines] {
	write := func(x *auditLines) error {
		lines := x.lines
		x.lines = nil // the file keeps those that it cannot write
		return h.audit.write(x.sync, lines...)
	}
	merge := func(into *auditLines, newer auditLines) {
		into.lines = append(into.lines, newer.lines...)
		if n := len(into.lines) - auditWaiting; n > 0 {
			into.lines = slices.Clone(into.lines[n:])
		}
		into.sync = into.sync || newer.sync
	}
	said := ""
	return store.NewWriter(write, merge, func(err error) {
		if err == nil {
			said = ""
			return
		}
		h.metrics.auditErrors.Inc()
		if said != err.Error() {
			said = err.Error()
			level.Error(h.logger).Log("msg", "audit log not writable", "err", err, "advice", "nothing is sent until it can")
		}
	})
}

// write appends lines, and before them those that had to wait.
func (f *auditFile) write(sync bool, lines ...[]byte) error {
	f.waiting = append(f.waiting, lines...)
	if n := len(f.waiting) - auditWaiting; n > 0 {
		f.waiting = slices.Clone(f.waiting[n:])
	}
	if len(f.waiting) == 0 && f.err == nil {
		return nil
	}
	f.err = f.flush(sync)
	return f.err
}

func (f *auditFile) flush(sync bool) error {
	for len(f.waiting) > 0 {
		if f.file != nil && f.size > 0 && f.size+int64(len(f.waiting[0])) > f.max {
			if err := f.rotate(); err != nil {
				return err
			}
		}
		if err := f.open(); err != nil {
			return err
		}
		n, err := f.file.Write(f.waiting[0])
		f.size += int64(n)
		if err != nil {
			f.close() // opening it again ends the torn line
			return err
		}
		f.waiting = f.waiting[1:]
	}
	if err := f.open(); err != nil {
		return err
	}
	if sync {
		return f.file.Sync()
	}
	return nil
}

// open opens the file at its end. A line that a kill or a full disk has torn is ended,
// so that the next one begins where a line begins.
func (f *auditFile) open() error {
	if f.file != nil {
		return nil
	}
	file, err := datadir.OpenFile(f.path, os.O_RDWR|os.O_CREATE|os.O_APPEND|syscall.O_NOFOLLOW)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return err
	}
	f.size = info.Size()
	last := []byte{'\n'}
	if f.size > 0 {
		if _, err = file.ReadAt(last, f.size-1); err == nil && last[0] != '\n' {
			var n int
			n, err = file.Write([]byte{'\n'})
			f.size += int64(n)
		}
	}
	if err != nil {
		_ = file.Close()
		return err
	}
	f.file = file
	return nil
}

// rotate sets the file aside, and drops the oldest of those that were.
func (f *auditFile) rotate() error {
	if err := f.file.Sync(); err != nil {
		return err
	}
	f.close()
	stem := strings.TrimSuffix(f.path, ".jsonl")
	if err := os.Rename(f.path, stem+"-"+time.Now().UTC().Format("20060102T150405.000000Z")+".jsonl"); err != nil {
		return err
	}
	old, err := AuditFiles(filepath.Dir(f.path))
	if err != nil {
		return err
	}
	old = old[:len(old)-1] // all but the file itself
	for _, path := range old[:max(0, len(old)-auditKept)] {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

func (f *auditFile) close() {
	if f.file != nil {
		_ = f.file.Close()
		f.file = nil
	}
}

// appendAudit writes records to the audit and to the log. Only the owner may call it. A
// process that does not own the state, or may not own it, has no say in its audit either.
func (h *Healer) appendAudit(records ...healer.Audit) {
	var x auditLines
	for i := range records {
		r := &records[i]
		_ = logOf(h, r).Log(fieldsOf(r)...)
		if h.held || h.cutOff() {
			continue
		}
		h.metrics.decided(r)
		h.auditSeq++
		r.Seq, r.HealerID, r.Generation = h.auditSeq, h.config.ID, h.generation()
		if h.config.OnAudit != nil {
			h.config.OnAudit(r)
		}
		line, err := json.Marshal(r)
		if err != nil { // NaN, for example; the rest is written
			level.Error(h.logger).Log("msg", "audit record not writable", "worker", r.Worker, "err", err)
			continue
		}
		x.lines = append(x.lines, append(line, '\n'))
		x.sync = x.sync || r.Result != nil
	}
	if len(x.lines) > 0 {
		h.auditor.Add(x)
	}
}

// said is what the audit was told so far.
func (h *Healer) said() written {
	ticket := h.auditor.Last()
	return written{wait: func(ctx context.Context) error { return h.auditor.Wait(ctx, ticket) }}
}

// logOf chooses the level: what is done, and what a human must know, is for everybody.
func logOf(h *Healer, r *healer.Audit) interface{ Log(...any) error } {
	switch r.Decision {
	case healer.Nothing, healer.Blocked, healer.Wait, healer.Recovery, healer.Sighted, healer.LockedOut: // the last two are logged by others
		if r.Verify == nil && !ByPerson(r.Actor) {
			return level.Debug(h.logger)
		}
	}
	return level.Info(h.logger)
}

func fieldsOf(r *healer.Audit) []any {
	fields := []any{"msg", "healing", "decision", r.Decision}
	for _, f := range []struct {
		key   string
		value string
	}{
		{"worker", r.Worker}, {"state", string(r.State)}, {"action", string(r.Action)}, {"reason", string(r.Reason)},
		{"action_id", r.ActionID}, {"actor", r.Actor}, {"note", r.Note},
	} {
		if f.value != "" {
			fields = append(fields, f.key, f.value)
		}
	}
	if r.Decision == healer.Blocked {
		var closed []string
		for _, g := range healer.Closed(r.Gates) {
			closed = append(closed, string(g.Name))
		}
		fields = append(fields, "blocked_by", strings.Join(closed, ","))
	}
	if r.Result != nil && r.Result.Error != "" {
		fields = append(fields, "err", r.Result.Error)
	}
	if r.Verify != nil {
		fields = append(fields, "outcome", r.Verify.Verdict)
	}
	return fields
}

// ReadAudit reads lines of an audit. A torn line is left out.
func ReadAudit(data []byte) (records []healer.Audit, err error) {
	for line := range bytes.Lines(data) {
		var a healer.Audit
		if e := json.Unmarshal(line, &a); e != nil {
			err = fmt.Errorf("audit: %w", e)
			continue
		}
		records = append(records, a)
	}
	return records, err
}
