package faults

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/registry"
	"crossdock/avro/serde"
	"crossdock/cmd/crossdock/pipeline"
	"crossdock/internal/config"
	"crossdock/internal/telemetry"
	"crossdock/internal/testservices/kafka"
	"crossdock/loadtest/scans"
	"crossdock/topology/topics"
)

// Options of a field and of a run on it.
type Options struct {
	Binary  string   // the program
	Dir     string   // of all files: data, logs. Made by Open, and left where a run failed
	Cluster bool     // three brokers with three replicas, two of them in sync; else one broker
	Parts   []string // what each process runs; default enrich, parking and inventory
	// Instances are the processes that run at all times; a place more is there for one that comes and goes. Default 2.
	Instances int
	Workers   int     // of each stage in each process; default 1
	Faults    []Fault // default: All that the field can have
	Seed      uint64  // of the load and of the schedule
	Rate      int     // events a second; default 1000
	// For is how long faults come, and Steps how many at most; 0: no bound by number.
	For   time.Duration
	Steps int
	// Bound is how long a partition that has records may stand still when nothing is broken, and how long what shows no progress,
	// such as a process's start, may take; default 60 s. A slow machine makes a run longer, and does not make it fail.
	Bound time.Duration
	Log   func(format string, args ...any)
}

func (o *Options) ensureDefaults() {
	if len(o.Parts) == 0 {
		o.Parts = []string{"enrich", "parking", "inventory"}
	}
	if o.Instances == 0 {
		o.Instances = 2
	}
	if o.Workers == 0 {
		o.Workers = 1
	}
	if o.Rate == 0 {
		o.Rate = 1000
	}
	if o.Bound == 0 {
		o.Bound = time.Minute
	}
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
}

// The field's timeouts are shorter than the defaults, as those of an installation that must fail over fast: brokers take no
// shorter session.
const (
	sessionTimeout     = 6 * time.Second
	transactionTimeout = 4 * time.Second
	partitions         = 6
)

// A Field is where faults happen: brokers, the ways to them, topics, a registry, and places for processes.
type Field struct {
	o         Options
	config    config.Config
	settings  map[string]bool // that the program has
	has       need
	brokers   []*kafka.Broker
	instances []*instance
	serde     *serde.Serde
	kafka     []kgo.Opt // the harness's own way to the brokers, which no fault is on
	client    *kgo.Client
	admin     *kadm.Client
	progress  *progress
	renamed   int
	waited    []string // ids of events that waited in vain for a zombie

	closing []func() error // in the order of their making
}

// Open makes a field: brokers run, topics are there, and no process yet. The error may be an *artifact.Unavailable.
func Open(ctx context.Context, o Options) (_ *Field, err error) {
	o.ensureDefaults()
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, err
	}
	f := &Field{o: o, settings: map[string]bool{}, config: config.Default()}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	for _, k := range config.Keys() {
		f.settings[k.Name] = true
	}
	if o.Cluster {
		f.has |= needsCluster
	}
	if f.settings[parkingLimit] {
		f.has |= needsTimers
	}
	if err := canMount(ctx, f.state(disk{name: "try"})); err == nil {
		f.has |= needsSmallDisk
	} else {
		o.Log("no disk will be full: a process cannot have a file system of its own here: %v", err)
	}
	if err := f.startBrokers(ctx); err != nil {
		return nil, err
	}
	c := &f.config
	c.App, c.Kafka.Prefix, c.Kafka.Partitions = "faults", "faults.", partitions
	c.Runtime.SessionTimeout, c.Runtime.TransactionTimeout = sessionTimeout, transactionTimeout
	c.Kafka.Brokers = nil
	for _, b := range f.brokers {
		c.Kafka.Brokers = append(c.Kafka.Brokers, b.Addr())
	}
	if o.Cluster {
		c.Kafka.ReplicationFactor, c.Kafka.MinInsyncReplicas = 3, 2
	}
	if err := f.serveRegistry(ctx); err != nil {
		return nil, err
	}
	if f.serde, err = pipeline.Serde(ctx, c); err != nil {
		return nil, err
	}
	f.kafka = []kgo.Opt{kgo.SeedBrokers(c.Kafka.Brokers...), kgo.MetadataMinAge(250 * time.Millisecond), kgo.DialTimeout(2 * time.Second)}
	if f.client, err = kgo.NewClient(f.kafka...); err != nil {
		return nil, err
	}
	f.admin = kadm.NewClient(f.client)
	f.closing = append(f.closing, func() error { f.client.Close(); return nil })
	plan, err := pipeline.PlanTopics(ctx, f.client, c)
	if err != nil {
		return nil, err
	}
	return f, plan.Apply(ctx, f.client, nil)
}

// startBrokers runs the brokers, each with one path for each place.
func (f *Field) startBrokers(ctx context.Context) error {
	nodes := 1
	if f.o.Cluster {
		nodes = 3
	}
	advertise := make([][]string, nodes)
	for place := range f.o.Instances + 1 {
		i := &instance{field: f, place: place}
		for n := range nodes {
			p, err := newPath(ctx)
			if err != nil {
				return err
			}
			f.closing = append(f.closing, func() error { p.close(); return nil })
			i.paths = append(i.paths, p)
			advertise[n] = append(advertise[n], p.addr())
		}
		f.instances = append(f.instances, i)
	}
	o := kafka.Options{Dir: filepath.Join(f.o.Dir, "kafka"), Brief: true, Heap: "384m", Progress: func(s string) { f.o.Log("%s", s) }, Config: []string{
		// A broker that is gone is noticed after 9 s by default: faults would come no faster.
		"broker.session.timeout.ms=3000", "broker.heartbeat.interval.ms=500",
	}}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return err
	}
	c, err := kafka.StartCluster(ctx, o, advertise)
	if err != nil {
		return err
	}
	f.brokers = c.Brokers
	f.closing = append(f.closing, c.Kill9)
	for _, i := range f.instances {
		for n, p := range i.paths {
			p.aim(f.brokers[n].Path(i.place))
		}
	}
	return nil
}

// serveRegistry serves schemas from memory until the field is closed.
func (f *Field) serveRegistry(ctx context.Context) error {
	r, err := registry.Open("")
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	var done sync.WaitGroup
	done.Go(func() { _ = telemetry.Serve(serving, l, r, time.Second) }) // whoever asks it sees what fails
	f.closing = append(f.closing, func() error { stop(); done.Wait(); return nil })
	f.config.Registry.URL = "http://" + l.Addr().String()
	return nil
}

// Close ends all that runs. Files stay.
func (f *Field) Close() error {
	var errs []error
	for _, i := range f.instances {
		errs = append(errs, i.kill9())
	}
	for n := len(f.closing) - 1; n >= 0; n-- {
		errs = append(errs, f.closing[n]())
	}
	f.closing = nil
	return errors.Join(errs...)
}

// Logs says where the logs of all processes are.
func (f *Field) Logs() string { return f.logs() }

// Discard removes all files: for runs that held.
func (f *Field) Discard() error { return f.discard() }

// victim is the instance that a draw means, among those that run at all times.
func (f *Field) victim(d Draw) *instance { return f.instances[d.Victim%f.o.Instances] }

// spare is the place for one that comes and goes.
func (f *Field) spare() *instance { return f.instances[f.o.Instances] }

// fresh is a name that no instance has had.
func (f *Field) fresh() string {
	f.renamed++
	return "r" + strconv.Itoa(f.renamed)
}

func (f *Field) groups() map[string][]string {
	naming := pipeline.Naming(&f.config)
	inputs := map[string]topics.ID{"enrich": topics.Movements, "parking": topics.ParkingInbox, "inventory": topics.InventoryInbox}
	all := map[string][]string{}
	for _, part := range f.o.Parts {
		all[f.group(part)] = []string{naming.Topic(inputs[part])}
	}
	return all
}

func (f *Field) group(part string) string { return f.config.App + "-" + part }

// load is what is sent: a small retailer's, with everything that a large one's has.
func (f *Field) load() scans.Load {
	l := scans.DefaultLoad(f.o.Seed)
	l.Rate, l.Run, l.Start = f.o.Rate, "FAULTS", time.Now()
	l.SKUs, l.Sites, l.BusySites, l.Devices = 2000, 20, 4, 200
	l.Poison = 0.002
	l.Offline.Min, l.Offline.Max = 5*time.Second, 30*time.Second
	l.Snapshots.Every = 30 * time.Second
	return l
}
