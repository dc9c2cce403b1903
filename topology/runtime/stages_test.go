package runtime

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/processors"
	"crossdock/topology"
	"crossdock/topology/topics"
)

// passer is a stateless processor that passes bytes on.
type passer struct{}

func (passer) Process(ctx processors.Context, r *processors.Record) error {
	ctx.EmitRaw(topics.Ledger, r.Key, r.Value, r.Headers)
	return nil
}

func (r *rig) create(topic string) {
	r.t.Helper()
	if _, err := kadm.NewClient(r.client).CreateTopic(r.t.Context(), 2, 1, nil, topic); err != nil {
		r.t.Fatal(err)
	}
}

// A stage without stores runs in the same loop: it reads the topics of the sources that it is told, and of none else.
func TestStatelessStageReadsTheTopicsOfItsSources(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), topology.Stage{
		Name: "passing", Raw: true, Inputs: []topics.ID{topics.Movements}, Outputs: []topics.ID{topics.Ledger},
		New: func() processors.Processor { return passer{} },
	}, 2)
	for _, source := range []string{"erp", "wms", "other"} {
		r.create(r.naming.Raw(source))
	}
	for _, topic := range []string{r.naming.Raw("erp"), r.naming.Raw("wms"), r.naming.Raw("other"), r.input()} {
		r.produce(&kgo.Record{Topic: topic, Key: []byte("k"), Value: []byte(topic)})
	}
	cfg := r.config("a")
	cfg.Sources = []string{"erp", "wms"}
	p := r.start(cfg)
	until(t, "three have passed", func() bool { return len(r.read(r.naming.Topic(topics.Ledger))) == 3 })
	p.close(t)
	for _, rec := range r.read(r.naming.Topic(topics.Ledger)) {
		if string(rec.Value) == r.naming.Raw("other") {
			t.Error("a source that it was not told")
		}
	}
}

func TestStageWithoutNamedSourcesFindsNewOnes(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), topology.Stage{
		Name: "passing", Raw: true, Outputs: []topics.ID{topics.Ledger}, New: func() processors.Processor { return passer{} },
	}, 2)
	r.create(r.naming.Raw("erp"))
	r.produce(&kgo.Record{Topic: r.naming.Raw("erp"), Key: []byte("k"), Value: []byte("erp")})
	p := r.start(r.config("a"))
	until(t, "the first has passed", func() bool { return len(r.read(r.naming.Topic(topics.Ledger))) == 1 })
	r.create(r.naming.Raw("wms"))
	r.produce(&kgo.Record{Topic: r.naming.Raw("wms"), Key: []byte("k"), Value: []byte("wms")})
	p.workers[0].client.Load().ForceMetadataRefresh() // in life it comes within half a minute
	until(t, "the second has passed", func() bool { return len(r.read(r.naming.Topic(topics.Ledger))) == 2 })
	p.close(t)
}

func TestNothingIsProcessedBeforeTheTablesAreLoaded(t *testing.T) {
	c := fake(t)
	applied := &table{}
	stage := countingStage(nil)
	stage.Tables = true
	early := 0
	stage.New = func() processors.Processor {
		if applied.applied.Load() != 100 {
			early++
		}
		return &counting{}
	}
	r := newRig(t, c.ListenAddrs(), stage, 2)
	for range 100 {
		r.produce(&kgo.Record{Topic: r.naming.Topic(topics.Items), Key: []byte("sku"), Value: []byte("item")})
	}
	r.send(500, 20)
	tables := r.tables(applied)
	p := r.start(r.config("a"), func(d *Deps) { d.Tables = tables })
	r.drained()
	p.close(t)
	r.verify()
	if early != 0 {
		t.Errorf("%d tasks were made before the tables had been read", early)
	}
}

func TestConfigurationReportsEveryProblem(t *testing.T) {
	cfg := Config{App: "a/b", Workers: -1, Compression: "brotli"}
	cfg.EnsureDefaults()
	cfg.EndTimeout, cfg.Commit.MaxBytes = cfg.TransactionTimeout, 5
	err := cfg.Validate()
	if err == nil {
		t.Fatal("valid")
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != 8 {
		t.Errorf("%v", err)
	}
	good := (&rig{app: "a", workers: 1}).config("i")
	good.EnsureDefaults()
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
}
