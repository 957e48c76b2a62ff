package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const output = `goos: linux
goarch: amd64
pkg: example.net/farm/perf
cpu: A Processor
BenchmarkScrape/dragons=10-2         5   2000000 ns/op   24.0 MB-resident   90.5 cpu-µs/dragon
BenchmarkScrape/dragons=10-2         5   9000000 ns/op   25.0 MB-resident   91.5 cpu-µs/dragon
BenchmarkScrape/dragons=10-2         5   3000000 ns/op   26.0 MB-resident   92.5 cpu-µs/dragon
BenchmarkScrape/dragons=1000-2       5 160000000 ns/op   1234 MB-resident   1.5 cpu-µs/dragon
BenchmarkIdle/dragons=10-2           1   0 ns/op   0.5 %core
--- BENCH: BenchmarkIdle/dragons=10-2
    perf_test.go:1: anything at all
BenchmarkDecode-2   100   20000 ns/op
BenchmarkRecovery/dragons=10/sick=2-2   1   0 ns/op   2.5 lost-dragon-hours   40 minutes
BenchmarkRecovery/dragons=100/sick=5-2  1   0 ns/op   4 lost-dragon-hours   120 minutes
PASS
`

const want = `2026-01-02, A Processor, linux/amd64.

| by dragons | unit | 10 | 1000 |
|---|---|--:|--:|
| perf: Scrape | ms/op | 3 | 160 |
| perf: Scrape | MB-resident | 25 | 1234 |
| perf: Scrape | cpu-µs/dragon | 91.5 | 1.5 |
| perf: Idle | %core | 0.5 | |

| of one size | unit | |
|---|---|--:|
| perf: Decode | ms/op | 0.02 |

| farm / sick | lost dragon hours | minutes |
|---|--:|--:|
| 10 / 2 | 2.5 | 40 |
| 100 / 5 | 4 | 120 |
`

func TestTablesShowGrowth(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	const begin = "<!-- tables: make bench "
	if err := os.WriteFile(page, []byte("Before.\n"+begin+"INTO=page.md -->\nold\n"+end+"\nAfter.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var out bytes.Buffer
	if err := run(strings.NewReader(output), &out, page, "bench", now); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != output+"\n"+want {
		t.Errorf("printed:\n%s", got)
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if wanted := "Before.\n" + begin + "INTO=page.md -->\n\n" + want + "\n" + end + "\nAfter.\n"; string(got) != wanted {
		t.Errorf("page:\n%s", got)
	}
	if err := os.WriteFile(page, []byte("no marks"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(strings.NewReader(output), &out, page, "bench", now); err == nil {
		t.Error("a page without marks is written to")
	}
	if err := run(strings.NewReader("PASS\n"), &out, "", "bench", now); err == nil {
		t.Error("no benchmark is not an error")
	}
}

func TestAPageKeepsItsTablesIfABenchmarkFails(t *testing.T) {
	for name, text := range map[string]string{
		"stopped half-way":              strings.TrimSuffix(output, "PASS\n"),
		"failed":                        strings.TrimSuffix(output, "PASS\n") + "--- FAIL: BenchmarkScan\nFAIL\nFAIL\texample.net/farm/perf\t1.2s\n",
		"stopped in the second package": output + "pkg: example.net/farm/healer\n",
	} {
		t.Run(name, func(t *testing.T) {
			page := filepath.Join(t.TempDir(), "page.md")
			old := "<!-- tables: make bench INTO=page.md -->\nold\n" + end + "\n"
			if err := os.WriteFile(page, []byte(old), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := run(strings.NewReader(text), new(bytes.Buffer), page, "bench", time.Now()); err == nil {
				t.Error("no error")
			}
			if got, _ := os.ReadFile(page); string(got) != old {
				t.Errorf("page:\n%s", got)
			}
		})
	}
}
