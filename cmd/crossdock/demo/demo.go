package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/cmd/crossdock/pipeline"
	"crossdock/loadtest/committed"
	"crossdock/loadtest/oracle"
	"crossdock/loadtest/scans"
	"crossdock/loadtest/send"
	"crossdock/topology/topics"
)

// Options of a run. The zero value of an address means: start one.
type Options struct {
	Brokers     []string // of a running cluster
	ClickHouse  string   // native address of a running server
	Prefix      string   // of topics, application and database, on services that others use too
	HostCommand []string // the program that hosts the ClickHouse engine: see clickhouse.StartOptions
	BrokerPort  int      // 0: any free one
	Ingress     string   // address of the HTTP entry; "127.0.0.1:0": any free port
	Query       string   // address of the state's queries
	Admin       string
	Registry    string

	ClickHouseHTTP, ClickHouseTCP string // addresses of the engine; empty: free ports

	Rate int           // scans a second
	For  time.Duration // how long scans come
	Seed uint64

	Out      io.Writer // what a person reads
	Terminal bool      // Out is a terminal
	Log      *slog.Logger
	// Keep, where given, is called with everything still running, after the summary; the run ends when it returns.
	Keep func(ctx context.Context, where Addresses)

	// recounting is called before the recount, which takes what it leaves: tests see that a recount of something else fails.
	recounting func(ctx context.Context, e *evidence) error
}

// Addresses are where the parts of a running demo answer.
type Addresses struct{ Broker, Registry, Ingress, Query, Admin, ClickHouseHTTP, ClickHouseTCP string }

// evidence is what a recount needs: what was sent, and where to read what came of it.
type evidence struct {
	sent     Sent
	kafka    []kgo.Opt
	serde    *serde.Serde
	balances string // topic
	tables   *reader
}

// ErrNotVerified says that what came out is not what was sent.
var ErrNotVerified = errors.New("what came out is not what was sent")

// Run runs the demo and prints its summary. The error wraps ErrNotVerified where the recount fails.
func Run(ctx context.Context, o Options) (err error) {
	t := &teller{out: o.Out, terminal: o.Terminal, began: time.Now()}
	t.step("starting")
	s, err := start(ctx, &o, t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	r, err := s.tell(ctx, &o, t)
	if err != nil {
		return err
	}
	if err := r.print(o.Out); err != nil {
		return err
	}
	if o.Keep != nil {
		o.Keep(ctx, Addresses{
			Broker: s.config.Kafka.Brokers[0], Registry: s.config.Registry.URL, Ingress: "http://" + s.process.Addr(), Query: "http://" + s.process.QueryAddr(), Admin: "http://" + s.process.AdminAddr(),
			ClickHouseHTTP: s.engine, ClickHouseTCP: s.config.ClickHouse.Addresses[0],
		})
	}
	if !r.verdict.OK() {
		return ErrNotVerified
	}
	return nil
}

// recountTimeout bounds the reading of what came out: seconds are the rule.
const recountTimeout = 3 * time.Minute

// tell runs the story on services that are up.
func (s *services) tell(ctx context.Context, o *Options, t *teller) (*report, error) {
	r := &report{began: t.began}
	decode, err := pipeline.Serde(ctx, &s.config)
	if err != nil {
		return nil, err
	}
	follow, err := s.follow(ctx)
	if err != nil {
		return nil, err
	}
	ch, err := s.openTables(ctx)
	if err != nil {
		return nil, err
	}
	items, sites := shop()

	t.step("master data: items and sites")
	if err := s.feedMasterData(ctx, t, items, len(sites)); err != nil {
		return nil, err
	}
	t.step("yesterday's receipts")
	if err := s.feed(ctx, t, sourceWarehouse, "receipts.jsonl"); err != nil {
		return nil, err
	}
	if err := s.settle(ctx, t, follow, ch, int64(len(receipts()))); err != nil {
		return nil, err
	}
	if r.before, err = ch.stock(ctx, site); err != nil {
		return nil, err
	}

	t.step("today's documents")
	for _, d := range []struct{ source, name string }{
		{sourceERP, "order-940.edi"}, {sourceWarehouse, "adjustments.jsonl"}, {source3PL, "advice-945.edi"}, {source3PL, "broken-945.edi"},
	} {
		if err := s.feed(ctx, t, d.source, d.name); err != nil {
			return nil, err
		}
	}

	count := int64(o.Rate) * int64(o.For/time.Second)
	t.step("%d scans at three sites, %d a second for %v", count, o.Rate, o.For)
	log, err := s.scan(ctx, o, t, items, sites, decode, count)
	if err != nil {
		return nil, err
	}
	// The desk lamp's receipt has waited for its item all the while.
	t.step("the desk lamp's master data, late")
	if err := s.feed(ctx, t, sourceMaster, "late-items.csv"); err != nil {
		return nil, err
	}

	what, err := sent(log, items, sites)
	if err != nil {
		return nil, err
	}
	counted, err := recount(what)
	if err != nil {
		return nil, err
	}
	if err := s.settle(ctx, t, follow, ch, counted.Fates(oracle.Counted)); err != nil {
		return nil, err
	}
	t.step("recounting from what was sent")
	e := &evidence{sent: what, kafka: s.client, serde: decode, balances: pipeline.Naming(&s.config).Topic(topics.Balances), tables: ch}
	if o.recounting != nil {
		if err := o.recounting(ctx, e); err != nil {
			return nil, err
		}
	}
	counting, cancel := context.WithTimeoutCause(ctx, recountTimeout, fmt.Errorf("not within %v", recountTimeout))
	defer cancel()
	if r.verdict, err = e.verify(counting); err != nil {
		return nil, fmt.Errorf("recounting: %w", err)
	}
	r.fates = [3]int64{counted.Fates(oracle.Counted), counted.Fates(oracle.Repeated), counted.Fates(oracle.Refused)}
	return r, s.gather(ctx, r, ch, decode)
}

// feedMasterData posts the files and waits until the stages' tables know what is in them.
func (s *services) feedMasterData(ctx context.Context, t *teller, items []event.ItemMaster, sites int) error {
	for _, name := range []string{"items.csv", "sites.csv"} {
		if err := s.feed(ctx, t, sourceMaster, name); err != nil {
			return err
		}
	}
	if err := s.post(ctx, sourceMaster, "assortment.csv", shopCSV(items)); err != nil {
		return err
	}
	const ofTheStory = 6
	return s.await(ctx, time.Minute, func(context.Context) (bool, error) {
		haveItems, haveSites := s.process.MasterData()
		return haveItems >= len(items)+ofTheStory && haveSites >= sites, nil
	})
}

// settle waits until so many postings stand in Kafka's balances, and in ClickHouse's.
func (s *services) settle(ctx context.Context, t *teller, f *follower, ch *reader, postings int64) error {
	err := s.drain(ctx, t.meter("balances in Kafka", postings), postings, func(context.Context) (int64, error) { return f.postings.Load(), nil })
	if err != nil {
		return err
	}
	return s.drain(ctx, t.meter("balances in ClickHouse", postings), postings, func(ctx context.Context) (int64, error) { return ch.Postings(ctx) })
}

func (s *services) scan(ctx context.Context, o *Options, t *teller, items []event.ItemMaster, sites []event.SiteMaster, encode *serde.Serde, count int64) (*send.Log, error) {
	catalogue, err := scans.NewCatalogue(items, sites)
	if err != nil {
		return nil, err
	}
	load := scans.DefaultLoad(o.Seed)
	load.Rate, load.Start = o.Rate, time.Now()
	g, err := scans.NewScans(load, catalogue)
	if err != nil {
		return nil, err
	}
	m := t.meter("scans", count)
	defer m.end()
	log, err := send.Run(ctx, g, send.Options{
		Kafka: s.client, Serde: encode, Topic: pipeline.Naming(&s.config).Topic(topics.Movements), Count: count, Paced: true,
		Progress: func(p send.Progress) { m.set(p.Acknowledged) },
	})
	if err != nil {
		return nil, fmt.Errorf("scans: %w", err)
	}
	return log, nil
}

// gather reads what the summary shows.
func (s *services) gather(ctx context.Context, r *report, ch *reader, decode *serde.Serde) (err error) {
	if r.after, err = ch.stock(ctx, site); err != nil {
		return err
	}
	if r.shipped, err = ch.shipped(ctx, orderNumber); err != nil {
		return err
	}
	if r.exceptions, err = ch.exceptions(ctx); err != nil {
		return err
	}
	if r.deadLetters, err = ch.deadLetters(ctx); err != nil {
		return err
	}
	if r.fresh, err = ch.freshness(ctx); err != nil {
		return err
	}
	return committed.Read(ctx, s.client, pipeline.Naming(&s.config).Topic(topics.OrdersInbox), func(rec *kgo.Record) error {
		if kind, err := decode.Kind(rec.Value); err != nil || kind != event.KindOrderRelease {
			return err
		}
		var order event.OrderRelease
		if err := decode.Decode(rec.Value, &order); err != nil {
			return err
		}
		if order.Order == orderNumber {
			r.order = append([]event.OrderLine(nil), order.Lines...)
		}
		return nil
	})
}
