package documents

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/loadtest/scans"
	"crossdock/loadtest/send"
)

// A saved log is
//
//	magic           8 bytes
//	version         1 byte
//	zstd frame of   the head's length (4 bytes, big-endian), the head as JSON, a byte for each document: how often it is in
//	checksum        8 bytes, big-endian: xxHash64 of all before
const (
	fileMagic   = "xdk-docs"
	fileVersion = 1
	fileStart   = len(fileMagic) + 1
	fileSum     = 8
	maxFile     = 1 << 32
)

// head is a log without its documents.
type head struct {
	Log       *Log            `json:"log"`
	Kinds     map[uint8]int64 `json:"kinds"`
	Poison    map[uint8]int64 `json:"poison"`
	Offline   int64           `json:"offline"`
	OutOfTime int64           `json:"out_of_time"`
	Events    int64           `json:"events"`
	Taken     int64           `json:"taken"`
	Doubtful  []int64         `json:"doubtful"`
	Outages   []send.Outage   `json:"outages"`
	Imprint   uint64          `json:"imprint"`
}

// Save writes the log: with the generator of the same load it is enough to walk, resolve and verify the run later. Credentials
// are left out. The run must be over.
func (l *Log) Save(w io.Writer) error {
	mark, err := imprint(l.generator, l.Shape, l.Planned)
	if err != nil {
		return fmt.Errorf("save the log: %w", err)
	}
	l.mu.Lock()
	h := head{
		Log: l, Kinds: counted(l.kinds), Poison: counted(l.poison), Offline: l.offline, OutOfTime: l.outOfTime, Events: l.events, Taken: l.taken,
		Doubtful: slices.Sorted(maps.Keys(l.doubtful)), Outages: l.outages, Imprint: mark,
	}
	text, err := json.Marshal(&h)
	copies := slices.Clone(l.copies)
	l.mu.Unlock()
	if err != nil {
		return fmt.Errorf("save the log: %w", err)
	}
	body := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(text)+len(copies)), uint32(len(text)))
	body = append(append(body, text...), copies...)
	file := append([]byte(fileMagic), fileVersion)
	file = zstd.EncodeTo(file, body)
	file = binary.BigEndian.AppendUint64(file, xxhash.Sum64(file))
	if _, err := w.Write(file); err != nil {
		return fmt.Errorf("save the log: %w", err)
	}
	return nil
}

func counted(counts [256]int64) map[uint8]int64 {
	some := map[uint8]int64{}
	for i, n := range counts {
		if n != 0 {
			some[uint8(i)] = n
		}
	}
	return some
}

// ReadLog reads what Save wrote. The generator must be of the load that was sent; kafka says how the brokers are reached, for
// Resolve. An error is a *send.FileError, or the reader's.
func ReadLog(r io.Reader, g *scans.Generator, kafka []kgo.Opt) (*Log, error) {
	file, err := io.ReadAll(io.LimitReader(r, maxFile))
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	h, copies, err := open(file)
	if err != nil {
		return nil, err
	}
	l := h.Log
	if l.Documents < 0 || l.Planned < 0 || l.Made < 0 || l.Made > l.Planned {
		return nil, &send.FileError{Problem: fmt.Sprintf("%d of %d events in %d documents cannot be", l.Made, l.Planned, l.Documents)}
	}
	mark, err := imprint(g, l.Shape, l.Planned)
	if err != nil {
		return nil, &send.FileError{Problem: "its documents cannot be made again", Err: err}
	}
	if h.Imprint != mark {
		return nil, &send.FileError{Problem: "it is of another load than the generator's: give the profile, seed and run name that were sent"}
	}
	in := int64(0)
	for _, n := range copies {
		if n > 0 {
			in++
		}
	}
	if in != h.Taken {
		return nil, &send.FileError{Problem: fmt.Sprintf("%d documents are in by its list, and %d by its head", in, h.Taken)}
	}
	for k, n := range h.Kinds {
		l.kinds[k] = n
	}
	for p, n := range h.Poison {
		l.poison[p] = n
	}
	l.copies, l.events, l.taken, l.outages, l.offline, l.outOfTime = copies, h.Events, h.Taken, h.Outages, h.Offline, h.OutOfTime
	l.doubtful = make(map[int64]struct{}, len(h.Doubtful))
	for _, number := range h.Doubtful {
		l.doubtful[number] = struct{}{}
	}
	l.kafka, l.generator = kafka, g.Again()
	return l, nil
}

// open checks a file and takes it apart.
func open(file []byte) (*head, []byte, error) {
	switch {
	case len(file) < fileStart || string(file[:len(fileMagic)]) != fileMagic:
		return nil, nil, &send.FileError{Problem: "these bytes were not written by a load test of documents"}
	case file[len(fileMagic)] != fileVersion:
		return nil, nil, &send.FileError{Problem: fmt.Sprintf("it has version %d, and this program reads %d: verify with the program that sent it", file[len(fileMagic)], fileVersion)}
	case len(file) < fileStart+fileSum:
		return nil, nil, &send.FileError{Problem: "it is cut short"}
	}
	end := len(file) - fileSum
	if binary.BigEndian.Uint64(file[end:]) != xxhash.Sum64(file[:end]) {
		return nil, nil, &send.FileError{Problem: "its checksum is wrong: it is cut short or damaged"}
	}
	body, err := inflate(file[fileStart:end])
	if err != nil {
		return nil, nil, &send.FileError{Problem: "it cannot be decompressed", Err: err}
	}
	if len(body) < 4 || int64(len(body)-4) < int64(binary.BigEndian.Uint32(body)) {
		return nil, nil, &send.FileError{Problem: "its head is cut short"}
	}
	size := binary.BigEndian.Uint32(body)
	h := &head{Log: &Log{}}
	if err := json.Unmarshal(body[4:4+size], h); err != nil {
		return nil, nil, &send.FileError{Problem: "its head is no JSON of a log", Err: err}
	}
	if h.Log == nil {
		return nil, nil, &send.FileError{Problem: "its head has no log"}
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
	body, err := io.ReadAll(io.LimitReader(z, maxFile+1))
	if err == nil && len(body) > maxFile {
		err = errors.New("it holds more than any log")
	}
	return body, err
}

// imprint tells runs apart by their first documents.
func imprint(g *scans.Generator, s Shape, count int64) (uint64, error) {
	const first = 64
	cutter, err := NewCutter(g.Again(), s, count, nil)
	if err != nil {
		return 0, err
	}
	sum := xxhash.New()
	for range first {
		d := cutter.Next()
		if d == nil {
			break
		}
		_, _ = sum.Write(d.Body) // it never fails
		cutter.Release(d)
	}
	return sum.Sum64(), nil
}
