package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAuditIsRotatedBySize(t *testing.T) {
	dir := t.TempDir()
	f := newAuditFile(dir)
	f.max = 100
	defer f.close()
	for i := range 200 {
		if err := f.write(i%2 == 0, fmt.Appendf(nil, `{"seq":%d,"note":"%s"}`+"\n", i, strings.Repeat("x", 20))); err != nil {
			t.Fatal(err)
		}
	}
	old, err := filepath.Glob(filepath.Join(dir, "audit-*.jsonl"))
	if err != nil || len(old) != auditKept {
		t.Fatalf("%d files are kept aside, want %d (%v)", len(old), auditKept, err)
	}
	next := -1
	for _, path := range append(old, filepath.Join(dir, auditName)) {
		data, err := os.ReadFile(path)
		if err != nil || len(data) > 100 {
			t.Errorf("%s has %d bytes, want at most 100 (%v)", path, len(data), err)
		}
		records, err := ReadAudit(data)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		for _, a := range records {
			if next >= 0 && a.Seq != next {
				t.Errorf("line %d follows line %d", a.Seq, next-1)
			}
			next = a.Seq + 1
		}
	}
	if next != 200 {
		t.Errorf("the last line is %d, want 199", next-1)
	}
}

func TestATornLineIsEndedBeforeTheNext(t *testing.T) {
	f := newAuditFile(t.TempDir())
	if err := os.WriteFile(f.path, []byte(`{"seq":1}`+"\n"+`{"seq":2,"no`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.write(true, []byte(`{"seq":3}`+"\n")); err != nil {
		t.Fatal(err)
	}
	f.close()
	data, err := os.ReadFile(f.path)
	if err != nil {
		t.Fatal(err)
	}
	records, err := ReadAudit(data)
	if err == nil || len(records) != 2 || records[1].Seq != 3 {
		t.Errorf("%d records, %v of\n%s", len(records), err, data)
	}
}

func TestLinesWaitForTheDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	f := newAuditFile(dir)
	defer f.close()
	for i := range auditWaiting + 10 {
		if err := f.write(false, fmt.Appendf(nil, `{"seq":%d}`+"\n", i)); err == nil {
			t.Fatal("a line was written into no directory")
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := f.write(false); err != nil || f.err != nil {
		t.Fatal(err, f.err)
	}
	data, err := os.ReadFile(f.path)
	if err != nil {
		t.Fatal(err)
	}
	if records, err := ReadAudit(data); err != nil || len(records) != auditWaiting || records[0].Seq != 10 {
		t.Errorf("%d lines, %v, want the newest %d", len(records), err, auditWaiting)
	}
}

func TestHostClock(t *testing.T) {
	c := NewHostClock()
	a, b := c.Now(), NewHostClock().Now()
	if b.Mono < a.Mono || a.BootID == "" || time.Since(a.Wall).Abs() > time.Minute {
		t.Errorf("%+v, then %+v", a, b)
	}
	if strings.Contains(a.Wall.String(), "m=") {
		t.Error("the wall clock has a monotonic reading, so that no difference shows a jump of it")
	}
	_ = c.Synced() // a container may not be told
}
