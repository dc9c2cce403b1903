package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"
)

// A Position says where state at rest stands.
type Position struct {
	// Changelog is the offset of the changelog that comes next: the state has the effect of all before it.
	Changelog int64
	// Source is the offset of the input that comes next, for information.
	Source int64
	// Stamp is when the state was last known to be its changelog's end. For one that is being restored from the start it
	// is when the reading began.
	Stamp time.Time
}

// Keys of a partition's folder: one meta record, which sorts first, and the keys of the state after a byte.
const (
	metaKey   = "\x00meta"
	keyPrefix = 1
)

// formatVersion is of the meta record, of the keys' form and of what the values mean to this package.
const formatVersion = 1

// A meta record is what a partition's folder says of itself. It is written in one batch with the state (I2).
type meta struct {
	changelog [16]byte // topic id
	name      string   // store and partition: a folder that was moved is another's
	at        Position
	keys      uint64
}

// appendTo encodes the record: version, topic id, offsets, stamp in microseconds since the epoch, keys, name, and 64 bits of
// xxhash over all of it.
func (m *meta) appendTo(b []byte) []byte {
	from := len(b)
	b = append(b, formatVersion)
	b = append(b, m.changelog[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(m.at.Changelog))
	b = binary.LittleEndian.AppendUint64(b, uint64(m.at.Source))
	b = binary.LittleEndian.AppendUint64(b, uint64(m.at.Stamp.UnixMicro()))
	b = binary.LittleEndian.AppendUint64(b, m.keys)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(m.name)))
	b = append(b, m.name...)
	return binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b[from:]))
}

const metaFixed = 1 + 16 + 4*8 + 2

var errMetaDamaged = errors.New("the meta record is damaged")

// readMeta decodes a record. An error says why the folder is of no use.
func readMeta(b []byte) (meta, error) {
	if len(b) > 0 && b[0] != formatVersion {
		return meta{}, fmt.Errorf("store format %d is not known to this program, which writes %d", b[0], formatVersion)
	}
	if len(b) < metaFixed+8 {
		return meta{}, errMetaDamaged
	}
	body := b[:len(b)-8]
	if xxhash.Sum64(body) != binary.LittleEndian.Uint64(b[len(body):]) || len(body) != metaFixed+int(binary.LittleEndian.Uint16(body[metaFixed-2:])) {
		return meta{}, errMetaDamaged
	}
	m := meta{name: string(body[metaFixed:])}
	copy(m.changelog[:], body[1:])
	number := func(i int) uint64 { return binary.LittleEndian.Uint64(body[17+8*i:]) }
	m.at = Position{Changelog: int64(number(0)), Source: int64(number(1)), Stamp: time.UnixMicro(int64(number(2)))}
	m.keys = number(3)
	return m, nil
}
