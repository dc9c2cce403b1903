package testdriver

import (
	"errors"
	"slices"
	"time"

	"crossdock/processors"
	"crossdock/topology/runtime/store"
	"crossdock/topology/runtime/task"
)

// open makes a run's processor, and its stores from their changelogs.
func (d *Driver) open(r *run) error {
	var stores []*store.Partition
	for _, decl := range r.stage.Stores {
		p := store.New()
		for _, c := range d.logs[d.changelog(r.stage, decl.Name)].partitions[r.partition] {
			if err := p.Restore(c.Key, c.Value); err != nil {
				return err
			}
		}
		stores = append(stores, p)
	}
	r.task = task.New(task.Config{Stage: r.stage.Stage, Serde: d.serde, Stores: stores, Arena: &d.arena, Sink: &d.outputs})
	r.tablesSeen = -1 // what waits in restored stores is looked at once
	return nil
}

// A produced record waits for its transaction's end.
type produced struct {
	log       *log
	partition int32
	record    processors.Record
}

// outputs is the sink of the transaction in hand.
type outputs struct {
	driver *Driver
	run    *run
	list   []produced
}

// Output takes an output as the runtime produces it: with its input's time, and in its input's partition where the key is
// the same and the partition counts are.
func (o *outputs) Output(t *task.Task, out *task.Output) {
	d, r := o.driver, o.run
	l := d.logs[d.opts.Naming.Topic(out.To)]
	headers := out.Headers
	if out.Inherit && out.Tag != task.NoRecord {
		headers = t.Input(out.Tag).Headers
	}
	p := produced{log: l, partition: r.partition, record: processors.Record{
		Time: o.time(t, out.Tag), Key: slices.Clone(out.Key), Value: slices.Clone(out.Value), Headers: cloneHeaders(headers),
	}}
	if !out.SameKey || len(l.partitions) != len(r.in.partitions) {
		p.partition = d.partition(l, out.Key)
	}
	o.list = append(o.list, p)
}

// Changelog takes the state of a key.
func (o *outputs) Changelog(t *task.Task, i int, key, value []byte, tag uint32) {
	o.list = append(o.list, produced{
		log: o.driver.logs[o.driver.changelog(o.run.stage, o.run.stage.Stores[i].Name)], partition: o.run.partition,
		record: processors.Record{Time: o.time(t, tag), Key: slices.Clone(key), Value: slices.Clone(value)},
	})
}

func (o *outputs) time(t *task.Task, tag uint32) int64 {
	if tag == task.NoRecord {
		return o.driver.now.UnixMilli() * 1000
	}
	return t.Input(tag).Time
}

// step runs one transaction of a task, if there is cause for one, and counts what it processed.
func (d *Driver) step(r *run) (processed int, err error) {
	unread := r.in.partitions[r.partition][r.next:]
	if n := d.opts.BatchRecords; n > 0 && n < len(unread) {
		unread = unread[:n]
	}
	switch {
	case len(unread) > 0:
		if err := d.transact(r, func() error { return d.process(r, unread) }); err != nil {
			return 0, err
		}
		r.next += len(unread)
		return len(unread), nil
	case r.tablesSeen != d.tables && r.task.Watches():
		var more bool
		err := d.transact(r, func() (err error) {
			d.begin(r)
			more, err = r.task.TablesChanged(tablesLimit)
			return err
		})
		if err != nil {
			return 0, err
		}
		if !more {
			r.tablesSeen = d.tables
		}
		return 1, nil
	}
	return d.fire(r)
}

// fire calls the timers that are due, in one transaction, and counts them.
func (d *Driver) fire(r *run) (fired int, err error) {
	at, set, err := r.task.NextTimer()
	if err != nil || !set || time.UnixMicro(at).After(d.now) {
		return 0, err
	}
	err = d.transact(r, func() (err error) {
		d.begin(r)
		fired, err = r.task.FireTimers(timersLimit)
		return err
	})
	return fired, err
}

// timersLimit is how many records the timers of a task may emit in one transaction, as in the runtime.
const timersLimit = 1000

// tablesLimit is how many events a task may emit in one transaction that a change of the tables makes, as in the runtime.
const tablesLimit = 1000

// transact commits what f does, after as many aborted attempts as the options say. A record that cannot be processed is
// isolated, as in the runtime: the transaction is aborted, and the record is a dead letter in the next.
func (d *Driver) transact(r *run, f func() error) error {
	for aborts := d.opts.Aborts; ; {
		err := f()
		if err == nil {
			err = r.task.Flush()
		}
		var panicked *task.PanicError
		var rejected *task.RejectedError
		switch {
		case err == nil && aborts == 0:
			r.task.Commit()
			for _, p := range d.outputs.list {
				if err := d.append(p.log, p.partition, p.record); err != nil {
					d.refused = append(d.refused, err)
				}
			}
			d.end()
			return nil
		case err == nil:
			aborts--
		case errors.As(err, &panicked) && panicked.Tag != task.NoRecord:
			r.rejects[r.task.Input(panicked.Tag).Offset] = panicked.Rejection()
		case errors.As(err, &rejected) && rejected.Tag != task.NoRecord:
			r.rejects[r.task.Input(rejected.Tag).Offset] = rejected.Rejection
		default:
			r.task.Abort()
			d.end()
			return err
		}
		r.task.Abort()
		d.end()
	}
}

func (d *Driver) begin(r *run) {
	d.outputs.run = r
	r.task.Begin(d.now.UnixMicro())
}

// process runs records that are copies: theirs are the topic's.
func (d *Driver) process(r *run, records []processors.Record) error {
	d.begin(r)
	for _, rec := range records {
		rec.Key, rec.Value, rec.Headers = slices.Clone(rec.Key), slices.Clone(rec.Value), cloneHeaders(rec.Headers)
		d.lent = append(d.lent, rec)
		if why := r.rejects[rec.Offset]; why != nil {
			r.task.Reject(&rec, why)
			continue
		}
		if err := r.task.Process(&rec); err != nil {
			return err
		}
	}
	return nil
}

// end takes back what the transaction was lent, and spoils it: nobody may keep it.
func (d *Driver) end() {
	for _, rec := range d.lent {
		spoil(rec.Key)
		spoil(rec.Value)
		for _, h := range rec.Headers {
			spoil(h.Value)
		}
	}
	d.lent = d.lent[:0]
	clear(d.outputs.list)
	d.outputs.list = d.outputs.list[:0]
	d.arena.Reset()
}

func spoil(b []byte) {
	for i := range b {
		b[i] = 0xdb
	}
}
