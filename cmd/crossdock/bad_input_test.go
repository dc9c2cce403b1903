package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/cmd/crossdock/pipeline"
	"crossdock/connectors/catalog"
	"crossdock/internal/config"
	"crossdock/internal/telemetry"
	"crossdock/internal/testservices"
	"crossdock/loadtest/committed"
	"crossdock/processors/parking"
	"crossdock/topology/runtime/store"
	"crossdock/topology/topics"
)

// A plant is a pipeline without its sink, in this process, on one broker.
type plant struct {
	t       *testing.T
	config  config.Config
	opts    []kgo.Opt
	serde   *serde.Serde
	process *pipeline.Process
	metrics *prometheus.Registry
}

func newPlant(t *testing.T, broker string, changes ...func(*config.Config)) *plant {
	t.Helper()
	p := &plant{t: t, config: config.Default(), opts: []kgo.Opt{kgo.SeedBrokers(broker)}, metrics: telemetry.NewRegistry()}
	prefix := applicationName(testservices.Prefix(t))
	p.config.App, p.config.Kafka.Prefix, p.config.Instance = prefix, prefix+".", "one"
	p.config.Kafka.Brokers, p.config.Kafka.Partitions = []string{broker}, 4
	p.config.Ingress.Listen, p.config.Query.Listen, p.config.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0", ""
	p.config.Sources = map[string]config.Source{"acme": {TimeZone: "UTC", ShipFrom: "AVAILABLE"}}
	for _, change := range changes {
		change(&p.config)
	}
	ctx, stop := context.WithCancel(t.Context())
	url, wait, err := serveRegistry(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(); wait() })
	p.config.Registry.URL = url
	if p.serde, err = pipeline.Serde(t.Context(), &p.config); err != nil {
		t.Fatal(err)
	}
	table, _, err := catalog.Table()
	if err != nil {
		t.Fatal(err)
	}
	client := p.client()
	plan, err := pipeline.PlanTopics(t.Context(), client, &p.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Apply(t.Context(), client, nil); err != nil {
		t.Fatal(err)
	}
	p.process, err = pipeline.New(t.Context(), pipeline.Options{
		Config: p.config, Parts: []string{"ingress", "translate", "enrich", "parking", "inventory"}, Connectors: table,
		Log: slog.New(slog.DiscardHandler), Metrics: p.metrics,
	})
	if err != nil {
		t.Fatal(err)
	}
	running, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.process.Run(running) }()
	t.Cleanup(func() {
		end()
		if err := <-ended; err != nil {
			t.Errorf("the pipeline: %v", err)
		}
	})
	p.until("the pipeline is ready", func() bool { ok, _ := p.process.Ready(); return ok })
	return p
}

func (p *plant) client() *kgo.Client {
	p.t.Helper()
	client, err := kgo.NewClient(append(p.opts[:len(p.opts):len(p.opts)], kgo.MetadataMinAge(50*time.Millisecond))...)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(client.Close)
	return client
}

func (p *plant) until(what string, ok func() bool) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			p.t.Fatalf("not within a minute: %s", what)
		}
	}
}

func (p *plant) post(source string, body io.Reader) (int, string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, "http://"+p.process.Addr()+"/v1/in/"+source, body)
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

func (p *plant) mustPost(body []byte) {
	p.t.Helper()
	if code, answer := p.post("acme", bytes.NewReader(body)); code != http.StatusAccepted {
		p.t.Fatalf("%d %s", code, answer)
	}
}

func (p *plant) topic(id topics.ID) string { return pipeline.Naming(&p.config).Topic(id) }

func (p *plant) read(topic string, f func(*kgo.Record) error) {
	p.t.Helper()
	if err := committed.Read(p.t.Context(), p.opts, topic, f); err != nil {
		p.t.Fatal(err)
	}
}

// available is the stock of an article at the site HAM.
func (p *plant) available(sku string) (q event.Quantity) {
	p.t.Helper()
	p.read(p.topic(topics.Balances), func(r *kgo.Record) error {
		var b event.InventoryBalance
		if err := p.serde.Decode(r.Value, &b); err != nil {
			return err
		}
		if b.SKU == sku {
			q = b.Available
		}
		return nil
	})
	return q
}

func (p *plant) deadLetters() (all []event.DeadLetter) {
	p.t.Helper()
	p.read(p.topic(topics.DeadLetters), func(r *kgo.Record) error {
		var d event.DeadLetter
		if err := p.serde.Decode(r.Value, &d); err != nil {
			return err
		}
		all = append(all, d)
		return nil
	})
	return all
}

// waits counts the events that wait for a missing unit.
func (p *plant) waits() (n uint64) {
	p.t.Helper()
	state := store.New()
	p.read(pipeline.Naming(&p.config).Changelog(p.config.App+"-"+parking.Stage, "references"), func(r *kgo.Record) error { return state.Restore(r.Key, r.Value) })
	err := parking.List(state, func(w parking.Waiting) bool {
		n += w.Events
		return true
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

// receipt is a canonical line: so much of an article came in.
func receipt(document, sku, qty, unit string) []byte {
	return []byte(`{"event":"InventoryMovement","header":{"source_doc_id":"` + document + `","event_time":"2026-11-24T10:00:00Z","site":"HAM"},"sku":"` + sku +
		`","type":"RECEIPT","qty_src":"` + qty + `","uom_src":"` + unit + `","to":{"bucket":"AVAILABLE"}}` + "\n")
}

// repeated reads one byte n times: a document of any size that nobody has to hold.
type repeated struct {
	b    byte
	left int
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), r.left)
	for i := range p[:n] {
		p[i] = r.b
	}
	r.left -= n
	return n, nil
}

// Whatever comes in, it is refused with a reason or kept as a dead letter with its bytes, cause and raw reference, and the
// document beside it is processed.
func TestBadInputIsRefusedOrKeptAndWhatIsBesideItIsProcessed(t *testing.T) {
	p := newPlant(t, testservices.Broker(t))
	p.mustPost([]byte("sku,base_uom,units\nTEA,EA,CA=24\n"))
	p.mustPost([]byte("site,time_zone\nHAM,Europe/Berlin\n"))
	p.until("the tables know", func() bool { items, sites := p.process.MasterData(); return items == 1 && sites == 1 })

	want := event.Quantity(0)
	beside := func(name string) { // one more case of tea, after each bad thing
		p.mustPost(receipt("after "+name, "TEA", "1", "CA"))
		want += 24_000_000
		p.until("the receipt after "+name, func() bool { return p.available("TEA") == want })
	}

	order, err := os.ReadFile("demo/documents/order-940.edi")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		body  []byte
		cause string
	}{
		{"truncated", order[:300], "X12"},
		{"binary", []byte{0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0xff}, "UNKNOWN_DOCUMENT"},
		{"wrong charset", []byte("\xff\xfeI\x00S\x00A\x00"), "UNKNOWN_DOCUMENT"},
		{"latin 1 in a UTF-8 format", receipt("ch", "TE\xc4", "1", "EA"), "BAD_TEXT"},
		{"a quantity of 1e30", receipt("huge", "TEA", "1e30", "EA"), "BAD_QUANTITY"},
		{"a quantity of 31 digits", receipt("huge2", "TEA", "1000000000000000000000000000000", "EA"), "BAD_QUANTITY"},
	} {
		before := len(p.deadLetters())
		p.mustPost(c.body)
		var letters []event.DeadLetter
		p.until("a dead letter for "+c.name, func() bool { letters = p.deadLetters(); return len(letters) > before })
		d := newest(letters)
		if !strings.HasPrefix(d.Cause, c.cause) || d.Detail == "" || d.Remedy == "" || !strings.Contains(d.RawRef.Value, ".raw.acme/") {
			t.Errorf("%s: cause %s, detail %q, remedy %q, raw reference %q", c.name, d.Cause, d.Detail, d.Remedy, d.RawRef.Value)
		}
		if kept := bytes.TrimSpace(d.Value.Value); len(kept) == 0 || !bytes.Contains(c.body, kept) {
			t.Errorf("%s: the dead letter holds %q, which is not of the document", c.name, kept)
		}
		beside(c.name)
	}

	if code, answer := p.post("acme", bytes.NewReader(nil)); code != 400 || !strings.Contains(answer, "empty") {
		t.Errorf("empty: %d %s", code, answer)
	}
	beside("empty")
	if code, answer := p.post("acme", &repeated{'x', 200 << 20}); code != 413 && code != 0 { // 0: it hung up on us
		t.Errorf("200 MB: %d %s", code, answer)
	}
	beside("200 MB")
	if code, answer := p.post("nobody", bytes.NewReader(order)); code != 404 || !strings.Contains(answer, "acme") {
		t.Errorf("unknown source: %d %s", code, answer)
	}
	beside("unknown source")

	p.mustPost(receipt("unit", "TEA", "1", "WHEELBARROW"))
	p.until("the receipt waits for its unit", func() bool { return p.waits() == 1 })
	beside("unknown unit")

	before := len(p.deadLetters())
	unknown := []byte{0, 0, 1, 0x86, 0x9f, 1, 2, 3} // schema id 99,999
	if err := p.client().ProduceSync(t.Context(), &kgo.Record{Topic: p.topic(topics.Movements), Key: []byte("k"), Value: unknown}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	p.until("a dead letter for the unknown schema", func() bool { return len(p.deadLetters()) > before })
	if d := newest(p.deadLetters()); d.Cause != "UNKNOWN_SCHEMA" || !bytes.Equal(d.Value.Value, unknown) || d.Topic != p.topic(topics.Movements) {
		t.Errorf("unknown schema: %s %x from %s", d.Cause, d.Value.Value, d.Topic)
	}
	beside("unknown schema id")

	// Alerts see every dead letter, those of a part of a document too.
	counted := p.deadLetterMetric()
	for _, d := range p.deadLetters() {
		counted[d.Cause]--
	}
	for cause, n := range counted {
		if n != 0 {
			t.Errorf("cause %s: the metric counts %+d against the topic", cause, n)
		}
	}
}

// deadLetterMetric is what crossdock_task_dead_letters_total counts, by cause.
func (p *plant) deadLetterMetric() map[string]int {
	p.t.Helper()
	families, err := p.metrics.Gather()
	if err != nil {
		p.t.Fatal(err)
	}
	counted := map[string]int{}
	for _, f := range families {
		if f.GetName() != "crossdock_task_dead_letters_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "cause" {
					counted[l.GetValue()] += int(m.GetCounter().GetValue())
				}
			}
		}
	}
	return counted
}

func newest(all []event.DeadLetter) *event.DeadLetter {
	d := &all[0]
	for i := range all {
		if all[i].FailedAt > d.FailedAt {
			d = &all[i]
		}
	}
	return d
}
