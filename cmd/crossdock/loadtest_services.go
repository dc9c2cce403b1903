package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/cmd/crossdock/pipeline"
	"crossdock/cmd/crossdock/stages"
	"crossdock/internal/config"
	"crossdock/internal/kafkaclient"
	"crossdock/loadtest/report"
	"crossdock/loadtest/tables"
	"crossdock/loadtest/trial"
	"crossdock/loadtest/watch"
	"crossdock/topology/topics"
)

// loadServices are what a load test runs against, and what was started for it.
type loadServices struct {
	stops []func(context.Context) error // in the order of starting
}

func (s *loadServices) close(ctx context.Context) error {
	var err error
	for i := len(s.stops) - 1; i >= 0; i-- {
		err = errors.Join(err, s.stops[i](ctx))
	}
	s.stops = nil
	return err
}

// openLoad connects a trial to the configured services, and prepares the start of stages where it is asked for.
func (a *app) openLoad(ctx context.Context, o *loadtestFlags, t *trial.Options, teller *loadTeller) (s *loadServices, err error) {
	s = &loadServices{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close(context.WithoutCancel(ctx)))
		}
	}()
	loaded, err := a.config()
	if err != nil {
		return s, err
	}
	c := &loaded.Config
	if o.start {
		if err := s.alone(c); err != nil {
			return s, err
		}
	}
	if t.Watch, err = watched(o.watch); err != nil {
		return s, err
	}
	if t.Entry == report.Documents {
		if t.Documents, err = a.openDocuments(c, o); err != nil {
			return s, err
		}
	}
	client, err := dial(ctx, c)
	if err != nil {
		return s, err
	}
	if t.Documents != nil && o.start {
		err = makeRawTopics(ctx, client, c, &t.Documents.Shape)
	}
	if err == nil {
		err = topicsAreMade(ctx, client, c)
	}
	client.Close()
	if err != nil {
		return s, err
	}
	if t.Kafka, err = kafkaclient.Options(c.Kafka); err != nil {
		return s, err
	}
	t.Naming, t.App, t.Ledger, t.Registry = pipeline.Naming(c), c.App, c.Inventory.Ledger, c.Registry.URL
	if c.Registry.URL == "" && o.start {
		url, err := s.registry(ctx)
		if err != nil {
			return s, err
		}
		c.Registry.URL, t.Registry = url, registryInMemory
	}
	if t.Serde, err = pipeline.Serde(ctx, c); err != nil {
		return s, err
	}
	withSink := len(c.ClickHouse.Addresses) > 0
	t.Groups = loadGroups(c, withSink)
	if t.Documents != nil {
		t.Groups = documentGroups(c, withSink)
	}
	if withSink {
		if t.Tables, err = s.tables(ctx, c); err != nil {
			return s, &notReadyError{fmt.Errorf("%w; start it, correct clickhouse.addresses, or leave them out", err)}
		}
	}
	t.State = o.state
	if !o.start {
		if t.State == "" && c.Query.Listen != "" {
			t.State = answering(ctx, "http://"+local(c.Query.Listen))
		}
		return s, nil
	}
	t.Instance = loadInstance()
	t.Start = func(ctx context.Context) (trial.Started, error) { return a.startStages(ctx, c, o, s, teller, withSink) }
	return s, nil
}

// registryInMemory stands in run.json for a registry that ended with its run.
const registryInMemory = "memory"

// registry serves one for as long as the services are open.
func (s *loadServices) registry(ctx context.Context) (string, error) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	url, wait, err := serveRegistry(ctx)
	if err != nil {
		stop()
		return "", err
	}
	s.stops = append(s.stops, func(context.Context) error { stop(); wait(); return nil })
	return url, nil
}

func (s *loadServices) tables(ctx context.Context, c *config.Config) (*tables.Tables, error) {
	password, err := c.ClickHouse.Password.Resolve()
	if err != nil {
		return nil, fmt.Errorf("clickhouse.password: %w", err)
	}
	o := tables.Options{Addresses: c.ClickHouse.Addresses, Database: c.ClickHouse.Database, Username: c.ClickHouse.Username, Password: password}
	if c.ClickHouse.TLS.Enabled {
		if o.TLS, err = kafkaclient.TLS(c.ClickHouse.TLS); err != nil {
			return nil, fmt.Errorf("clickhouse.tls: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	t, err := tables.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	s.stops = append(s.stops, func(context.Context) error { return t.Close() })
	return t, nil
}

// topicsAreMade says what to do where topics of the pipeline are missing.
func topicsAreMade(ctx context.Context, client *kgo.Client, c *config.Config) error {
	plan, err := pipeline.PlanTopics(ctx, client, c)
	if err != nil {
		return err
	}
	if len(plan.Create) == 0 {
		return nil
	}
	names := make([]string, 0, len(plan.Create))
	for _, topic := range plan.Create {
		names = append(names, topic.Topic)
	}
	return &notReadyError{fmt.Errorf("topics are missing: %s; make them with crossdock topology apply --yes", strings.Join(names, ", "))}
}

// loadGroups are the consumer groups that a load goes through.
func loadGroups(c *config.Config, withSink bool) []trial.Group {
	all := []trial.Group{
		{Stage: "enrich", Topics: []topics.ID{topics.Movements}, Needed: true},
		{Stage: "parking", Topics: []topics.ID{topics.ParkingInbox}},
		{Stage: "inventory", Topics: []topics.ID{topics.InventoryInbox}, Needed: true},
	}
	if withSink {
		read := []topics.ID{topics.Balances, topics.Exceptions, topics.DeadLetters}
		if c.Inventory.Ledger {
			read = append(read, topics.Ledger)
		}
		all = append(all, trial.Group{Stage: pipeline.Sink, Topics: read, Sink: true})
	}
	for i := range all {
		all[i].Name = pipeline.AppPrefix(c) + all[i].Stage
	}
	return all
}

// startStages runs the stages that a load goes through.
func (a *app) startStages(ctx context.Context, c *config.Config, o *loadtestFlags, s *loadServices, teller *loadTeller, withSink bool) (trial.Started, error) {
	self, err := os.Executable()
	if err != nil {
		return trial.Started{}, err
	}
	parts := []string{"enrich", "parking", "inventory"}
	listen, url := "", ""
	if o.entry == string(report.Documents) {
		parts = []string{pipeline.Ingress, "translate", "parking", "inventory"}
		if listen, url, err = startedIngress(); err != nil {
			return trial.Started{}, err
		}
	}
	if withSink {
		parts = append(parts, pipeline.Sink)
	}
	var args []string
	if a.configFile != "" {
		args = append(args, "--config", a.configFile)
	}
	for _, set := range a.set {
		args = append(args, "--set", set)
	}
	args = append(args, "--set", "instance="+loadInstance(), "--set", "registry.url="+c.Registry.URL, "--set", "log.level=warn", "--set", "log.format=text")
	if listen != "" {
		args = append(args, "--set", "ingress.listen="+listen)
	}
	running, err := stages.Start(ctx, stages.Options{Binary: self, Parts: parts, Args: args, Progress: teller.step})
	if err != nil {
		return trial.Started{}, err
	}
	s.stops = append(s.stops, running.Stop)
	started := trial.Started{Alive: running.Ended, State: o.state, URL: url}
	for _, p := range running.All() {
		started.Watch = append(started.Watch, watch.Target{Name: p.Name, PID: p.PID, Metrics: p.Admin + "/metrics"})
		if p.Name == "inventory" && started.State == "" {
			started.State = answering(ctx, p.Query)
		}
	}
	return started, nil
}

// watched reads --watch, and the services that servicesd started for us.
func watched(flags []string) ([]watch.Target, error) {
	var all []watch.Target
	taken := map[string]bool{watch.Own: true, pipeline.Ingress: true, "translate": true, "enrich": true, "parking": true, "inventory": true, pipeline.Sink: true, "kafka": true, "clickhouse": true}
	for _, f := range flags {
		name, what, ok := strings.Cut(f, "=")
		if taken[name] {
			return nil, usagef("--watch %s: %s is watched already, or its name is kept for it; give another name", f, name)
		}
		taken[name] = true
		if !ok || name == "" || what == "" {
			return nil, usagef("--watch %s: write NAME=PID, or NAME=URL of its metrics", f)
		}
		if strings.Contains(what, "://") {
			all = append(all, watch.Target{Name: name, Metrics: what})
			continue
		}
		pid, err := strconv.Atoi(what)
		if err != nil || pid <= 0 {
			return nil, usagef("--watch %s: %q is no process id and no URL", f, what)
		}
		all = append(all, watch.Target{Name: name, PID: pid})
	}
	for _, service := range []struct{ name, env string }{{"kafka", "CROSSDOCK_SERVICES_KAFKA_PID"}, {"clickhouse", "CROSSDOCK_SERVICES_CLICKHOUSE_PID"}} {
		text := os.Getenv(service.env)
		if text == "" {
			continue
		}
		pid, err := strconv.Atoi(text)
		if err != nil {
			return nil, usagef("%s: %v", service.env, err)
		}
		all = append(all, watch.Target{Name: service.name, PID: pid})
	}
	return all, nil
}

// answering is the URL where queries of stock are answered there, else empty.
func answering(ctx context.Context, url string) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/inventory/query", bytes.NewBufferString(`{"keys":[]}`))
	if err != nil {
		return ""
	}
	req.Header.Set("Content-Type", "application/json")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return ""
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<10)) // only its status counts
	_ = resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK, http.StatusServiceUnavailable: // the latter while a partition is restored
		return url
	}
	return ""
}

// local is where an address to listen on is reached from this machine.
func local(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil || (host != "" && host != "0.0.0.0" && host != "::") {
		return listen
	}
	return net.JoinHostPort("127.0.0.1", port)
}
