package profile

import (
	"errors"
	"fmt"
	"math"
	"time"

	"crossdock/loadtest/pace"
)

// What the generator and the plan can hold.
const (
	maxSpikes  = 10_000     // in a run: segments of the plan
	maxDevices = 10_000_000 // their numbers
	maxRows    = 20_000_000 // of one round of snapshots: counted stock
)

// Validate names every value that cannot be, with the place where it was set and the remedy.
func (p *Profile) Validate() error {
	var all []error
	for _, q := range p.problems() {
		all = append(all, q)
	}
	return errors.Join(all...)
}

// problems are those of single values, and of values that do not go together where each of them is good.
func (p *Profile) problems() []problem {
	var all []problem
	bad := map[string]bool{}
	for _, s := range p.settings() {
		if err := s.value.check(); err != nil {
			bad[s.key] = true
			all = append(all, problem{p.origins[s.key], s.key, err})
		}
	}
	// together reports a problem of several keys at the first one, unless one of them is bad by itself.
	together := func(ok bool, keys []string, format string, args ...any) {
		if ok {
			return
		}
		for _, k := range keys {
			if bad[k] {
				return
			}
		}
		all = append(all, problem{p.origins[keys[0]], keys[0], fmt.Errorf(format, args...)})
	}
	p.checkShape(together)

	r, m := &p.Retail, &p.Mix
	together(r.DCs <= r.Sites, []string{"retail.dcs", "retail.sites"}, "%d distribution centres of %d sites: give at most as many as retail.sites", r.DCs, r.Sites)
	together(p.Pace.Rate > 0 || r.DCs > 0 && r.DCShare > 0, []string{"pace.rate", "retail.dcs", "retail.dc_share"},
		"no picker scans without a distribution centre that has a share: give a rate like 24k, or retail.dcs and retail.dc_share above 0")
	sum := m.Pick + m.Pack + m.Ship + m.Receive + m.Putaway + m.Adjust + m.Count + m.Return
	together(sum > 0, []string{"mix.pick", "mix.pack", "mix.ship", "mix.receive", "mix.putaway", "mix.adjust", "mix.count", "mix.return"},
		"no movement has a weight above 0: give one, like mix.pick=45")
	for _, c := range []struct {
		low, high string
		ok        bool
	}{
		{"disorder.min", "disorder.max", p.Disorder.Min <= p.Disorder.Max},
		{"offline.min", "offline.max", p.Offline.Min <= p.Offline.Max},
		{"offline.flush_min", "offline.flush_max", p.Offline.FlushMin <= p.Offline.FlushMax},
	} {
		together(c.ok, []string{c.low, c.high}, "it is above %s: give at most as much", c.high)
	}
	together(r.DCs*p.Scanners.Pickers <= maxDevices, []string{"scanners.pickers", "retail.dcs"},
		"%d distribution centres with as many each have more than %s devices: give fewer", r.DCs, plain(maxDevices))
	together(p.Snapshots.Every == 0 || min(p.Snapshots.Rows, r.SKUs) <= maxRows/max(1, r.Sites), []string{"snapshots.rows", "retail.sites"},
		"%d sites with as many each have more than %s rows whose stock must be counted: give at most %d, or snapshots.every=none", r.Sites, plain(maxRows), maxRows/max(1, r.Sites))
	d := &p.Duplicates
	together(d.Share+d.Late.Share+p.Poison.Share < 0.9, []string{"duplicates.share", "duplicates.late.share", "poison.share"},
		"duplicates, late ones and poison are %s of the events together: leave at least 10 %% for those that count once", percent(d.Share+d.Late.Share+p.Poison.Share))
	return all
}

func (p *Profile) checkShape(together func(ok bool, keys []string, format string, args ...any)) {
	c, s := &p.Pace, &p.Pace.Spikes
	shortest := 1.0
	highest := 1.0
	for i, step := range c.Steps {
		shortest = min(shortest, step.For)
		if i == 0 {
			highest = 0
		}
		highest = max(highest, step.Rate)
	}
	part := time.Duration(float64(c.For) * shortest)
	what := "than the run"
	if len(c.Steps) > 0 {
		what = "than the shortest of pace.steps"
	}
	together(c.Ramp <= part, []string{"pace.ramp", "pace.for", "pace.steps"}, "%s is longer %s, %s: give at most that, or a longer run", short(c.Ramp), what, short(part))
	if s.Every > 0 {
		keys := []string{"pace.spikes.every", "pace.spikes.for", "pace.for"}
		together(s.For < s.Every, keys, "spikes of %s every %s are no spikes: give pace.spikes.for less than pace.spikes.every", short(s.For), short(s.Every))
		together(s.Every <= c.For, keys, "the first spike, within %s, comes after the end of the run of %s: give a longer run, a shorter time, or none", short(s.Every), short(c.For))
		together(c.For/s.Every <= maxSpikes, keys, "%d spikes are too many: give at most %d in the run", c.For/max(1, s.Every), maxSpikes)
		highest *= max(1, s.Factor)
	}
	keys := []string{"pace.rate", "pace.steps", "pace.spikes.factor", "pace.spikes.every"}
	together(p.rate()*highest <= pace.MaxRate, keys, "with its steps and spikes it comes to %s events a second: give at most %s",
		plain(math.Round(p.rate()*highest)), plain(math.Floor(pace.MaxRate/max(highest, 1e-9))))
}
