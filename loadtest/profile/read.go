package profile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"crossdock/internal/spelling"
)

// The bounds of what is read.
const (
	maxBytes   = 1 << 20
	maxExtends = 16 // profiles that extend one another
)

// An origin is where a key was set.
type origin struct {
	file string // as given; empty: not in a file
	line int
	set  string // the whole of an override, key=value
}

func (o origin) String() string {
	switch {
	case o.set != "":
		return o.set
	case o.file != "":
		return fmt.Sprintf("%s:%d", o.file, o.line)
	}
	return "default"
}

// A document is a profile's text.
type document struct {
	label string // in errors
	dir   string // that its extends is relative to
	name  string // where the text has none
	data  []byte
}

// Load reads a profile that is shipped (its name), or a file (its path). Where the file has an extends, it begins with the
// values of that profile, a shipped one or a file beside it; without one, with those of Default. The error names all
// problems, each with file and line.
func Load(nameOrPath string) (*Profile, error) {
	return read(nameOrPath, "", nil)
}

// read reads a profile for another one, or for a person (chain is empty).
func read(nameOrPath, dir string, chain []string) (*Profile, error) {
	d, err := open(nameOrPath, dir)
	if err != nil {
		return nil, err
	}
	if slices.Contains(chain, d.label) {
		return nil, fmt.Errorf("%s extends itself, by way of %s: take one extends out", d.label, strings.Join(chain, ", "))
	}
	if len(chain) == maxExtends {
		return nil, fmt.Errorf("%s: more than %d profiles extend one another: put the values into one", d.label, maxExtends)
	}
	return parse(d, append(slices.Clone(chain), d.label))
}

func open(nameOrPath, dir string) (document, error) {
	if data, ok := shippedText(nameOrPath); ok {
		return document{label: nameOrPath, name: nameOrPath, data: data}, nil
	}
	if !strings.ContainsAny(nameOrPath, `/\.`) {
		return document{}, fmt.Errorf("no profile %q: %sgive one of %s, or the path of a YAML file",
			nameOrPath, suggest(spelling.Nearest(slices.Values(Names()), nameOrPath)), strings.Join(Names(), ", "))
	}
	path := nameOrPath
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return document{}, fmt.Errorf("profile %s: %w: give the path of a YAML file, or one of %s", path, reason(err), strings.Join(Names(), ", "))
	}
	defer f.Close() //nolint:errcheck // it was only read
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return document{}, fmt.Errorf("profile %s: %w", path, reason(err))
	}
	if len(data) > maxBytes {
		return document{}, fmt.Errorf("profile %s: it is larger than %d bytes: is it a profile?", path, maxBytes)
	}
	base := filepath.Base(path)
	return document{label: path, dir: filepath.Dir(path), name: strings.TrimSuffix(base, filepath.Ext(base)), data: data}, nil
}

// reason leaves out the operation and the path, which the message has.
func reason(err error) error {
	var e *os.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

func suggest(nearest string) string {
	if nearest == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %s? ", nearest)
}

// A problem is what is wrong with one key.
type problem struct {
	at  origin
	key string // empty: the whole file
	err error
}

func (p problem) Error() string {
	switch {
	case p.key == "":
		return fmt.Sprintf("%s: %v", p.at, p.err)
	case p.at.set != "":
		return fmt.Sprintf("%s: %v", p.at, p.err)
	case p.at.file == "":
		return fmt.Sprintf("%s: %v", p.key, p.err)
	}
	return fmt.Sprintf("%s: %s: %v", p.at, p.key, p.err)
}

// A parser reads one file.
type parser struct {
	document
	p        *Profile
	table    []setting
	seen     map[string]int // line, by key
	problems []problem
}

func parse(d document, chain []string) (*Profile, error) {
	root, err := root(d)
	if err != nil {
		return nil, err
	}
	r := parser{document: d, seen: map[string]int{}}
	var inherited error
	r.p, inherited = r.begin(root, chain)
	r.p.Name, r.p.Doc = d.name, ""
	r.table = r.p.settings()
	r.section(root, "")
	var all []error
	if inherited != nil {
		all = append(all, inherited)
	}
	r.problems = append(r.problems, r.p.problems()...)
	// In the order of the file. What no line is to blame for comes first.
	slices.SortStableFunc(r.problems, func(a, b problem) int { return a.at.line - b.at.line })
	for _, p := range r.problems {
		all = append(all, p)
	}
	if err := errors.Join(all...); err != nil {
		return nil, err
	}
	return r.p, nil
}

// root is the mapping that a file must be.
func root(d document) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(d.data))
	var n, more yaml.Node
	if err := decoder.Decode(&n); errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: it is empty: write at least extends: base", d.label)
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", d.label, err)
	}
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: a second YAML document begins: a profile is one, take the line --- out", d.label)
	}
	if n.Kind != yaml.DocumentNode || len(n.Content) != 1 || n.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s:%d: a profile is made of keys and values: write at least extends: base", d.label, n.Line)
	}
	return n.Content[0], nil
}

// begin is the profile that the file starts from.
func (r *parser) begin(root *yaml.Node, chain []string) (*Profile, error) {
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value != "extends" {
			continue
		}
		at := origin{file: r.label, line: root.Content[i].Line}
		name, err := scalar(root.Content[i+1])
		if err != nil {
			r.problems = append(r.problems, problem{at, "extends", err})
			break
		}
		p, err := read(name, r.dir, chain)
		if err != nil {
			return Default(), problem{at, "extends", err}
		}
		return p, nil
	}
	return Default(), nil
}

func (r *parser) section(n *yaml.Node, prefix string) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, v := n.Content[i], n.Content[i+1]
		key := prefix + name.Value
		at := origin{file: r.label, line: name.Line}
		fail := func(format string, args ...any) {
			r.problems = append(r.problems, problem{at, key, fmt.Errorf(format, args...)})
		}
		if v.Kind == yaml.AliasNode || v.Anchor != "" || name.Value == "<<" {
			fail("anchors, aliases and merges are not read: write the value, or use extends")
			continue
		}
		if line, twice := r.seen[key]; twice {
			fail("it is set a second time, after line %d: take one out", line)
			continue
		}
		r.seen[key] = name.Line
		if key == "extends" {
			continue // begin has read it
		}
		if j := slices.IndexFunc(r.table, func(s setting) bool { return s.key == key }); j >= 0 {
			if err := r.table[j].value.read(v); err != nil {
				fail("%w", err)
				continue
			}
			r.p.origins[key] = at
			continue
		}
		if !slices.ContainsFunc(r.table, func(s setting) bool { return strings.HasPrefix(s.key, key+".") }) {
			fail("no such key%s", didYouMean(nearest(r.table, key)))
			continue
		}
		switch {
		case v.Kind == yaml.MappingNode:
			r.section(v, key+".")
		case v.Tag == "!!null": // all that it holds is commented out
		default:
			fail("it is a section: its keys stand below it, indented")
		}
	}
}

func didYouMean(nearest string) string {
	if nearest == "" {
		return ": every key is in docs/loadtest.md"
	}
	return fmt.Sprintf("; did you mean %s?", nearest)
}

// Set overrides one key, such as duplicates.share with 2 %, in the form that a file has it. The profile is as before
// where that fails. What keys must be to each other is seen by Validate.
func (p *Profile) Set(key, text string) error {
	c := p.Clone()
	all := c.settings()
	i := slices.IndexFunc(all, func(s setting) bool { return s.key == key })
	if i < 0 {
		return fmt.Errorf("%s=%s: no such key%s", key, text, didYouMean(nearest(all, key)))
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: text}
	if _, list := all[i].value.(steps); list && text != none {
		var d yaml.Node
		if err := yaml.Unmarshal([]byte(text), &d); err != nil || len(d.Content) != 1 {
			return fmt.Errorf("%s=%s: write a list like [{rate: 25 %%, for: 20 %%}, {rate: 100 %%, for: 80 %%}], or none", key, text)
		}
		n = d.Content[0]
	}
	if err := errors.Join(all[i].value.read(n), all[i].value.check()); err != nil {
		return fmt.Errorf("%s=%s: %w", key, text, err)
	}
	c.origins[key] = origin{set: key + "=" + text}
	*p = *c
	return nil
}
