package faults

import (
	"encoding/json"
	"fmt"
	"io"
	"sort"
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

// kind sums up the faults of one kind.
type kind struct {
	name                       string
	times, failed              int
	recovered, worst, standing float64
}

// Table writes what happened by kind of fault, and the verdict.
func (r *Result) Table(w io.Writer) error {
	kinds := map[string]*kind{}
	for _, h := range r.Faults {
		k := kinds[h.Fault]
		if k == nil {
			k = &kind{name: h.Fault}
			kinds[h.Fault] = k
		}
		k.times++
		k.recovered += h.Recovered
		k.worst = max(k.worst, h.Recovered)
		k.standing = max(k.standing, h.Stood)
		if h.Failed != "" {
			k.failed++
		}
	}
	all := make([]*kind, 0, len(kinds))
	for _, k := range kinds {
		all = append(all, k)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].name < all[j].name })
	var b strings.Builder
	brokers := "one broker"
	if r.Cluster {
		brokers = "three brokers"
	}
	fmt.Fprintf(&b, "seed %d, %s, %d events a second, %d sent, %.0f s\n\n", r.Seed, brokers, r.Rate, r.Sent, r.Seconds)
	fmt.Fprintf(&b, "%-44s %5s %6s  %s\n", "fault", "times", "failed", "caught up after, mean and worst; stood at most")
	for _, k := range all {
		fmt.Fprintf(&b, "%-44s %5d %6d  %5.1f s %5.1f s  %5.1f s\n", k.name, k.times, k.failed, k.recovered/float64(k.times), k.worst, k.standing)
	}
	fmt.Fprintf(&b, "%-44s %5d\n", "together", len(r.Faults))
	_, err := io.WriteString(w, b.String())
	return err
}

// JSON writes all of it.
func (r *Result) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
