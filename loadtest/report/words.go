package report

import (
	"fmt"
	"io"
	"strings"
)

// A state is how a fact is to be taken.
type state string

const (
	good    state = "good"
	bad     state = "bad"
	warning state = "warning"
	neutral state = "neutral"
)

// A statement is one fact of the first screen.
type statement struct {
	State state
	Label string
	Text  string
}

// hopLabel is a hop's name for somebody who does not know the code.
func hopLabel(name string) string {
	switch name {
	case "":
		return ""
	case "accepted":
		return "Accepted"
	case "translated":
		return "Translated"
	case "enriched":
		return "Enriched"
	case "balance":
		return "Balance visible"
	case "row":
		return "Row in ClickHouse"
	}
	return name
}

// lasted is how long events were sent, and how long the run took with all outputs awaited, in seconds; 0 where unknown.
func (r *Report) lasted() (sending, all float64) {
	for _, s := range r.Slices {
		if s.Due > 0 || s.Made > 0 {
			sending = s.At + s.Seconds
		}
	}
	if r.Sent.Seconds > 0 {
		sending = r.Sent.Seconds // slices are whole, and one more begins for what leaves a moment after its end
	}
	if !r.Began.IsZero() && r.Ended.After(r.Began) {
		all = r.Ended.Sub(r.Began).Seconds()
	}
	if sending == 0 && r.Sent.Made > 0 {
		sending = all
	}
	return sending, max(all, sending)
}

// rates are the mean of what was acknowledged while events were sent, and the most that was due in one slice, in events a
// second.
func (r *Report) rates() (mean, peak float64) {
	if sending, _ := r.lasted(); sending > 0 {
		mean = float64(r.Sent.Acknowledged) / sending
	}
	for i, s := range r.Slices {
		// A last slice that is cut short would make a rate of a few events.
		if s.Seconds > 0 && (i == 0 || s.Seconds >= r.Slices[0].Seconds/2) {
			peak = max(peak, float64(s.Due)/s.Seconds)
		}
	}
	return mean, peak
}

// objectives counts those met.
func (r *Report) objectives() (met int, missed []Objective) {
	for _, o := range r.Objectives {
		if o.Met {
			met++
		} else {
			missed = append(missed, o)
		}
	}
	return met, missed
}

// headline is the run in one sentence.
func (r *Report) headline() (string, state) {
	met, missed := r.objectives()
	switch {
	case r.Verdict != nil && !r.Verdict.OK:
		v := r.Verdict
		if v.Lost+v.Duplicated+v.Wrong == 0 {
			return "The verification failed", bad
		}
		return fmt.Sprintf("The outputs are wrong: %s lost, %s duplicated, %s wrong", count(v.Lost), count(v.Duplicated), count(v.Wrong)), bad
	case r.Sent.Made == 0 && r.Verdict == nil:
		return "Nothing was sent", warning
	case r.Verdict == nil && r.Stopped != "":
		return "The run ended early, and its outputs were not verified", warning
	case r.Verdict == nil:
		return "The outputs were not verified", warning
	case len(missed) > 0:
		verb := "were"
		if len(missed) == 1 {
			verb = "was"
		}
		return fmt.Sprintf("Nothing was lost or counted twice, but %d of %s %s missed", len(missed), plural(int64(len(r.Objectives)), "objective", "objectives"), verb), warning
	case r.Stopped != "":
		return "Nothing was lost or counted twice, in a run that ended early", warning
	case met > 1:
		return fmt.Sprintf("Nothing was lost or counted twice, and all %d objectives were met", met), good
	case met == 1:
		return "Nothing was lost or counted twice, and the objective was met", good
	}
	return "Nothing was lost or counted twice", good
}

// whatRan tells of the load, and of the way that it went.
func (r *Report) whatRan() string {
	var b strings.Builder
	sending, all := r.lasted()
	mean, peak := r.rates()
	profile := r.Profile
	if profile == "" {
		profile = "without a name"
	}
	fmt.Fprintf(&b, "Profile %s", profile)
	if sending > 0 {
		fmt.Fprintf(&b, " sent events for %s at %s on the mean", seconds(sending), rate(mean))
		if peak > mean*1.02 {
			fmt.Fprintf(&b, " (%s at its peak)", rate(peak))
		}
	} else {
		b.WriteString(" sent nothing")
	}
	switch r.Entry {
	case Movements:
		b.WriteString(", as canonical events straight onto their topics")
	case Documents:
		b.WriteString(", as native documents through the HTTP ingress")
	default:
		if r.Entry != "" {
			fmt.Fprintf(&b, ", by entry %s", r.Entry)
		}
	}
	b.WriteString(". ")
	if s := r.Sent; s.Made > 0 || s.Planned > 0 {
		fmt.Fprintf(&b, "Of %s planned, %s were made and %s acknowledged", plural(s.Planned, "event", "events"), count(s.Made), count(s.Acknowledged))
		if s.Unknown > 0 {
			fmt.Fprintf(&b, "; of %s it is not known whether they arrived", count(s.Unknown))
		}
		if s.Documents > 0 {
			fmt.Fprintf(&b, ", in %s", plural(s.Documents, "document", "documents"))
		}
		b.WriteString(". ")
	}
	if all > sending+0.5 {
		fmt.Fprintf(&b, "The last output was seen, or given up, %s after the last event was due. ", seconds(all-sending))
	}
	return strings.TrimSpace(b.String())
}

// where tells of the machine and the versions.
func (r *Report) where() string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	m, v := r.Machine, r.Versions
	switch {
	case m.Cores > 0 && m.CPU != "":
		add("%s of %s", plural(int64(m.Cores), "core", "cores"), m.CPU)
	case m.Cores > 0:
		add("%s", plural(int64(m.Cores), "core", "cores"))
	case m.CPU != "":
		add("%s", m.CPU)
	}
	if m.MemoryBytes > 0 {
		add("%s of memory", size(m.MemoryBytes))
	}
	for _, text := range []string{m.System, v.Broker, v.Client, v.Go} {
		if text != "" {
			add("%s", text)
		}
	}
	if revision := r.revision(); revision != "" {
		add("crossdock %s", shortRevision(revision))
	}
	return strings.Join(parts, ", ")
}

func (r *Report) revision() string {
	if r.Revision != "" {
		return r.Revision
	}
	return r.Versions.Revision
}

// shortRevision is the first twelve digits of a commit, with the mark of a changed tree.
func shortRevision(revision string) string {
	digits, changed := strings.CutSuffix(revision, "+")
	if len(digits) > 12 && strings.Trim(digits, "0123456789abcdef") == "" {
		digits = digits[:12]
	}
	if changed {
		digits += " with changes"
	}
	return digits
}

// statements are what must be known before any figure is looked at.
func (r *Report) statements() []statement {
	return []statement{r.verdictStatement(), r.objectivesStatement(), r.toolStatement(), r.outagesStatement(), r.endStatement()}
}

func (r *Report) verdictStatement() statement {
	v := r.Verdict
	if v == nil {
		return statement{neutral, "Verdict", "Not verified: nobody compared the outputs with what was sent."}
	}
	text := grouped(v.Line)
	if text == "" {
		text = fmt.Sprintf("%s events, %s lost, %s duplicated, %s wrong", count(v.Events), count(v.Lost), count(v.Duplicated), count(v.Wrong))
	}
	var places []string
	for _, reading := range v.Readings {
		places = append(places, readingLabel(reading.Source))
	}
	if len(places) > 0 {
		text += ". Every key that moved was compared in " + list(places)
		if v.Seconds > 0 {
			text += ", in " + seconds(v.Seconds)
		}
	}
	s := statement{good, "Verdict", text + "."}
	if !v.OK {
		s.State = bad
	}
	return s
}

func (r *Report) objectivesStatement() statement {
	met, missed := r.objectives()
	switch {
	case len(r.Objectives) == 0:
		return statement{neutral, "Objectives", "The profile has none."}
	case len(missed) == 0:
		return statement{good, "Objectives", fmt.Sprintf("%d of %d met.", met, len(r.Objectives))}
	}
	var told []string
	for _, o := range missed[:min(3, len(missed))] {
		told = append(told, fmt.Sprintf("%s was %s (wanted: %s)", o.Name, or(o.Got, "not measured"), or(o.Wanted, "?")))
	}
	text := fmt.Sprintf("%d of %d met. Missed: %s", met, len(r.Objectives), strings.Join(told, "; "))
	if more := len(missed) - len(told); more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return statement{bad, "Objectives", text + "."}
}

func (r *Report) toolStatement() statement {
	t := r.Tool
	late := "It held no event up for more than 10 ms"
	if t.Late > 0 {
		late = fmt.Sprintf("It held up %s (%s) for more than 10 ms, for %s at most", plural(t.Late, "event", "events"), share(float64(t.Late), float64(r.Sent.Made)), micros(t.LateMost))
	}
	switch {
	case t.Bottleneck != "":
		return statement{bad, "Load test's pace", "Not kept, so the figures say little of the pipeline: " + strings.TrimSuffix(t.Bottleneck, ".") + ". " + late + "."}
	case r.Sent.Made == 0:
		return statement{neutral, "Load test's pace", "Nothing was sent."}
	}
	return statement{good, "Load test's pace", "Kept: the load test was not the bottleneck. " + late + "; latency counts from when an event was due."}
}

func (r *Report) outagesStatement() statement {
	if len(r.Outages) == 0 && r.Sent.Made == 0 {
		return statement{neutral, "Outages", "Nothing was sent that could have met one."}
	}
	if len(r.Outages) == 0 {
		return statement{good, "Outages", "None."}
	}
	total := 0.0
	var told []string
	for i, o := range r.Outages {
		total += o.Seconds
		if i < 3 {
			told = append(told, fmt.Sprintf("at %s for %s: %s", clock(o.At), seconds(o.Seconds), strings.TrimSuffix(or(o.What, "no cause is known"), ".")))
		}
	}
	if more := len(r.Outages) - len(told); more > 0 {
		told = append(told, fmt.Sprintf("and %d more", more))
	}
	return statement{warning, "Outages", fmt.Sprintf("%s, %s in all; %s.", plural(int64(len(r.Outages)), "outage", "outages"), seconds(total), strings.Join(told, "; "))}
}

func (r *Report) endStatement() statement {
	if r.Stopped == "" && r.Sent.Made == 0 {
		return statement{neutral, "End", "Nothing ran."}
	}
	if r.Stopped == "" {
		return statement{good, "End", "The plan ran to its end."}
	}
	text := "Stopped early: " + strings.TrimSuffix(r.Stopped, ".")
	if r.Sent.Planned > 0 {
		text += fmt.Sprintf(", after %s of %s planned events (%s)", count(r.Sent.Made), count(r.Sent.Planned), share(float64(r.Sent.Made), float64(r.Sent.Planned)))
	}
	return statement{warning, "End", text + "."}
}

// readingLabel is a place of comparison in words.
func readingLabel(source string) string {
	switch source {
	case "balances":
		return "the balances topic"
	case "ledger":
		return "the ledger topic"
	case "state":
		return "the queried state"
	case "clickhouse":
		return "ClickHouse's balances"
	case "clickhouse ledger":
		return "ClickHouse's ledger"
	case "dead letters":
		return "the dead letters topic"
	case "exceptions":
		return "the exceptions topic"
	case "parked":
		return "the parking topic"
	}
	return source
}

// list is "a, b and c".
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// WriteText writes what a person wants to know when a run has ended: what ran, the verdict, objectives, pace, outages, and
// latency by hop.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	line, _ := r.headline()
	fmt.Fprintf(&b, "%s.\n%s\n", line, r.whatRan())
	if text := r.where(); text != "" {
		fmt.Fprintf(&b, "On %s.\n", text)
	}
	b.WriteByte('\n')
	for _, s := range r.statements() {
		fmt.Fprintf(&b, "%-17s %s\n", s.Label, s.Text)
	}
	rows := [][]string{{"Latency", "p50", "p90", "p99", "p99.9", "max", "measured", "missing"}}
	for _, h := range r.Hops {
		if h.Measured == 0 {
			rows = append(rows, []string{hopLabel(h.Name), absent, absent, absent, absent, absent, "0", count(h.Missing)})
			continue
		}
		l := h.Latency
		rows = append(rows, []string{hopLabel(h.Name), micros(l.P50), micros(l.P90), micros(l.P99), micros(l.P999), micros(l.Max), count(h.Measured), count(h.Missing)})
	}
	if len(rows) > 1 {
		b.WriteByte('\n')
		columns(&b, rows)
	}
	if r.Verdict != nil && len(r.Verdict.Failing) > 0 {
		b.WriteByte('\n')
		for _, k := range r.Verdict.Failing[:min(3, len(r.Verdict.Failing))] {
			fmt.Fprintf(&b, "%s: %s\n", k.Key, strings.Join(k.What, "; "))
		}
		if more := len(r.Verdict.Failing) - 3; more > 0 {
			fmt.Fprintf(&b, "and %s; the report has them with their events\n", plural(int64(more), "more key", "more keys"))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// columns lines up rows: the first column on the left, the others on the right.
func columns(b *strings.Builder, rows [][]string) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-len([]rune(cell)))
			if i == 0 {
				line.WriteString(cell + pad)
			} else {
				line.WriteString("  " + pad + cell)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}
