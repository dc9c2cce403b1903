package scans

import (
	"math"

	"crossdock/avro/event"
	"crossdock/loadtest/pace"
	"crossdock/topology/topics"
)

// A retailer makes a Retailer's events. What it shares with others that make the same run is behind pointers and slices
// that never change; the rest is where it stands.
type retailer struct {
	*retail
	seq        int64
	clock      clock
	seed       random // of the decisions
	repeats    repeats
	hottest    hottest
	flushes    flushes
	reports    reports
	orders     int32 // released so far
	milestones int64 // told so far

	scan Scan
	hand hand
}

// retail is what never changes.
type retail struct {
	load  Load
	works [kinds]work
	names *names
	fleet *fleet
	start event.Micros

	kind     picker // of all events
	item     picker
	site     picker
	lines    picker // of an order, less one
	ids      ids
	prefixes [systems][kinds]string // system:document type:

	duplicate, hot, poison     uint64 // thresholds of one draw
	enveloped, late, differing share
	lateSpread                 int // milliseconds
}

func newRetailer(load Load) *Generator {
	weights := load.Mix.all()
	busy := make([]bool, load.Sites)
	for i := range busy {
		busy[i] = i < load.BusySites
	}
	traffic := siteWeights(busy, load.BusyShare)
	w := &retail{
		load: load, works: works(), names: newNames(&load), start: event.MicrosOf(load.Start),
		kind: newPicker(weights[:]), item: newPicker(itemWeights(&load)), site: newPicker(traffic), lines: newPicker(basket()),
		ids:       newIDs(load.Run),
		duplicate: uint64(shareOf(load.Duplicates)),
		hot:       uint64(shareOf(load.Duplicates + load.Hottest.Share)),
		poison:    uint64(shareOf(load.Duplicates + load.Hottest.Share + load.Poison)),
		enveloped: shareOf(load.ReEnveloped), late: shareOf(load.OutOfOrder), differing: shareOf(load.Snapshots.Differing),
		lateSpread: int(min((load.LateMax - load.LateMin).Milliseconds(), math.MaxInt32-1)),
	}
	if load.Devices > 0 {
		w.fleet = newFleet(load.Devices, traffic)
	}
	for s := range w.prefixes {
		for k := range w.prefixes[s] {
			w.prefixes[s][k] = systemName[s] + ":" + w.works[k].document + ":"
		}
	}
	r := &retailer{retail: w}
	r.rewind()
	return &Generator{load: load, retail: r}
}

// basket weighs the lines of an order: mean 10, median 8, as the baskets of FIMI's retail.dat have them. It is a gamma
// distribution of shape 1.4 and mean 10.3, cut at 64.
func basket() []float64 {
	w := make([]float64, 64)
	for i := range w {
		n := float64(i + 1)
		w[i] = math.Pow(n, 0.4) * math.Exp(-n/7.4)
	}
	return w
}

func (r *retailer) again() *retailer {
	a := &retailer{retail: r.retail}
	a.rewind()
	return a
}

func (r *retailer) rewind() {
	l := &r.load
	r.seed = random{l.Seed}
	r.clock = newClock(l)
	r.repeats.rewind(l)
	r.hottest.rewind(l)
	r.flushes = flushes{load: &l.Offline, fleet: r.fleet}
	if l.Offline.Share > 0 {
		r.flushes.start(&r.seed)
	}
	r.reports = reports{load: &l.Snapshots, sites: l.Sites, start: r.start}
	if l.Snapshots.Every > 0 {
		r.reports.rows = min(l.Snapshots.Rows, l.SKUs)
	}
	r.reports.rewind()
	r.hand.text.b = make([]byte, 0, 4096)
}

// A clock says when the events are due, one after the other.
type clock struct {
	paced bool
	walk  pace.Walk
	// Without a pace: at is in microseconds, with what remains of the division by the rate.
	at, rest         int64
	step, more, rate int64
}

func newClock(l *Load) clock {
	if l.Pace != nil {
		return clock{paced: true, walk: l.Pace.Walk()}
	}
	rate := int64(l.Rate)
	return clock{step: 1_000_000 / rate, more: 1_000_000 % rate, rate: rate}
}

func (c *clock) next() event.Micros {
	if c.paced {
		return event.Micros(c.walk.Next().Microseconds())
	}
	at := c.at
	c.at += c.step
	if c.rest += c.more; c.rest >= c.rate {
		c.rest -= c.rate
		c.at++
	}
	return event.Micros(at)
}

func (r *retailer) next() *Scan {
	seq := r.seq
	r.seq++
	s := &r.scan
	s.Seq, s.At = seq, r.start+r.clock.next()
	s.Copy, s.Device, s.Offline, s.Poison = Original, -1, false, NotPoison
	r.hand.text.b = r.hand.text.b[:0]
	if r.reports.rows > 0 {
		if l := r.reports.next(seq, s.At); l != nil {
			s.Kind, s.Topic = Snapshot, topics.InventoryInbox
			r.tellRow(l)
			return s
		}
	}
	s.Kind = Kind(r.kind.pick(&r.seed))
	switch s.Kind {
	case Milestone:
		s.Topic = topics.ShipmentsInbox
		r.tellMilestone()
	case Order:
		s.Topic = topics.OrdersInbox
		r.tellOrder()
	case Item:
		s.Topic = topics.Items
		r.tellItem()
	default:
		s.Topic = topics.Movements
		r.move()
	}
	return s
}

// move makes the movement in hand: a repetition, poison, one that a device kept, or an ordinary one.
func (r *retailer) move() {
	if r.flushes.part > 0 {
		r.flushes.comes(r.scan.At, &r.seed)
	}
	switch x := r.seed.next(); {
	case x < r.duplicate && r.repeats.originals > 0:
		r.repeat(*r.repeats.pick(&r.seed))
		return
	case x < r.duplicate:
	case x < r.hot:
		if f := r.hottest.pick(r.scan.At, &r.seed); f != nil {
			r.repeat(*f)
			return
		}
	case x < r.poison:
		r.spoil()
		return
	}
	var f happening
	if kept := r.flushes.takes(r.scan.At); kept != nil {
		f = happening{site: kept.site, device: kept.device, event: kept.when(&r.seed)}
		r.flushes.sent()
		r.scan.Offline = true
	} else {
		f = happening{site: int32(r.site.pick(&r.seed)), device: -1, event: r.scan.At}
		if r.fleet != nil {
			c := &r.fleet.sites[f.site]
			f.device = c.first + int32(r.seed.below(int(c.online)))
		}
	}
	f.item = int32(r.item.pick(&r.seed))
	r.decide(&f)
	r.repeats.add(&f)
	r.hottest.add(&f)
	if r.reports.rows > 0 {
		n := f.qty
		if f.cases {
			n *= int32(ratio(int(f.item)))
		}
		w := &r.works[f.kind]
		r.reports.moved(f.item, f.site, w.from, w.to, n)
	}
	r.scan.Device = f.device
	r.write(&f, f.seq, f.ingest, false)
}

// repeat makes a movement again, with all but perhaps its envelope.
func (r *retailer) repeat(f happening) {
	r.scan.Kind, r.scan.Copy, r.scan.Device = f.kind, Exact, f.device
	if r.seed.hit(r.enveloped) {
		r.scan.Copy = ReEnveloped
		r.write(&f, r.scan.Seq, r.scan.At, true)
		return
	}
	r.write(&f, f.seq, f.ingest, false)
}

// decide completes an original whose item, site, device and time are known.
func (r *retailer) decide(f *happening) {
	x := &r.seed
	f.seq, f.kind, f.ingest, f.texts = r.scan.Seq, r.scan.Kind, r.scan.At, x.next()
	if x.hit(r.late) {
		f.event -= event.Micros(r.load.LateMin.Microseconds() + int64(x.between(0, r.lateSpread))*1000)
	}
	f.form = r.names.formAt(int(f.item), int(f.site))
	f.lot = r.names.lotTracked(int(f.item))
	w := &r.works[f.kind]
	n := x.between(w.least, w.most)
	switch f.kind {
	case Receive, Putaway:
		// Goods come in by the case: as many as come near.
		if k := int(ratio(int(f.item))); k > 0 {
			f.cases, n = true, max(1, n/k)
		}
	case Count:
		// A count finds less as often as more.
		if f.texts&1 == 0 {
			n = -n
		}
	}
	f.qty = int32(n)
	if w.ordered && r.orders > 0 {
		f.order = int32(1 + x.below(int(r.orders)))
	}
}
