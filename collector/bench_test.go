package collector

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// BenchmarkScrape is all that a scrape costs but the dragons' own part: of readings it
// makes samples, series and the page. The figures are per dragon.
func BenchmarkScrape(b *testing.B) {
	for _, encoding := range []string{"identity", "gzip", "zstd"} {
		for _, n := range []int{10, 100, 1000, 10000} {
			b.Run(fmt.Sprintf("%s/dragons=%d", encoding, n), func(b *testing.B) {
				type known struct {
					info    *fleet.Info
					health  fleet.Health
					reading *fleet.Reading
					face    *labelCache
				}
				dragons := make([]known, n)
				for i := range dragons {
					d := &dragons[i]
					d.info, d.health, d.reading = aDragon(i)
					d.face = newLabelCache(newSharedLabels())
				}
				c := aCollector(b)
				h := c.page(one, func(w http.ResponseWriter, r *http.Request) {
					samples := make([]*sample, n)
					for i, d := range dragons {
						samples[i] = newSample(d.info, d.health, d.face, d.reading, nil, 5*time.Millisecond)
					}
					c.write(w, r, c.families, unique(samples), c.gather())
				})
				r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
				r.Header.Set("Accept-Encoding", encoding)
				var size counted
				b.ReportAllocs()
				for b.Loop() {
					size = counted{header: http.Header{}}
					h.ServeHTTP(&size, r)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/dragon")
				b.ReportMetric(float64(size.bytes)/float64(n), "bytes/dragon")
			})
		}
	}
}

// counted is a response that is thrown away.
type counted struct {
	header http.Header
	bytes  int
}

func (c *counted) Header() http.Header         { return c.header }
func (c *counted) WriteHeader(int)             {}
func (c *counted) Write(b []byte) (int, error) { c.bytes += len(b); return len(b), nil }

// BenchmarkStatsdLines is the lines of one reading: three boards and three pools, each
// with every field that has a line.
func BenchmarkStatsdLines(b *testing.B) {
	objects := func(t *lineTable, number string) string {
		var all []string
		for i := range 3 {
			fields := []string{fmt.Sprintf(`"%s":%d,"Status":"Alive","Message":"not mirrored"`, number, i)}
			for field, at := range t.fields {
				if at >= headFields {
					fields = append(fields, fmt.Sprintf(`"%s":%d.25`, field, 4932258+at))
				}
			}
			all = append(all, "{"+strings.Join(fields, ",")+"}")
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	body := []byte(`{"success":true,"DEVS":` + objects(boardLines, "ID") + `,"POOLS":` + objects(poolLines, "POOL") + `,"HARDWARE":{"Fan duty":60}}`)
	info := &fleet.Info{Model: "T1", Worker: "dragon-4500e3ab"}
	b.ReportAllocs()
	for b.Loop() {
		if err := newMessage("dragons", false).summary(info, body); err != nil {
			b.Fatal(err)
		}
	}
}
