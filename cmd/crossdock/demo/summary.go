package demo

import (
	"fmt"
	"io"
	"sort"
	"strings"
	"text/tabwriter"
	"time"

	"crossdock/avro/event"
	"crossdock/loadtest/oracle"
)

// A report is what the demo has to tell at its end. All of it was read from Kafka and ClickHouse.
type report struct {
	began         time.Time
	before, after map[string]Stock
	order         []event.OrderLine
	shipped       map[string]string
	exceptions    []Trouble
	deadLetters   []Trouble
	fresh         []Fresh
	fates         [3]int64 // counted, repeated, refused
	verdict       oracle.Verdict
}

// print writes the summary for a shopkeeper.
func (r *report) print(w io.Writer) error {
	fmt.Fprintf(w, "\nSTOCK in Chicago (ClickHouse, current_stock)\n")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "  article\tbefore\tnow\tdamaged\tin quality check\tto sell")
	skus := make([]string, 0, len(r.after))
	for sku := range r.after {
		skus = append(skus, sku)
	}
	sort.Strings(skus)
	for _, sku := range skus {
		was, now := r.before[sku], r.after[sku]
		if was.Available == "" {
			was.Available = "-"
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%s\n", sku, was.Available, now.Available, now.Damaged, now.Quality, now.ToSell)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nORDER %s (orders-inbox, and the ledger)\n", orderNumber)
	fmt.Fprintln(t, "  line\tarticle\tordered\tleft\t")
	for _, line := range r.order {
		left := r.shipped[line.SKU]
		if left == "" {
			left = "0"
		}
		note := ""
		if left != line.Qty.String() {
			note = "short"
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\n", line.Line, line.SKU, line.Qty, left, note)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nTO LOOK AT, exceptions: %d\n", len(r.exceptions))
	troubles(w, r.exceptions)
	fmt.Fprintf(w, "\nNOT UNDERSTOOD, dead letters with their bytes: %d\n", len(r.deadLetters))
	troubles(w, r.deadLetters)
	fmt.Fprintf(w, "\nCLICKHOUSE is complete up to")
	for i, f := range r.fresh {
		if i > 0 {
			fmt.Fprint(w, ",")
		}
		fmt.Fprintf(w, " %.1f s ago (%s)", f.Behind, f.Table)
	}
	fmt.Fprintf(w, "\n\n%d movements were sent: %d moved stock, %d were repetitions and moved nothing, %d were refused. %.0f s in all.\n",
		r.verdict.Sent, r.fates[0], r.fates[1], r.fates[2], time.Since(r.began).Seconds())
	_, err := fmt.Fprintln(w, r.verdict.String())
	return err
}

// shown is how many troubles are told in full.
const shown = 10

func troubles(w io.Writer, all []Trouble) {
	for i, e := range all {
		if i == shown {
			fmt.Fprintf(w, "  and %d more\n", len(all)-shown)
			return
		}
		fmt.Fprintf(w, "  %s  %s\n      %s\n", e.Class, strings.TrimSpace(e.Reference), e.Detail)
		if e.Remedy != "" {
			fmt.Fprintf(w, "      what to do: %s\n", e.Remedy)
		}
	}
}
