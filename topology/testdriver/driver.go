// Package testdriver runs stages without a broker: what a Kafka Streams developer knows as TopologyTestDriver. A test pipes
// events into topics; they flow through every stage that reads the topic, and on through the stages behind it, before Pipe
// returns; the test then reads topics, stores and dead letters.
//
//	driver, err := testdriver.New(testdriver.Options{Stages: stages})
//	err = driver.Input(topics.InventoryInbox).Pipe(key, &movement)
//	balances, err := testdriver.ReadAll[event.InventoryBalance](driver.Output(topics.Balances))
//
// The stages run on the runtime's own task code, so what holds here holds there: rejection, dead letters, panics, the
// changelog, once a commit. What is not here is the broker: no groups, no lag, no faults of the network.
//
// It is stricter than a broker where that finds mistakes:
//
//   - A record's bytes are overwritten when its transaction ends.
//   - Options.Aborts processes each batch so many times in vain before it counts, and Restart throws away every processor
//     and restores the stores from their changelogs: a processor that keeps state of its own is found out.
//
// A Driver is for one goroutine. Everything in it is deterministic: the clock moves only when the test moves it (Advance), and
// timers fire then, or with the next record that is piped where they are due at once.
package testdriver

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/processors"
	"crossdock/topology"
	"crossdock/topology/runtime"
	"crossdock/topology/runtime/task"
	"crossdock/topology/topics"
)

// Options of a Driver. The zero value of a field is its default.
type Options struct {
	// Stages run in this order; the order matters to nothing but the order of outputs.
	Stages []topology.Stage
	// Tables takes what is piped into the topics items and sites, before any stage sees the next record; then stages that
	// watch the tables look again at what waits. Needed where a stage looks up master data.
	Tables runtime.TableApplier
	// Naming makes topics' names. Default: no prefix.
	Naming topics.Naming
	// Partitions is the count of inboxes and raw topics. Default 1.
	Partitions int
	// BatchRecords is how many records a task processes in one transaction, at most. Default: all that are at hand, which
	// is one where each is piped alone, and all those of one Together.
	BatchRecords int
	// Aborts is how often each transaction is processed and aborted before it is processed and committed. Default 0.
	Aborts int
	// Start is where the clock stands at first. Default 2026-01-01 00:00 UTC.
	Start time.Time
}

// A Driver runs stages.
type Driver struct {
	opts    Options
	serde   *serde.Serde
	byKey   kgo.TopicPartitioner
	now     time.Time
	logs    map[string]*log
	stages  []*stage
	arena   task.Arena
	outputs outputs
	lent    []processors.Record // to the transaction in hand
	items   *log
	sites   *log
	tables  int // generation
	refused []error
	held    int // how many Togethers are open
	running bool
}

// A log is a topic: its records by partition, and all of them in the order in which they came.
type log struct {
	name       string
	partitions [][]processors.Record
	all        []*processors.Record
}

// A stage is one application: a task for each partition of its inputs.
type stage struct {
	topology.Stage
	app   string
	tasks []*run
}

// A run is one task and where it stands.
type run struct {
	stage      *stage
	in         *log
	partition  int32
	next       int // offset of the next record
	task       *task.Task
	tablesSeen int
	rejects    map[int64]*processors.Rejection // by offset: isolated after a panic
}

// New makes a driver, or says what is wrong with the stages.
func New(o Options) (*Driver, error) {
	if err := topology.Check(o.Stages); err != nil {
		return nil, err
	}
	if o.Partitions == 0 {
		o.Partitions = 1
	}
	if o.Start.IsZero() {
		o.Start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	d := &Driver{
		opts: o, serde: serde.Local(), byKey: kgo.StickyKeyPartitioner(nil).ForTopic(""),
		now: o.Start, logs: map[string]*log{},
	}
	d.outputs.driver = d
	for _, t := range topics.All() {
		n := topics.FewPartitions
		if t.Inbox {
			n = o.Partitions
		}
		d.create(o.Naming.Topic(t.ID), n)
	}
	d.items, d.sites = d.logs[o.Naming.Topic(topics.Items)], d.logs[o.Naming.Topic(topics.Sites)]
	for _, decl := range o.Stages {
		s := &stage{Stage: decl, app: runtime.ApplicationID(o.Naming.Prefix, decl)}
		d.stages = append(d.stages, s)
		for _, id := range s.Inputs {
			in := d.logs[o.Naming.Topic(id)]
			for _, store := range s.Stores {
				d.create(d.changelog(s, store.Name), len(in.partitions))
			}
			if err := d.assign(s, in); err != nil {
				return nil, err
			}
		}
	}
	return d, nil
}

func (d *Driver) create(name string, partitions int) *log {
	l := &log{name: name, partitions: make([][]processors.Record, partitions)}
	d.logs[name] = l
	return l
}

func (d *Driver) changelog(s *stage, store string) string {
	return d.opts.Naming.Changelog(s.app, store)
}

// assign makes a stage's tasks for a topic.
func (d *Driver) assign(s *stage, in *log) error {
	for p := range in.partitions {
		r := &run{stage: s, in: in, partition: int32(p), rejects: map[int64]*processors.Rejection{}}
		if err := d.open(r); err != nil {
			return err
		}
		s.tasks = append(s.tasks, r)
	}
	return nil
}

// Serde reads and writes the values of the driver's records.
func (d *Driver) Serde() *serde.Serde { return d.serde }

// Now is where the clock stands.
func (d *Driver) Now() time.Time { return d.now }

// Advance moves the clock. It stops at each time at which a timer is due, and runs every stage until nothing is left to do.
// Kafka Streams: advanceWallClockTime. An error is as in Pipe. Within Together only the clock moves.
func (d *Driver) Advance(by time.Duration) error {
	to := d.now.Add(by)
	for d.held == 0 {
		at, set, err := d.nextTimer()
		if err != nil {
			return err
		}
		if !set || at.After(to) {
			break
		}
		if at.After(d.now) {
			d.now = at
		}
		if err := d.run(); err != nil {
			return err
		}
	}
	d.now = to
	return nil
}

// nextTimer tells when the next timer of any task is due.
func (d *Driver) nextTimer() (next time.Time, set bool, err error) {
	for _, s := range d.stages {
		for _, r := range s.tasks {
			at, ok, err := r.task.NextTimer()
			if err != nil {
				return next, false, fmt.Errorf("testdriver: stage %s, %s/%d: %w", s.Name, r.in.name, r.partition, err)
			}
			if t := time.UnixMicro(at).UTC(); ok && (!set || t.Before(next)) {
				next, set = t, true
			}
		}
	}
	return next, set, nil
}

// Restart throws away every processor, and makes its stores anew from their changelogs: what a crash leaves.
func (d *Driver) Restart() error {
	for _, s := range d.stages {
		for _, r := range s.tasks {
			if err := d.open(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// Together pipes what f pipes as one batch: the stages see nothing of it before f has returned.
func (d *Driver) Together(f func() error) error {
	d.held++
	err := f()
	d.held--
	if err != nil {
		return err
	}
	return d.run()
}

// An Input is a topic to pipe into. Kafka Streams: TestInputTopic.
type Input struct {
	driver *Driver
	log    *log
}

// Input is a topic of the table.
func (d *Driver) Input(id topics.ID) *Input {
	return &Input{driver: d, log: d.logs[d.opts.Naming.Topic(id)]}
}

// Raw is the topic of what a source sent, which the first use makes.
func (d *Driver) Raw(source string) (*Input, error) {
	name := d.opts.Naming.Raw(source)
	l, ok := d.logs[name]
	if !ok {
		l = d.create(name, d.opts.Partitions)
		for _, s := range d.stages {
			if s.Raw {
				if err := d.assign(s, l); err != nil {
					return nil, err
				}
			}
		}
	}
	return &Input{driver: d, log: l}, nil
}

// Pipe puts an event on the topic and runs every stage until nothing is left to read. The record's time is the clock's.
// An error is a stage that cannot go on (*processors.Fatal), or a record that the tables refuse; a rejected record is none:
// see DeadLetters.
func (in *Input) Pipe(key []byte, e event.Record, headers ...processors.Header) error {
	return in.PipeBytes(key, in.driver.serde.Append(nil, e), headers...)
}

// PipeBytes is Pipe for a value as it is: a document, a value with another framing, nil for a tombstone.
func (in *Input) PipeBytes(key, value []byte, headers ...processors.Header) error {
	d := in.driver
	if (in.log == d.items || in.log == d.sites) && d.opts.Tables == nil {
		for _, s := range d.stages {
			if s.Tables {
				return fmt.Errorf("testdriver: stage %s looks up master data, and a record of %s reaches no table: set Options.Tables", s.Name, in.log.name)
			}
		}
	}
	refused := d.append(in.log, d.partition(in.log, key), processors.Record{
		Time: d.now.UnixMilli() * 1000, Key: slices.Clone(key), Value: slices.Clone(value), Headers: cloneHeaders(headers),
	})
	if refused != nil {
		return refused
	}
	if d.held > 0 {
		return nil
	}
	return d.run()
}

// TableErrors are of records that stages put on the topics items and sites, and the tables refused. They are skipped, as in
// the runtime.
func (d *Driver) TableErrors() []error { return d.refused }

// partition is what Java's default partitioner and the runtime's give: murmur2 of the key.
func (d *Driver) partition(l *log, key []byte) int32 {
	if key == nil {
		return 0
	}
	return int32(d.byKey.Partition(&kgo.Record{Key: key}, len(l.partitions)))
}

// append puts a record on a topic. An error is the tables', which have not taken it.
func (d *Driver) append(l *log, partition int32, r processors.Record) error {
	r.Topic, r.Partition, r.Offset = l.name, partition, int64(len(l.partitions[partition]))
	l.partitions[partition] = append(l.partitions[partition], r)
	l.all = append(l.all, &r)
	if d.opts.Tables == nil || l != d.items && l != d.sites {
		return nil
	}
	id := topics.Items
	if l == d.sites {
		id = topics.Sites
	}
	d.tables++
	if err := d.opts.Tables.ApplyTable(id, slices.Clone(r.Key), slices.Clone(r.Value)); err != nil {
		return fmt.Errorf("testdriver: a record of %s: %w", l.name, err)
	}
	return nil
}

func cloneHeaders(headers []processors.Header) []processors.Header {
	if len(headers) == 0 {
		return nil
	}
	c := make([]processors.Header, len(headers))
	for i, h := range headers {
		c[i] = processors.Header{Key: h.Key, Value: slices.Clone(h.Value)}
	}
	return c
}

// maxRecords bounds what one Pipe may set off: stages that feed each other without end are a mistake.
const maxRecords = 1_000_000

// run processes until nothing is left to read.
func (d *Driver) run() error {
	if d.running {
		return errors.New("testdriver: a processor pipes into the driver that runs it")
	}
	d.running = true
	defer func() { d.running = false }()
	for processed := 0; ; {
		before := processed
		for _, s := range d.stages {
			for _, r := range s.tasks {
				n, err := d.step(r)
				if err != nil {
					return fmt.Errorf("testdriver: stage %s, %s/%d: %w", s.Name, r.in.name, r.partition, err)
				}
				processed += n
			}
		}
		if processed == before {
			return nil
		}
		if processed > maxRecords {
			return fmt.Errorf("testdriver: %d records were processed and there are still more: do stages feed each other without end?", processed)
		}
	}
}
