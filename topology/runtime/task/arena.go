package task

import (
	"crossdock/avro/event"
	"crossdock/avro/serde"
)

// An Arena holds the bytes that the tasks of one worker emit in a transaction. They stay where they are until Reset,
// which keeps the room for the next one.
type Arena struct {
	chunks [][]byte // every one of chunkBytes; the used ones come first
	used   int      // chunks in use, the last of them is filled
	bytes  int      // handed out since the last Reset
}

// chunkBytes is large beside an event of a few hundred bytes, so that little is lost at the end of a chunk.
const chunkBytes = 1 << 20

// maxKeptChunks bounds what an Arena keeps between transactions, after one that needed more.
const maxKeptChunks = 64

// Bytes is what was handed out since the last Reset.
func (a *Arena) Bytes() int { return a.bytes }

// Reset frees all that was handed out.
func (a *Arena) Reset() {
	for i := range a.chunks[:a.used] {
		a.chunks[i] = a.chunks[i][:0]
	}
	if len(a.chunks) > maxKeptChunks {
		clear(a.chunks[maxKeptChunks:])
		a.chunks = a.chunks[:maxKeptChunks]
	}
	a.used, a.bytes = 0, 0
}

// room is the free end of the chunk in use, empty and with at least n bytes of capacity.
func (a *Arena) room(n int) []byte {
	if a.used > 0 {
		if c := a.chunks[a.used-1]; cap(c)-len(c) >= n {
			return c[len(c):]
		}
	}
	if n > chunkBytes {
		return make([]byte, 0, n) // a chunk of its own, which is not kept
	}
	if a.used == len(a.chunks) {
		a.chunks = append(a.chunks, make([]byte, 0, chunkBytes))
	}
	a.used++
	return a.chunks[a.used-1]
}

// keep takes note of b, which was appended to what room returned. Where it outgrew that room it lies elsewhere, and the
// chunk stays as it was.
func (a *Arena) keep(room, b []byte) []byte {
	a.bytes += len(b)
	if a.used > 0 && len(b) > 0 && cap(b) == cap(room) {
		c := &a.chunks[a.used-1]
		if free := (*c)[len(*c):cap(*c)]; len(free) > 0 && &free[0] == &b[0] {
			*c = (*c)[:len(*c)+len(b)]
		}
	}
	return b[:len(b):len(b)]
}

func (a *Arena) copy(b []byte) []byte {
	if b == nil {
		return nil
	}
	room := a.room(len(b))
	return a.keep(room, append(room, b...))
}

// expectedEventBytes is the room that an event is encoded into; a larger one is moved once.
const expectedEventBytes = 2 << 10

func (a *Arena) encode(s *serde.Serde, e event.Record) []byte {
	room := a.room(expectedEventBytes)
	return a.keep(room, s.Append(room, e))
}
