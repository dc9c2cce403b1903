package oracle

import (
	"fmt"
	"strings"

	"crossdock/avro/event"
)

// A Problem says how something differs from what was sent.
type Problem uint8

// The problems.
const (
	Lost         Problem = iota // sent, and not counted
	Duplicated                  // counted more often than sent
	Wrong                       // counted once, and not as sent
	Unexpected                  // counted, and never sent
	Disordered                  // an older state after a newer one
	Inconsistent                // it contradicts itself
	problems     = iota
)

var problemNames = [problems]string{"lost", "duplicated", "wrong", "unexpected", "disordered", "inconsistent"}

// String names the problem.
func (p Problem) String() string {
	if int(p) < problems {
		return problemNames[p]
	}
	return fmt.Sprintf("Problem(%d)", uint8(p))
}

// A Difference is one thing that is not as it was sent.
type Difference struct {
	Source  string // which reading: "balances", "ledger", "state", "clickhouse", "dead letters"
	Problem Problem
	Key     string // sku|site; of what came out elsewhere: where it lies, or its event
	ID      uint64 // of an event that comes out elsewhere: IDOfEvent or IDOfBytes; else 0
	Events  int64  // how many movements are lost or duplicated; 0 where that cannot be told
	Detail  string // what was expected and what was found
}

// String is one line.
func (d Difference) String() string {
	s := d.Source + ": " + d.Key + " " + d.Problem.String()
	if d.Events > 0 {
		s += fmt.Sprintf(" (%d)", d.Events)
	}
	return s + ": " + d.Detail
}

// A Finding is what one reading of the pipeline's output came to.
type Finding struct {
	Source      string
	Apart       bool            // it is about events that must not reach a balance
	Read        int64           // records or rows
	Foreign     int64           // of those, what is no run's
	Keys        int64           // of those that were expected, how many were found
	Events      [problems]int64 // movements concerned, one for a problem where that cannot be told
	Differences []Difference    // the first of them
	Omitted     int64           // how many more there are
}

func (f *Finding) add(limit int, d Difference) {
	f.Events[d.Problem] += max(1, d.Events)
	if len(f.Differences) >= limit {
		f.Omitted++
		return
	}
	d.Source = f.Source
	f.Differences = append(f.Differences, d)
}

// OK says whether all is as it was sent.
func (f *Finding) OK() bool { return f.Events == [problems]int64{} }

// A Verdict is what all readings together come to.
type Verdict struct {
	Sent     int64
	Fates    [len(fateNames)]int64 // by Fate
	Keys     int
	Findings []Finding
}

// Judge puts findings of one oracle together.
func (o *Oracle) Judge(findings ...Finding) Verdict {
	return Verdict{Sent: o.Sent(), Fates: o.fates, Keys: o.Keys(), Findings: findings}
}

// OK says whether something was sent, something was read, and every reading is as it was sent.
func (v *Verdict) OK() bool {
	for i := range v.Findings {
		if !v.Findings[i].OK() {
			return false
		}
	}
	return v.Sent > 0 && len(v.Findings) > 0
}

// Events is how many events have the problem: one that two readings of stock see is one, and those that come out elsewhere
// add up.
func (v *Verdict) Events(p Problem) int64 {
	var stock, apart int64
	for i := range v.Findings {
		f := &v.Findings[i]
		if f.Apart {
			apart += f.Events[p]
		} else {
			stock = max(stock, f.Events[p])
		}
	}
	return stock + apart
}

// Line is the verdict in one line:
//
//	verified: 120000 events, 0 lost, 0 duplicated
//	verified: FAILED: 120000 events, 1 lost, 0 duplicated, 0 wrong, 0 unexpected, 0 disordered, 0 inconsistent
func (v *Verdict) Line() string {
	switch {
	case v.OK():
		return fmt.Sprintf("verified: %d events, 0 lost, 0 duplicated", v.Sent)
	case v.Sent == 0:
		return "verified: FAILED: no event was sent"
	case len(v.Findings) == 0:
		return "verified: FAILED: nothing was read to compare with"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "verified: FAILED: %d events", v.Sent)
	for p := range Problem(problems) {
		fmt.Fprintf(&b, ", %d %v", v.Events(p), p)
	}
	return b.String()
}

// String is Line and, where it failed, the differences below it.
func (v *Verdict) String() string {
	var b strings.Builder
	b.WriteString(v.Line())
	for _, f := range v.Findings {
		for _, d := range f.Differences {
			b.WriteString("\n  " + d.String())
		}
		if f.Omitted > 0 {
			fmt.Fprintf(&b, "\n  %s: and %d more", f.Source, f.Omitted)
		}
	}
	return b.String()
}

// Problems are all of them, in their order.
func Problems() []Problem {
	return []Problem{Lost, Duplicated, Wrong, Unexpected, Disordered, Inconsistent}
}

// Fates are all of them, in their order.
func Fates() []Fate { return []Fate{Counted, Repeated, Idle, Refused, Aside, Unreadable} }

// describe shows the buckets in which two states differ, wanted first.
func describe(want, got *Buckets) string {
	var parts []string
	for i := range want {
		if want[i] != got[i] {
			parts = append(parts, fmt.Sprintf("%v %v instead of %v", event.Bucket(i+1), got[i], want[i]))
		}
	}
	return strings.Join(parts, ", ")
}
