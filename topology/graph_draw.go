package topology

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Text draws the graph for a person at a terminal: stages with what they read and write, then the topics.
func (g *Graph) Text(w io.Writer) error {
	var b bytes.Buffer
	for _, s := range g.Stages {
		fmt.Fprintf(&b, "%s", s.Name)
		if s.Doc != "" {
			fmt.Fprintf(&b, ": %s", s.Doc)
		}
		b.WriteByte('\n')
		line := func(what string, names ...string) {
			if len(names) > 0 {
				fmt.Fprintf(&b, "  %-7s %s\n", what, strings.Join(names, ", "))
			}
		}
		line("group", s.App)
		line("reads", s.Inputs...)
		line("tables", s.Tables...)
		line("writes", append(slices.Clone(s.Outputs), s.DeadLetters)...)
		for _, store := range s.Stores {
			line("store", store.Name+" ("+store.Changelog+")")
		}
		b.WriteByte('\n')
	}
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TOPIC\tPARTITIONS\tCLEANUP\tRETENTION\tKEY\tCARRIES")
	for _, topic := range g.Topics {
		carries := strings.Join(topic.Schemas, ", ")
		if carries == "" {
			carries = topic.Doc
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\n", topic.Name, topic.Partitions, topic.Configs["cleanup.policy"],
			retention(topic.Configs["retention.ms"]), topic.Key, carries)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

// retention says a number of milliseconds as a person would.
func retention(ms string) string {
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return "-"
	}
	d := time.Duration(n) * time.Millisecond
	if day := 24 * time.Hour; d >= day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	return d.String()
}

// JSON writes the graph for a program.
func (g *Graph) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(g)
}

// Mermaid draws the graph as a Mermaid flowchart, which GitHub and most wikis show as a picture: stages as boxes, topics
// as cylinders, tables and dead letters with dotted lines.
func (g *Graph) Mermaid(w io.Writer) error {
	var b bytes.Buffer
	b.WriteString("flowchart LR\n")
	used := map[string]bool{}
	for _, s := range g.Stages {
		for _, name := range slices.Concat(s.Inputs, s.Tables, s.Outputs, []string{s.DeadLetters}) {
			used[name] = true
		}
		for _, store := range s.Stores {
			used[store.Changelog] = true
		}
	}
	ids := map[string]string{}
	node := func(name string) string {
		id, ok := ids[name]
		if !ok {
			id = "t" + strconv.Itoa(len(ids))
			ids[name] = id
			fmt.Fprintf(&b, "  %s[(\"%s\")]\n", id, mermaidText(name))
		}
		return id
	}
	for _, t := range g.Topics {
		if used[t.Name] {
			node(t.Name)
		}
	}
	for i, s := range g.Stages {
		id := "s" + strconv.Itoa(i)
		label := "<b>" + mermaidText(s.Name) + "</b>"
		if s.Doc != "" {
			label += "<br/>" + mermaidText(s.Doc)
		}
		fmt.Fprintf(&b, "  %s[\"%s\"]\n", id, label)
		for _, name := range s.Inputs {
			fmt.Fprintf(&b, "  %s --> %s\n", node(name), id)
		}
		for _, name := range s.Tables {
			fmt.Fprintf(&b, "  %s -.-> %s\n", node(name), id)
		}
		for _, name := range s.Outputs {
			fmt.Fprintf(&b, "  %s --> %s\n", id, node(name))
		}
		fmt.Fprintf(&b, "  %s -.-> %s\n", id, node(s.DeadLetters))
		for _, store := range s.Stores {
			fmt.Fprintf(&b, "  %s <--> %s\n", id, node(store.Changelog))
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// mermaidText escapes what would end a quoted label, as an entity of Mermaid's.
func mermaidText(s string) string {
	return strings.NewReplacer(`"`, "#quot;", "<", "#lt;", ">", "#gt;", "\n", " ").Replace(s)
}
