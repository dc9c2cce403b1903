package faults

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// line is a fault as it happened.
func (h *Happened) line(n int) string {
	outcome := "held"
	if h.Failed != "" {
		outcome = "FAILED: " + h.Failed
	}
	return fmt.Sprintf("%3d  at %6.1f s  %-42s lasted %5.1f s, stood %4.1f s, caught up after %4.1f s  %s; %s", n, h.At, h.Fault, h.Lasted, h.Stood, h.Recovered, outcome, h.Detail)
}

// A Kind sums up the faults of one kind.
type Kind struct {
	Fault     string  `json:"fault"`
	Does      string  `json:"does"`
	Must      string  `json:"must"`
	Times     int     `json:"times"`
	Failed    int     `json:"failed"`
	Recovered float64 `json:"recovered_seconds_mean"`
	Worst     float64 `json:"recovered_seconds_worst"`
	Stood     float64 `json:"stood_seconds_worst"`
}

// outcome of all of its times.
func (k *Kind) outcome() string {
	if k.Failed > 0 {
		return fmt.Sprintf("%d FAILED", k.Failed)
	}
	return "held"
}

// Kinds sums up what happened, by name.
func (r *Result) Kinds() []Kind {
	at := map[string]int{}
	var all []Kind
	for _, h := range r.Faults {
		n, ok := at[h.Fault]
		if !ok {
			n = len(all)
			at[h.Fault] = n
			k := Kind{Fault: h.Fault}
			if f, err := Find(h.Fault); err == nil {
				k.Does, k.Must = f.Does, f.Must
			}
			all = append(all, k)
		}
		k := &all[n]
		k.Recovered = (k.Recovered*float64(k.Times) + h.Recovered) / float64(k.Times+1)
		k.Times++
		k.Worst, k.Stood = max(k.Worst, h.Recovered), max(k.Stood, h.Stood)
		if h.Failed != "" {
			k.Failed++
		}
	}
	slices.SortFunc(all, func(a, b Kind) int { return strings.Compare(a.Fault, b.Fault) })
	return all
}

// Table writes what happened by kind of fault, and the verdict.
func (r *Result) Table(w io.Writer) error {
	var b strings.Builder
	brokers := "one broker"
	if r.Cluster {
		brokers = "three brokers"
	}
	fmt.Fprintf(&b, "seed %d, %s, %d events a second, %d sent, %.0f s\n\n", r.Seed, brokers, r.Rate, r.Sent, r.Seconds)
	fmt.Fprintf(&b, "%-44s %5s  %-9s  %s\n", "fault", "times", "outcome", "caught up after, mean and worst; stood at most")
	for _, k := range r.Kinds() {
		fmt.Fprintf(&b, "%-44s %5d  %-9s  %5.1f s %5.1f s  %5.1f s\n", k.Fault, k.Times, k.outcome(), k.Recovered, k.Worst, k.Stood)
	}
	verdict := "no verdict: the run did not come to its end"
	if r.Verdict.Line != "" {
		verdict = r.Verdict.Line
	}
	fmt.Fprintf(&b, "%-44s %5d\n\n%s\n", "together", len(r.Faults), verdict)
	_, err := io.WriteString(w, b.String())
	return err
}

// JSON writes all of it, and the sums by kind.
func (r *Result) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		*Result
		Kinds []Kind `json:"kinds"`
	}{r, r.Kinds()})
}
