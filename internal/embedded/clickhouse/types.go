package clickhouse

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// columnType is how one ClickHouse type lies in a block: a prefix once per column, then the data of its rows.
type columnType interface {
	prefix(w *walker)
	data(w *walker, rows int)
}

// fixedType has so many bytes a row.
type fixedType int

func (fixedType) prefix(*walker)             {}
func (t fixedType) data(w *walker, rows int) { w.copy(int(t) * rows) }

type stringType struct{}

func (stringType) prefix(*walker) {}
func (stringType) data(w *walker, rows int) {
	for range rows {
		if w.copy(w.uvarint()); w.err != nil {
			return
		}
	}
}

// nullableType has a byte a row before the values.
type nullableType struct{ columnType }

func (t nullableType) data(w *walker, rows int) {
	w.copy(rows)
	t.columnType.data(w, rows)
}

// arrayType has the running ends of its rows before the elements of all.
type arrayType struct{ columnType }

func (t arrayType) data(w *walker, rows int) {
	if rows == 0 {
		return
	}
	ends := w.copy(8 * rows)
	if w.err != nil {
		return
	}
	n := binary.LittleEndian.Uint64(ends[8*(rows-1):])
	if n > maxLength {
		w.fail(fmt.Errorf("%d array elements in a block are out of bounds", n))
		return
	}
	t.columnType.data(w, int(n))
}

type tupleType []columnType

func (t tupleType) prefix(w *walker) {
	for _, e := range t {
		e.prefix(w)
	}
}

func (t tupleType) data(w *walker, rows int) {
	for _, e := range t {
		e.data(w, rows)
	}
}

// lowCardinalityType has a version first; then, for so many rows at a time, the index's width, the keys and the index.
type lowCardinalityType struct{ keys columnType }

func (lowCardinalityType) prefix(w *walker) { w.copy(8) }

func (t lowCardinalityType) data(w *walker, rows int) {
	for rows > 0 && w.err == nil {
		width := w.u64() & 0xff
		if width > 3 {
			w.fail(fmt.Errorf("LowCardinality index of type %d is unknown", width))
			return
		}
		t.keys.data(w, w.length())
		n := w.length()
		if w.err == nil && n == 0 {
			w.fail(fmt.Errorf("LowCardinality index is empty with %d rows to come", rows))
		}
		w.copy(n << width)
		rows -= n
	}
}

// unknownType is one whose end in a block only the engine can find.
type unknownType string

func (t unknownType) prefix(w *walker) {
	w.fail(fmt.Errorf("Code: 50. DB::Exception: type %s does not travel over this TCP port; use HTTP. (UNKNOWN_TYPE)", string(t)))
}
func (t unknownType) data(*walker, int) {}

// fixedWidth is the size of a value in bytes, 0 for types that are not of one size.
func fixedWidth(name string) int {
	switch name {
	case "Int8", "UInt8", "Bool", "Enum8", "Nothing":
		return 1
	case "Int16", "UInt16", "Date", "Enum16", "BFloat16":
		return 2
	case "Int32", "UInt32", "Float32", "Date32", "DateTime", "IPv4", "Decimal32", "Time":
		return 4
	case "Int64", "UInt64", "Float64", "DateTime64", "Decimal64", "Time64":
		return 8
	case "UUID", "IPv6", "Int128", "UInt128", "Decimal128":
		return 16
	case "Int256", "UInt256", "Decimal256":
		return 32
	}
	if strings.HasPrefix(name, "Interval") {
		return 8
	}
	return 0
}

// parseType reads a type's text, as it stands in a block.
func parseType(s string) columnType {
	name, inner, _ := strings.Cut(s, "(")
	if n := fixedWidth(name); n > 0 {
		return fixedType(n)
	}
	args := splitArguments(strings.TrimSuffix(inner, ")"))
	switch name {
	case "String":
		return stringType{}
	case "FixedString":
		if n, err := strconv.Atoi(args[0]); err == nil && n > 0 {
			return fixedType(n)
		}
	case "Decimal":
		if p, err := strconv.Atoi(args[0]); err == nil {
			return fixedType(decimalWidth(p))
		}
	case "Nullable":
		return nullableType{parseType(args[0])}
	case "Array":
		return arrayType{parseType(args[0])}
	case "SimpleAggregateFunction":
		return parseType(args[len(args)-1])
	case "LowCardinality": // a null is the key 0: nothing else is stored for it
		return lowCardinalityType{parseType(strings.TrimSuffix(strings.TrimPrefix(args[0], "Nullable("), ")"))}
	case "Map":
		if len(args) == 2 {
			return arrayType{tupleType{parseType(args[0]), parseType(args[1])}}
		}
	case "Tuple":
		return parseElements(args)
	case "Nested":
		return arrayType{parseElements(args)}
	case "Point":
		return tupleType{fixedType(8), fixedType(8)}
	}
	return unknownType(s)
}

func parseElements(args []string) tupleType {
	var t tupleType
	for _, a := range args {
		t = append(t, parseType(withoutName(a)))
	}
	return t
}

func decimalWidth(precision int) int {
	switch {
	case precision <= 9:
		return 4
	case precision <= 18:
		return 8
	case precision <= 38:
		return 16
	}
	return 32
}

// splitArguments cuts s at its top-level commas; it returns at least one part.
func splitArguments(s string) (parts []string) {
	depth, quote, start := 0, byte(0), 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0:
			switch c {
			case '\\':
				i++
			case quote:
				quote = 0
			}
		case c == '\'' || c == '`':
			quote = c
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ',' && depth == 0:
			parts = append(parts, strings.TrimSpace(s[start:i]))
			start = i + 1
		}
	}
	return append(parts, strings.TrimSpace(s[start:]))
}

// withoutName drops a tuple element's name: "qty Int64" and "`a b` Int64" are Int64.
func withoutName(s string) string {
	if strings.HasPrefix(s, "`") {
		if i := strings.LastIndex(s[:strings.IndexAny(s+"(", "(")], "` "); i > 0 {
			return s[i+2:]
		}
	}
	if i := strings.IndexAny(s, " ("); i > 0 && s[i] == ' ' {
		return s[i+1:]
	}
	return s
}
