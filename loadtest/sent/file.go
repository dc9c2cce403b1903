package sent

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"
)

// A Format is the form of one kind of log in a file, with a head of type H:
//
//	magic           its own bytes
//	version         1 byte
//	zstd frame of   the head's length (4 bytes, big-endian), the head as JSON, the rest
//	checksum        8 bytes, big-endian: xxHash64 of all before
type Format[H any] struct {
	Magic   string
	Version byte
	Writer  string // who writes such files: "a load test"
	MaxRest int64  // bytes; more is no log
}

const (
	sumBytes = 8
	maxHead  = 16 << 20
)

// A FileError says why bytes are not a saved log, or not that of this run.
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

// Write writes a log.
func (f *Format[H]) Write(w io.Writer, head *H, rest []byte) error {
	text, err := json.Marshal(head)
	if err != nil {
		return fmt.Errorf("save the log: %w", err)
	}
	body := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(text)+len(rest)), uint32(len(text)))
	body = append(append(body, text...), rest...)
	file := append([]byte(f.Magic), f.Version)
	file = zstd.EncodeTo(file, body)
	file = binary.BigEndian.AppendUint64(file, xxhash.Sum64(file))
	if _, err := w.Write(file); err != nil {
		return fmt.Errorf("save the log: %w", err)
	}
	return nil
}

// Read reads what Write wrote. An error is a *FileError, or the reader's.
func (f *Format[H]) Read(r io.Reader) (*H, []byte, error) {
	file, err := io.ReadAll(io.LimitReader(r, f.most()))
	if err != nil {
		return nil, nil, fmt.Errorf("read the log: %w", err)
	}
	start, end := len(f.Magic)+1, len(file)-sumBytes
	switch {
	case len(file) < start || string(file[:len(f.Magic)]) != f.Magic:
		return nil, nil, &FileError{Problem: "these bytes were not written by " + f.Writer}
	case file[len(f.Magic)] != f.Version:
		return nil, nil, &FileError{Problem: fmt.Sprintf("it has version %d, and this program reads %d: verify with the program that sent it", file[len(f.Magic)], f.Version)}
	case end < start:
		return nil, nil, &FileError{Problem: "it is cut short"}
	case binary.BigEndian.Uint64(file[end:]) != xxhash.Sum64(file[:end]):
		return nil, nil, &FileError{Problem: "its checksum is wrong: it is cut short or damaged"}
	}
	body, err := f.inflate(file[start:end])
	if err != nil {
		return nil, nil, &FileError{Problem: "it cannot be decompressed", Err: err}
	}
	if len(body) < 4 || int64(len(body)-4) < int64(binary.BigEndian.Uint32(body)) {
		return nil, nil, &FileError{Problem: "its head is cut short"}
	}
	size := binary.BigEndian.Uint32(body)
	head := new(H)
	if err := json.Unmarshal(body[4:4+size], head); err != nil {
		return nil, nil, &FileError{Problem: "its head is no JSON of a log", Err: err}
	}
	return head, body[4+size:], nil
}

func (f *Format[H]) most() int64 { return f.MaxRest + maxHead }

// inflate bounds what it allocates by what the frame really holds.
func (f *Format[H]) inflate(frame []byte) (_ []byte, err error) {
	z, err := zstd.NewReader(bytes.NewReader(frame), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	body, err := io.ReadAll(io.LimitReader(z, f.most()+1))
	if err == nil && int64(len(body)) > f.most() {
		err = errors.New("it holds more than any log")
	}
	return body, err
}
