package main

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/cmd/crossdock/pipeline"
	"crossdock/internal/config"
	"crossdock/internal/testservices"
	"crossdock/loadtest/documents"
	"crossdock/loadtest/pace"
	"crossdock/loadtest/report"
	"crossdock/loadtest/scans"
	"crossdock/loadtest/verify"
	"crossdock/topology/topics"
)

// partners configures a source for each system of a load.
func partners(c *config.Config) {
	for _, name := range documents.Systems() {
		c.Sources[name] = config.Source{TimeZone: "UTC", ShipFrom: "AVAILABLE"}
	}
}

// published writes a load's master data.
func (p *plant) published(g *scans.Generator, s documents.Shape) {
	p.t.Helper()
	client := p.client()
	put := func(id topics.ID, key string, e event.Record) {
		client.Produce(p.t.Context(), &kgo.Record{Topic: p.topic(id), Key: topics.Key(nil, key), Value: p.serde.Append(nil, e)}, func(_ *kgo.Record, err error) {
			if err != nil {
				p.t.Error(err)
			}
		})
	}
	for item := range g.Items() {
		put(topics.Items, item.SKU, item)
	}
	for site := range documents.Sites(g, s) {
		put(topics.Sites, site.Site, site)
	}
	if err := client.Flush(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
}

// Everything that a retailer tells goes out as native documents, with lines and sets that are broken, and with repetitions in all
// forms: what the connectors and stages make of it is what the oracle was told, to the last dead letter. Once every system has a
// source of its own; once one source, which takes stock from STAGED, speaks for all.
func TestDocumentsAreCountedAsTheyAreSaid(t *testing.T) {
	one := documents.Target{Source: "acme", Partner: "ACME", ShipFrom: event.BucketStaged}
	own := map[string]documents.Target{}
	for _, system := range documents.Systems() {
		own[system] = documents.Target{Source: system}
	}
	for name, c := range map[string]struct {
		shape  documents.Shape
		change func(*config.Config)
	}{
		"a source for each system": {documents.Shape{Targets: own}, partners},
		"one source for all": {documents.Shape{Default: &one}, func(c *config.Config) {
			c.Sources["acme"] = config.Source{TimeZone: "Europe/Berlin", ShipFrom: "STAGED", Partner: "ACME"}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlant(t, testservices.Broker(t), c.change)
			plan, err := pace.New(pace.Segment{For: 3 * time.Second, From: 1500, To: 1500})
			if err != nil {
				t.Fatal(err)
			}
			load := scans.DefaultLoad(11)
			load.Run, load.SKUs, load.Sites, load.BusySites, load.Start, load.Pace = "D1", 300, 12, 3, time.Now().UTC().Truncate(time.Microsecond), plan
			load.Poison, load.Duplicates, load.Mix.Ship, load.Devices, load.Snapshots.Every = 0.05, 0.05, 20, 100, time.Second
			g, err := scans.NewRetailer(load)
			if err != nil {
				t.Fatal(err)
			}
			p.published(g, c.shape)
			log, err := documents.Run(t.Context(), g, documents.Options{
				URL: "http://" + p.process.Addr(), Shape: c.shape, Kafka: p.opts, Naming: pipeline.Naming(&p.config), Connections: 8,
			})
			if err != nil {
				t.Fatal(err)
			}
			if log.Acknowledged() != plan.Count() || log.Formats[documents.Shipping] == 0 || log.Formats[documents.Ordering] == 0 {
				t.Fatalf("%+v", log.Sent())
			}
			p.settled()
			// What is no movement is not recounted: it must have come out, in its place.
			sent := log.Sent()
			for id, want := range map[topics.ID]int64{topics.OrdersInbox: sent.Kinds["order"], topics.ShipmentsInbox: sent.Kinds["milestone"] + advices(t, log)} {
				got := int64(0)
				p.read(p.topic(id), func(*kgo.Record) error { got++; return nil })
				if got != want {
					t.Errorf("%d records on %s, want %d", got, p.topic(id), want)
				}
			}
			v, err := verify.Run(t.Context(), verify.Evidence{
				Sent: []verify.Load{{Documents: log}}, Kafka: p.opts, Serde: p.serde, Naming: pipeline.Naming(&p.config), Ledger: true,
			})
			var disagree *verify.DisagreementError
			if errors.As(err, &disagree) {
				t.Fatal(disagree)
			}
			if err != nil {
				t.Fatal(err)
			}
			if !v.OK {
				for i, k := range v.Failing {
					if i < 5 {
						t.Errorf("%s: %v\n%v", k.Key, k.What, k.Events)
					}
				}
			}
		})
	}
}

// settled waits until every stage has committed all that was sent to it.
func (p *plant) settled() {
	p.t.Helper()
	c := &p.config
	var groups []verify.Group
	for _, g := range loadGroups(c, false) {
		w := verify.Group{Name: g.Name}
		for _, id := range g.Topics {
			w.Topics = append(w.Topics, p.topic(id))
		}
		groups = append(groups, w)
	}
	translate := verify.Group{Name: pipeline.AppPrefix(c) + "translate"}
	for source := range c.Sources {
		translate.Topics = append(translate.Topics, pipeline.Naming(c).Raw(source))
	}
	groups = append(groups, translate)
	if err := verify.Settled(p.t.Context(), verify.Waiting{Kafka: p.opts, Groups: groups, Balances: p.topic(topics.Balances)}); err != nil {
		p.t.Fatal(err)
	}
}

// advices is how many documents say that something was shipped.
func advices(t *testing.T, l *documents.Log) int64 {
	t.Helper()
	shipped := make(map[int64]bool)
	if err := l.Walk(func(s *documents.Said, _ int) error {
		if s.Format == documents.Shipping && s.Movement != nil {
			shipped[s.Number] = true
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return int64(len(shipped))
}

// A load test of documents is measured hop by hop, recounted, and verified again from its folder.
func TestALoadTestOfDocumentsGoesThroughTheIngress(t *testing.T) {
	p := newPlant(t, testservices.Broker(t), partners)
	away(t)
	file(t, "small.yaml", small+"  translated: {p99: none}\n")
	var sources []string
	for _, name := range documents.Systems() {
		sources = append(sources, "--set", "sources."+name+".system="+name)
	}
	command := func(args ...string) outcome { return p.loadtest(t.Context(), append(args, sources...)...) }
	ingress := "http://" + p.process.Addr()
	mustExit(t, "the run", command("run", "--profile", "small.yaml", "--rate", "1500", "--for", "2s", "--run", "monday", "--out", "results", "--entry", "documents", "--ingress", ingress),
		exitOK, "verified: ", "0 lost, 0 duplicated", "Translated", "written: results/monday")
	folder := filepath.Join("results", "monday")
	r := readRun(t, folder)
	if r.Entry != report.Documents || r.Verdict == nil || !r.Verdict.OK || r.Sent.Made != r.Sent.Planned || r.Sent.Acknowledged != r.Sent.Made || r.Sent.Documents == 0 || r.Stopped != "" {
		t.Fatalf("%+v, %+v, stopped %q", r.Verdict, r.Sent, r.Stopped)
	}
	seen := map[string]report.Hop{}
	for _, h := range r.Hops {
		seen[h.Name] = h
	}
	if _, enriched := seen["enriched"]; enriched || seen["accepted"].Measured != r.Sent.Documents {
		t.Errorf("%d accepted of %d", seen["accepted"].Measured, r.Sent.Documents)
	}
	for _, name := range []string{"translated", "balance"} {
		if h := seen[name]; h.Measured == 0 || h.Missing != 0 {
			t.Errorf("hop %s: %d measured, %d missing", name, h.Measured, h.Missing)
		}
	}
	var records int64
	for _, x := range r.Partitions {
		records += x.Records
	}
	if len(r.Partitions) != 4 || records == 0 {
		t.Errorf("the inbox: %v", r.Partitions)
	}
	mustExit(t, "verify", command("verify", folder), exitOK, "0 lost, 0 duplicated")

	key := p.countTwice()
	mustExit(t, "verify after a fault", command("verify", folder), exitFailed, "verified: FAILED", key, "in document")
}

func TestALoadTestOfDocumentsSaysWhatKeepsItFromSending(t *testing.T) {
	p := newPlant(t, testservices.Broker(t))
	away(t)
	file(t, "small.yaml", small+"  translated: {p99: none}\n")
	run := func(args ...string) outcome {
		return p.loadtest(t.Context(), append([]string{"run", "--profile", "small.yaml", "--rate", "100", "--for", "1s", "--out", "results"}, args...)...)
	}
	acme := []string{"--entry", "documents", "--set", "sources.acme.time_zone=UTC"}
	mustExit(t, "no sources", run("--entry", "documents"), exitNotReady, "lt-sap", "--source", "--start")
	mustExit(t, "an unknown source", run(append(acme, "--source", "nobody")...), exitUsage, "configured are: acme")
	mustExit(t, "the flag of another entry", run("--source", "acme"), exitUsage, "--entry documents")
	mustExit(t, "a source that speaks for one site", run(append(acme, "--source", "acme", "--set", "sources.acme.site=HAM1")...), exitUsage, "sources.acme.site")
	mustExit(t, "no URL", run(append(acme, "--source", "acme", "--ingress", "localhost:1")...), exitUsage, "http://127.0.0.1:8080")
	mustExit(t, "a source that the ingress does not know", run("--entry", "documents", "--source", "other", "--set", "sources.other.time_zone=UTC", "--ingress", "http://"+p.process.Addr()), exitNotReady, "topics are missing", "raw.other")
	key := filepath.Join(t.TempDir(), "key")
	file(t, key, "secret")
	mustExit(t, "credentials that the ingress does not ask for", run(append(acme, "--source", "acme", "--ingress", "http://"+p.process.Addr(), "--set", "sources.acme.api_key=file:"+key, "--no-verify")...), exitOK)
}
