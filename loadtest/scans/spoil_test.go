package scans

import (
	"errors"
	"strings"
	"testing"

	"crossdock/avro/event"
	"crossdock/avro/serde"
)

// Each poison has one thing wrong, the one that it is named for, and everything else is as it ought to be.
func TestPoisonHasOneThingWrong(t *testing.T) {
	g := retailed(t, func(l *Load) { l.SKUs, l.Sites, l.BusySites, l.Poison = 2000, 40, 10, 0.5 })
	m := newMeaning()
	m.read(t, g)
	codec := serde.Local()
	var seen [poisons]int
	all := 0
	for range 100_000 {
		s := g.Next()
		if s.Kind.Movement() {
			all++
		}
		if s.Poison == NotPoison {
			continue
		}
		seen[s.Poison]++
		value := g.AppendValue([]byte("before"), codec)
		if string(value[:6]) != "before" {
			t.Fatalf("%v: what was there before is gone", s.Poison)
		}
		value = value[6:]
		var e event.InventoryMovement
		err := codec.Decode(value, &e)
		var framing *serde.FramingError
		var unknown *serde.UnknownSchemaError
		var kind *serde.KindError
		var damaged *event.DecodeError
		wrong := map[Poison]bool{
			BadFraming: errors.As(err, &framing), UnknownSchema: errors.As(err, &unknown),
			WrongKind: errors.As(err, &kind), Truncated: errors.As(err, &damaged),
		}
		if err == nil {
			sku, site := g.Canonical()
			h := &e.Header
			owner := m.owners[site]["PICK"]
			wrong[NoIdentity] = h.DedupeKey == ""
			wrong[OutsideToOutside] = e.From.Valid && e.To.Valid && e.From.Value.Bucket == event.BucketExternal && e.To.Value.Bucket == event.BucketExternal
			wrong[NoBucket] = e.Type == event.MovementTypeStatusChange && !e.From.Valid && !e.To.Valid
			wrong[NotOwner] = h.SourceSystem != owner
			wrong[LotMissing] = m.lots[sku] && !e.Lot.Valid
			wrong[UnknownSite] = len(m.sites[h.SourceSystem+" "+h.Site])+len(m.sites["* "+h.Site]) == 0
			wrong[UnknownItem] = strings.Contains(e.SKU, "NOITEM") && len(m.items["* "+e.SKU])+len(m.items[h.SourceSystem+" "+e.SKU]) == 0
			uom := e.UOMSrc
			if uom == "" {
				uom = m.boxes[e.SKU]
			}
			ratio, known := m.units[sku][uom]
			wrong[UnknownUnit] = !known
			wrong[Remainder] = e.QtySrc%event.QuantityScale != 0 && uom == "EA"
			wrong[Overflow] = known && ratio > 1 && e.QtySrc > event.MaxQuantity/event.Quantity(ratio)
			if !wrong[UnknownItem] && one(t, m.items, h.SourceSystem, e.SKU) != sku {
				t.Fatalf("%v: %s is not %s", s.Poison, e.SKU, sku)
			}
		}
		for p := range wrong {
			if wrong[p] != (p == s.Poison) {
				t.Fatalf("event %d is %q; %q: %v\n%+v", s.Seq, s.Poison, p, wrong[p], e)
			}
		}
	}
	n := 0
	for p := NotPoison + 1; p < poisons; p++ {
		n += seen[p]
		if seen[p] < 1000 {
			t.Errorf("%d of %v", seen[p], p)
		}
		if p.Expect() == Applied || p.Cause() == "" || p.String() == "" {
			t.Errorf("%v: %v %q", p, p.Expect(), p.Cause())
		}
	}
	near(t, "poison", n, all, 0.5)
	if NotPoison.Expect() != Applied {
		t.Error("NotPoison is applied")
	}
}

// Where no item is kept by lot, or few have cases, poison is still poison.
func TestPoisonFindsAnItemOrIsAnother(t *testing.T) {
	g := retailed(t, func(l *Load) { l.SKUs, l.LotShare, l.Poison = 3, 0, 0.5 })
	var seen [poisons]int
	for range 20_000 {
		s := g.Next()
		seen[s.Poison]++
		if s.Poison == Overflow && ratio(int(g.retail.hand.item)) == 0 {
			t.Fatal("cases of an item without any")
		}
	}
	if seen[LotMissing] != 0 || seen[Overflow] == 0 || seen[Remainder] < seen[Overflow]*3/2 {
		t.Errorf("%v", seen)
	}
}
