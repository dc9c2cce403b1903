package documents

import (
	"testing"

	"crossdock/loadtest/scans"
)

// How many events a second one core makes documents of.
func BenchmarkCut(b *testing.B) {
	load := scans.DefaultLoad(1)
	load.Run = "BENCH"
	g, err := scans.NewRetailer(load)
	if err != nil {
		b.Fatal(err)
	}
	c, err := NewCutter(g, ownSources(), int64(b.N), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	documents, bytes := 0, 0
	b.ResetTimer()
	for d := c.Next(); d != nil; d = c.Next() {
		documents++
		bytes += len(d.Body)
		c.Release(d)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(documents)/b.Elapsed().Seconds(), "documents/s")
	b.ReportMetric(float64(bytes)/float64(b.N), "bytes/event")
}
