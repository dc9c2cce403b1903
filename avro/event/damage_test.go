package event_test

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"runtime"
	"strings"
	"testing"

	"crossdock/avro/event"
)

// long is an Avro long as encoding/binary writes it.
func long(v int64) string { return string(binary.AppendVarint(nil, v)) }

// textAvro is an Avro string.
func textAvro(s string) string { return long(int64(len(s))) + s }

func TestEachKindOfDamageIsNamedWithFieldAndByte(t *testing.T) {
	// An InventoryPolicy up to its header's ext: 20 fields, all empty or null, with actions and times of 0.
	header := strings.Repeat("\x00", 19)
	policy := func(ext, rest string) string { return header + ext + rest }
	rest := textAvro("SKU") + long(1) + strings.Repeat("\x00", 8) + "\x00"
	for _, c := range []struct {
		name, bytes, field, problem string
		offset                      int
	}{
		{"nothing", "", "header.event_id", "ends within", 0},
		{"a length below zero", long(-1), "header.event_id", "length is negative", 0},
		{"a length beyond the end", long(100) + "abc", "header.event_id", "ends within", 0},
		{"a length of all bits", long(math.MaxInt64), "header.event_id", "ends within", 0},
		{"a number of 11 bytes", strings.Repeat("\xff", 10) + "\x01", "header.event_id", "64 bits", 0},
		{"a number of 65 bits", strings.Repeat("\xff", 9) + "\x02", "header.event_id", "64 bits", 0},
		{"a branch of 2", "\x00\x00\x00\x04", "header.causation_id", "branch", 3},
		{"a branch of -1", "\x00\x00\x00\x01", "header.causation_id", "branch", 3},
		{"an int of 33 bits", header[:11] + "\x02" + long(math.MaxInt32+1), "header.event_tz_offset", "32 bits", 12},
		{"a symbol too many", header[:14] + long(4), "header.action", "beyond its symbols", 14},
		{"a symbol below zero", header[:14] + long(-1), "header.action", "beyond its symbols", 14},
		{"more entries than bytes", policy(long(1000), rest), "header.ext", "more items", 19},
		{"all entries that there can be", policy(long(math.MaxInt64), rest), "header.ext", "more items", 19},
		{"entries below all", policy(long(math.MinInt64)+long(0), rest), "header.ext", "more items", 19},
		{"a block's size below zero", policy(long(-1)+long(-1), rest), "header.ext", "length is negative", 19},
		{"a block's size beyond the end", policy(long(-1)+long(1000), rest), "header.ext", "ends within", 19},
		{"a block's size that is not its items'", policy(long(-1)+long(3)+textAvro("k")+textAvro("v")+"\x00", rest), "header.ext", "size in bytes", 25},
		{"an entry that is cut", policy(long(1)+textAvro("k")+long(90), rest), "header.ext[0]", "ends within", 20},
		{"bytes that follow", policy("\x00", rest+"\x00"), "", "follow", 34},
	} {
		var failure *event.DecodeError
		err := new(event.InventoryPolicy).DecodeAvro([]byte(c.bytes))
		if !errors.As(err, &failure) {
			t.Errorf("%s: %v, want a *DecodeError", c.name, err)
			continue
		}
		if failure.Field != c.field || failure.Offset != c.offset || !strings.Contains(failure.Problem, c.problem) || failure.Kind != event.KindInventoryPolicy {
			t.Errorf("%s: %v\nwant field %q, byte %d, %q", c.name, err, c.field, c.offset, c.problem)
		}
	}
	// The same bytes, whole and undamaged, in each legal form of a map.
	for name, ext := range map[string]string{
		"no entries":         "\x00",
		"one block":          long(2) + textAvro("k") + textAvro("v") + textAvro("l") + textAvro("w") + "\x00",
		"two blocks":         long(1) + textAvro("k") + textAvro("v") + long(1) + textAvro("l") + textAvro("w") + "\x00",
		"blocks with a size": long(-1) + long(4) + textAvro("k") + textAvro("v") + long(-1) + long(4) + textAvro("l") + textAvro("w") + "\x00",
	} {
		var p event.InventoryPolicy
		if err := p.DecodeAvro([]byte(policy(ext, rest))); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if name != "no entries" && (len(p.Header.Ext) != 2 || p.Header.Ext[1] != event.Pair{Key: "l", Value: "w"}) {
			t.Errorf("%s: %v", name, p.Header.Ext)
		}
	}
}

func TestDamageWithinAnArrayNamesTheItem(t *testing.T) {
	r := event.ReturnEvent{RMA: "R1", Lines: []event.ReturnLine{{Line: "1"}, {Line: "2", Lot: event.Some("L")}}}
	b := r.AppendAvro(nil)
	b = b[:len(b)-5] // within the second line
	var failure *event.DecodeError
	if err := new(event.ReturnEvent).DecodeAvro(b); !errors.As(err, &failure) || !strings.HasPrefix(failure.Field, "lines[1].") {
		t.Errorf("%v, want lines[1]", err)
	}
}

// A few bytes may claim an array of millions: what is made for it is bounded by what has been read.
func TestACountIsNotBelievedBeforeItsItemsAreThere(t *testing.T) {
	var m event.InboundNotice
	b := m.AppendAvro(nil)
	b = b[:len(b)-2] // without its two empty arrays
	// 200,000 handling units of 5 bytes each fit into what follows; the first is damaged.
	b = append(b, long(200_000)...)
	b = append(b, long(-1)...)
	b = append(b, make([]byte, 1_000_000)...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := m.DecodeAvroInPlace(b); err == nil {
		t.Fatal("decoded")
	}
	runtime.ReadMemStats(&after)
	allocated := after.TotalAlloc - before.TotalAlloc
	if allocated > 4096 {
		t.Errorf("%d bytes allocated for an array whose first item is damaged", allocated)
	}
}

// The bytes were made by hand from the Avro 1.12 specification; a change here is a change of the wire format.
func TestGoldenBytes(t *testing.T) {
	policy := event.InventoryPolicy{
		Header: event.EventHeader{
			EventID: "e1", DedupeKey: "d", CorrelationID: "c", CausationID: event.Some("e0"), SourceSystem: "erp",
			SourceDocType: "X", SourceDocID: "9", SourceSeq: event.Some(int64(-3)), EventTime: 1_000_000, EventTZOffset: event.Some(int32(-300)),
			IngestTime: 2_000_000, Action: event.ActionRefresh, ErrorReason: event.Some(event.ErrorReasonIncorrectData), Site: "DC1",
			Ext: []event.Pair{{Key: "k", Value: "v"}},
		},
		SKU: "ä", Version: 64, SafetyStock: -1_500_000, NegativeStock: event.Some(event.NegativeStockClamp),
	}
	want := strings.Join([]string{
		"046531", "0264", "0263", "02" + "046530", "06657270", "0258", "0239", // event_id to source_doc_id
		"00", "02" + "05", "00", // source_line, source_seq -3, source_version
		"80897a", "02" + "d704", "00", "8092f401", // event_time, event_tz_offset -300, captured_time, ingest_time
		"06", "00", "02" + "02", "06444331", "00", // action, corrects_event_id, error_reason, site, raw_ref
		"02" + "026b" + "0276" + "00", // ext
		"04c3a4", "8001", "ffffffffffe91ca0", "02" + "04",
	}, "")
	if got := hex.EncodeToString(policy.AppendAvro(nil)); got != want {
		t.Errorf("InventoryPolicy:\n got %s\nwant %s", got, want)
	}
	letter := event.DeadLetter{ID: "i", Partition: 7, Offset: -1, Key: event.Some([]byte{}), Value: event.Some([]byte{0xff}),
		Headers: []event.TextPair{{Name: "n", Value: []byte{1}}}}
	want = strings.Join([]string{
		"0269", "00", "00", "00", "00", "00", // id, stage, cause, detail, position, remedy
		"00", "0e", "01", "00", // topic, partition, offset, part
		"02" + "00", "02" + "02ff", "02" + "026e" + "0201" + "00", // key, value, headers
		"00", "00", "00", "00",
	}, "")
	if got := hex.EncodeToString(letter.AppendAvro(nil)); got != want {
		t.Errorf("DeadLetter:\n got %s\nwant %s", got, want)
	}
}
