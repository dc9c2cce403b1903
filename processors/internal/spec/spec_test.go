// Package spec holds the rules of the stages as a warehouse person can read them: testdata/rules has what happened in the
// warehouse, and below it what became of it. The stages run as they are, one after the other, without a broker.
//
// go test ./processors/internal/spec -rewrite writes the files again; read the difference as a change of the rules.
package spec

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"crossdock/avro/event"
	"crossdock/processors"
	"crossdock/processors/enrich"
	"crossdock/processors/internal/fake"
	"crossdock/processors/inventory"
	"crossdock/processors/masterdata"
	"crossdock/processors/parking"
	"crossdock/processors/translate"
	"crossdock/topology/topics"
)

func TestRules(t *testing.T) {
	datadriven.Walk(t, "testdata/rules", func(t *testing.T, path string) {
		w := newWarehouse(t)
		datadriven.RunTest(t, path, w.run)
	})
}

// A warehouse is the stages with one task each, and the tables that they share.
type warehouse struct {
	t                                      *testing.T
	tables                                 *masterdata.Tables
	translate, enrich, parking, inventory  *fake.Task
	counters                               *inventory.Counters
	offset                                 int64
	happened                               strings.Builder
	versions                               map[string]int64
	stock                                  map[string]event.InventoryBalance
	troubles                               map[string]bool // exceptions, by id
	naming                                 topics.Naming
	newParking, newInventory, newTranslate func() processors.Processor
}

// waitLimit is how long events wait for master data.
const waitLimit = 7 * 24 * time.Hour

func newWarehouse(t *testing.T) *warehouse {
	w := &warehouse{t: t, tables: new(masterdata.Tables), counters: new(inventory.Counters), versions: map[string]int64{},
		stock: map[string]event.InventoryBalance{}, troubles: map[string]bool{}, naming: topics.Naming{Prefix: "crossdock."}}
	w.newInventory = func() processors.Processor { return inventory.New(inventory.Options{Counters: w.counters}) }
	w.newParking = func() processors.Processor {
		return parking.New(parking.Options{Tables: w.tables, Finisher: enrich.NewResolver(w.tables), Codec: w.enrich.Serde, Naming: w.naming, Limit: waitLimit})
	}
	w.newTranslate = func() processors.Processor {
		return translate.New(translate.Options{Translator: slips{}, Enricher: enrich.NewResolver(w.tables), Naming: w.naming})
	}
	w.enrich = fake.NewTask(enrich.New(w.tables), 0)
	w.translate = fake.NewTask(w.newTranslate(), 0)
	w.parking = fake.NewTask(w.newParking(), 2)
	w.inventory = fake.NewTask(w.newInventory(), 1)
	for _, task := range w.tasks() {
		task.Clock = int64(clock("12:00"))
	}
	return w
}

func (w *warehouse) tasks() []*fake.Task {
	return []*fake.Task{w.translate, w.enrich, w.parking, w.inventory}
}

func (w *warehouse) run(t *testing.T, d *datadriven.TestData) string {
	w.t = t
	w.happened.Reset()
	lines := strings.Split(strings.TrimSpace(d.Input), "\n")
	switch d.Cmd {
	case "items":
		for _, l := range lines {
			w.item(l)
		}
		w.lookAgain(1000)
		w.known()
	case "sites":
		for _, l := range lines {
			w.site(l)
		}
		w.lookAgain(1000)
		w.known()
	case "forget":
		for _, sku := range lines {
			w.tables.DeleteItem(sku)
		}
		w.lookAgain(1000)
		w.known()
	case "scan":
		for _, l := range lines {
			m := w.movement(l)
			r := processors.Record{Topic: "crossdock.movements", Key: topics.Key(nil, m.Header.SourceSystem, m.Header.Site, m.SKU), Value: w.enrich.Serde.Append(nil, m)}
			w.process(w.enrich, r)
		}
		w.route(w.enrich.Commit())
	case "policy":
		var outs []fake.Output
		for _, l := range lines {
			outs = append(outs, w.policy(l))
		}
		w.route(outs)
	case "document":
		var source string
		d.ScanArgs(t, "from", &source)
		w.process(w.translate, processors.Record{Topic: w.naming.Raw(source), Key: []byte(source), Value: []byte(d.Input)})
		w.route(w.translate.Commit())
	case "restart":
		w.inventory, w.parking = w.inventory.Restarted(w.newInventory()), w.parking.Restarted(w.newParking())
		w.lookAgain(1000)
	case "later":
		for _, l := range lines {
			by, err := time.ParseDuration(l)
			if err != nil {
				t.Fatal(err)
			}
			for _, task := range w.tasks() {
				task.Clock += by.Microseconds()
			}
			w.fire(1000)
		}
	case "waiting":
		w.waiting()
	case "stock":
		for _, key := range sorted(w.stock) {
			b := w.stock[key]
			w.say("%s", tellBalance(key, &b))
		}
	default:
		t.Fatalf("%s: no command %q", d.Pos, d.Cmd)
	}
	if w.happened.Len() == 0 {
		return "nothing changes\n"
	}
	return w.happened.String()
}

// known says what master data holds, where nothing waited for what is new.
func (w *warehouse) known() {
	if w.happened.Len() == 0 {
		w.say("known: %d items, %d sites", w.tables.Items(), w.tables.Sites())
	}
}

func (w *warehouse) say(format string, args ...any) {
	fmt.Fprintf(&w.happened, format+"\n", args...)
}

// process gives a record to a task and tells a rejection.
func (w *warehouse) process(task *fake.Task, r processors.Record) {
	r.Offset = w.offset
	r.Time = task.Clock
	w.offset++
	before := w.counters.Duplicates.Load()
	if err := task.Process(r); err != nil {
		w.say("rejected   %v", err)
	}
	if w.counters.Duplicates.Load() > before {
		w.say("duplicate  known already, not posted")
	}
}

// lookAgain does what the runner does when tables have changed.
func (w *warehouse) lookAgain(limit int) {
	for more := true; more; {
		var out []fake.Output
		var err error
		if out, more, err = w.parking.TablesChanged(limit); err != nil {
			w.t.Fatal(err)
		}
		w.route(out)
	}
	w.fire(limit)
}

// fire does what the runner does when timers are due.
func (w *warehouse) fire(limit int) {
	for more := true; more; {
		var out []fake.Output
		var err error
		if out, more, err = w.parking.FireTimers(limit); err != nil {
			w.t.Fatal(err)
		}
		w.route(out)
	}
}

// route carries outputs on, one transaction of a stage after the other, until all have arrived.
func (w *warehouse) route(out []fake.Output) {
	for len(out) > 0 {
		var parked, stock []fake.Output
		for _, o := range out {
			switch o.To {
			case topics.ParkingInbox:
				parked = append(parked, o)
			case topics.InventoryInbox:
				stock = append(stock, o)
			}
			w.tell(o)
		}
		out = nil
		for _, o := range parked {
			w.process(w.parking, processors.Record{Topic: "crossdock.parking-inbox", Key: o.Key, Value: o.Value, Headers: o.Headers})
		}
		out = append(out, w.parking.Commit()...)
		for _, o := range stock {
			w.process(w.inventory, processors.Record{Topic: "crossdock.inventory-inbox", Key: o.Key, Value: o.Value, Headers: o.Headers})
		}
		out = append(out, w.inventory.Commit()...)
	}
}

func (w *warehouse) decode(o fake.Output, e event.Record) {
	if err := w.enrich.Serde.Decode(o.Value, e); err != nil {
		w.t.Fatal(err)
	}
}

// tell says what an output means.
func (w *warehouse) tell(o fake.Output) {
	switch o.To {
	case topics.ParkingInbox:
		var p event.ParkedEvent
		w.decode(o, &p)
		w.say("waits      %s for %s", p.EventID, strings.ReplaceAll(string(o.Key), "|", " "))
	case topics.InventoryInbox:
		if kind, err := w.enrich.Serde.Kind(o.Value); err != nil || kind != event.KindInventoryMovement {
			return
		}
		var m event.InventoryMovement
		w.decode(o, &m)
		conversion := ""
		if m.UOMSrc != "" && m.QtySrc != m.QtyDelta {
			conversion = fmt.Sprintf(" (%s %s)", m.QtySrc, m.UOMSrc)
		}
		lot := ""
		if m.Lot.Valid {
			lot = " lot " + m.Lot.Value
		}
		if m.Expiry.Valid {
			lot += " expires " + m.Expiry.Value.String()
		}
		w.say("enriched   %s: %s %s of %s%s%s", m.Header.EventID, m.Type, m.QtyDelta, o.Key, conversion, lot)
	case topics.Ledger:
		var p event.LedgerPosting
		w.decode(o, &p)
		w.say("posted     %s #%d: %s from %s to %s", o.Key, p.PostingNo, p.Qty, bucket(p.FromBucket), bucket(p.ToBucket))
	case topics.Balances:
		var b event.InventoryBalance
		w.decode(o, &b)
		w.stock[string(o.Key)] = b
		w.say("balance    %s", tellBalance(string(o.Key), &b))
	case topics.Exceptions:
		var x event.LogisticsException
		w.decode(o, &x)
		w.troubles[x.ExceptionID] = true
		w.say("exception  %s %s: %s", x.Severity, x.Class, x.Detail)
		w.say("           remedy: %s", x.Remedy)
	case topics.DeadLetters:
		var d event.DeadLetter
		w.decode(o, &d)
		w.say("dead       %s %s: %s", d.ID, d.Cause, d.Detail)
	case topics.OrdersInbox:
		var r event.OrderRelease
		w.decode(o, &r)
		w.say("order      %s at %s", r.Order, r.Header.Site)
		for _, l := range r.Lines {
			w.say("           line %s: %s of %s (%s %s)", l.Line, l.Qty, l.SKU, l.QtySrc, l.UOMSrc)
		}
	case topics.ShipmentsInbox:
		var m event.ShipmentMilestone
		w.decode(o, &m)
		w.say("shipment   %s: %s at %s, order %s", m.Shipment, m.StatusCanon, m.Header.Site, m.Order.Or("unknown"))
	default:
		w.say("%-10s %s", o.To, o.Key)
	}
}

func bucket(b event.Bucket) string {
	if b == event.BucketExternal {
		return "outside"
	}
	return b.String()
}

func tellBalance(key string, b *event.InventoryBalance) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s version %d:", key, b.Version)
	for _, q := range []struct {
		bucket event.Bucket
		qty    event.Quantity
	}{
		{event.BucketAvailable, b.Available}, {event.BucketAllocated, b.Allocated}, {event.BucketPicked, b.Picked}, {event.BucketStaged, b.Staged},
		{event.BucketQC, b.QC}, {event.BucketDamaged, b.Damaged}, {event.BucketHold, b.Hold}, {event.BucketReturned, b.Returned},
		{event.BucketInTransitIn, b.InTransitIn}, {event.BucketInTransitOut, b.InTransitOut}, {event.BucketClearing, b.Clearing},
	} {
		if q.qty != 0 {
			fmt.Fprintf(&s, " %s %s,", q.bucket, q.qty)
		}
	}
	fmt.Fprintf(&s, " on hand %s, to sell %s", b.OnHand, b.ATS)
	if b.SafetyStock != 0 {
		fmt.Fprintf(&s, " (%s kept back)", b.SafetyStock)
	}
	if b.Negative {
		s.WriteString(", NEGATIVE")
	}
	return s.String()
}

// waiting lists what is parked.
func (w *warehouse) waiting() {
	var all []string
	err := parking.List(w.parking.Store(parking.References), func(q parking.Waiting) bool {
		all = append(all, fmt.Sprintf("%d for %s, the oldest since %s", q.Events, strings.ReplaceAll(string(q.Reference.AppendKey(nil)), "|", " "), q.Since.Time().Format("15:04")))
		return true
	})
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Sort(all)
	for _, l := range all {
		w.say("%s", l)
	}
	if n := w.parking.Store(parking.Events).Len(); len(all) == 0 && n == 0 {
		w.say("nothing waits")
	}
}

func sorted[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
