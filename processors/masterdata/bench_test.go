package masterdata_test

import (
	"fmt"
	"runtime"
	"testing"

	"crossdock/avro/event"
	"crossdock/processors/masterdata"
)

// BenchmarkMillionItems fills the tables with a million items (a GTIN, a case with a GTIN, an alias each), tells what an
// item costs in memory, and looks up by each kind of name.
func BenchmarkMillionItems(b *testing.B) {
	const n = 1_000_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var tb masterdata.Tables
	e := event.ItemMaster{BaseUOM: "EA", Integral: true, Status: "ACTIVE", Version: 1}
	for i := range n {
		e.SKU = fmt.Sprintf("SKU-%07d", i)
		e.GTIN = event.Some(gtin13(i))
		e.UOMs = append(e.UOMs[:0], event.ItemUnit{UOM: "CA", Num: 12, Den: 1})
		e.Aliases = append(e.Aliases[:0], event.ItemAlias{System: event.Some("erp"), Code: fmt.Sprintf("%018d", i)})
		if _, err := tb.ApplyItem(&e); err != nil {
			b.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	perItem := float64(after.HeapAlloc-before.HeapAlloc) / n
	for name, code := range map[string]func(i int) string{
		"sku":   func(i int) string { return fmt.Sprintf("SKU-%07d", i) },
		"gtin":  gtin13,
		"zeros": func(i int) string { return fmt.Sprint(i + 1000) },
		"none":  func(i int) string { return fmt.Sprintf("NO-%d", i) },
	} {
		b.Run(name, func(b *testing.B) {
			codes := make([]string, 4096)
			for i := range codes {
				codes[i] = code(i * 239 % n)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if m := tb.Item("erp", codes[i%len(codes)]); (m.Finding == masterdata.Found) == (name == "none") {
					b.Fatalf("%s: %d", codes[i%len(codes)], m.Finding)
				}
			}
			b.ReportMetric(perItem, "B/item")
		})
	}
}

// gtin13 is a GTIN-13 with a right check digit.
func gtin13(i int) string {
	s := fmt.Sprintf("400%09d", i)
	sum := 0
	for k, c := range s {
		sum += int(c-'0') * (1 + k%2*2)
	}
	return s + fmt.Sprint((10-sum%10)%10)
}
