package event_test

import (
	"flag"
	"testing"

	"crossdock/avro/event"
	"crossdock/avro/schemas"

	"github.com/linkedin/goavro/v2"
)

// scan is a pick as a handheld scanner tells it: the record that Crossdock carries most. It has about 240 bytes.
func scan() *event.InventoryMovement {
	return &event.InventoryMovement{
		Header: event.EventHeader{
			EventID:       "01hf7yat00e8rmh1zvk6y5q3wd",
			DedupeKey:     "wms-north/SCAN/2026-03-14/00481516/7",
			CorrelationID: "SO-4711-000815",
			SourceSystem:  "wms-north",
			SourceDocType: "SCAN/PICK",
			SourceDocID:   "00481516",
			SourceLine:    event.Some("7"),
			SourceSeq:     event.Some(int64(48_151_623)),
			EventTime:     1_773_480_600_123_456,
			EventTZOffset: event.Some(int32(60)),
			IngestTime:    1_773_480_600_323_001,
			Site:          "DC-NORTH-01",
		},
		SKU:      "4006381333931",
		Type:     event.MovementTypePick,
		QtyDelta: 2_000_000,
		QtySrc:   2_000_000,
		UOMSrc:   "EA",
		From:     event.Some(event.Place{Bucket: event.BucketAvailable, Location: event.Some("A-17-03-2")}),
		To:       event.Some(event.Place{Bucket: event.BucketPicked, LPN: event.Some("003400000000123456")}),
		Ref:      event.Some(event.Reference{Order: event.Some("SO-4711"), Line: event.Some("3")}),
	}
}

func codecOf(t testing.TB, k event.Kind) *goavro.Codec {
	t.Helper()
	text, err := schemas.Full(k.String())
	if err != nil {
		t.Fatal(err)
	}
	codec, err := goavro.NewCodec(text)
	if err != nil {
		t.Fatal(err)
	}
	return codec
}

func benchmarkEncode(b *testing.B) {
	m := scan()
	buf := m.AppendAvro(nil)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		buf = m.AppendAvro(buf[:0])
	}
}

func benchmarkEncodeGoavro(b *testing.B) {
	codec := codecOf(b, event.KindInventoryMovement)
	buf := scan().AppendAvro(nil)
	native, _, err := codec.NativeFromBinary(buf)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if buf, err = codec.BinaryFromNative(buf[:0], native); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkDecode(b *testing.B) {
	buf := scan().AppendAvro(nil)
	var m event.InventoryMovement
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if err := m.DecodeAvro(buf); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkDecodeInPlace(b *testing.B) {
	buf := scan().AppendAvro(nil)
	var m event.InventoryMovement
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if err := m.DecodeAvroInPlace(buf); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkDecodeGoavro(b *testing.B) {
	codec := codecOf(b, event.KindInventoryMovement)
	buf := scan().AppendAvro(nil)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := codec.NativeFromBinary(buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMovement(b *testing.B) {
	b.Run("encode", benchmarkEncode)
	b.Run("encode-goavro", benchmarkEncodeGoavro)
	b.Run("decode", benchmarkDecode)
	b.Run("decode-in-place", benchmarkDecodeInPlace)
	b.Run("decode-goavro", benchmarkDecodeGoavro)
}

// TestCodecCostsAtMostAFifthOfGoavros holds the codec's reason to exist: less than that and goavro would do.
func TestCodecCostsAtMostAFifthOfGoavros(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("a measurement: not with -short, and meaningless with -race")
	}
	const factor = 5
	const benchtime = "test.benchtime" // a second each by default, which is more than the factor needs
	usual := flag.Lookup(benchtime).Value.String()
	if err := flag.Set(benchtime, "100ms"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := flag.Set(benchtime, usual); err != nil {
			t.Error(err)
		}
	}()
	for _, c := range []struct {
		name        string
		ours, other func(*testing.B)
	}{
		{"encode", benchmarkEncode, benchmarkEncodeGoavro},
		{"decode", benchmarkDecode, benchmarkDecodeGoavro},
		{"decode in place", benchmarkDecodeInPlace, benchmarkDecodeGoavro},
	} {
		ratio := 0.0
		for range 3 { // another process may have the processor during one of the two
			ours, other := testing.Benchmark(c.ours), testing.Benchmark(c.other)
			ratio = float64(other.NsPerOp()) / float64(ours.NsPerOp())
			t.Logf("%s: %d ns, goavro %d ns, %.0f times as fast", c.name, ours.NsPerOp(), other.NsPerOp(), ratio)
			if ratio >= factor {
				break
			}
		}
		if ratio < factor {
			t.Errorf("%s is %.1f times as fast as goavro, want at least %d", c.name, ratio, factor)
		}
	}
}

func TestScanHasAbout240Bytes(t *testing.T) {
	if n := len(scan().AppendAvro(nil)); n < 230 || n > 260 {
		t.Errorf("the benchmark's record has %d bytes", n)
	}
}

func TestHotPathAllocatesNothing(t *testing.T) {
	m := scan()
	m.Serials = []string{"s1", "s2"}
	m.Header.Ext = []event.Pair{{Key: "device", Value: "h7"}}
	buf := m.AppendAvro(nil)
	var into event.InventoryMovement
	if err := into.DecodeAvroInPlace(buf); err != nil { // the slices grow once
		t.Fatal(err)
	}
	allocs := testing.AllocsPerRun(100, func() {
		into.Reset()
		if err := into.DecodeAvroInPlace(buf); err != nil {
			t.Fatal(err)
		}
		buf = into.AppendAvro(buf[:0])
	})
	if allocs != 0 {
		t.Errorf("%v allocations a record, want 0", allocs)
	}
}
