package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	goruntime "runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"golang.org/x/sync/errgroup"

	"crossdock/avro/govern"
	"crossdock/avro/serde"
	"crossdock/cmd/crossdock/api"
	"crossdock/connectors"
	"crossdock/connectors/ingress"
	"crossdock/internal/config"
	"crossdock/internal/kafkaclient"
	"crossdock/internal/telemetry"
	"crossdock/processors/masterdata"
	"crossdock/sink"
	"crossdock/topology"
	"crossdock/topology/runtime"
	"crossdock/topology/runtime/assignor"
	"crossdock/topology/runtime/store"
	"crossdock/topology/topics"
)

// Options say what a process runs.
type Options struct {
	Config     config.Config
	Parts      []string // names of stages, ingress, sink; none: all
	Connectors *connectors.Table
	Log        *slog.Logger
	Metrics    *prometheus.Registry
}

// A Process runs parts of the pipeline until its context ends.
type Process struct {
	o         Options
	log       *slog.Logger
	instances map[string]*runtime.Instance
	tables    *runtime.GlobalTables
	master    *masterdata.Tables
	state     *store.DB // nil: state is in memory
	producer  *ingress.Producer
	sink      *sink.Sink
	ingress   net.Listener
	query     net.Listener // where the inventory stage runs
	admin     net.Listener
}

// drain is how long requests in flight may take to finish at the end.
const drain = 10 * time.Second

// New prepares a process: it checks everything that can be checked without processing, asks the registry for the schemas'
// ids, and opens its ports.
func New(ctx context.Context, o Options) (_ *Process, err error) {
	if err := govern.Check(); err != nil {
		return nil, err
	}
	p := &Process{o: o, log: o.Log, instances: map[string]*runtime.Instance{}}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	c := &p.o.Config
	client, err := kafkaclient.Options(c.Kafka)
	if err != nil {
		return nil, err
	}
	s, err := Serde(ctx, c)
	if err != nil {
		return nil, err
	}
	tables := &masterdata.Tables{}
	p.master = tables
	stages, err := Stages(Parts{Config: *c, Connectors: o.Connectors, Serde: s, Tables: tables, Metrics: o.Metrics})
	if err != nil {
		return nil, err
	}
	chosen, err := choose(stages, o.Parts)
	if err != nil {
		return nil, err
	}
	address := ""
	if chosen[Inventory] && c.Query.Listen != "" {
		if p.query, err = (&net.ListenConfig{}).Listen(ctx, "tcp", c.Query.Listen); err != nil {
			return nil, fmt.Errorf("query.listen: %w; another process of this machine may have it: give each its own, or leave it empty", err)
		}
		if address, err = advertised(&c.Query, p.query.Addr()); err != nil {
			return nil, err
		}
	}
	naming := Naming(c)
	for _, stage := range stages {
		if !chosen[stage.Name] {
			continue
		}
		if stage.Stateful() && c.State.Dir != "" && p.state == nil {
			if err := p.openState(); err != nil {
				return nil, err
			}
		}
		if stage.Tables && p.tables == nil {
			if p.tables, err = runtime.NewGlobalTables(client, naming, masterdata.NewFeed(tables, s.Decode), p.log); err != nil {
				return nil, err
			}
		}
		cfg := runtimeConfig(c, stage, client)
		if stage.Name == Inventory {
			cfg.Balancer = assignor.Advertising(c.Instance, address)
		}
		if p.instances[stage.Name], err = runtime.New(cfg, stage, runtime.Deps{Serde: s, Tables: p.tables, State: p.state, Registerer: o.Metrics, Logger: p.log}); err != nil {
			return nil, fmt.Errorf("stage %s: %w", stage.Name, err)
		}
	}
	if chosen[Ingress] {
		if err := p.openIngress(ctx, client); err != nil {
			return nil, err
		}
	}
	if chosen[Sink] && len(c.ClickHouse.Addresses) > 0 {
		if p.sink, err = NewSink(c, client, s, p.log, o.Metrics); err != nil {
			return nil, err
		}
	} else if chosen[Sink] && len(o.Parts) > 0 {
		return nil, usagef("the sink has no server: set clickhouse.addresses")
	}
	if c.Admin.Listen != "" {
		if p.admin, err = (&net.ListenConfig{}).Listen(ctx, "tcp", c.Admin.Listen); err != nil {
			return nil, fmt.Errorf("admin.listen: %w", err)
		}
	}
	return p, nil
}

// openState opens the disk of the process's stores.
func (p *Process) openState() (err error) {
	c := &p.o.Config
	p.state, err = store.Open(filepath.Join(c.State.Dir, c.Instance), store.Options{
		CacheBytes: c.State.CacheBytes, DirtyBytes: c.State.DirtyBytes, FlushInterval: c.State.FlushInterval, Logger: p.log,
	})
	if err != nil {
		return fmt.Errorf("state.dir: %w", err)
	}
	if p.o.Metrics != nil {
		return p.o.Metrics.Register(runtime.StateMetrics(p.state))
	}
	return nil
}

// closeState writes what the stages have left.
func (p *Process) closeState() {
	if p.state == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	if err := p.state.Close(ctx); err != nil {
		p.log.Warn("the next start reads a longer tail of the changelogs", "error", err)
	}
}

func runtimeConfig(c *config.Config, stage topology.Stage, client []kgo.Opt) runtime.Config {
	workers := c.Runtime.Workers
	if workers == 0 {
		workers = goruntime.GOMAXPROCS(0)
	}
	return runtime.Config{
		App: runtime.ApplicationID(AppPrefix(c), stage), Instance: c.Instance, Workers: workers, Naming: Naming(c), Sources: Sources(c), Client: client,
		Commit: runtime.Commit{
			MinInterval: c.Runtime.CommitMinInterval, Interval: c.Runtime.CommitInterval,
			MaxRecords: c.Runtime.CommitMaxRecords, MaxBytes: c.Runtime.CommitMaxBytes,
		},
		RebalanceTimeout: c.Runtime.TransactionTimeout / 2, EndTimeout: c.Runtime.TransactionTimeout / 5 * 4,
		TransactionTimeout: c.Runtime.TransactionTimeout, SessionTimeout: c.Runtime.SessionTimeout, MetadataMinAge: kafkaclient.MetadataMinAge,
		StandbyReplicas: c.Runtime.StandbyReplicas, WarmupLag: c.Runtime.WarmupLag, MaxWarmups: c.Runtime.MaxWarmups, ProbingInterval: c.Runtime.ProbingInterval,
		Balancer: assignor.New(c.Instance),
	}
}

// Registry is a client of the configured schema registry.
func Registry(c *config.Config) (*sr.Client, error) {
	if c.Registry.URL == "" {
		return nil, usagef("registry.url: not set; name a Confluent-compatible schema registry, or start one for a trial with crossdock embedded registry")
	}
	password, err := c.Registry.Password.Resolve()
	if err != nil {
		return nil, usagef("registry.password: %v", err)
	}
	opts := []sr.ClientOpt{sr.URLs(c.Registry.URL)}
	if c.Registry.Username != "" {
		opts = append(opts, sr.BasicAuth(c.Registry.Username, password))
	}
	client, err := sr.NewClient(opts...)
	if err != nil {
		return nil, usagef("registry.url: %v", err)
	}
	return client, nil
}

// RegistryAway names the configured schema registry in an AwayError.
func RegistryAway(c *config.Config, err error) error {
	return Away(err, "the schema registry "+c.Registry.URL+" does not answer; start it, or correct registry.url")
}

// Serde asks the registry for the ids of all schemas, registering what is new.
func Serde(ctx context.Context, c *config.Config) (*serde.Serde, error) {
	client, err := Registry(c)
	if err != nil {
		return nil, err
	}
	s, err := serde.Register(ctx, client, Carried(Naming(c)))
	return s, RegistryAway(c, err)
}

// Carried lists which topic carries which record.
func Carried(naming topics.Naming) []serde.Carried {
	var pairs []serde.Carried
	for _, t := range topics.All() {
		for _, record := range t.Schemas {
			pairs = append(pairs, serde.Carried{Topic: naming.Topic(t.ID), Record: record})
		}
	}
	return pairs
}

func (p *Process) openIngress(ctx context.Context, client []kgo.Opt) error {
	c := &p.o.Config
	var err error
	if p.producer, err = ingress.NewProducer(Naming(c), p.o.Connectors, c.Ingress.MaxBody, client...); err != nil {
		return err
	}
	if p.ingress, err = (&net.ListenConfig{}).Listen(ctx, "tcp", c.Ingress.Listen); err != nil {
		return fmt.Errorf("ingress.listen: %w", err)
	}
	return nil
}

// ingressHandler reads the sources' secrets, once.
func (p *Process) ingressHandler() (http.Handler, error) {
	c := &p.o.Config
	var sources []ingress.Source
	for _, name := range Sources(c) {
		s := c.Sources[name]
		source := ingress.Source{Name: name, RatePerSec: s.RatePerSec, Credentials: ingress.Credentials{HMACHeader: s.HMACHeader}}
		for _, secret := range []struct {
			to   *string
			from config.Secret
		}{{&source.Credentials.APIKey, s.APIKey}, {&source.Credentials.Bearer, s.Bearer}, {&source.Credentials.HMACSecret, s.HMAC}} {
			value, err := secret.from.Resolve()
			if err != nil {
				return nil, fmt.Errorf("sources.%s: %w", name, err)
			}
			if value == "" && secret.from.Set() {
				return nil, fmt.Errorf("sources.%s: secret %s is empty, which would let anybody in", name, secret.from)
			}
			*secret.to = value
		}
		sources = append(sources, source)
	}
	server, err := ingress.NewServer(ingress.ServerConfig{
		Put: p.producer.Put, Sources: sources, MaxBody: c.Ingress.MaxBody, PutTimeout: c.Ingress.ProduceTimeout,
		Now: time.Now, Log: p.log, Metrics: p.o.Metrics,
	})
	if err != nil {
		return nil, err
	}
	return server.Handler(), nil
}

// NewSink makes the sink of a configuration.
func NewSink(c *config.Config, client []kgo.Opt, s *serde.Serde, log *slog.Logger, metrics prometheus.Registerer) (*sink.Sink, error) {
	password, err := c.ClickHouse.Password.Resolve()
	if err != nil {
		return nil, fmt.Errorf("clickhouse.password: %w", err)
	}
	server := sink.ClickHouse{Addresses: c.ClickHouse.Addresses, Database: c.ClickHouse.Database, Username: c.ClickHouse.Username, Password: password}
	if c.ClickHouse.TLS.Enabled {
		if server.TLS, err = kafkaclient.TLS(c.ClickHouse.TLS); err != nil {
			return nil, fmt.Errorf("clickhouse.tls: %w", err)
		}
	}
	return sink.New(sink.Config{
		App: c.App, Instance: c.Instance, ClickHouse: server, FlushInterval: c.Sink.FlushInterval, MaxRows: c.Sink.MaxRows, SessionTimeout: c.Runtime.SessionTimeout,
	}, sink.Deps{Kafka: client, Topics: Naming(c), Serde: s, Log: log, Metrics: metrics})
}

// Addr is where the ingress answers; empty without it.
func (p *Process) Addr() string { return addr(p.ingress) }

// QueryAddr is where queries of stock are answered; empty without them.
func (p *Process) QueryAddr() string { return addr(p.query) }

// AdminAddr is where probes and metrics answer; empty without them.
func (p *Process) AdminAddr() string { return addr(p.admin) }

func addr(l net.Listener) string {
	if l == nil {
		return ""
	}
	return l.Addr().String()
}

// MasterData is how many items and sites the stages' tables know.
func (p *Process) MasterData() (items, sites int) { return p.master.Items(), p.master.Sites() }

// Ready says whether every part does its work, and if not, which does not and why.
func (p *Process) Ready() (bool, string) {
	for name, check := range p.checks() {
		if ok, why := check(); !ok {
			return false, name + ": " + why
		}
	}
	return true, ""
}

func (p *Process) checks() map[string]telemetry.Check {
	checks := map[string]telemetry.Check{}
	for name, i := range p.instances {
		checks[name] = i.Readiness
	}
	if p.sink != nil {
		checks[Sink] = func() (bool, string) {
			if err := p.sink.Ready(); err != nil {
				return false, err.Error()
			}
			return true, ""
		}
	}
	return checks
}

// Run runs the parts until ctx ends, or one of them stops by name. Transactions at hand are finished first.
func (p *Process) Run(ctx context.Context) error {
	defer p.close()
	group, ctx := errgroup.WithContext(ctx)
	if p.tables != nil {
		group.Go(func() error { return p.tables.Run(ctx) })
	}
	for name, i := range p.instances {
		group.Go(func() error {
			if err := i.Run(ctx); err != nil {
				return fmt.Errorf("stage %s: %w", name, err)
			}
			return nil
		})
	}
	if p.sink != nil {
		group.Go(func() error {
			if err := p.sink.Run(ctx); err != nil {
				return fmt.Errorf("sink: %w", err)
			}
			return nil
		})
	}
	if p.ingress != nil {
		handler, err := p.ingressHandler()
		if err != nil {
			return err
		}
		server := p.ingress
		if c := p.o.Config.Ingress.TLS; c.Enabled {
			if server, err = secured(server, c); err != nil {
				return fmt.Errorf("ingress.tls: %w", err)
			}
		}
		group.Go(func() error { return telemetry.Serve(ctx, server, handler, drain) })
	}
	if p.query != nil {
		server, err := api.New(api.Config{
			State: p.instances[Inventory], Instance: p.o.Config.Instance, Timeout: p.o.Config.Query.Timeout, Log: p.log, Metrics: p.o.Metrics,
		})
		if err != nil {
			return err
		}
		group.Go(func() error {
			defer server.Close()
			return telemetry.Serve(ctx, p.query, server.Handler(), drain)
		})
	}
	if p.admin != nil {
		admin := &telemetry.Admin{Gatherer: p.o.Metrics, Checks: p.checks()}
		group.Go(func() error { return telemetry.Serve(ctx, p.admin, admin.Handler(), time.Second) })
	}
	return group.Wait()
}

func (p *Process) close() {
	if p.producer != nil {
		p.producer.Close()
	}
	if p.sink != nil {
		if err := p.sink.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			p.log.Debug("closing the sink", "error", err)
		}
	}
	p.closeState()
	for _, l := range []net.Listener{p.ingress, p.query, p.admin} {
		if l != nil {
			_ = l.Close() // a server that has ended has closed it already
		}
	}
}
