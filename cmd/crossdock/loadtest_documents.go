package main

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/cmd/crossdock/pipeline"
	"crossdock/internal/config"
	"crossdock/internal/embedded/process"
	"crossdock/loadtest/documents"
	"crossdock/loadtest/report"
	"crossdock/loadtest/trial"
	"crossdock/topology/apply"
	"crossdock/topology/topics"
)

// documentFlags are those of loadtest run that say how documents are sent.
type documentFlags struct {
	ingress, source string
	connections     int
}

// checkDocuments says which flags do not go together.
func (o *loadtestFlags) checkDocuments() error {
	d := &o.documents
	if o.entry != string(report.Documents) {
		if d.ingress != "" || d.source != "" {
			return usagef("--ingress and --source are for --entry %s", report.Documents)
		}
		return nil
	}
	if d.connections < 1 || d.connections > 10_000 {
		return usagef("--connections %d: give 1 to 10000", d.connections)
	}
	if o.start && d.ingress != "" {
		return usagef("--start runs an ingress of its own: leave out --ingress, or --start")
	}
	if u, err := url.Parse(d.ingress); d.ingress != "" && (err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "") {
		return usagef("--ingress %s: give a URL such as http://127.0.0.1:8080", d.ingress)
	}
	return nil
}

// openDocuments says where the documents of a load go. With --start the sources that are not configured are added, to c and to
// what the stages are started with.
func (a *app) openDocuments(c *config.Config, o *loadtestFlags) (*documents.Options, error) {
	d := &documents.Options{URL: o.documents.ingress, Connections: o.documents.connections}
	if d.URL == "" && !o.start {
		d.URL = ingressURL(c)
	}
	if name := o.documents.source; name != "" {
		s, ok := c.Sources[name]
		if !ok {
			return nil, usagef("--source %s: it is not configured; configured are: %s", name, listed(pipeline.Sources(c)))
		}
		t, err := targetOf(name, &s)
		if err != nil {
			return nil, err
		}
		d.Shape.Default = &t
		return d, nil
	}
	d.Shape.Targets = make(map[string]documents.Target)
	var missing []string
	for _, name := range documents.Systems() {
		s, ok := c.Sources[name]
		if !ok && o.start {
			s, ok = config.Source{System: name, TimeZone: "UTC", Charset: "utf-8", ShipFrom: event.BucketAvailable.String()}, true
			a.set = append(a.set, "sources."+name+".system="+name)
			c.Sources = maps.Clone(c.Sources)
			c.Sources[name] = s
		}
		if !ok {
			missing = append(missing, name)
			continue
		}
		t, err := targetOf(name, &s)
		if err != nil {
			return nil, err
		}
		d.Shape.Targets[name] = t
	}
	if len(missing) > 0 {
		return nil, &notReadyError{fmt.Errorf("documents come from systems that are no configured sources: %s; configure them, name one source for all with --source, or give --start", strings.Join(missing, ", "))}
	}
	return d, nil
}

func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// ingressURL is where the configured ingress is reached from this machine.
func ingressURL(c *config.Config) string {
	scheme := "http://"
	if c.Ingress.TLS.Enabled {
		scheme = "https://"
	}
	return scheme + local(c.Ingress.Listen)
}

// targetOf is a configured source as documents are sent to it.
func targetOf(name string, s *config.Source) (documents.Target, error) {
	t := documents.Target{Source: name, System: s.System, Partner: s.Partner}
	if s.Site != "" {
		return t, usagef("sources.%s.site is %s: documents of a load test come from many sites, and would all be told of that one; use a source without it", name, s.Site)
	}
	for _, b := range []event.Bucket{event.BucketAvailable, event.BucketPicked, event.BucketStaged} {
		if strings.EqualFold(s.ShipFrom, b.String()) {
			t.ShipFrom = b
		}
	}
	for _, secret := range []struct {
		key  string
		from config.Secret
		to   *string
	}{
		{"api_key", s.APIKey, &t.Credentials.APIKey}, {"bearer", s.Bearer, &t.Credentials.Bearer}, {"hmac", s.HMAC, &t.Credentials.HMACSecret},
	} {
		value, err := secret.from.Resolve()
		if err != nil {
			return t, fmt.Errorf("sources.%s.%s: %w", name, secret.key, err)
		}
		*secret.to = value
	}
	t.Credentials.HMACHeader = s.HMACHeader
	return t, nil
}

// makeRawTopics makes the raw topics of a load's own sources, where they are missing.
func makeRawTopics(ctx context.Context, client *kgo.Client, c *config.Config, shape *documents.Shape) error {
	plan, err := pipeline.PlanTopics(ctx, client, c)
	if err != nil {
		return err
	}
	raw := map[string]bool{}
	for _, t := range shape.Sources() {
		raw[pipeline.Naming(c).Raw(t.Source)] = true
	}
	only := &apply.Plan{}
	for _, topic := range plan.Create {
		if raw[topic.Topic] {
			only.Create = append(only.Create, topic)
		}
	}
	if len(only.Create) == 0 {
		return nil
	}
	return only.Apply(ctx, client, nil)
}

// documentGroups are the consumer groups that a load of documents goes through.
func documentGroups(c *config.Config, withSink bool) []trial.Group {
	all := []trial.Group{{Stage: "translate", Name: pipeline.AppPrefix(c) + "translate", Raw: pipeline.Sources(c), Needed: true}}
	for _, g := range loadGroups(c, withSink) {
		if !slices.Contains(g.Topics, topics.Movements) {
			all = append(all, g)
		}
	}
	return all
}

// startedIngress chooses where an ingress that is started listens.
func startedIngress() (listen, url string, err error) {
	port, err := process.FreePorts(1)
	if err != nil {
		return "", "", err
	}
	listen = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	return listen, "http://" + listen, nil
}
