package main

import (
	"fmt"
	"strings"
)

// isMethod tells whether event.Record has a method of that name, which no field may have then.
func isMethod(name string) bool {
	switch name {
	case "Kind", "AppendAvro", "DecodeAvro", "DecodeAvroInPlace", "Reset":
		return true
	}
	return false
}

// initialism returns how Go writes a word that is not just capitalised.
func initialism(word string) (string, bool) {
	switch word {
	case "sku", "ats", "asn", "gtin", "lpn", "qc", "id", "uom", "rma", "sscc", "eta", "tz", "dc":
		return strings.ToUpper(word), true
	case "uoms":
		return "UOMs", true
	}
	return "", false
}

// goName is the exported Go name of a field (snake_case) or a symbol (UPPER_CASE).
func goName(name string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(strings.ToLower(name), "_") {
		if s, ok := initialism(word); ok {
			b.WriteString(s)
		} else if word != "" {
			b.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return b.String()
}

// goType is the Go type of a field.
func goType(t fieldType) string {
	switch t.form {
	case formText:
		return "string"
	case formBytes:
		return "[]byte"
	case formInt:
		return "int32"
	case formLong:
		return "int64"
	case formBoolean:
		return "bool"
	case formQuantity:
		return "Quantity"
	case formMicros:
		return "Micros"
	case formDate:
		return "Date"
	case formEnum, formRecord:
		return t.name
	case formOptional:
		return "Optional[" + goType(*t.elem) + "]"
	case formArray:
		return "[]" + goType(*t.elem)
	case formMap:
		return "[]Pair"
	}
	panic(fmt.Sprintf("form %d has no Go type", t.form))
}

// fileName is the generated file of a type: InventoryMovement is in inventory_movement_gen.go.
func fileName(typeName string) string {
	var b strings.Builder
	for i, r := range typeName {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToLower(b.String()) + "_gen.go"
}
