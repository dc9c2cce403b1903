package send

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/loadtest/scans"
	"crossdock/loadtest/sent"
	"crossdock/topology/topics"
)

// maxEvents bounds what is read: beyond it a file is no log.
const maxEvents = 1 << 36

// format is that of a saved log: behind its head are the acknowledged bits, 8 bytes each word, little-endian.
func format() *sent.Format[head] {
	return &sent.Format[head]{Magic: "xdk-sent", Version: 1, Writer: "a load test", MaxRest: maxEvents / 8}
}

// head is a log without its bits.
type head struct {
	Log *Log `json:"log"`
	sent.Counts
	Partitions map[uint8][]int64 `json:"partitions"`
	Outages    []sent.Outage     `json:"outages"`
	Generator  uint64            `json:"generator"` // see imprint
	Count      int64             `json:"count"`
}

// Save writes the log, a bit for each event and less where they are alike: with the generator of the same load it is
// enough to replay, resolve and verify the run later. The run must be over.
func (l *Log) Save(w io.Writer) error {
	l.mu.Lock()
	h := head{Log: l, Counts: l.Counts(), Partitions: map[uint8][]int64{}, Outages: l.Outages(), Generator: imprint(l.generator), Count: l.count}
	words := slices.Clone(l.acked[:(l.Made+63)/64])
	for id, counts := range l.partitions {
		if len(counts) > 0 {
			h.Partitions[uint8(id)] = slices.Clone(counts)
		}
	}
	l.mu.Unlock()
	body := make([]byte, 0, 8*len(words))
	for _, word := range words {
		body = binary.LittleEndian.AppendUint64(body, word)
	}
	return format().Write(w, &h, body)
}

// ReadLog reads what Save wrote. The generator must be of the load that was sent; kafka says how the brokers are reached,
// for Resolve. An error is a *sent.FileError, or the reader's.
func ReadLog(r io.Reader, g *scans.Generator, kafka []kgo.Opt) (*Log, error) {
	h, body, err := format().Read(r)
	if err != nil {
		return nil, err
	}
	l := h.Log
	if l == nil {
		return nil, &sent.FileError{Problem: "its head has no log"}
	}
	words := (l.Made + 63) / 64
	if l.Made < 0 || l.Made > maxEvents || int64(len(body)) != 8*words {
		return nil, &sent.FileError{Problem: fmt.Sprintf("%d events do not have %d bytes of bits", l.Made, len(body))}
	}
	if h.Generator != imprint(g) {
		return nil, &sent.FileError{Problem: "it is of another load than the generator's: give the profile, seed and run name that were sent"}
	}
	l.acked = make([]uint64, words)
	for i := range l.acked {
		l.acked[i] = binary.LittleEndian.Uint64(body[8*i:])
	}
	if l.count = l.ones(); l.count != h.Count {
		return nil, &sent.FileError{Problem: fmt.Sprintf("%d events are acknowledged by its bits, and %d by its head", l.count, h.Count)}
	}
	for id, counts := range h.Partitions {
		if int(id) >= topics.Count {
			return nil, &sent.FileError{Problem: fmt.Sprintf("it names topic %d, and there are %d", id, topics.Count)}
		}
		l.partitions[id] = counts
	}
	l.Restore(h.Counts)
	l.watch = newWatch()
	l.watch.Restore(h.Outages)
	l.kafka, l.serde, l.generator, l.start = kafka, serde.Local(), g.Again(), event.MicrosOf(g.Load().Start)
	return l, nil
}

// ones counts the acknowledged bits.
func (l *Log) ones() (n int64) {
	for _, word := range l.acked {
		n += int64(bits.OnesCount64(word))
	}
	return n
}

// imprint tells generators apart by the events that they make.
func imprint(g *scans.Generator) uint64 {
	const events = 256
	g, s, d := g.Again(), serde.Local(), xxhash.New()
	var b []byte
	for range events {
		g.Next()
		b = g.AppendKey(b[:0])
		b = append(b, 0)
		b = g.AppendValue(b, s)
		_, _ = d.Write(b) // it never fails
	}
	return d.Sum64()
}
