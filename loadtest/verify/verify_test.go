package verify

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/loadtest/oracle"
	"crossdock/loadtest/scans"
	"crossdock/loadtest/send"
	"crossdock/topology/topics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shop is a small catalogue with cases, a vendor's codes, a GTIN and lots.
func shop() ([]event.ItemMaster, []event.SiteMaster) {
	var items []event.ItemMaster
	for i := range 8 {
		items = append(items, event.ItemMaster{
			SKU: fmt.Sprintf("TEA-%d", i), BaseUOM: "EA", Integral: true, LotTracked: i%3 == 0,
			Aliases: []event.ItemAlias{{System: event.Some("wms"), Code: fmt.Sprintf("00%d7", i)}},
			UOMs:    []event.ItemUnit{{UOM: "CS", Num: 12, Den: 1}},
		})
	}
	items[1].GTIN = event.Some("4006381333931")
	return items, []event.SiteMaster{
		{Site: "DC1", Aliases: []event.SiteAlias{{System: event.Some("wms"), Code: "WH1"}}},
		{Site: "S1", Type: event.SiteTypeStore},
	}
}

func broker(t *testing.T, names ...string) []kgo.Opt {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, names...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return []kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...)}
}

// Scans of a catalogue, sent and replayed, are all understood by the oracle, and never leave stock below zero.
func TestScansAreRecountedThroughTheirMasterData(t *testing.T) {
	items, sites := shop()
	catalogue, err := scans.NewCatalogue(items, sites)
	if err != nil {
		t.Fatal(err)
	}
	load := scans.DefaultLoad(3)
	load.Duplicates = 0.1
	g, err := scans.NewScans(load, catalogue)
	if err != nil {
		t.Fatal(err)
	}
	name := topics.Movements.String()
	const n = 20_000
	l, err := send.Run(t.Context(), g, send.Options{Kafka: broker(t, name), Serde: serde.Local(), Topic: name, Count: n})
	if err != nil {
		t.Fatal(err)
	}
	known, err := oracle.NewCatalogue(items, sites)
	if err != nil {
		t.Fatal(err)
	}
	o := oracle.New(oracle.Options{Catalogue: known})
	if err := Sent(t.Context(), o, l, true); err != nil {
		t.Fatal(err)
	}
	if o.Sent() != n || o.Fates(oracle.Refused) != 0 || o.Fates(oracle.Repeated) != l.Copies[scans.Exact]+l.Copies[scans.ReEnveloped] {
		t.Errorf("%d sent, %d repeated of %v, refused for %v", o.Sent(), o.Fates(oracle.Repeated), l.Copies, o.Refusals())
	}
	if o.Keys() != len(items)*len(sites) {
		t.Errorf("%d keys", o.Keys())
	}
	o.Each(func(sku, site string, s oracle.State) bool {
		for i, q := range s.Buckets {
			if q < 0 {
				t.Errorf("%s at %s: %v is %v", sku, site, event.Bucket(i+1), q)
			}
		}
		return true
	})
}

func produce(t *testing.T, kafka []kgo.Opt, records ...*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(kafka...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func TestTopicsAreReadIntoTheirChecks(t *testing.T) {
	balances, ledger := topics.Balances.String(), topics.Ledger.String()
	kafka := broker(t, balances, ledger)
	s := serde.Local()
	o := oracle.New(oracle.Options{})
	m := event.InventoryMovement{SKU: "TEA", QtyDelta: 5 * event.QuantityScale, To: event.Some(event.Place{Bucket: event.BucketAvailable})}
	m.Header.DedupeKey, m.Header.Site = "d", "DC1"
	if _, err := o.Expect(&m); err != nil {
		t.Fatal(err)
	}
	key := []byte("TEA|DC1")
	balance := event.InventoryBalance{SKU: "TEA", Site: "DC1", Version: 1, Available: m.QtyDelta, OnHand: m.QtyDelta, ATS: m.QtyDelta}
	posting := event.LedgerPosting{SKU: "TEA", Site: "DC1", PostingNo: 1, ToBucket: event.BucketAvailable, Qty: m.QtyDelta, DedupeKey: "d"}
	produce(t, kafka,
		&kgo.Record{Topic: balances, Key: key, Value: s.Append(nil, &balance)},
		&kgo.Record{Topic: balances, Key: []byte("gone")}, // a tombstone
		&kgo.Record{Topic: ledger, Key: key, Value: s.Append(nil, &posting)},
	)
	r := Reader{Kafka: kafka, Serde: s}
	b, l := o.Balances("balances", 0), o.Ledger("ledger", 0)
	if err := errors.Join(r.Balances(t.Context(), balances, b), r.Ledger(t.Context(), ledger, l)); err != nil {
		t.Fatal(err)
	}
	v := o.Judge(b.Finding(), l.Finding())
	if v.String() != "verified: 1 events, 0 lost, 0 duplicated" || v.Findings[0].Read != 1 || v.Findings[1].Read != 1 {
		t.Errorf("%s: %+v", v.String(), v.Findings)
	}
	if n, err := r.Count(t.Context(), ledger); n != 1 || err != nil {
		t.Errorf("%d records on the ledger: %v", n, err)
	}

	produce(t, kafka, &kgo.Record{Topic: balances, Key: key, Value: []byte("no event")})
	err := r.Balances(t.Context(), balances, o.Balances("balances", 0))
	if err == nil || !strings.Contains(err.Error(), "balances, partition") {
		t.Errorf("%v", err)
	}
}

// recount tells an oracle of n movements of the benchmark's workload.
func recount(t testing.TB, n int) *oracle.Oracle {
	t.Helper()
	g, err := scans.NewEnriched(scans.DefaultLoad(1))
	if err != nil {
		t.Fatal(err)
	}
	o := oracle.New(oracle.Options{})
	for range n {
		if _, err := o.Expect(&g.Next().Movement); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

func TestTwoMillionMovementsAreRecountedInBoundedMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("two million movements")
	}
	const n = 2_000_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := time.Now()
	o := recount(t, n)
	took := time.Since(began)
	checks := []any{o.Balances("balances", 0), o.Ledger("ledger", 0)}
	runtime.GC()
	runtime.ReadMemStats(&after)
	used := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("%d keys, %d MiB, %v", o.Keys(), used>>20, took)
	// 10 million movements make some 4 million keys: 160 bytes each, and 24 each movement, stay below 1 GiB.
	if bound := int64(o.Keys())*190 + n*30; used > bound {
		t.Errorf("%d bytes for %d keys, more than %d", used, o.Keys(), bound)
	}
	runtime.KeepAlive(checks)
}
