package runtime

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"crossdock/avro/serde"
	"crossdock/topology"
	"crossdock/topology/runtime/assignor"
	"crossdock/topology/runtime/store"
)

// Deps are what an instance shares with the rest of the process.
type Deps struct {
	Serde *serde.Serde
	// Tables are the master data of stages that look it up; whoever made them runs them. Nil for other stages.
	Tables *GlobalTables
	// State is the disk of the stores; whoever made it closes it, after Run. Nil: state is in memory, and every assignment reads
	// its changelogs from the start.
	State *store.DB
	// Registerer takes the metrics, with a label "app". Nil: none are kept.
	Registerer prometheus.Registerer
	// Logger; nil: slog.Default.
	Logger *slog.Logger
	// Clock is the time that processors see. Nil: time.Now.
	Clock func() time.Time
}

// An Instance runs one stage in this process.
type Instance struct {
	cfg       Config
	stage     topology.Stage
	serde     *serde.Serde
	tables    *GlobalTables
	log       *slog.Logger
	clock     func() time.Time
	metrics   *metrics
	topics    *topicSet
	restorer  *restorer // nil for a stage without stores
	keeper    *keeper   // likewise
	disk      *store.DB // nil: state is in memory
	learner   *learner
	fencer    *fencer
	signature signature
	pace      pace
	workers   []*worker
	homes     homes
	directory directory
	life      context.Context // of Run, for what outlives a session
	over      chan struct{}   // closed when Run has ended
	started   atomic.Bool
	up        atomic.Bool // the workers run
}

// New makes an instance, or says everything that is wrong with its configuration.
func New(cfg Config, stage topology.Stage, deps Deps) (*Instance, error) {
	cfg.EnsureDefaults()
	err := cfg.Validate()
	if deps.Serde == nil {
		err = errors.Join(err, errors.New("runtime: no serde"))
	}
	if stage.Tables && deps.Tables == nil {
		err = errors.Join(err, errors.New("runtime: stage "+stage.Name+" looks up master data, but there are no tables"))
	}
	if stage.Stateful() && (len(stage.Inputs) != 1 || stage.Raw) {
		err = errors.Join(err, errors.New("runtime: stage "+stage.Name+" has stores, so it must have exactly one input"))
	}
	if err != nil {
		return nil, err
	}
	i := &Instance{cfg: cfg, stage: stage, serde: deps.Serde, log: deps.Logger, clock: deps.Clock, homes: homes{of: map[int32]*home{}}, directory: newDirectory(), over: make(chan struct{})}
	if stage.Tables {
		i.tables = deps.Tables
	}
	if stage.Stateful() {
		i.disk = deps.State
	}
	if i.log == nil {
		i.log = slog.Default()
	}
	i.log = i.log.With("app", cfg.App)
	if i.clock == nil {
		i.clock = time.Now
	}
	i.pace = newPace(cfg.Workers)
	i.signature = newSignature()
	i.topics = newTopicSet(&i.cfg, &i.stage)
	i.learner = newLearner(i.serde, i.log, i.clock)
	var collectors []prometheus.Collector
	if stage.Stateful() {
		i.keeper = newKeeper(i)
		collectors = append(collectors, newKeeperMetrics(i.keeper))
		if b, ok := cfg.Balancer.(*assignor.Balancer); ok {
			b.Keep(i.keeper, assignor.Options{Standbys: cfg.StandbyReplicas, WarmupLag: cfg.WarmupLag, MaxWarmups: cfg.MaxWarmups})
		}
	}
	if i.metrics, err = newMetrics(deps.Registerer, cfg.App, i.clock, collectors...); err != nil {
		return nil, err
	}
	i.fencer = newFencer(&i.cfg, i.log, i.metrics.fencer, i.standing())
	for n := range cfg.Workers {
		i.workers = append(i.workers, newWorker(i, n))
	}
	return i, nil
}

// Run processes until ctx ends, which is no error: the transactions at hand are finished first. An *ExitError says why it
// stopped otherwise. An instance runs once.
func (i *Instance) Run(ctx context.Context) error {
	if i.started.Swap(true) {
		return errors.New("runtime: an instance runs once; make another")
	}
	defer close(i.over)
	defer i.metrics.unregister()
	life, kill := context.WithCancel(context.WithoutCancel(ctx)) // of its client, whose end waits for no broker
	client, err := kgo.NewClient(append(append([]kgo.Opt(nil), i.cfg.Client...), kgo.WithContext(life), kgo.ClientID(i.cfg.App+"/"+i.cfg.Instance),
		kgo.MetadataMinAge(i.cfg.MetadataMinAge), kgo.WithLogger(clientLog{i.log}))...)
	if err != nil {
		kill()
		return exit(StageFailed, err, "Correct the client's options.", "the client of %s cannot be made", i.cfg.App)
	}
	defer client.Close()
	defer kill()
	if err := i.checkTopics(ctx, client); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	if i.tables != nil {
		select {
		case <-i.tables.Loaded():
		case <-ctx.Done():
			return nil
		}
	}
	if i.disk != nil {
		if err := i.topics.learnRetention(ctx, client); err != nil {
			i.log.Warn("a changelog's delete.retention.ms cannot be read: Kafka's default is taken", "error", err)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	i.life = ctx
	defer i.learner.wait()
	if i.stage.Stateful() {
		var err error
		if i.restorer, err = newRestorer(&i.cfg, i.log); err != nil {
			return err
		}
		defer i.restorer.opening.Wait()
		defer i.restorer.kill()
		group.Go(func() error { return i.restorer.run(ctx) })
	}
	i.fencer.connect(client, i.topics.places(&i.stage), i.topics.changelogs)
	if i.stage.Stateful() {
		i.keeper.start(ctx, client)
		group.Go(func() error { return i.keeper.run(ctx) })
	}
	i.fencer.ask() // a predecessor under another name may have left something open
	group.Go(func() error { return i.fencer.run(ctx) })
	for _, w := range i.workers {
		group.Go(func() error { return w.run(ctx) })
	}
	group.Go(func() error { return i.watchOwners(ctx, kadm.NewClient(client)) })
	i.up.Store(true)
	defer i.up.Store(false)
	return group.Wait()
}

// topicGrace is how long a topic may be missing at start: one that was just created reaches the brokers one by one.
const topicGrace = 3 * time.Second

// checkTopics waits for the brokers, and says which topic is missing.
func (i *Instance) checkTopics(ctx context.Context, client *kgo.Client) error {
	began := time.Now()
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := i.topics.check(ctx, client, &i.stage)
		var x *ExitError
		if err == nil || ctx.Err() != nil || errors.As(err, &x) && (x.Reason != MissingTopic || time.Since(began) > topicGrace) {
			return err
		}
		i.log.Warn("the topics are not there yet, or cannot be asked for", "error", err, "backoff", wait.String())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// pace spreads the commits of an instance's workers: at low rates nearly all of the cost is commits, so that several
// workers together commit no more often than one would.
type pace struct{ last []atomic.Int64 } // by worker: when it last committed, in nanoseconds

func newPace(workers int) pace { return pace{last: make([]atomic.Int64, workers)} }

// atWork is how recently a worker must have committed to count.
const atWork = 100 * time.Millisecond

func (p *pace) committed(worker int, at time.Time) { p.last[worker].Store(at.UnixNano()) }

// interval is a worker's own, of one counted for all of them.
func (p *pace) interval(shared time.Duration) time.Duration {
	if len(p.last) == 1 {
		return shared
	}
	since := time.Now().Add(-atWork).UnixNano()
	n := 0
	for i := range p.last {
		if p.last[i].Load() > since {
			n++
		}
	}
	return shared * time.Duration(max(1, n))
}
