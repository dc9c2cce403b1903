package apply

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

func (c Create) String() string {
	settings := make([]string, 0, len(c.Configs))
	for _, name := range slices.Sorted(maps.Keys(c.Configs)) {
		settings = append(settings, name+"="+c.Configs[name])
	}
	return fmt.Sprintf("create %s: %d partitions, %d copies, %s", c.Topic, c.Partitions, c.ReplicationFactor, strings.Join(settings, " "))
}

func (c Change) String() string {
	return fmt.Sprintf("change %s: %s from %s to %s", c.Topic, c.Config, orNone(c.From), c.To)
}

func (g Grow) String() string {
	return fmt.Sprintf("grow %s: from %d to %d partitions", g.Topic, g.From, g.To)
}

func (r Refusal) String() string { return fmt.Sprintf("%s: %s\n    %s", r.Topic, r.What, r.Remedy) }

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// Text writes the plan for a person: + is made, ~ is changed, ! is refused, ? is only remarked.
func (p *Plan) Text(w io.Writer) error {
	var b bytes.Buffer
	for _, c := range p.Create {
		fmt.Fprintf(&b, "+ %s\n", c)
	}
	for _, g := range p.Grow {
		fmt.Fprintf(&b, "~ %s\n", g)
	}
	for _, c := range p.Change {
		fmt.Fprintf(&b, "~ %s\n", c)
	}
	for _, r := range p.Refused {
		fmt.Fprintf(&b, "! refused %s\n", r)
	}
	for _, r := range p.Warnings {
		fmt.Fprintf(&b, "? left as it is %s\n", r)
	}
	if p.Empty() {
		fmt.Fprintf(&b, "Nothing to do: %d topics are as wanted.\n", len(p.AsWanted))
	} else {
		fmt.Fprintf(&b, "%d to create, %d to change, %d refused; %d topics are as wanted.\n",
			len(p.Create), len(p.Grow)+len(p.Change), len(p.Refused), len(p.AsWanted))
	}
	_, err := w.Write(b.Bytes())
	return err
}

// JSON writes the plan for a program.
func (p *Plan) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(p)
}
