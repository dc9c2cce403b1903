package sink

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	chproto "github.com/ClickHouse/ch-go/proto"
	chcolumn "github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"crossdock/avro/event"
)

// A column collects the values of one column of a block, in the form in which they are handed over cheapest. It keeps its
// memory from block to block.
//
// Three kinds of column are handed over in ClickHouse's own Native encoding (https://clickhouse.com/docs/interfaces/formats/Native),
// read by the driver as it reads a server's block, because the driver's Append of Go values costs more than the rest of a
// row together: Decimal makes two big.Int a value, DateTime64 a time.Time, and LowCardinality a reflect.Value and a look-up
// in a map of interfaces.
type column interface {
	// len counts the values.
	len() int
	// reset forgets the values.
	reset()
	// kind is the column's type as ClickHouse writes it. The values are handed over to no column of another type.
	kind() string
	// fill appends the values to the driver's column.
	fill(to chcolumn.Interface, h *handover) error
}

// A namedColumn is a column of a table.
type namedColumn struct {
	name string
	column
}

// fillBatch hands all columns of a block over to a batch, after it has compared their types: a Native encoding that is read
// as another type would be taken for other values without any error.
func fillBatch(b driver.Batch, columns []namedColumn, h *handover) error {
	have := b.Columns()
	if len(have) != len(columns) {
		return &fillError{"(all)", fmt.Errorf("the server has %d columns, the program %d", len(have), len(columns))}
	}
	for i, c := range columns {
		if kind := plainKind(string(have[i].Type())); have[i].Name() != c.name || kind != c.kind() {
			return &fillError{c.name, fmt.Errorf("the server has %s of type %s, the program %s of type %s", have[i].Name(), kind, c.name, c.kind())}
		}
		if err := c.fill(have[i], h); err != nil {
			return &fillError{c.name, err}
		}
	}
	return nil
}

// plainKind is the type of the values of a column that also says how rows are merged.
func plainKind(kind string) string {
	if inner, ok := strings.CutPrefix(kind, "SimpleAggregateFunction(max, "); ok {
		return strings.TrimSuffix(inner, ")")
	}
	return kind
}

// text is a String column.
type text struct{ values []string }

func (c *text) add(s string) { c.values = append(c.values, s) }
func (c *text) len() int     { return len(c.values) }
func (c *text) kind() string { return "String" }
func (c *text) reset() {
	clear(c.values) // the values keep the records that they lie in alive
	c.values = c.values[:0]
}

func (c *text) fill(to chcolumn.Interface, h *handover) error {
	h.lend(to)
	_, err := to.Append(c.values)
	return err
}

// addOptional adds a text that may be null; null is the empty text.
func (c *text) addOptional(s event.Optional[string]) {
	if s.Valid {
		c.add(s.Value)
		return
	}
	c.add("")
}

// texts is an Array(String) column.
type texts struct{ values [][]string }

func (c *texts) add(s []string) { c.values = append(c.values, s) }
func (c *texts) len() int       { return len(c.values) }
func (c *texts) kind() string   { return "Array(String)" }
func (c *texts) reset() {
	clear(c.values)
	c.values = c.values[:0]
}

func (c *texts) fill(to chcolumn.Interface, _ *handover) error {
	_, err := to.Append(c.values)
	return err
}

// scalars is a column of a type that the driver appends as a slice of Go's type without work per value.
type scalars[T bool | int32 | int64 | uint32 | uint64 | uuid.UUID] struct{ values []T }

func (c *scalars[T]) add(v T)  { c.values = append(c.values, v) }
func (c *scalars[T]) len() int { return len(c.values) }
func (c *scalars[T]) reset()   { c.values = c.values[:0] }

func (c *scalars[T]) kind() string {
	var zero T
	switch any(zero).(type) {
	case bool:
		return "Bool"
	case int32:
		return "Int32"
	case int64:
		return "Int64"
	case uint32:
		return "UInt32"
	case uint64:
		return "UInt64"
	default:
		return "UUID"
	}
}

func (c *scalars[T]) fill(to chcolumn.Interface, _ *handover) error {
	_, err := to.Append(c.values)
	return err
}

// words is a column whose values are 8 bytes on the wire.
type words struct{ native []byte }

func (c *words) len() int { return len(c.native) / 8 }
func (c *words) reset()   { c.native = c.native[:0] }

func (c *words) fill(to chcolumn.Interface, h *handover) error {
	return h.read(to, c.native, c.len())
}

// quantities is a Decimal(18, 6) column: on the wire an int64 of millionths, as an event.Quantity is.
type quantities struct{ words }

func (c *quantities) kind() string { return "Decimal(18, 6)" }

func (c *quantities) add(q event.Quantity) {
	c.native = binary.LittleEndian.AppendUint64(c.native, uint64(q))
}

// times is a DateTime64(6, 'UTC') column: on the wire an int64 of microseconds since 1970, as an event.Micros is.
type times struct{ words }

func (c *times) kind() string { return "DateTime64(6, 'UTC')" }

func (c *times) add(m event.Micros) {
	c.native = binary.LittleEndian.AppendUint64(c.native, uint64(m))
}

// symbols is a LowCardinality(String) column: each distinct value once, and per row its number. Number 0 is the empty text,
// as the format asks.
type symbols struct {
	dictionary []string
	index      map[string]uint32
	keys       []uint32
	native     []byte
}

func (c *symbols) add(s string) {
	if n := len(c.keys); n > 0 && c.dictionary[c.keys[n-1]] == s {
		c.keys = append(c.keys, c.keys[n-1])
		return
	}
	c.keys = append(c.keys, c.intern(s))
}

// intern gives the number of a value within the block.
func (c *symbols) intern(s string) uint32 {
	if s == "" {
		if len(c.dictionary) == 0 {
			c.dictionary = append(c.dictionary, "")
		}
		return 0
	}
	if k, ok := c.index[s]; ok {
		return k
	}
	if c.index == nil {
		c.index = make(map[string]uint32)
	}
	if len(c.dictionary) == 0 {
		c.dictionary = append(c.dictionary, "")
	}
	k := uint32(len(c.dictionary))
	c.dictionary = append(c.dictionary, s)
	c.index[s] = k
	return k
}

// addOptional adds a text that may be null; null is the empty text.
func (c *symbols) addOptional(s event.Optional[string]) {
	if s.Valid {
		c.add(s.Value)
		return
	}
	c.add("")
}

func (c *symbols) len() int     { return len(c.keys) }
func (c *symbols) kind() string { return "LowCardinality(String)" }
func (c *symbols) reset() {
	clear(c.index)
	clear(c.dictionary)
	c.dictionary, c.keys, c.native = c.dictionary[:0], c.keys[:0], c.native[:0]
}

func (c *symbols) fill(to chcolumn.Interface, h *handover) error {
	c.encode()
	return h.read(to, c.native, len(c.keys))
}

// How wide the numbers of a LowCardinality column are on the wire, and the flags of a block that carries its own
// dictionary (ClickHouse, SerializationLowCardinality).
const (
	keysUint8, keysUint16, keysUint32 = 0, 1, 2

	hasAdditionalKeys    = 1 << 9
	needUpdateDictionary = 1 << 10
)

// encode writes the column in the Native format, without the prefix of the version, which the driver adds.
func (c *symbols) encode() {
	b := c.native[:0]
	width := uint64(keysUint8)
	switch {
	case len(c.dictionary) > 1<<16:
		width = keysUint32
	case len(c.dictionary) > 1<<8:
		width = keysUint16
	}
	b = binary.LittleEndian.AppendUint64(b, hasAdditionalKeys|needUpdateDictionary|width)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(c.dictionary)))
	for _, s := range c.dictionary {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(len(c.keys)))
	for _, k := range c.keys {
		switch width {
		case keysUint8:
			b = append(b, uint8(k))
		case keysUint16:
			b = binary.LittleEndian.AppendUint16(b, uint16(k))
		default:
			b = binary.LittleEndian.AppendUint32(b, k)
		}
	}
	c.native = b
}

// enum is a LowCardinality(String) column of an Avro enum: a symbol is looked up once a block, not once a row.
type enum[E interface {
	~uint8
	String() string
}] struct {
	symbols
	numbers [256]uint32 // by the enum's value; 0: not yet in the block
}

func (c *enum[E]) addSymbol(e E) {
	k := c.numbers[e]
	if k == 0 {
		k = c.intern(e.String())
		c.numbers[e] = k
	}
	c.keys = append(c.keys, k)
}

func (c *enum[E]) reset() {
	c.symbols.reset()
	c.numbers = [256]uint32{}
}

// A handover is what the inserts of one sender, one after the other, have in common: a reader through which the driver
// decodes columns out of memory, and the memory of the driver's String columns, which it makes anew for every insert and
// would grow anew.
type handover struct {
	source source
	reader *chproto.Reader
	kept   map[string]chcolumn.String // by name
	lent   []*chcolumn.String
}

// source gives the bytes of one column after the other. It never reports an end while there are bytes, so the reader above
// it never remembers one.
type source struct{ rest []byte }

func (s *source) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func newHandover() *handover {
	h := &handover{kept: map[string]chcolumn.String{}}
	h.reader = chproto.NewReader(&h.source)
	return h
}

// read appends rows values in the Native encoding to the driver's column.
func (h *handover) read(to chcolumn.Interface, native []byte, rows int) error {
	if rows == 0 {
		return nil
	}
	h.source.rest = native
	return to.Decode(h.reader, rows)
}

// lend gives an empty column of the driver the memory that the column of that name had in the last insert.
func (h *handover) lend(to chcolumn.Interface) {
	fresh, ok := to.(*chcolumn.String)
	if !ok {
		return
	}
	if kept, ok := h.kept[fresh.Name()]; ok {
		*fresh = kept
		delete(h.kept, fresh.Name())
	}
	h.lent = append(h.lent, fresh)
}

// takeBack ends an insert: the driver does not use its columns any more.
func (h *handover) takeBack() {
	for _, c := range h.lent {
		c.Reset()
		h.kept[c.Name()] = *c
	}
	clear(h.lent)
	h.lent = h.lent[:0]
}
