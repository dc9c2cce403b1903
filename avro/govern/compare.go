package govern

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/avro"
)

// A Violation is a change of a schema after which records written before could not be read, or would be read as something
// else.
type Violation struct {
	Schema string // name of the record, without namespace
	Older  string // what it was compared with: "release 1", "version 3 of subject ..."
	Field  string // path of the field, as "header.action" or "lines.items.qty"; empty for the record itself
	Why    string // what cannot be read
	Remedy string // what to do instead
}

func (v *Violation) Error() string {
	where := v.Schema
	if v.Field != "" {
		where += " field " + v.Field
	}
	return fmt.Sprintf("govern: %s is incompatible with %s: %s; %s", where, v.Older, v.Why, v.Remedy)
}

// compare tells how a current schema violates an older one.
func compare(name, older string, writer *avro.Schema, currentText string) ([]*Violation, error) {
	reader, err := avro.Parse(currentText)
	if err != nil {
		return nil, &SchemaError{name, err}
	}
	violations := meanings(writer.Root().ExpandReferences(), reader.Root().ExpandReferences(), nil)
	var refused *avro.CompatibilityError
	if err := avro.CheckCompatibility(writer, reader); errors.As(err, &refused) {
		v := avroViolation(name, refused)
		// A change of meaning may be one that Avro refuses too: it is told once.
		if !slices.ContainsFunc(violations, func(have *Violation) bool { return have.Field == v.Field }) {
			violations = append(violations, v)
		}
	} else if err != nil {
		return nil, err
	}
	for _, v := range violations {
		v.Schema, v.Older = name, older
	}
	return violations, nil
}

// avroViolation puts a violation of Avro's rules into words.
func avroViolation(name string, e *avro.CompatibilityError) *Violation {
	field := strings.TrimPrefix(strings.TrimPrefix(e.Path, name), ".")
	if field == "(root)" {
		field = ""
	}
	v := &Violation{Field: field, Why: e.Detail, Remedy: "undo the change, and add a field of another name, with a default, beside this one"}
	switch {
	case strings.Contains(e.Detail, "no default"):
		if strings.Contains(e.Detail, "symbol") {
			break
		}
		v.Why = "older records do not have it, and it has no default"
		v.Remedy = `give the field a default (for a union with null: "default": null)`
	case strings.Contains(e.Detail, "names do not match"):
		v.Why = fmt.Sprintf("its type was called %s and is called %s", e.WriterType, e.ReaderType)
		v.Remedy = "give the type its old name back"
	case strings.Contains(e.Detail, "incompatible types") || strings.Contains(e.Detail, "branch"):
		v.Why = fmt.Sprintf("older records have a %s there, which cannot be read as %s", e.WriterType, e.ReaderType)
	default:
		v.Why = fmt.Sprintf("%s (was %s, is %s)", e.Detail, e.WriterType, e.ReaderType)
	}
	return v
}

// meanings finds the changes that Avro allows and the house does not, in whatever both schemas have. Fields are matched
// by name or alias, as resolution does.
func meanings(older, current *avro.SchemaNode, path []string) []*Violation {
	at := strings.Join(path, ".")
	older, current = notNull(older), notNull(current)
	if older.LogicalType != current.LogicalType {
		return []*Violation{{
			Field:  at,
			Why:    fmt.Sprintf("it meant %q and means %q: the same number would be read as another value", meaning(older), meaning(current)),
			Remedy: "give the field its logical type back, and add a field of another name, with a default, beside it",
		}}
	}
	var violations []*Violation
	switch {
	case older.Type == "enum" && current.Type == "enum":
		for _, symbol := range older.Symbols {
			if !slices.Contains(current.Symbols, symbol) {
				violations = append(violations, &Violation{
					Field:  at,
					Why:    fmt.Sprintf("the symbol %s of %s is gone: older records that have it would be read as %s", symbol, current.Name, current.EnumDefault),
					Remedy: "keep the symbol, and say in its enum's doc that it is no longer written",
				})
			}
		}
	case older.Type == "record" && current.Type == "record":
		for i := range current.Fields {
			f := &current.Fields[i]
			for j := range older.Fields {
				if old := &older.Fields[j]; old.Name == f.Name || slices.Contains(f.Aliases, old.Name) {
					violations = append(violations, meanings(&old.Type, &f.Type, append(path[:len(path):len(path)], f.Name))...)
				}
			}
		}
	case older.Type == "array" && current.Type == "array":
		violations = meanings(older.Items, current.Items, append(path[:len(path):len(path)], "items"))
	case older.Type == "map" && current.Type == "map":
		violations = meanings(older.Values, current.Values, append(path[:len(path):len(path)], "values"))
	}
	return violations
}

// notNull is the other branch of a union with null.
func notNull(node *avro.SchemaNode) *avro.SchemaNode {
	if node.Type == "union" && len(node.Branches) == 2 && node.Branches[0].Type == "null" {
		return &node.Branches[1]
	}
	return node
}

// meaning is what a type's values stand for.
func meaning(node *avro.SchemaNode) string {
	if node.LogicalType != "" {
		return node.LogicalType
	}
	return node.Type
}
