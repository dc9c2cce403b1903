package profile

import (
	"math"
	"strings"
	"time"

	"crossdock/internal/spelling"
	"crossdock/loadtest/latency"
	"crossdock/loadtest/pace"
)

// A setting is one key of a profile: its dotted name, where its value lies, what it means and whence its default.
type setting struct {
	key    string
	value  value
	doc    string
	source string
}

// What defaults come from, as docs/loadtest.md explains them.
const (
	design  = "design"
	load    = "load model"
	baskets = "grocery baskets"
	werc    = "WERC"
	shopify = "Shopify"
	promise = "promise"
)

// settings is the table of all keys, in the order in which a profile is printed.
func (p *Profile) settings() []setting {
	const day = 24 * time.Hour
	all := []setting{
		{"name", text{&p.Name}, "Its name, in reports; without it, the file's", ""},
		{"doc", text{&p.Doc}, "What it is, in a sentence", ""},

		{"pace.rate", rate{&p.Pace.Rate}, "Rate of the run; pickers: what the scanners of the distribution centres make, and the other sites' share on top", load},
		{"pace.for", duration{&p.Pace.For, 1, pace.MaxDuration, false}, "Length of the run", design},
		{"pace.ramp", duration{&p.Pace.Ramp, 0, pace.MaxRamp, false}, "Time that every change of rate takes: the start from 0, and from step to step", design},
		{"pace.steps", steps{&p.Pace.Steps}, "Rates of the run's parts, as shares of its rate and of its length; none: one step", design},
		{"pace.spikes.every", duration{&p.Pace.Spikes.Every, time.Millisecond, pace.MaxDuration, true}, "A spike is the last part of every such time; none: no spikes", design},
		{"pace.spikes.for", duration{&p.Pace.Spikes.For, 1, pace.MaxDuration, false}, "Length of a spike", load},
		{"pace.spikes.factor", quantity{&p.Pace.Spikes.Factor, 0, maxFactor, "factor"}, "Times the rate that the steps have there", shopify},

		{"retail.skus", count[int]{&p.Retail.SKUs, 1, 10_000_000, "count", false}, "SKUs", load},
		{"retail.sites", count[int]{&p.Retail.Sites, 1, 10_000, "count", false}, "Sites, distribution centres included", load},
		{"retail.dcs", count[int]{&p.Retail.DCs, 0, 10_000, "count", false}, "Distribution centres among the sites", load},
		{"retail.dc_share", share{&p.Retail.DCShare, 1}, "Of the movements, at distribution centres", load},
		{"retail.zipf", quantity{&p.Retail.Zipf, 0, 5, "exponent"}, "Exponent of Zipf's law by which SKUs are asked for; 0: all alike", baskets},
		{"retail.hot_share", share{&p.Retail.HotShare, 1}, "Of the movements, about the first SKU, whatever Zipf says (a flash sale)", load},
		{"retail.lots", share{&p.Retail.Lots, 1}, "Of the SKUs, tracked by lot", design},

		{"scanners.pickers", count[int]{&p.Scanners.Pickers, 1, 100_000, "count", false}, "People who scan in a distribution centre, each with a device", load},
		{"scanners.lines_per_hour", quantity{&p.Scanners.LinesPerHour, 0.001, 1e6, "lines an hour"}, "Lines of one picker", werc},
		{"scanners.scans_per_line", quantity{&p.Scanners.ScansPerLine, 0.001, 1000, "scans"}, "Scans of one line", load},

		{"mix.pick", weight(&p.Mix.Pick), "Picks", load},
		{"mix.pack", weight(&p.Mix.Pack), "Packs; with ships 15 %", load},
		{"mix.ship", weight(&p.Mix.Ship), "Ships; with packs 15 %", load},
		{"mix.receive", weight(&p.Mix.Receive), "Receipts; with putaways 12 %", load},
		{"mix.putaway", weight(&p.Mix.Putaway), "Putaways; with receipts 12 %", load},
		{"mix.adjust", weight(&p.Mix.Adjust), "Adjustments; with counts 8 %", load},
		{"mix.count", weight(&p.Mix.Count), "Counts; with adjustments 8 %", load},
		{"mix.return", weight(&p.Mix.Return), "Returned goods", load},
		{"mix.milestone", weight(&p.Mix.Milestone), "Milestones of shipments", load},
		{"mix.order", weight(&p.Mix.Order), "Order releases; with items 3 %", load},
		{"mix.item", weight(&p.Mix.Item), "New versions of items; with orders 3 %", load},

		{"duplicates.share", share{&p.Duplicates.Share, 0.5}, "Of the movements, sent again", load},
		{"duplicates.re_enveloped", share{&p.Duplicates.ReEnveloped, 1}, "Of those, in a new envelope; the others are the same bytes", design},
		{"duplicates.span", count[int]{&p.Duplicates.Span, 1, 1_000_000, "events", false}, "A repeated one is among the last so many", design},
		{"duplicates.depth", count[int]{&p.Duplicates.Depth, 1, 1_000_000, "events", false}, "A repeated one has at most so many younger ones of its key before it", design},
		{"duplicates.late.share", share{&p.Duplicates.Late.Share, 0.5}, "Of the movements, repetitions of the hottest key's, long after", design},
		{"duplicates.late.age", duration{&p.Duplicates.Late.Age, time.Second, 30 * day, false}, "Least age of what is repeated so late", design},

		{"disorder.share", share{&p.Disorder.Share, 1}, "Of the movements, arriving after younger ones", load},
		{"disorder.min", duration{&p.Disorder.Min, 0, 30 * day, false}, "By this much at least", load},
		{"disorder.max", duration{&p.Disorder.Max, 0, 30 * day, false}, "And at most", load},

		{"offline.share", share{&p.Offline.Share, 0.5}, "Of the movements, kept by scanners that had no network (as many as such scanners are of all)", load},
		{"offline.min", duration{&p.Offline.Min, time.Second, 7 * day, false}, "They have none for this long at least", load},
		{"offline.max", duration{&p.Offline.Max, time.Second, 7 * day, false}, "And at most", load},
		{"offline.flush_min", count[int]{&p.Offline.FlushMin, 1, 1_000_000, "events a second", false}, "A device that is back sends what it kept at this rate at least", load},
		{"offline.flush_max", count[int]{&p.Offline.FlushMax, 1, 1_000_000, "events a second", false}, "And at most", load},

		{"snapshots.every", duration{&p.Snapshots.Every, time.Second, 30 * day, true}, "Every site reports its stock so often, as long as rows are at most a quarter of all events; none: no reports", load},
		{"snapshots.rows", count[int]{&p.Snapshots.Rows, 1, 10_000_000, "rows", false}, "Rows of one report at most: the most popular SKUs that have moved at the site", design},
		{"snapshots.differing", share{&p.Snapshots.Differing, 1}, "Of the rows, different from what the movements made, by 1 to 3", load},

		{"poison.share", share{&p.Poison.Share, 0.5}, "Of the movements, impossible to apply: spoiled bytes, unknown items and units, remainders", load},
	}
	for h := range p.Objectives.Hops {
		b, name := &p.Objectives.Hops[h], latency.Hop(h).String()
		source := design
		if hop := latency.Hop(h); hop == latency.Balance || hop == latency.Row {
			source = promise
		}
		for _, q := range []struct {
			name, doc string
			p         *time.Duration
		}{
			{"p50", "half of the events are %s within this", &b.P50},
			{"p99", "99 % of the events are %s within this", &b.P99},
			{"p999", "99.9 % of the events are %s within this", &b.P999},
			{"max", "all events are %s within this", &b.Max},
		} {
			doc := strings.ReplaceAll(q.doc, "%s", hopDoc(latency.Hop(h)))
			all = append(all, setting{"objectives." + name + "." + q.name, duration{q.p, time.Microsecond, day, true}, strings.ToUpper(doc[:1]) + doc[1:], source})
		}
	}
	return append(all,
		setting{"objectives.max_lag_end", count[int64]{&p.Objectives.MaxLagEnd, 0, 1 << 53, "records", true}, "The stages together, the sink apart, are no more behind when the last event has been sent", design},
		setting{"objectives.exact", flag{&p.Objectives.Exact}, "Nothing is lost or counted twice, every balance is right", promise},
		setting{"objectives.kept_pace", flag{&p.Objectives.KeptPace}, "The load test itself sends every event when it is due", design},
	)
}

func weight(p *float64) quantity { return quantity{p, 0, math.MaxInt32, "weight"} }

// hopDoc is what it means to have come to a hop.
func hopDoc(h latency.Hop) string {
	return [latency.Hops]string{
		latency.Accepted:   "acknowledged by all in-sync replicas",
		latency.Translated: "on the inbox, translated from a document,",
		latency.Enriched:   "on the inbox, enriched,",
		latency.Balance:    "in the published balance",
		latency.Row:        "in ClickHouse",
	}[h]
}

// nearest is the key or section that someone meant, or "".
func nearest(all []setting, name string) string {
	return spelling.Nearest(func(yield func(string) bool) {
		for _, s := range all {
			if !yield(s.key) {
				return
			}
		}
	}, name)
}
