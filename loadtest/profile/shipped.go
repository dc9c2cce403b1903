package profile

import (
	"embed"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

//go:embed profiles/*.yaml
var shipped embed.FS

// Names are those of the shipped profiles, from the plainest to the strangest.
func Names() []string {
	return []string{"base", "peak-day", "flash-sale", "offline-flood", "returns-wave", "snapshot-storm", "poison"}
}

// shippedText is a shipped profile as it was written, with its comments.
func shippedText(name string) ([]byte, bool) {
	if !slices.Contains(Names(), name) {
		return nil, false
	}
	data, err := shipped.ReadFile("profiles/" + name + ".yaml")
	return data, err == nil
}

// WriteTable lists the shipped profiles: rates in events a second, how many events the whole run has, and what it is for.
func WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PROFILE\tRATE\tPEAK\tLENGTH\tEVENTS\tWHAT IT IS")
	for _, name := range Names() {
		p, err := Load(name)
		if err != nil {
			return err
		}
		plan, err := p.Plan()
		if err != nil {
			return err
		}
		millions := fmt.Sprintf("%.1fM", float64(plan.Count())/1e6)
		fmt.Fprintf(t, "%s\t%s/s\t%s/s\t%s\t%s\t%s\n", name, plain(p.rate()), plain(plan.Peak()), short(plan.Duration().Round(time.Second)), millions, p.Doc)
	}
	return t.Flush()
}
