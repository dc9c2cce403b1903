package profile

import (
	"fmt"
	"math"

	"crossdock/loadtest/scans"
)

// Load is what the generator makes of the profile, at its plan's pace: events are functions of the seed and of their place
// in the run. The run's name is in all its keys, so that no two runs meet. Start is scans.DefaultStart; whoever paces the
// run sets it to its real start.
func (p *Profile) Load(seed uint64, run string) (scans.Load, error) {
	plan, err := p.Plan()
	if err != nil {
		return scans.Load{}, err
	}
	m := &p.Mix
	l := scans.Load{
		Seed: seed, Run: run, Start: scans.DefaultStart(), Pace: plan, Rate: int(math.Ceil(plan.Peak())),
		SKUs: p.Retail.SKUs, Sites: p.Retail.Sites, BusySites: p.Retail.DCs, BusyShare: p.Retail.DCShare,
		ZipfExponent: p.Retail.Zipf, HotShare: p.Retail.HotShare, LotShare: p.Retail.Lots,
		Mix: scans.Mix{
			Receive: m.Receive, Putaway: m.Putaway, Pick: m.Pick, Pack: m.Pack, Ship: m.Ship, Adjust: m.Adjust, Count: m.Count,
			Return: m.Return, Milestone: m.Milestone, Order: m.Order, Item: m.Item,
		},
		Duplicates: p.Duplicates.Share, ReEnveloped: p.Duplicates.ReEnveloped,
		DuplicateSpan: p.Duplicates.Span, DuplicateDepth: p.Duplicates.Depth,
		Hottest:    scans.Hottest{Share: p.Duplicates.Late.Share, Age: p.Duplicates.Late.Age},
		OutOfOrder: p.Disorder.Share, LateMin: p.Disorder.Min, LateMax: p.Disorder.Max,
		Devices: p.Retail.DCs * p.Scanners.Pickers,
		Offline: scans.Offline{
			Share: p.Offline.Share, Min: p.Offline.Min, Max: p.Offline.Max, FlushMin: p.Offline.FlushMin, FlushMax: p.Offline.FlushMax,
		},
		Snapshots: scans.Snapshots{Every: p.Snapshots.Every, Rows: p.Snapshots.Rows, Differing: p.Snapshots.Differing},
		Poison:    p.Poison.Share,
	}
	if err := l.Validate(); err != nil {
		return scans.Load{}, fmt.Errorf("profile %s: %w", p.Name, err)
	}
	return l, nil
}
