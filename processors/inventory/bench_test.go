package inventory

import (
	"encoding/binary"
	"fmt"
	"testing"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/processors"
	"crossdock/topology/topics"
)

// benchContext is a runner that costs next to nothing: what is left is the stage.
type benchContext struct {
	serde   *serde.Serde
	record  *processors.Record
	value   []byte
	out     []byte
	emitted int
}

func (c *benchContext) Now() int64                             { return 1_764_000_000_000_000 }
func (c *benchContext) Record() *processors.Record             { return c.record }
func (c *benchContext) Decode(e event.Record) error            { return c.serde.Decode(c.record.Value, e) }
func (c *benchContext) Kind() (event.Kind, error)              { return c.serde.Kind(c.record.Value) }
func (c *benchContext) Encode(b []byte, e event.Record) []byte { return c.serde.Append(b, e) }
func (c *benchContext) Store(int) processors.Store             { return c }
func (c *benchContext) SetTimer(string, []byte, int64)         {}
func (c *benchContext) CancelTimer(string, []byte)             {}
func (c *benchContext) TimerAt(string, []byte) (int64, bool)   { return 0, false }
func (c *benchContext) Emit(_ topics.ID, _ []byte, e event.Record) {
	c.out = c.serde.Append(c.out[:0], e)
	c.emitted++
}
func (c *benchContext) EmitRaw(topics.ID, []byte, []byte, []processors.Header) {}
func (c *benchContext) Get([]byte) []byte                                      { return c.value }
func (c *benchContext) Put(_, value []byte)                                    { c.value = append(c.value[:0], value...) }
func (c *benchContext) Delete([]byte)                                          {}
func (c *benchContext) Each(func(key, value []byte) bool)                      {}
func (c *benchContext) Len() int                                               { return 1 }

// scan is a movement of about 240 bytes, as a warehouse scanner sends it.
func scan(n int) *event.InventoryMovement {
	id := fmt.Sprintf("wms-lyon/pick/%010d", n)
	return &event.InventoryMovement{
		Header: event.EventHeader{
			EventID: id, DedupeKey: id, CorrelationID: "SO-4711-0815", SourceSystem: "wms-lyon", SourceDocType: "SCAN",
			SourceDocID: "PT-20251124-0001", SourceLine: event.Some("10"), EventTime: 1_764_000_000_000_000 + event.Micros(n),
			IngestTime: 1_764_000_000_100_000, Site: "DC-LYON", RawRef: event.Some("crossdock.raw.wms-lyon/3/123456789"),
		},
		SKU: "TEA-EARL-GREY-100", Type: event.MovementTypePick, QtyDelta: 3 * event.QuantityScale, QtySrc: 3 * event.QuantityScale, UOMSrc: "EA",
		From: event.Some(event.Place{Bucket: event.BucketAvailable, Location: event.Some("A-12-03")}),
		To:   event.Some(event.Place{Bucket: event.BucketPicked}),
		Ref:  event.Some(event.Reference{Order: event.Some("SO-4711"), Line: event.Some("10")}), ItemVersion: event.Some(int64(7)),
	}
}

// BenchmarkProcess is one movement through the stage: decoding, the key's state with a full memory or a nearly empty one,
// the ledger's posting.
func BenchmarkProcess(b *testing.B) {
	const variants = 4096
	for _, full := range []bool{false, true} {
		for _, ledger := range []bool{true, false} {
			b.Run(fmt.Sprintf("fullMemory=%t/ledger=%t", full, ledger), func(b *testing.B) {
				s := serde.Local()
				records := make([]processors.Record, variants)
				for i := range records {
					records[i] = processors.Record{Key: topics.Key(nil, "TEA-EARL-GREY-100", "DC-LYON"), Value: s.Append(nil, scan(i))}
				}
				c := &benchContext{serde: s}
				p := New(Options{NoLedger: !ledger})
				var cold state
				cold.bucket[event.BucketAvailable] = 500 * event.QuantityScale
				few := cold.appendWith(nil, 1)
				b.ReportAllocs()
				b.SetBytes(int64(len(records[0].Value)))
				for i := 0; b.Loop(); i++ {
					if !full {
						c.value = append(c.value[:0], few...)
					}
					c.record = &records[i%variants]
					if err := p.Process(c, c.record); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkBalance is one key at the commit.
func BenchmarkBalance(b *testing.B) {
	s := serde.Local()
	r := &processors.Record{Key: topics.Key(nil, "TEA-EARL-GREY-100", "DC-LYON"), Value: s.Append(nil, scan(1))}
	c := &benchContext{serde: s, record: r}
	p := New(Options{})
	if err := p.Process(c, r); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := p.(processors.CommitHook).BeforeCommit(c, r.Key, c.value); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkState is opening and packing the state alone.
func BenchmarkState(b *testing.B) {
	for _, n := range []int{1, remembered} {
		b.Run(fmt.Sprintf("hashes=%d", n), func(b *testing.B) {
			var s state
			s.postings, s.asOf, s.postedAt = 12345, 1_764_000_000_000_000, 1_764_000_000_100_000
			s.bucket[event.BucketAvailable] = 500 * event.QuantityScale
			s.bucket[event.BucketPicked] = 12 * event.QuantityScale
			for i := range n {
				s.memory = binary.LittleEndian.AppendUint64(s.memory, uint64(i)*0x9e3779b97f4a7c15)
			}
			packed := s.appendTo(nil)
			out := make([]byte, 0, 1024)
			b.ReportAllocs()
			for i := uint64(0); b.Loop(); i++ {
				if err := s.open(packed); err != nil || s.remembers(i) && i > 64 {
					b.Fatal(err)
				}
				out = s.appendWith(out[:0], i)
			}
		})
	}
}
