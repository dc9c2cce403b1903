package parking

import (
	"encoding/binary"
	"errors"

	"crossdock/avro/event"
	"crossdock/processors/masterdata"
)

// A queue is what waits for one reference: events with the sequence numbers from head to tail-1, in the order of arrival.
//
// Packed: format version and kind of reference (1 byte each), head and tail (uvarint), since (8 bytes, little endian), limit
// (uvarint), then system, code and SKU, each with its length before it (uvarint). Version 1 had no limit.
type queue struct {
	ref        masterdata.Reference
	head, tail uint64
	since      event.Micros // when the event at the head was first parked
	limit      uint64       // time limit that its timer was set by, in microseconds; 0: it has none
}

const formatVersion = 2

var errCorrupt = errors.New("parking: what waits for a reference is cut or damaged")

func (q *queue) appendTo(b []byte) []byte {
	b = append(b, formatVersion, byte(q.ref.Kind))
	b = binary.AppendUvarint(b, q.head)
	b = binary.AppendUvarint(b, q.tail)
	b = binary.LittleEndian.AppendUint64(b, uint64(q.since))
	b = binary.AppendUvarint(b, q.limit)
	for _, s := range [...]string{q.ref.System, q.ref.Code, q.ref.SKU} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return b
}

func (q *queue) open(b []byte) error {
	*q = queue{}
	if len(b) < 2 || b[0] < 1 || b[0] > formatVersion {
		return errCorrupt
	}
	version := b[0]
	q.ref.Kind = event.MissingKind(b[1])
	b = b[2:]
	var ok [7]bool
	q.head, b, ok[0] = uvarint(b)
	q.tail, b, ok[1] = uvarint(b)
	if len(b) < 8 {
		return errCorrupt
	}
	q.since = event.Micros(binary.LittleEndian.Uint64(b))
	b = b[8:]
	if ok[6] = version == 1; !ok[6] {
		q.limit, b, ok[6] = uvarint(b)
	}
	q.ref.System, b, ok[2] = text(b)
	q.ref.Code, b, ok[3] = text(b)
	q.ref.SKU, b, ok[4] = text(b)
	ok[5] = len(b) == 0 && q.head < q.tail
	if ok != [...]bool{true, true, true, true, true, true, true} {
		return errCorrupt
	}
	return nil
}

// appendEventKey appends the key of one waiting event: the reference's key, a zero byte, the sequence number in 8 bytes,
// big-endian.
func appendEventKey(b, ref []byte, seq uint64) []byte {
	b = append(append(b, ref...), 0)
	return binary.BigEndian.AppendUint64(b, seq)
}

// An entry is a waiting event, packed as format version (1 byte), partition and offset of its record on parking-inbox (uvarint),
// when it arrived (8 bytes, little endian), and the record's value. Version 1 had no time.
type entry struct {
	partition int32
	offset    int64
	arrived   int64 // microseconds; unknownArrival in version 1
	value     []byte
}

const (
	eventVersion   = 2
	unknownArrival = -1
)

func appendEvent(b []byte, partition int32, offset, arrived int64, value []byte) []byte {
	b = append(b, eventVersion)
	b = binary.AppendUvarint(b, uint64(partition))
	b = binary.AppendUvarint(b, uint64(offset))
	b = binary.LittleEndian.AppendUint64(b, uint64(arrived))
	return append(b, value...)
}

func openEvent(b []byte) (e entry, err error) {
	if len(b) < 1 || b[0] < 1 || b[0] > eventVersion {
		return e, errCorrupt
	}
	version := b[0]
	partition, b, ok := uvarint(b[1:])
	offset, b, ok2 := uvarint(b)
	if !ok || !ok2 {
		return e, errCorrupt
	}
	e = entry{partition: int32(partition), offset: int64(offset), arrived: unknownArrival, value: b}
	if version > 1 {
		if len(b) < 8 {
			return e, errCorrupt
		}
		e.arrived, e.value = int64(binary.LittleEndian.Uint64(b)), b[8:]
	}
	return e, nil
}

func uvarint(b []byte) (v uint64, rest []byte, ok bool) {
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, false
	}
	return v, b[n:], true
}

func text(b []byte) (s string, rest []byte, ok bool) {
	n, b, ok := uvarint(b)
	if !ok || n > uint64(len(b)) {
		return "", nil, false
	}
	return string(b[:n]), b[n:], true
}
