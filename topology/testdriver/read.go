package testdriver

import (
	"fmt"
	"slices"

	"crossdock/avro/event"
	"crossdock/processors"
	"crossdock/topology/runtime/store"
	"crossdock/topology/topics"
)

// An Output reads a topic from its start, in the order in which records came to it. Kafka Streams: TestOutputTopic. Each
// Output has a position of its own.
type Output struct {
	driver *Driver
	log    *log
	next   int
}

// Output reads a topic of the table.
func (d *Driver) Output(id topics.ID) *Output {
	return &Output{driver: d, log: d.logs[d.opts.Naming.Topic(id)]}
}

// Topic reads a topic by the name that a broker would see: a raw topic, or the changelog of a store.
func (d *Driver) Topic(name string) (*Output, error) {
	l, ok := d.logs[name]
	if !ok {
		return nil, fmt.Errorf("testdriver: no topic %s", name)
	}
	return &Output{driver: d, log: l}, nil
}

// Len counts the records that are not read yet.
func (o *Output) Len() int { return len(o.log.all) - o.next }

// Next reads a record; ok is false at the end. It must not be changed.
func (o *Output) Next() (r processors.Record, ok bool) {
	if o.Len() == 0 {
		return r, false
	}
	o.next++
	return *o.log.all[o.next-1], true
}

// Rest reads all records to the end.
func (o *Output) Rest() []processors.Record {
	var rest []processors.Record
	for r, ok := o.Next(); ok; r, ok = o.Next() {
		rest = append(rest, r)
	}
	return rest
}

// Latest reads to the end and returns the newest record of each key, in the order of the keys' first records: what
// compaction leaves. A tombstone takes its key away.
func (o *Output) Latest() []processors.Record {
	var latest []processors.Record
	at := map[string]int{}
	for _, r := range o.Rest() {
		i, ok := at[string(r.Key)]
		if !ok {
			i = len(latest)
			at[string(r.Key)] = i
			latest = append(latest, r)
		}
		latest[i] = r
	}
	return slices.DeleteFunc(latest, func(r processors.Record) bool { return r.Value == nil })
}

// eventOf is a pointer to T that is an event.
type eventOf[T any] interface {
	*T
	event.Record
}

// Read reads the next event: Read[event.InventoryBalance](output). It is an error if there is none, or another kind.
func Read[T any, P eventOf[T]](o *Output) (key string, e T, err error) {
	r, ok := o.Next()
	if !ok {
		return "", e, fmt.Errorf("testdriver: nothing left to read on %s", o.log.name)
	}
	if err := Decode[T, P](o.driver, r.Value, &e); err != nil {
		return "", e, fmt.Errorf("testdriver: %s, partition %d, offset %d: %w", r.Topic, r.Partition, r.Offset, err)
	}
	return string(r.Key), e, nil
}

// ReadAll reads all events to the end, which must be of one kind.
func ReadAll[T any, P eventOf[T]](o *Output) ([]T, error) {
	var all []T
	for o.Len() > 0 {
		_, e, err := Read[T, P](o)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

// Decode reads a framed value into an event that may be kept.
func Decode[T any, P eventOf[T]](d *Driver, value []byte, e *T) error {
	return d.serde.Decode(slices.Clone(value), P(e))
}

// DeadLetters are all records that were rejected so far, of all stages.
func (d *Driver) DeadLetters() ([]event.DeadLetter, error) {
	return ReadAll[event.DeadLetter](d.Output(topics.DeadLetters))
}

// A Store is the committed state of one store of a stage, over all its tasks. Kafka Streams: getKeyValueStore.
type Store struct {
	stage *stage
	index int
}

// Store finds a store by the names that the stage declares.
func (d *Driver) Store(stageName, storeName string) (*Store, error) {
	for _, s := range d.stages {
		for i, decl := range s.Stores {
			if s.Name != stageName || decl.Name != storeName {
				continue
			}
			return &Store{s, i}, nil
		}
	}
	return nil, fmt.Errorf("testdriver: stage %s has no store %s", stageName, storeName)
}

// partitions yields the stores of the tasks that run now.
func (s *Store) partitions(yield func(*store.Partition) bool) {
	for _, r := range s.stage.tasks {
		if !yield(r.task.Stores()[s.index]) {
			return
		}
	}
}

// Get returns a copy of the value of a key, nil where no task has one.
func (s *Store) Get(key []byte) []byte {
	for p := range s.partitions {
		if v := p.Get(key); v != nil {
			return append([]byte{}, v...)
		}
	}
	return nil
}

// Each calls f for every key, task by task, until f returns false.
func (s *Store) Each(f func(key, value []byte) bool) {
	for p := range s.partitions {
		goOn := true
		p.Each(func(key, value []byte) bool {
			goOn = f(key, value)
			return goOn
		})
		if !goOn {
			return
		}
	}
}

// Len counts the keys of all tasks.
func (s *Store) Len() (n int) {
	for p := range s.partitions {
		n += p.Len()
	}
	return n
}
