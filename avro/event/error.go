package event

import "fmt"

// A DecodeError says why bytes are not one Avro binary record of a kind. The event that was decoded into holds a part of
// the record and must not be used.
type DecodeError struct {
	Kind    Kind   // what was expected
	Field   string // path of the field, as "header.ext[3]" or "lines[12].qty"; empty for the record as a whole
	Offset  int    // byte where the field, or the element of it that is wrong, starts
	Problem string // what is wrong, in words
}

func (e *DecodeError) Error() string {
	where := e.Kind.String()
	if e.Field != "" {
		where += " field " + e.Field
	}
	return fmt.Sprintf("event: %s at byte %d: %s; the bytes were cut or damaged, or written with another schema than their id names",
		where, e.Offset, e.Problem)
}

// A position below zero is a failure; these are its causes.
const (
	failTruncated = -1 - iota
	failVarint
	failLength
	failInt
	failBoolean
	failEnum
	failBranch
	failCount
	failBlockSize
	failTrailing
)

func problem(code int) string {
	switch code {
	case failTruncated:
		return "the record ends within the value"
	case failVarint:
		return "a number has more than 64 bits"
	case failLength:
		return "a length is negative"
	case failInt:
		return "an int has more than 32 bits"
	case failBoolean:
		return "a boolean is neither 0 nor 1"
	case failEnum:
		return "an enum's index is beyond its symbols"
	case failBranch:
		return "a union's branch is neither 0 nor 1"
	case failCount:
		return "a block counts more items than the bytes left can hold"
	case failBlockSize:
		return "a block's size in bytes is not the size of its items"
	case failTrailing:
		return "bytes follow the record"
	}
	return "unknown failure"
}

// fail makes the error of a field whose value starts at offset; code is the negative position that a reader returned.
func fail(code, offset int, field string) *DecodeError {
	return &DecodeError{Field: field, Offset: offset, Problem: problem(code)}
}

// failItem is fail for an item of an array or map.
func failItem(code, offset int, field string, item int) *DecodeError {
	return fail(code, offset, fmt.Sprintf("%s[%d]", field, item))
}

// in puts the field that holds the failed record before the path.
func (e *DecodeError) in(field string) *DecodeError {
	e.Field = field + "." + e.Field
	return e
}

// inItem is in for a record that is an item of an array.
func (e *DecodeError) inItem(field string, item int) *DecodeError {
	return e.in(fmt.Sprintf("%s[%d]", field, item))
}

// of completes the error where the whole record is known.
func (e *DecodeError) of(k Kind) *DecodeError {
	e.Kind = k
	return e
}
