package main

import (
	"fmt"
	"slices"
)

// encoder writes appendTo, which appends a record's binary form.
func (m *model) encoder(s *source, t *namedType) {
	s.line("func (x *%s) appendTo(b []byte) []byte {", t.Name)
	for _, f := range t.Fields {
		m.encode(s, f.typ, "x."+goName(f.Name))
	}
	s.line("return b\n}\n")
}

// encode writes the statements that append one value.
func (m *model) encode(s *source, t fieldType, v string) {
	switch t.form {
	case formText, formBytes:
		s.line("b = appendText(b, %s)", v)
	case formInt, formMicros, formDate, formEnum:
		s.line("b = appendLong(b, int64(%s))", v)
	case formLong:
		s.line("b = appendLong(b, %s)", v)
	case formBoolean:
		s.line("b = appendBoolean(b, %s)", v)
	case formQuantity:
		s.line("b = appendQuantity(b, %s)", v)
	case formRecord:
		s.line("b = %s.appendTo(b)", v)
	case formOptional:
		s.line("if %s.Valid {\nb = append(b, branchValue)", v)
		m.encode(s, *t.elem, v+".Value")
		s.line("} else {\nb = append(b, branchNull)\n}")
	case formArray:
		s.line("if len(%s) > 0 {\nb = appendLong(b, int64(len(%s)))", v, v)
		s.line("for k := range %s {", v)
		m.encode(s, *t.elem, v+"[k]")
		s.line("}\n}\nb = append(b, 0)")
	case formMap:
		s.line("if len(%s) > 0 {\nb = appendLong(b, int64(len(%s)))", v, v)
		s.line("for k := range %s {\nb = appendText(b, %s[k].Key)\nb = appendText(b, %s[k].Value)\n}\n}\nb = append(b, 0)", v, v, v)
	}
}

// decoder writes decode, which reads a record at s[i:] and returns the position after it. A reader's position goes to n
// first, so that a failure knows where its field starts.
func (m *model) decoder(s *source, t *namedType) {
	s.line("func (x *%s) decode(s string, i int) (int, *DecodeError) {", t.Name)
	if slices.ContainsFunc(t.Fields, func(f *field) bool { return holdsRecord(f.typ) }) {
		s.line("var err *DecodeError")
	}
	for _, f := range t.Fields {
		m.decode(s, f.typ, "x."+goName(f.Name), f.Name)
	}
	s.line("return i, nil\n}\n")
}

func holdsRecord(t fieldType) bool {
	return t.form == formRecord || t.elem != nil && holdsRecord(*t.elem)
}

// decode writes the statements that read the value v of the field of that name.
func (m *model) decode(s *source, t fieldType, v, name string) {
	switch t.form {
	case formRecord:
		s.line("if i, err = %s.decode(s, i); err != nil {\nreturn 0, err.in(%q)\n}", v, name)
	case formOptional:
		s.line("if valid, n := branch(s, i); n < 0 {\nreturn 0, fail(n, i, %q)\n} else if i = n; valid {\n%s.Valid = true", name, v)
		m.decode(s, *t.elem, v+".Value", name)
		s.line("} else {")
		m.resetField(s, t, v)
		s.line("}")
	case formArray, formMap:
		m.decodeItems(s, t, v, name)
	default:
		m.read(s, t, v, fmt.Sprintf("fail(n, i, %q)", name))
	}
}

// read writes the statements that read a value without parts; failure is the error of one that cannot be read. The case
// that is usual for a text is inlined.
func (m *model) read(s *source, t fieldType, v, failure string) {
	switch t.form {
	case formText:
		s.line("if n := shortText(s, i); n > 0 {\n%s, i = s[i+1:n], n\n} else", v)
		s.line("if %s, n = text(s, i); n < 0 {\nreturn 0, %s\n} else {\ni = n\n}", v, failure)
	case formEnum:
		s.line("if k, n := symbol(s, i, %s); n < 0 {\nreturn 0, %s\n} else {", countName(t.name), failure)
		s.line("%s, i = %s(k), n\n}", v, t.name)
	default:
		s.line("if v, n := %s; n < 0 {\nreturn 0, %s\n} else {\n%s, i = v, n\n}", reader(t), failure, v)
	}
}

// decodeItems writes the loops that read the blocks of an array or map.
func (m *model) decodeItems(s *source, t fieldType, v, name string) {
	item := fieldType{form: formMap}
	minSize := 2 // a map's entry: two lengths
	if t.form == formArray {
		item = *t.elem
		minSize = m.minSize(item)
	}
	s.line("%s = %s[:0]\nfor !endOfItems(s, i) {", v, v)
	s.line("count, end, n := block(s, i, %d)\nif n < 0 {\nreturn 0, fail(n, i, %q)\n}\ni = n", minSize, name)
	s.line("for ; count > 0; count-- {\nk := len(%s)\n%s = extend(%s)", v, v, v)
	if item.form == formRecord {
		s.line("if i, err = %s[k].decode(s, i); err != nil {\nreturn 0, err.inItem(%q, k)\n}", v, name)
	} else {
		m.read(s, item, v+"[k]", fmt.Sprintf("failItem(n, i, %q, k)", name))
	}
	s.line("}\nif end >= 0 && i != end {\nreturn 0, fail(failBlockSize, i, %q)\n}\n}\ni++", name)
}

// reader is the call that reads a value without parts where that is one call; for a map, one entry.
func reader(t fieldType) string {
	switch t.form {
	case formBytes:
		return "binaryText(s, i)"
	case formInt:
		return "integer(s, i)"
	case formLong:
		return "long(s, i)"
	case formBoolean:
		return "boolean(s, i)"
	case formQuantity:
		return "quantity(s, i)"
	case formMicros:
		return "micros(s, i)"
	case formDate:
		return "date(s, i)"
	case formMap:
		return "pair(s, i)"
	}
	panic(fmt.Sprintf("form %d has no reader", t.form))
}

// zero is the zero value of a type.
func zero(t fieldType) string {
	switch t.form {
	case formText:
		return `""`
	case formBytes, formArray, formMap:
		return "nil"
	case formBoolean:
		return "false"
	case formRecord, formOptional:
		return goType(t) + "{}"
	}
	return "0"
}

// reset writes the method that makes a record its zero value and keeps the room of its slices. Only events, and parts
// that hold slices, need one.
func (m *model) reset(s *source, t *namedType, isEvent bool) {
	name := "reset"
	if isEvent {
		name = "Reset"
		s.line("// Reset makes the event its zero value and keeps the room of its slices, not what they hold.")
	} else if !m.keepsRoom(fieldType{form: formRecord, name: t.Name}) {
		return
	}
	s.line("func (x *%s) %s() {", t.Name, name)
	for _, f := range t.Fields {
		m.resetField(s, f.typ, "x."+goName(f.Name))
	}
	s.line("}")
}

func (m *model) resetField(s *source, t fieldType, v string) {
	switch {
	case !m.keepsRoom(t):
		s.line("%s = %s", v, zero(t))
	case t.form == formOptional:
		s.line("%s.Valid = false", v)
		m.resetField(s, *t.elem, v+".Value")
	case t.form == formRecord:
		s.line("%s.reset()", v)
	case t.form == formArray && m.keepsRoom(*t.elem):
		s.line("%s = %s[:cap(%s)]\nfor k := range %s {\n%s[k].reset()\n}\n%s = %s[:0]", v, v, v, v, v, v, v)
	default:
		s.line("clear(%s[:cap(%s)])\n%s = %s[:0]", v, v, v, v)
	}
}
