package send

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/loadtest/scans"
	"crossdock/topology/topics"
)

// A saved log is
//
//	magic           8 bytes
//	version         1 byte
//	zstd frame of   the head's length (4 bytes, big-endian), the head as JSON, the acknowledged bits (8 bytes each word,
//	                little-endian)
//	checksum        8 bytes, big-endian: xxHash64 of all before
const (
	fileMagic   = "xdk-sent"
	fileVersion = 1
	fileStart   = len(fileMagic) + 1
	fileSum     = 8
	// The bounds of what is read: beyond them a file is no log.
	maxEvents = 1 << 36
	maxHead   = 16 << 20
)

// head is a log without its bits.
type head struct {
	Log        *Log              `json:"log"`
	Kinds      map[uint8]int64   `json:"kinds"`
	Poison     map[uint8]int64   `json:"poison"`
	Offline    int64             `json:"offline"`
	OutOfTime  int64             `json:"out_of_time"`
	Partitions map[uint8][]int64 `json:"partitions"`
	Outages    []Outage          `json:"outages"`
	Generator  uint64            `json:"generator"` // see imprint
	Count      int64             `json:"count"`
}

// FileError says why bytes are not a saved log, or not that of this run.
type FileError struct {
	Problem string
	Err     error // may be nil
}

// Error implements error.
func (e *FileError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("saved log: %s: %v", e.Problem, e.Err)
	}
	return "saved log: " + e.Problem
}

// Unwrap is its cause.
func (e *FileError) Unwrap() error { return e.Err }

// Save writes the log, a bit for each event and less where they are alike: with the generator of the same load it is
// enough to replay, resolve and verify the run later. The run must be over.
func (l *Log) Save(w io.Writer) error {
	l.mu.Lock()
	h := head{
		Log: l, Kinds: counted(l.kinds), Poison: counted(l.poison), Offline: l.offline, OutOfTime: l.outOfTime,
		Partitions: map[uint8][]int64{}, Outages: l.outages, Count: l.count,
	}
	words := slices.Clone(l.acked[:(l.Made+63)/64])
	for id, counts := range l.partitions {
		if len(counts) > 0 {
			h.Partitions[uint8(id)] = counts
		}
	}
	h.Generator = imprint(l.generator)
	text, err := json.Marshal(&h)
	l.mu.Unlock()
	if err != nil {
		return fmt.Errorf("save the log: %w", err)
	}
	body := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(text)+8*len(words)), uint32(len(text)))
	body = append(body, text...)
	for _, word := range words {
		body = binary.LittleEndian.AppendUint64(body, word)
	}
	file := append([]byte(fileMagic), fileVersion)
	file = zstd.EncodeTo(file, body)
	file = binary.BigEndian.AppendUint64(file, xxhash.Sum64(file))
	if _, err := w.Write(file); err != nil {
		return fmt.Errorf("save the log: %w", err)
	}
	return nil
}

// counted leaves out what did not occur.
func counted(counts [256]int64) map[uint8]int64 {
	some := map[uint8]int64{}
	for i, n := range counts {
		if n > 0 {
			some[uint8(i)] = n
		}
	}
	return some
}

// ReadLog reads what Save wrote. The generator must be of the load that was sent; kafka says how the brokers are reached,
// for Resolve. An error is a *FileError, or the reader's.
func ReadLog(r io.Reader, g *scans.Generator, kafka []kgo.Opt) (*Log, error) {
	file, err := io.ReadAll(io.LimitReader(r, maxEvents/8+maxHead))
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	h, body, err := open(file)
	if err != nil {
		return nil, err
	}
	l := h.Log
	words := (l.Made + 63) / 64
	if l.Made < 0 || l.Made > maxEvents || int64(len(body)) != 8*words {
		return nil, &FileError{Problem: fmt.Sprintf("%d events do not have %d bytes of bits", l.Made, len(body))}
	}
	if h.Generator != imprint(g) {
		return nil, &FileError{Problem: "it is of another load than the generator's: give the profile, seed and run name that were sent"}
	}
	l.acked = make([]uint64, words)
	for i := range l.acked {
		l.acked[i] = binary.LittleEndian.Uint64(body[8*i:])
	}
	if l.count = l.ones(); l.count != h.Count {
		return nil, &FileError{Problem: fmt.Sprintf("%d events are acknowledged by its bits, and %d by its head", l.count, h.Count)}
	}
	for k, n := range h.Kinds {
		l.kinds[k] = n
	}
	for p, n := range h.Poison {
		l.poison[p] = n
	}
	for id, counts := range h.Partitions {
		if int(id) >= topics.Count {
			return nil, &FileError{Problem: fmt.Sprintf("it names topic %d, and there are %d", id, topics.Count)}
		}
		l.partitions[id] = counts
	}
	l.offline, l.outOfTime, l.outages = h.Offline, h.OutOfTime, h.Outages
	l.kafka, l.serde, l.generator, l.start = kafka, serde.Local(), g.Again(), event.MicrosOf(g.Load().Start)
	return l, nil
}

// open checks a file and takes it apart.
func open(file []byte) (*head, []byte, error) {
	switch {
	case len(file) < fileStart || string(file[:len(fileMagic)]) != fileMagic:
		return nil, nil, &FileError{Problem: "these bytes were not written by a load test"}
	case file[len(fileMagic)] != fileVersion:
		return nil, nil, &FileError{Problem: fmt.Sprintf("it has version %d, and this program reads %d: verify with the program that sent it", file[len(fileMagic)], fileVersion)}
	case len(file) < fileStart+fileSum:
		return nil, nil, &FileError{Problem: "it is cut short"}
	}
	end := len(file) - fileSum
	if binary.BigEndian.Uint64(file[end:]) != xxhash.Sum64(file[:end]) {
		return nil, nil, &FileError{Problem: "its checksum is wrong: it is cut short or damaged"}
	}
	body, err := inflate(file[fileStart:end])
	if err != nil {
		return nil, nil, &FileError{Problem: "it cannot be decompressed", Err: err}
	}
	if len(body) < 4 || int64(len(body)-4) < int64(binary.BigEndian.Uint32(body)) {
		return nil, nil, &FileError{Problem: "its head is cut short"}
	}
	size := binary.BigEndian.Uint32(body)
	h := &head{Log: &Log{}}
	if err := json.Unmarshal(body[4:4+size], h); err != nil {
		return nil, nil, &FileError{Problem: "its head is no JSON of a log", Err: err}
	}
	if h.Log == nil {
		return nil, nil, &FileError{Problem: "its head has no log"}
	}
	return h, body[4+size:], nil
}

// inflate bounds what it allocates by what the frame really holds.
func inflate(frame []byte) (_ []byte, err error) {
	z, err := zstd.NewReader(bytes.NewReader(frame), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	body, err := io.ReadAll(io.LimitReader(z, maxEvents/8+maxHead+1))
	if err == nil && len(body) > maxEvents/8+maxHead {
		err = errors.New("it holds more than any log")
	}
	return body, err
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
