package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/loadtest/scans"
	"crossdock/topology/topics"
)

// faults of a plain stage.
const (
	faultNo     = ""
	faultLeaves = "leaves"
	faultHangs  = "hangs"
	faultLoses  = "loses"
	faultTwice  = "counts twice"
	faultUnits  = "takes cases for pieces"
	faultMute   = "tells no metrics"
)

// A plainStage is a stage as small as can be, right unless it is told to have a fault. It runs in a process of its own.
type plainStage struct {
	kind   Kind
	seed   string
	naming topics.Naming
	group  string
	admin  string
	fault  string
	skus   int

	serde  *serde.Serde
	n      int                // events told
	lines  int                // of documents
	items  map[string]meaning // by system and name; "" is any system
	sites  map[string]string
	ratios map[string]event.Quantity // by SKU and unit
	stock  map[string]*event.InventoryBalance
	seen   map[string]bool
}

func parsePlainStage(arguments string) *plainStage {
	a := strings.Split(arguments, ",")
	skus, _ := strconv.Atoi(a[6]) // 0 where it is none: the stage then knows nothing
	return &plainStage{
		kind: Kind(a[0]), seed: a[1], naming: topics.Naming{Prefix: a[2]}, group: a[3], admin: a[4], fault: a[5], skus: skus, ratios: map[string]event.Quantity{},
		serde: serde.Local(), stock: map[string]*event.InventoryBalance{}, seen: map[string]bool{},
	}
}

func (p *plainStage) String() string {
	return strings.Join([]string{string(p.kind), p.seed, p.naming.Prefix, p.group, p.admin, p.fault, strconv.Itoa(p.skus)}, ",")
}

func (p *plainStage) run() error {
	if p.fault == faultLeaves {
		return errors.New("cannot find my configuration")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := p.serve(ctx); err != nil {
		return err
	}
	if p.kind == Enrich || p.kind == Translate {
		if err := p.learn(); err != nil {
			return err
		}
	}
	inputs := map[Kind][]string{
		Inventory: {p.naming.Topic(topics.InventoryInbox)}, Enrich: {p.naming.Topic(topics.Movements)},
		Translate: {p.naming.Raw(DocumentSource)}, Sink: {p.naming.Topic(topics.Ledger), p.naming.Topic(topics.Balances)},
	}
	session, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(p.seed), kgo.TransactionalID(p.group), kgo.ConsumerGroup(p.group),
		kgo.ConsumeTopics(inputs[p.kind]...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	)
	if err != nil {
		return err
	}
	defer session.Close()
	for {
		fetches := session.PollRecords(ctx, 5000)
		if ctx.Err() != nil || p.fault == faultHangs {
			<-ctx.Done()
			return nil
		}
		if err := session.Begin(); err != nil {
			return err
		}
		var problem error
		fetches.EachRecord(func(r *kgo.Record) {
			err := p.process(r, func(id topics.ID, key []byte, e event.Record) {
				if p.n++; p.n == 100 && p.fault == faultLoses {
					return
				}
				session.Produce(ctx, &kgo.Record{Topic: p.naming.Topic(id), Key: key, Value: p.serde.Append(nil, e)}, nil)
			})
			problem = errors.Join(problem, err)
		})
		if problem != nil {
			return problem
		}
		if _, err := session.End(ctx, kgo.TryCommit); err != nil {
			return err
		}
	}
}

// serve answers at the admin port until the process ends.
func (p *plainStage) serve(ctx context.Context) error {
	registry := prometheus.NewRegistry()
	if p.fault != faultMute {
		registry.MustRegister(collectors.NewGoCollector())
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", p.admin)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(l) }() // it ends with the process
	return nil
}

type emit func(topics.ID, []byte, event.Record)

func (p *plainStage) process(r *kgo.Record, out emit) error {
	switch p.kind {
	case Inventory:
		return p.post(r, out)
	case Enrich:
		var m event.InventoryMovement
		if err := p.serde.Decode(r.Value, &m); err != nil {
			return err
		}
		return p.resolve(&m, out)
	case Translate:
		return p.translate(r, out)
	case Sink:
		return nil // it stores nothing
	}
	return fmt.Errorf("no such stage: %s", p.kind)
}

// post tells a balance of each movement.
func (p *plainStage) post(r *kgo.Record, out emit) error {
	var m event.InventoryMovement
	if err := p.serde.Decode(r.Value, &m); err != nil {
		return err
	}
	if p.seen[m.Header.DedupeKey] && p.fault != faultTwice {
		return nil
	}
	p.seen[strings.Clone(m.Header.DedupeKey)] = true
	b := p.stock[string(r.Key)]
	if b == nil {
		b = &event.InventoryBalance{SKU: strings.Clone(m.SKU), Site: strings.Clone(m.Header.Site), AsOf: m.Header.EventTime}
		p.stock[string(r.Key)] = b
	}
	apply(b, &m)
	out(topics.Balances, r.Key, b)
	return nil
}

func apply(b *event.InventoryBalance, m *event.InventoryMovement) {
	b.Version++
	b.AsOf = max(b.AsOf, m.Header.EventTime)
	move := func(p event.Optional[event.Place], qty event.Quantity) {
		bucket := map[event.Bucket]*event.Quantity{
			event.BucketAvailable: &b.Available, event.BucketPicked: &b.Picked, event.BucketStaged: &b.Staged,
			event.BucketQC: &b.QC, event.BucketDamaged: &b.Damaged, event.BucketReturned: &b.Returned,
		}
		if p.Valid {
			*bucket[p.Value.Bucket] += qty
		}
	}
	move(m.From, -m.QtyDelta)
	move(m.To, m.QtyDelta)
	b.OnHand = b.Available + b.Picked + b.Staged + b.QC + b.Damaged + b.Returned
	b.ATS = max(0, b.Available)
	b.Negative = min(b.Available, b.Picked, b.Staged, b.QC, b.Damaged, b.Returned) < 0
}

// meaning is what a name stands for: an item, in one of its units.
type meaning struct{ sku, unit string }

// named is a name without the zeros that a source may put before it.
func named(system, name string) string { return system + "|" + strings.TrimLeft(name, "0") }

// learn reads the master data that the benchmark of the kind has put on its topics.
func (p *plainStage) learn() error {
	p.items, p.sites = map[string]meaning{}, map[string]string{}
	item := func(m *event.ItemMaster) {
		p.items[named("", m.SKU)] = meaning{m.SKU, m.BaseUOM}
		for _, a := range m.Aliases {
			p.items[named(a.System.Or(""), a.Code)] = meaning{m.SKU, m.BaseUOM}
		}
		if m.GTIN.Valid {
			p.items[named("", m.GTIN.Value)] = meaning{m.SKU, m.BaseUOM}
		}
		for _, u := range m.UOMs {
			p.ratios[m.SKU+"|"+u.UOM] = event.Quantity(u.Num / u.Den)
			if u.GTIN.Valid {
				p.items[named("", u.GTIN.Value)] = meaning{m.SKU, u.UOM}
			}
		}
	}
	site := func(m *event.SiteMaster) {
		for _, a := range m.Aliases {
			p.sites[a.System.Or("")+"|"+a.Code] = m.Site
		}
	}
	if p.kind == Enrich {
		load := scans.DefaultLoad(1)
		load.SKUs = p.skus
		g, err := scans.NewRetailer(load)
		if err != nil {
			return err
		}
		for m := range g.Items() {
			item(m)
		}
		for m := range g.Sites() {
			site(m)
		}
		return nil
	}
	shop := newShop(p.skus)
	for i := range shop.items {
		item(&shop.items[i])
	}
	for i := range shop.sites {
		site(&shop.sites[i])
	}
	return nil
}

// resolve knows the master data by heart.
func (p *plainStage) resolve(m *event.InventoryMovement, out emit) error {
	what, known := p.items[named(m.Header.SourceSystem, m.SKU)]
	if !known {
		what, known = p.items[named("", m.SKU)]
	}
	where, at := p.sites[m.Header.SourceSystem+"|"+m.Header.Site]
	if !at {
		where, at = p.sites["|"+m.Header.Site]
	}
	if !known || !at {
		return fmt.Errorf("%s: item %q, site %q", m.Header.SourceSystem, m.SKU, m.Header.Site)
	}
	unit := m.UOMSrc
	if unit == "" {
		unit = what.unit
	}
	m.SKU, m.Header.Site = what.sku, where
	m.QtyDelta = m.QtySrc
	if ratio := p.ratios[m.SKU+"|"+unit]; ratio > 0 && p.fault != faultUnits {
		m.QtyDelta *= ratio
	}
	key := topics.Key(nil, m.SKU, m.Header.Site)
	out(topics.InventoryInbox, key, m)
	if p.fault == faultTwice && p.n == 50 {
		out(topics.InventoryInbox, key, m)
	}
	return nil
}

// translate reads as much of a shipping advice as there is in those of the benchmark.
func (p *plainStage) translate(r *kgo.Record, out emit) error {
	var m event.InventoryMovement
	m.Header.Site = string(r.Key[len("ZZ:"):strings.IndexByte(string(r.Key), '|')])
	shipment, pending := "", false
	flush := func() error {
		if !pending {
			return nil
		}
		pending = false
		return p.resolve(&m, out)
	}
	for segment := range strings.SplitSeq(string(r.Value), "~\n") {
		e := strings.Split(segment, "*")
		switch e[0] {
		case "W06":
			shipment = e[4]
		case "G62":
			at, err := time.Parse("20060102150405", e[2]+e[4])
			if err != nil {
				return err
			}
			m.Header.EventTime = event.MicrosOf(at)
		case "W12":
			qty, err := event.ParseQuantity(e[3])
			if err != nil {
				return err
			}
			site := m.Header.Site
			m = event.InventoryMovement{
				Header: event.EventHeader{Site: site, EventTime: m.Header.EventTime}, Type: event.MovementTypeShip,
				QtySrc: qty, UOMSrc: e[5], SKU: e[8], From: event.Some(event.Place{Bucket: event.BucketAvailable}),
			}
			p.lines++
			m.Header.EventID = fmt.Sprintf("%s/%d", shipment, p.lines)
			m.Header.DedupeKey, pending = m.Header.EventID, true
		case "N9":
			if e[1] == "LT" {
				m.Lot = event.Some(e[2])
			}
		case "LX", "W03":
			site := m.Header.Site
			if err := flush(); err != nil {
				return err
			}
			m.Header.Site = site
		}
	}
	milestone := event.ShipmentMilestone{Header: m.Header, Shipment: shipment, StatusCanon: "SHIPPED"}
	out(topics.ShipmentsInbox, topics.Key(nil, shipment), &milestone)
	return nil
}
