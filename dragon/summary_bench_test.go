package dragon

import "testing"

func BenchmarkSummary(b *testing.B) {
	body := []byte(summaryT1)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var s reported
		if _, err := readAnswer(body, &summaryFields, &s); err != nil {
			b.Fatal(err)
		}
		if len(s.inBaseUnits(1e6).Boards) != 3 {
			b.Fatal("boards missing")
		}
	}
}
