package event

import (
	"fmt"

	"crossdock/avro/schemas"
)

// A Kind names the schema of an event. Its numbers may differ from one version of the program to the next: what is kept or
// sent names the schema by its registry id or its String. The zero Kind is none.
type Kind uint8

// Kinds returns all kinds of event that travel on topics.
func Kinds() []Kind {
	kinds := make([]Kind, kindCount)
	for i := range kinds {
		kinds[i] = Kind(i + 1)
	}
	return kinds
}

// FullName is the Avro full name of the record, with its namespace.
func (k Kind) FullName() string { return schemas.FullName(k.String()) }

// unknownSymbol is the text of an enum's value that is none of its symbols.
func unknownSymbol(enum string, value uint8) string { return fmt.Sprintf("%s(%d)", enum, value) }
