package verify

import (
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/loadtest/scans"
	"crossdock/topology/topics"
)

// A model says what a pipeline without a fault makes of a Retailer's run. It shares nothing with the oracle: which movements are
// repetitions, which key each is for and what must become of poison it takes from the generator's own word, and the
// quantity from the unit's ratio.
type model struct {
	units map[string]map[string]int64 // by SKU and unit: base units
	packs map[string]int64            // by a packing unit's GTIN: base units
	keys  map[uint64]int32
	all   []event.InventoryBalance // by key; SKU and site are empty where names is false
	dirty []int32
	fresh []bool // by key: whether it is among dirty
	seq   int64
	put   func(to topics.ID, key []byte, e event.Record)
	room  []byte
	parts [][2]string
}

func newModel(g *scans.Generator, put func(to topics.ID, key []byte, e event.Record)) *model {
	m := &model{units: map[string]map[string]int64{}, packs: map[string]int64{}, keys: map[uint64]int32{}, put: put}
	cases := map[int64]map[string]int64{}
	for it := range g.Items() {
		u, plain := map[string]int64{it.BaseUOM: 1}, int64(0)
		for _, unit := range it.UOMs {
			u[unit.UOM] = unit.Num / unit.Den
			if unit.GTIN.Valid {
				m.packs[unit.GTIN.Value] = unit.Num / unit.Den
			}
			plain = plain*100 + unit.Num/unit.Den
		}
		if cases[plain] == nil {
			cases[plain] = u
		}
		m.units[it.SKU] = cases[plain]
	}
	return m
}

// event takes the next event that the brokers have.
func (m *model) event(g *scans.Generator, s *scans.Scan, serde *serde.Serde) {
	m.seq++
	switch {
	case s.Poison != scans.NotPoison:
		m.poison(g, s, serde)
	case s.Kind.Movement() && s.Copy == scans.Original:
		m.post(g, s)
	}
}

func (m *model) post(g *scans.Generator, s *scans.Scan) {
	sku, site := g.Canonical()
	m.room = topics.Key(m.room[:0], sku, site)
	hash := xxhash.Sum64(m.room)
	i, ok := m.keys[hash]
	if !ok {
		i = int32(len(m.all))
		m.keys[hash] = i
		m.all = append(m.all, event.InventoryBalance{})
		m.parts = append(m.parts, [2]string{string(append([]byte(nil), sku...)), string(append([]byte(nil), site...))})
		m.fresh = append(m.fresh, false)
	}
	b, mv := &m.all[i], &s.Movement
	qty := mv.QtySrc * event.Quantity(max(1, m.units[sku][mv.UOMSrc], m.packs[mv.SKU]*int64(1-min(1, len(mv.UOMSrc)))))
	from, to := bucketOf(mv.From), bucketOf(mv.To)
	if qty < 0 {
		from, to, qty = to, from, -qty
	}
	if from != event.BucketExternal {
		*bucket(b, from) -= qty
	}
	if to != event.BucketExternal {
		*bucket(b, to) += qty
	}
	if b.Version == 0 || mv.Header.EventTime > b.AsOf {
		b.AsOf = mv.Header.EventTime
	}
	b.Version++
	if !m.fresh[i] {
		m.fresh[i] = true
		m.dirty = append(m.dirty, i)
	}
	m.put(topics.Ledger, m.room, &event.LedgerPosting{
		SKU: sku, Site: site, PostingNo: b.Version, Type: mv.Type, FromBucket: from, ToBucket: to, Qty: qty,
		EventTime: mv.Header.EventTime, DedupeKey: mv.Header.DedupeKey, EventID: mv.Header.EventID,
	})
}

// commit tells the balances of the keys that changed.
func (m *model) commit() {
	for _, i := range m.dirty {
		m.fresh[i] = false
		b := m.balance(i)
		m.room = topics.Key(m.room[:0], b.SKU, b.Site)
		m.put(topics.Balances, m.room, b)
	}
	m.dirty = m.dirty[:0]
}

func (m *model) balance(i int32) *event.InventoryBalance {
	b := m.all[i]
	b.SKU, b.Site = m.parts[i][0], m.parts[i][1]
	b.OnHand = b.Available + b.Allocated + b.Picked + b.Staged + b.QC + b.Damaged + b.Hold + b.Returned
	b.ATS = max(0, b.Available)
	for k := event.BucketAvailable; k <= event.BucketClearing; k++ {
		b.Negative = b.Negative || *bucket(&b, k) < 0
	}
	return &b
}

func bucket(b *event.InventoryBalance, k event.Bucket) *event.Quantity {
	return [...]*event.Quantity{
		&b.Available, &b.Allocated, &b.Picked, &b.Staged, &b.QC, &b.Damaged, &b.Hold, &b.Returned, &b.InTransitIn, &b.InTransitOut, &b.Clearing,
	}[k-event.BucketAvailable]
}

// poison puts a spoilt event where the generator says that it must come out.
func (m *model) poison(g *scans.Generator, s *scans.Scan, serde *serde.Serde) {
	key, value := g.AppendKey(nil), g.AppendValue(nil, serde)
	switch h := s.Movement.Header; s.Poison.Expect() {
	case scans.DeadLetter:
		m.put(topics.DeadLetters, key, &event.DeadLetter{
			ID: "movements/0/1/0", Stage: "enrich", Cause: s.Poison.Cause(), Topic: "movements", Offset: s.Seq, Key: event.Some(key), Value: event.Some(value),
		})
	case scans.Exception:
		x := &event.LogisticsException{Header: h, ExceptionID: s.Poison.Cause() + "/" + h.DedupeKey, Class: s.Poison.Cause(), Stage: "enrich"}
		x.Header.CausationID = event.Some(g.EventID())
		x.Header.EventID = x.Class + "/" + g.EventID()
		m.put(topics.Exceptions, key, x)
	case scans.Parked:
		kind, _ := event.ParseMissingKind(s.Poison.Cause())
		m.put(topics.ParkingInbox, key, &event.ParkedEvent{EventID: g.EventID(), Missing: kind, Event: value})
	}
}

// outputs are a model's records by topic.
type outputs map[topics.ID][]*kgo.Record

func (o outputs) put(naming topics.Naming, s *serde.Serde) func(to topics.ID, key []byte, e event.Record) {
	return func(to topics.ID, key []byte, e event.Record) {
		o[to] = append(o[to], &kgo.Record{Topic: naming.Topic(to), Key: append([]byte(nil), key...), Value: s.Append(nil, e)})
	}
}

func (o outputs) all() []*kgo.Record {
	var all []*kgo.Record
	for to := range topics.Count {
		all = append(all, o[topics.ID(to)]...)
	}
	return all
}

// retailer is a small run with everything in it.
func retailer(t testing.TB, run string, seed uint64) *scans.Generator {
	t.Helper()
	load := scans.DefaultLoad(seed)
	load.Run, load.SKUs, load.Sites, load.BusySites, load.Devices = run, 300, 12, 3, 40
	load.Duplicates, load.Poison = 0.05, 0.01
	g, err := scans.NewRetailer(load)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func bucketOf(p event.Optional[event.Place]) event.Bucket {
	if !p.Valid {
		return event.BucketExternal
	}
	return p.Value.Bucket
}
