package enrich_test

import (
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/processors"
	"crossdock/processors/enrich"
	"crossdock/processors/internal/fake"
	"crossdock/processors/masterdata"
	"crossdock/topology/topics"
)

const one = event.QuantityScale

func tables(t interface{ Fatal(...any) }) *masterdata.Tables {
	tb := new(masterdata.Tables)
	for _, e := range []*event.ItemMaster{
		{SKU: "TEA", Version: 4, BaseUOM: "EA", Integral: true, UOMs: []event.ItemUnit{{UOM: "CA", Num: 12, Den: 1}, {UOM: "THIRD", Num: 1, Den: 3}},
			Aliases: []event.ItemAlias{{System: event.Some("erp"), Code: "4711"}}},
		{SKU: "MILK", Version: 1, BaseUOM: "EA", Integral: true, LotTracked: true},
		{SKU: "OLD", Version: 1, BaseUOM: "EA", Status: "BLOCKED"},
	} {
		if _, err := tb.ApplyItem(e); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range []*event.SiteMaster{
		{Site: "DC1", Version: 1, Aliases: []event.SiteAlias{{System: event.Some("erp"), Code: "1000"}, {System: event.Some("odd"), Code: "X"}}},
		{Site: "DC2", Version: 1, Aliases: []event.SiteAlias{{System: event.Some("odd"), Code: "DC1"}}},
	} {
		if _, err := tb.ApplySite(e); err != nil {
			t.Fatal(err)
		}
	}
	return tb
}

func header(id, system, site string) event.EventHeader {
	return event.EventHeader{EventID: id, DedupeKey: "d/" + id, SourceSystem: system, Site: site, SourceDocType: "T", SourceDocID: id}
}

func receipt(sku, uom string, qty event.Quantity) *event.InventoryMovement {
	return &event.InventoryMovement{Header: header("e", "erp", "1000"), SKU: sku, Type: event.MovementTypeReceipt, QtySrc: qty, UOMSrc: uom}
}

func TestN10ConvertedExactlyOrHeld(t *testing.T) {
	r := enrich.NewResolver(tables(t))
	rapid.Check(t, func(rt *rapid.T) {
		m := receipt("4711", rapid.SampledFrom([]string{"", "EA", "CA", "THIRD"}).Draw(rt, "unit"), event.Quantity(rapid.Int64Range(-50*one, 50*one).Draw(rt, "millionths")))
		if rapid.Bool().Draw(rt, "whole") {
			m.QtySrc -= m.QtySrc % one
		}
		ratio := map[string]*big.Rat{"": big.NewRat(1, 1), "EA": big.NewRat(1, 1), "CA": big.NewRat(12, 1), "THIRD": big.NewRat(1, 3)}[m.UOMSrc]
		units := new(big.Rat).Mul(big.NewRat(int64(m.QtySrc), one), ratio)
		out := r.Resolve(m, enrich.Nothing)
		if !units.IsInt() {
			if out.Verdict != enrich.Held || out.Exception.Class != enrich.ClassRemainder || m.QtyDelta != 0 {
				rt.Fatalf("%s %s is %s EA: verdict %d, quantity %s", m.QtySrc, m.UOMSrc, units, out.Verdict, m.QtyDelta)
			}
			return
		}
		if out.Verdict != enrich.Resolved || big.NewRat(int64(m.QtyDelta), one).Cmp(units) != 0 {
			rt.Fatalf("%s %s is %s EA: verdict %d, quantity %s", m.QtySrc, m.UOMSrc, units, out.Verdict, m.QtyDelta)
		}
	})
}

func TestEnrichedMovementCarriesWhatItWasMadeWith(t *testing.T) {
	r := enrich.NewResolver(tables(t))
	m := receipt("4711", "CA", 3*one)
	out := r.Resolve(m, enrich.Nothing)
	if out.Verdict != enrich.Resolved || out.To != topics.InventoryInbox || string(out.Key) != "TEA|DC1" {
		t.Fatalf("verdict %d to %s under %s", out.Verdict, out.To, out.Key)
	}
	if m.SKU != "TEA" || m.Header.Site != "DC1" || m.QtyDelta != 36*one || m.QtySrc != 3*one || m.UOMSrc != "CA" || m.ItemVersion.Value != 4 {
		t.Errorf("%+v", m)
	}
	if m.From.Valid || m.To.Value.Bucket != event.BucketAvailable {
		t.Errorf("from %v to %v", m.From, m.To)
	}
}

func TestDefaultBucketsOfEveryType(t *testing.T) {
	const x = event.BucketExternal
	want := map[event.MovementType][2]event.Bucket{
		event.MovementTypeReceipt:     {x, event.BucketAvailable},
		event.MovementTypePutaway:     {event.BucketAvailable, event.BucketAvailable},
		event.MovementTypeAllocate:    {event.BucketAvailable, event.BucketAllocated},
		event.MovementTypeDeallocate:  {event.BucketAllocated, event.BucketAvailable},
		event.MovementTypePick:        {event.BucketAvailable, event.BucketPicked},
		event.MovementTypePack:        {event.BucketPicked, event.BucketStaged},
		event.MovementTypeStage:       {event.BucketStaged, event.BucketStaged},
		event.MovementTypeShip:        {event.BucketStaged, x},
		event.MovementTypeTransferOut: {event.BucketAvailable, event.BucketInTransitOut},
		event.MovementTypeTransferIn:  {event.BucketInTransitIn, event.BucketAvailable},
		event.MovementTypeAdjust:      {x, event.BucketAvailable},
		event.MovementTypeCount:       {x, event.BucketAvailable},
		event.MovementTypeReturn:      {x, event.BucketReturned},
		event.MovementTypeScrap:       {event.BucketDamaged, x},
		event.MovementTypeReconcile:   {x, event.BucketAvailable},
	}
	r := enrich.NewResolver(tables(t))
	for i := event.MovementTypeOther; i <= event.MovementTypeReversal; i++ {
		m := receipt("TEA", "EA", one)
		m.Type = i
		out := r.Resolve(m, enrich.Nothing)
		w, ok := want[i]
		if !ok {
			if out.Verdict != enrich.Held || out.Exception.Class != enrich.ClassNoPlace {
				t.Errorf("%s without places: verdict %d", i, out.Verdict)
			}
			continue
		}
		if out.Verdict != enrich.Resolved || m.From.Value.Bucket != w[0] || m.To.Value.Bucket != w[1] {
			t.Errorf("%s moves from %s to %s, want %v", i, m.From.Value.Bucket, m.To.Value.Bucket, w)
		}
	}
}

func TestNullPlaceBesideANamedOne(t *testing.T) {
	tests := []struct {
		movement         event.MovementType
		from, to         event.Bucket // EXTERNAL: null
		pair             bool
		wantFrom, wantTo event.Bucket
	}{
		{movement: event.MovementTypeAdjust, from: event.BucketDamaged, wantFrom: event.BucketDamaged}, // out of the damaged stock, not into the good one
		{movement: event.MovementTypeReceipt, to: event.BucketQC, wantTo: event.BucketQC},
		{movement: event.MovementTypeShip, from: event.BucketAvailable, wantFrom: event.BucketAvailable},
		{movement: event.MovementTypePick, from: event.BucketAllocated, wantFrom: event.BucketAllocated, wantTo: event.BucketPicked},
		{movement: event.MovementTypePutaway, to: event.BucketHold, wantFrom: event.BucketAvailable, wantTo: event.BucketHold},
		{movement: event.MovementTypeTransferOut, pair: true, wantFrom: event.BucketAvailable, wantTo: event.BucketClearing},
		{movement: event.MovementTypeTransferIn, pair: true, to: event.BucketQC, wantFrom: event.BucketClearing, wantTo: event.BucketQC},
		{movement: event.MovementTypeOther, from: event.BucketHold, wantFrom: event.BucketHold},
	}
	r := enrich.NewResolver(tables(t))
	for _, tt := range tests {
		m := receipt("TEA", "EA", one)
		m.Type = tt.movement
		if tt.from != event.BucketExternal {
			m.From = event.Some(event.Place{Bucket: tt.from})
		}
		if tt.to != event.BucketExternal {
			m.To = event.Some(event.Place{Bucket: tt.to})
		}
		if tt.pair {
			m.PairID = event.Some("P")
		}
		if out := r.Resolve(m, enrich.Nothing); out.Verdict != enrich.Resolved || m.From.Value.Bucket != tt.wantFrom || m.To.Value.Bucket != tt.wantTo {
			t.Errorf("%s: verdict %d, from %s to %s, want from %s to %s", tt.movement, out.Verdict, m.From.Value.Bucket, m.To.Value.Bucket, tt.wantFrom, tt.wantTo)
		}
	}
}

func TestWhatIsResolvedStaysResolvedWhenTheEventGoesOn(t *testing.T) {
	tb := tables(t)
	r := enrich.NewResolver(tb)
	// To the system odd, DC1 is the name of DC2 as well: as its own code it is ambiguous, as a site that is known it is not.
	m := receipt("NEW", "CA", one)
	m.Header.SourceSystem, m.Header.Site = "odd", "DC1"
	if out := r.Resolve(m, enrich.Nothing); out.Verdict != enrich.Held || out.Exception.Class != enrich.ClassAmbiguousSite {
		t.Fatalf("verdict %d", out.Verdict)
	}
	m = receipt("NEW", "CA", one)
	m.Header.SourceSystem, m.Header.Site = "odd", "X"
	out := r.Resolve(m, enrich.Nothing)
	if out.Verdict != enrich.Missing || out.Missing.Kind != event.MissingKindItem || m.Header.Site != "DC1" || m.SKU != "NEW" || m.QtyDelta != 0 {
		t.Fatalf("verdict %d: %+v", out.Verdict, m)
	}
	_, _ = tb.ApplyItem(&event.ItemMaster{SKU: "N-1", Version: 1, BaseUOM: "EA", Aliases: []event.ItemAlias{{System: event.Some("odd"), Code: "NEW"}}})
	_, _ = tb.ApplyItem(&event.ItemMaster{SKU: "N-2", Version: 1, BaseUOM: "EA", Aliases: []event.ItemAlias{{System: event.Some("odd"), Code: "N-1"}}})
	out = r.Resolve(m, enrich.ProgressOf(event.MissingKindItem))
	if out.Verdict != enrich.Missing || out.Missing != (masterdata.Reference{Kind: event.MissingKindUnit, System: "odd", Code: "CA", SKU: "N-1"}) || m.SKU != "N-1" {
		t.Fatalf("verdict %d, %+v, SKU %s", out.Verdict, out.Missing, m.SKU)
	}
	_, _ = tb.ApplyItem(&event.ItemMaster{SKU: "N-1", Version: 2, BaseUOM: "EA", UOMs: []event.ItemUnit{{UOM: "CA", Num: 6, Den: 1}}})
	if out = r.Resolve(m, enrich.ProgressOf(event.MissingKindUnit)); out.Verdict != enrich.Resolved || string(out.Key) != "N-1|DC1" || m.QtyDelta != 6*one {
		t.Errorf("verdict %d under %s, quantity %s", out.Verdict, out.Key, m.QtyDelta)
	}
}

func TestDocumentIsResolvedAsAWholeOrNotAtAll(t *testing.T) {
	tb := tables(t)
	r := enrich.NewResolver(tb)
	release := func() *event.OrderRelease {
		return &event.OrderRelease{Header: header("o", "erp", "1000"), Order: "SO|1", ShipFrom: "1000", Lines: []event.OrderLine{
			{Line: "1", SKU: "4711", QtySrc: 2 * one, UOMSrc: "CA", OriginalQty: event.Some(event.Quantity(3 * one))},
			{Line: "2", SKU: "NEW", QtySrc: one, UOMSrc: "EA"},
		}}
	}
	o := release()
	out := r.Resolve(o, enrich.Nothing)
	if out.Verdict != enrich.Missing || out.Missing.Code != "NEW" {
		t.Fatalf("verdict %d, %+v", out.Verdict, out.Missing)
	}
	if want := release(); !reflect.DeepEqual(o.Lines, want.Lines) || o.Header.Site != "DC1" {
		t.Errorf("a line was changed: %+v", o.Lines)
	}
	_, _ = tb.ApplyItem(&event.ItemMaster{SKU: "NEW", Version: 1, BaseUOM: "EA"})
	out = r.Resolve(o, enrich.ProgressOf(event.MissingKindItem))
	if out.Verdict != enrich.Resolved || out.To != topics.OrdersInbox || string(out.Key) != `SO\|1|DC1` || o.ShipFrom != "DC1" {
		t.Fatalf("verdict %d to %s under %s, from %s", out.Verdict, out.To, out.Key, o.ShipFrom)
	}
	if l := o.Lines[0]; l.SKU != "TEA" || l.Qty != 24*one || l.OriginalQty.Value != 36*one || l.QtySrc != 2*one {
		t.Errorf("%+v", l)
	}
}

func TestOtherDocumentsGoToTheirInbox(t *testing.T) {
	r := enrich.NewResolver(tables(t))
	notice := &event.InboundNotice{Header: header("n", "erp", "1000"), ASN: "A", Shipment: "SH", Lines: []event.NoticeLine{
		{Line: "1", SKU: "4711", QtySrc: 2 * one, UOMSrc: "CA", ActualQty: event.Some(event.Quantity(one))}}}
	back := &event.ReturnEvent{Header: header("r", "erp", "1000"), RMA: "RM", Lines: []event.ReturnLine{{Line: "1", SKU: "MILK", QtySrc: one}}}
	count := &event.InventorySnapshot{Header: header("s", "erp", "1000"), SKU: "4711", Balances: []event.SnapshotBalance{
		{Bucket: event.BucketAvailable, QtySrc: 2 * one, UOMSrc: "CA"}, {Bucket: event.BucketDamaged, QtySrc: one, UOMSrc: "EA"}}}
	tests := []struct {
		e   event.Record
		to  topics.ID
		key string
	}{
		{notice, topics.ShipmentsInbox, "SH"},
		{back, topics.ReturnsInbox, "RM"},
		{count, topics.InventoryInbox, "TEA|DC1"},
		{&event.InventoryPolicy{Header: header("p", "erp", "1000"), SKU: "4711"}, topics.InventoryInbox, "TEA|DC1"},
		{&event.ShipmentMilestone{Header: header("m", "erp", ""), Shipment: "SH"}, topics.ShipmentsInbox, "SH"},
		{&event.LogisticsException{Header: header("x", "erp", "1000"), ExceptionID: "x", Reference: "SO-1", SKU: event.Some("4711")}, topics.Exceptions, "SO-1"},
		{&event.ItemMaster{SKU: "A|B", BaseUOM: "EA"}, topics.Items, `A\|B`},
		{&event.SiteMaster{Site: "DC9"}, topics.Sites, "DC9"},
	}
	for _, tt := range tests {
		if out := r.Resolve(tt.e, enrich.Nothing); out.Verdict != enrich.Resolved || out.To != tt.to || string(out.Key) != tt.key {
			t.Errorf("%s: verdict %d to %s under %s (%v)", tt.e.Kind(), out.Verdict, out.To, out.Key, out.Rejection)
		}
	}
	if l := notice.Lines[0]; l.PlannedQty != 24*one || l.ActualQty.Value != 12*one || l.VarianceQty.Value != -12*one {
		t.Errorf("notice: %+v", l)
	}
	if back.Lines[0].Qty != one || count.Balances[0].Qty != 24*one || count.Balances[1].Qty != one {
		t.Errorf("return: %+v, snapshot: %+v", back.Lines, count.Balances)
	}
}

func TestRejected(t *testing.T) {
	noID := receipt("TEA", "EA", one)
	noID.Header.DedupeKey = ""
	noSite := receipt("TEA", "EA", one)
	noSite.Header.Site = ""
	onlyBase := receipt("TEA", "EA", 0)
	onlyBase.QtyDelta = one
	tests := map[string]struct {
		e     event.Record
		cause processors.Cause
	}{
		"no dedupe key":         {noID, enrich.NoIdentity},
		"no site":               {noSite, enrich.NoSite},
		"no item":               {receipt("", "EA", one), enrich.NoItem},
		"base quantity alone":   {onlyBase, enrich.BadMovement},
		"order without number":  {&event.OrderRelease{Header: header("o", "erp", "1000")}, enrich.NoReference},
		"return without number": {&event.ReturnEvent{Header: header("o", "erp", "1000")}, enrich.NoReference},
		"ratio 12/0":            {&event.ItemMaster{SKU: "A", BaseUOM: "EA", UOMs: []event.ItemUnit{{UOM: "CA", Num: 12}}}, enrich.BadMaster},
		"a balance":             {&event.InventoryBalance{}, processors.UnexpectedKind},
	}
	r := enrich.NewResolver(tables(t))
	for name, tt := range tests {
		if out := r.Resolve(tt.e, enrich.Nothing); out.Verdict != enrich.Rejected || out.Rejection.Cause != tt.cause || out.Rejection.Remedy == "" {
			t.Errorf("%s: verdict %d, %v", name, out.Verdict, out.Rejection)
		}
	}
}

func TestStageKeepsHeadersRawReferenceAndTheTroublesId(t *testing.T) {
	task := fake.NewTask(enrich.New(tables(t)), 0)
	headers := []processors.Header{{Key: "correlation-id", Value: []byte("c")}}
	give := func(e event.Record) []fake.Output {
		t.Helper()
		if err := task.Process(processors.Record{Topic: "x.movements", Partition: 2, Offset: 7, Value: task.Serde.Append(nil, e), Headers: headers}); err != nil {
			t.Fatal(err)
		}
		return task.Commit()
	}
	var p event.ParkedEvent
	var m event.InventoryMovement
	out := give(receipt("NEW", "EA", one))
	if len(out) != 1 || out[0].To != topics.ParkingInbox || string(out[0].Key) != "ITEM|erp|NEW" {
		t.Fatalf("%+v", out)
	}
	if err := errors.Join(task.Serde.Decode(out[0].Value, &p), task.Serde.Decode(p.Event, &m)); err != nil {
		t.Fatal(err)
	}
	if len(p.Headers) != 1 || p.Headers[0].Name != "correlation-id" || m.Header.RawRef.Value != "x.movements/2/7" || m.Header.Site != "DC1" {
		t.Errorf("headers %v, raw reference %q, site %s", p.Headers, m.Header.RawRef.Value, m.Header.Site)
	}
	var first, again event.LogisticsException
	twin := receipt("MILK", "EA", one)
	for i, x := range []*event.LogisticsException{&first, &again} {
		twin.Header.EventID = fmt.Sprint("envelope ", i)
		out = give(twin)
		if len(out) != 1 || out[0].To != topics.Exceptions || string(out[0].Key) != "MILK|DC1" {
			t.Fatalf("%+v", out)
		}
		if err := task.Serde.Decode(out[0].Value, x); err != nil {
			t.Fatal(err)
		}
	}
	if first.Class != enrich.ClassLotMissing || first.ExceptionID != again.ExceptionID || first.Header.RawRef.Value != "x.movements/2/7" || first.Header.CausationID.Value != "envelope 0" {
		t.Errorf("%+v", first)
	}
	var rejection *processors.Rejection
	err := task.Process(processors.Record{Value: task.Serde.Append(nil, &event.OrderRelease{})})
	if !errors.As(err, &rejection) || rejection.Cause != processors.UnexpectedKind {
		t.Errorf("an order on movements: %v", err)
	}
}

func TestResolvingAMovementAllocatesNothing(t *testing.T) {
	r := enrich.NewResolver(tables(t))
	s := serde.Local()
	framed := s.Append(nil, receipt("4711", "CA", 3*one))
	var m event.InventoryMovement
	if n := testing.AllocsPerRun(100, func() {
		if err := s.Decode(framed, &m); err != nil || r.Resolve(&m, enrich.Nothing).Verdict != enrich.Resolved {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkResolve is decoding, resolving and encoding one movement.
func BenchmarkResolve(b *testing.B) {
	tb := tables(b)
	for i := range 200_000 {
		if _, err := tb.ApplyItem(&event.ItemMaster{SKU: fmt.Sprintf("SKU-%06d", i), Version: 1, BaseUOM: "EA", Integral: true, UOMs: []event.ItemUnit{{UOM: "CA", Num: 12, Den: 1}}}); err != nil {
			b.Fatal(err)
		}
	}
	s := serde.Local()
	values := make([][]byte, 4096)
	for i := range values {
		values[i] = s.Append(nil, receipt(fmt.Sprintf("SKU-%06d", i*239%200_000), "CA", 3*one))
	}
	r := enrich.NewResolver(tb)
	var m event.InventoryMovement
	var out []byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := s.Decode(values[i%len(values)], &m); err != nil {
			b.Fatal(err)
		}
		if r.Resolve(&m, enrich.Nothing).Verdict != enrich.Resolved {
			b.Fatal("not resolved")
		}
		out = s.Append(out[:0], &m)
	}
}
