// Package schemas holds the Avro schemas of Crossdock's canonical model, one file a named type, and nothing else: it
// knows neither topics nor codecs. A file refers to another type by its full name; Full puts the types that it refers to
// in place, for whoever wants one text that stands alone (a registry, goavro).
//
// Invariants: file X.avsc defines the type crossdock.v1.X; types do not refer to each other in a circle; every record,
// field and enum has a doc. The package's tests hold them.
package schemas

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Namespace is the Avro namespace of every type of the model.
const Namespace = "crossdock.v1"

//go:embed *.avsc
var sources embed.FS

//go:embed released
var released embed.FS

// Events returns the names of the records that travel on topics, by the order of their event.Kind. The others are parts
// of these.
func Events() []string {
	return []string{
		"ItemMaster",
		"SiteMaster",
		"InventoryMovement",
		"InventorySnapshot",
		"InventoryPolicy",
		"InventoryBalance",
		"LedgerPosting",
		"Reservation",
		"ReservationRequest",
		"ReservationResult",
		"OrderRelease",
		"InboundNotice",
		"ShipmentMilestone",
		"ReturnEvent",
		"ParkedEvent",
		"LogisticsException",
		"DeadLetter",
	}
}

// Names returns the names of all types, sorted, without the namespace.
func Names() []string {
	entries, err := sources.ReadDir(".")
	if err != nil {
		return nil // an embedded directory can always be read
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".avsc"))
	}
	return names
}

// FullName puts the namespace before a type's name.
func FullName(name string) string { return Namespace + "." + name }

// Source returns the text of a type's file; name is without the namespace.
func Source(name string) ([]byte, error) {
	text, err := sources.ReadFile(name + ".avsc")
	if err != nil {
		return nil, fmt.Errorf("schemas: no type %q in avro/schemas: add %s.avsc or correct the name", name, name)
	}
	return text, nil
}

// Full returns the schema of a type as one compact JSON text that stands alone: each type that it refers to is defined
// where it is used first, and named from there on (Avro 1.12 specification, Names).
func Full(name string) (string, error) {
	return FullOf(name, Source)
}

// FullOf is Full over another set of files, such as a changed or an older one: source returns the text of one type.
func FullOf(name string, source func(name string) ([]byte, error)) (string, error) {
	in := inliner{source: source, defined: make(map[string]bool)}
	if err := in.define(name); err != nil {
		return "", err
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, in.out.Bytes()); err != nil {
		return "", fmt.Errorf("schemas: %s.avsc or a type that it refers to is not JSON: %w", name, err)
	}
	return compact.String(), nil
}

// Indented is Full for people: one attribute a line.
func Indented(name string) (string, error) {
	text, err := Full(name)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, []byte(text), "", "  "); err != nil {
		return "", err
	}
	out.WriteByte('\n')
	return out.String(), nil
}

// A Release is a schema as it once left the house: records written with it lie on topics, so every later one must be able
// to read them.
type Release struct {
	Version int // from 1
	Text    string
}

// Released returns the releases of an event, oldest first. They lie in released/NAME/VERSION.avsc, stand alone, and are
// never changed; the last one may be behind the current schema.
func Released(name string) ([]Release, error) {
	var releases []Release
	for version := 1; ; version++ {
		text, err := released.ReadFile(ReleasePath(name, version))
		if errors.Is(err, fs.ErrNotExist) {
			return releases, nil
		}
		if err != nil {
			return nil, err
		}
		releases = append(releases, Release{version, string(text)})
	}
}

// ReleasePath is the file of a release within this folder.
func ReleasePath(name string, version int) string {
	return path.Join("released", name, strconv.Itoa(version)+".avsc")
}

// An inliner copies JSON texts and replaces the first string that is a type's full name by the type's definition. No
// other string of a schema has that form: a doc is a sentence, and names of fields and symbols have no dot.
type inliner struct {
	source  func(name string) ([]byte, error)
	defined map[string]bool
	out     bytes.Buffer
}

func (in *inliner) define(name string) error {
	text, err := in.source(name)
	if err != nil {
		return err
	}
	in.defined[name] = true
	for {
		start := bytes.IndexByte(text, '"')
		if start < 0 {
			in.out.Write(text)
			return nil
		}
		end := stringEnd(text, start)
		if end < 0 {
			return fmt.Errorf("schemas: %s.avsc: a string is not closed", name)
		}
		in.out.Write(text[:start])
		ref, isRef := strings.CutPrefix(string(text[start+1:end-1]), Namespace+".")
		if isRef && !in.defined[ref] {
			if err := in.define(ref); err != nil {
				return fmt.Errorf("%w (%s.avsc refers to it)", err, name)
			}
		} else {
			in.out.Write(text[start:end])
		}
		text = text[end:]
	}
}

// stringEnd returns the index after the string literal that starts at text[start], -1 where it has no end.
func stringEnd(text []byte, start int) int {
	for i := start + 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}
