package clickhouse

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// A Native block has two framings. The engine reads and writes the bare one: columns, rows, then name, type and data of
// each column. The TCP protocol at revision 54460 puts a block-info header before it and a "custom serialization" byte
// after each type. recode turns one into the other by walking the types, since nothing else in a block tells where a
// column ends. (ClickHouse: src/Formats/NativeReader.cpp, src/Core/BlockInfo.cpp.)

type framing bool

const (
	bare framing = false
	wire framing = true
)

// blockInfo says: not an overflow block, of no bucket.
var blockInfo = []byte{1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0}

// Bounds on what a block may say of itself.
const (
	maxLength  = 1 << 31 // of a string, and of rows and columns
	copyStride = 1 << 20 // memory grows with the bytes that arrive, not with the length that was announced
)

// blockSource is where a block is read from.
type blockSource interface {
	io.Reader
	io.ByteReader
}

// block is what recode saw.
type block struct {
	rows    int
	columns []column
}

// recode reads one block from src, appends it to dst in the other framing and tells what it held.
func recode(dst *bytes.Buffer, src blockSource, from framing) (block, error) {
	w := &walker{src: src, dst: dst}
	if from == wire {
		w.skipInfo()
	} else {
		dst.Write(blockInfo)
	}
	columns := w.uvarint()
	b := block{rows: w.uvarint()}
	for range columns {
		c := column{w.str(), w.str()}
		if w.err != nil {
			break
		}
		b.columns = append(b.columns, c)
		if from == bare {
			dst.WriteByte(0)
		} else if flag := w.byte(); flag != 0 {
			w.fail(fmt.Errorf("column %s has custom serialization %d, which this port does not read", c.name, flag))
		}
		if b.rows > 0 {
			t := parseType(c.typ)
			t.prefix(w)
			t.data(w, b.rows)
		}
	}
	return b, w.err
}

// appendHeader appends a block without rows, in wire framing.
func appendHeader(dst *bytes.Buffer, columns []column) {
	dst.Write(blockInfo)
	dst.Write(binary.AppendUvarint(nil, uint64(len(columns))))
	dst.WriteByte(0)
	for _, c := range columns {
		for _, s := range []string{c.name, c.typ} {
			dst.Write(binary.AppendUvarint(nil, uint64(len(s))))
			dst.WriteString(s)
		}
		dst.WriteByte(0)
	}
}

// walker copies from src to dst. Its first error stays; every later read gives zero, so that no loop runs on.
type walker struct {
	src blockSource
	dst *bytes.Buffer
	err error
}

func (w *walker) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// byte reads one byte that is not copied.
func (w *walker) byte() byte {
	if w.err != nil {
		return 0
	}
	b, err := w.src.ReadByte()
	if err != nil {
		w.fail(err)
		return 0
	}
	return b
}

// skipInfo reads the block info, field numbers and values up to a zero; it is not copied.
func (w *walker) skipInfo() {
	for w.err == nil {
		switch field := w.byte(); field {
		case 0:
			return
		case 1: // is_overflows
			w.byte()
		case 2: // bucket_num
			for range 4 {
				w.byte()
			}
		default:
			w.fail(fmt.Errorf("block info field %d is unknown", field))
		}
	}
}

func (w *walker) uvarint() int {
	if w.err != nil {
		return 0
	}
	n, err := binary.ReadUvarint(w.src)
	if err == nil && n > maxLength {
		err = fmt.Errorf("a length of %d in a block is out of bounds", n)
	}
	if err != nil {
		w.fail(err)
		return 0
	}
	w.dst.Write(binary.AppendUvarint(w.dst.AvailableBuffer(), n))
	return int(n)
}

// copy copies n bytes and returns them, valid until the next copy; nil after an error.
func (w *walker) copy(n int) []byte {
	start := w.dst.Len()
	for n > 0 && w.err == nil {
		k := min(n, copyStride)
		w.dst.Grow(k)
		p := w.dst.AvailableBuffer()[:k]
		if _, err := io.ReadFull(w.src, p); err != nil {
			w.fail(err)
			return nil
		}
		w.dst.Write(p)
		n -= k
	}
	if w.err != nil {
		return nil
	}
	return w.dst.Bytes()[start:]
}

func (w *walker) str() string { return string(w.copy(w.uvarint())) }

func (w *walker) u64() uint64 {
	if b := w.copy(8); len(b) == 8 {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// length reads a 64-bit count.
func (w *walker) length() int {
	n := w.u64()
	if n > maxLength {
		w.fail(fmt.Errorf("a length of %d in a block is out of bounds", n))
		return 0
	}
	return int(n)
}
