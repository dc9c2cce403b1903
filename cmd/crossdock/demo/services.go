package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/registry"
	"crossdock/cmd/crossdock/pipeline"
	"crossdock/connectors/catalog"
	"crossdock/internal/config"
	"crossdock/internal/embedded/broker"
	"crossdock/internal/embedded/clickhouse"
	"crossdock/internal/kafkaclient"
	"crossdock/internal/telemetry"
)

// services are what the demo runs on, and how to let go of it.
type services struct {
	config  config.Config
	client  []kgo.Opt
	process *pipeline.Process
	engine  string // HTTP address of ClickHouse
	dir     string
	stops   []func() error // in the order of starting
	failed  chan error     // the pipeline's end, if it ends early
}

// stop ends everything, last started first.
func (s *services) stop() error {
	var err error
	for i := len(s.stops) - 1; i >= 0; i-- {
		err = errors.Join(err, s.stops[i]())
	}
	return err
}

const startTimeout = 2 * time.Minute

// start brings up what the options do not name: broker, registry, ClickHouse; then topics and the pipeline.
func start(ctx context.Context, o *Options, t *teller) (_ *services, err error) {
	s := &services{config: config.Default(), failed: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	c := &s.config
	c.Instance, c.Sources = "demo", sources()
	c.Ingress.Listen, c.Query.Listen, c.Admin.Listen = o.Ingress, o.Query, o.Admin
	if o.Prefix != "" {
		c.Kafka.Prefix, c.App, c.ClickHouse.Database = o.Prefix+".", o.Prefix, "crossdock_"+underscored(o.Prefix)
	}
	if s.dir, err = os.MkdirTemp("", "crossdock-demo-"); err != nil {
		return nil, err
	}
	s.stops = append(s.stops, func() error { return os.RemoveAll(s.dir) })
	if err := s.startBroker(o, t); err != nil {
		return nil, err
	}
	if err := s.startRegistry(ctx, o); err != nil {
		return nil, err
	}
	if err := s.startClickHouse(ctx, o, t); err != nil {
		return nil, err
	}
	if s.client, err = kafkaclient.Options(c.Kafka); err != nil {
		return nil, err
	}
	return s, s.startPipeline(ctx, o, t)
}

func underscored(name string) string {
	b := []byte(name)
	for i, ch := range b {
		if ch == '-' || ch == '.' {
			b[i] = '_'
		}
	}
	return string(b)
}

func (s *services) startBroker(o *Options, t *teller) error {
	if len(o.Brokers) > 0 {
		s.config.Kafka.Brokers = o.Brokers
		return nil
	}
	b, err := broker.Start(broker.Options{Port: o.BrokerPort})
	if err != nil {
		return err
	}
	s.stops = append(s.stops, func() error { b.Stop(); return nil })
	s.config.Kafka.Brokers = b.Addrs()
	t.step("broker: embedded, %s", b.Addrs()[0])
	return nil
}

func (s *services) startRegistry(ctx context.Context, o *Options) error {
	r, err := registry.Open("")
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.Registry)
	if err != nil {
		return fmt.Errorf("schema registry: %w", err)
	}
	s.config.Registry.URL = "http://" + l.Addr().String()
	s.serve(ctx, func(ctx context.Context) error { return telemetry.Serve(ctx, l, r, time.Second) })
	return nil
}

// serve runs f until the services stop. An early end is the demo's failure.
func (s *services) serve(ctx context.Context, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // it outlives an interrupt, until stop
	done := make(chan struct{})
	var err error
	go func() {
		defer close(done)
		if err = f(ctx); ctx.Err() == nil {
			select {
			case s.failed <- errors.Join(errors.New("a part of the pipeline has ended"), err):
			default: // one failure is enough to end the demo
			}
		}
	}()
	s.stops = append(s.stops, func() error { cancel(); <-done; return err })
}

func (s *services) startClickHouse(ctx context.Context, o *Options, t *teller) error {
	if o.ClickHouse != "" {
		s.config.ClickHouse.Addresses = []string{o.ClickHouse}
		return nil
	}
	dir := filepath.Join(s.dir, "clickhouse")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	starting, cancel := context.WithTimeout(ctx, 10*time.Minute) // the engine is fetched the first time
	defer cancel()
	server, err := clickhouse.Start(starting, clickhouse.StartOptions{
		Command: o.HostCommand, Dir: dir, HTTP: o.ClickHouseHTTP, TCP: o.ClickHouseTCP, Progress: func(step string) { t.step("%s", step) },
	})
	if err != nil {
		return err
	}
	s.stops = append(s.stops, func() error {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
		defer cancel()
		return server.Stop(stopping)
	})
	s.config.ClickHouse.Addresses = []string{server.TCP()}
	s.engine = server.HTTP()
	t.step("ClickHouse engine %s: native %s, HTTP %s", server.Version(), server.TCP(), server.HTTP())
	return nil
}

func (s *services) startPipeline(ctx context.Context, o *Options, t *teller) error {
	table, _, err := catalog.Table()
	if err != nil {
		return err
	}
	if err := s.makeTopics(ctx); err != nil {
		return err
	}
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s.process, err = pipeline.New(ctx, pipeline.Options{Config: s.config, Connectors: table, Log: log, Metrics: telemetry.NewRegistry()})
	if err != nil {
		return err
	}
	s.serve(ctx, s.process.Run)
	t.step("pipeline: ingress http://%s, stock http://%s/v1/inventory, metrics http://%s/metrics", s.process.Addr(), s.process.QueryAddr(), s.process.AdminAddr())
	why := ""
	err = s.await(ctx, startTimeout, func(context.Context) (bool, error) {
		ok, reason := s.process.Ready()
		why = reason
		return ok, nil
	})
	if err != nil {
		return fmt.Errorf("the pipeline is not ready: %s: %w", why, err)
	}
	return nil
}

func (s *services) makeTopics(ctx context.Context) error {
	client, err := kgo.NewClient(s.client...)
	if err != nil {
		return err
	}
	defer client.Close()
	plan, err := pipeline.PlanTopics(ctx, client, &s.config)
	if err != nil {
		return err
	}
	return plan.Apply(ctx, client, nil)
}

// await asks again and again until yes, an error, the pipeline's end or the timeout.
func (s *services) await(ctx context.Context, timeout time.Duration, f func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("not within %v", timeout))
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := f(ctx)
		if ok || err != nil {
			return err
		}
		select {
		case err := <-s.failed:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
