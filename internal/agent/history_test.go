package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHistoryIsTheNewestLinesOfTheAudit(t *testing.T) {
	dir := t.TempDir()
	line := func(seq int, mac string) string { return fmt.Sprintf(`{"seq":%d,"mac":%q}`, seq, mac) + "\n" }
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := &Healer{config: Config{Dir: dir}}
	if got, err := h.History("", 5); len(got) != 0 || err != nil {
		t.Errorf("before there is an audit: %v, %v", got, err)
	}
	write("audit-20260101T000000.000000Z.jsonl", line(0, "a")) // older than what is looked through
	write("audit-20260102T000000.000000Z.jsonl", line(1, "a")+line(2, "b")+line(3, "a")+line(4, "a"))
	write(auditName, line(5, "b")+"torn by a kill\n"+line(6, "a")+strings.Repeat("x", 3*longestLine)+"\n"+line(7, "b")+line(8, "a")+`{"seq":9,"mac":"a"`)
	for _, x := range []struct {
		mac  string
		n    int
		want string
	}{
		{"", 100, "[8 7 6 5 4 3 2 1]"},
		{"", 4, "[8 7 6 5]"},
		{"", 2, "[8 7]"},
		{"", 0, "[]"},
		{"a", 100, "[8 6 4 3 1]"},
		{"a", 3, "[8 6 4]"},
		{"b", 1, "[7]"},
		{"nobody", 9, "[]"},
	} {
		records, err := h.History(x.mac, x.n)
		seqs := []int{}
		for i := range records {
			seqs = append(seqs, records[i].Seq)
		}
		if err != nil || fmt.Sprint(seqs) != x.want {
			t.Errorf("of %q, at most %d: %v, %v; want %s", x.mac, x.n, seqs, err, x.want)
		}
	}
}
