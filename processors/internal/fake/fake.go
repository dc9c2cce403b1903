// Package fake runs one task of a stage in memory, for the tests of the stages: it keeps the contract of package
// processors as strictly as it can, so that a stage which leans on more than the contract fails here first.
//
//   - What a record did is dropped where Process returns an error; what a transaction did is dropped by Abort.
//   - A record's bytes are overwritten once its transaction ends, and so is what a store returned.
package fake

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/processors"
	"crossdock/topology/topics"
)

// An Output is one emitted record.
type Output struct {
	To      topics.ID
	Key     []byte
	Value   []byte
	Headers []processors.Header
}

// A Task is one processor with its stores and the transaction that is open.
type Task struct {
	Serde  *serde.Serde
	Clock  int64 // microseconds; Now
	proc   processors.Processor
	stores []*Store
	timers *Store // by name, a zero byte and key: when each is due, in decimal
	record *processors.Record
	inHand []*processors.Record // records of the transaction
	lastOf map[string]*processors.Record
	out    []Output
	mark   int // outputs before the record in hand
}

// NewTask makes a task of a processor that declares a number of stores.
func NewTask(p processors.Processor, stores int) *Task {
	t := &Task{Serde: serde.Local(), proc: p, lastOf: map[string]*processors.Record{}, timers: newStore()}
	for range stores {
		t.stores = append(t.stores, newStore())
	}
	return t
}

func newStore() *Store {
	return &Store{committed: map[string][]byte{}, transaction: map[string][]byte{}, record: map[string][]byte{}}
}

// all are the stores and the timers.
func (t *Task) all() []*Store { return append(slices.Clone(t.stores), t.timers) }

// Restarted is a new task over the committed state of this one, with a new processor: what a crash leaves.
func (t *Task) Restarted(p processors.Processor) *Task {
	n := NewTask(p, len(t.stores))
	n.Clock = t.Clock
	to := n.all()
	for i, s := range t.all() {
		for k, v := range s.committed {
			to[i].committed[k] = bytes.Clone(v)
		}
	}
	return n
}

// Process hands one record to the processor within the transaction. The record is copied.
func (t *Task) Process(r processors.Record) error {
	c := r
	c.Key, c.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
	t.record, t.mark = &c, len(t.out)
	t.inHand = append(t.inHand, &c)
	err := t.proc.Process(t, &c)
	t.endRecord(err)
	t.record = nil
	return err
}

// TablesChanged lets a watcher go on, in a transaction of its own.
func (t *Task) TablesChanged(limit int) (out []Output, more bool, err error) {
	t.record, t.mark = nil, len(t.out)
	more, err = t.proc.(processors.TableWatcher).TablesChanged(t, limit)
	t.endRecord(err)
	if err != nil {
		t.Abort()
		return nil, false, err
	}
	return t.Commit(), more, nil
}

// NextTimer tells when the next timer is due.
func (t *Task) NextTimer() (at int64, ok bool) {
	_, at, ok = t.nextTimer()
	return at, ok
}

// nextTimer is the timer that is due first, and of those that are due at one time the first by name and key. One that the
// transaction has touched is none of them: what it sets comes in a later one.
func (t *Task) nextTimer() (id string, at int64, ok bool) {
	for k, v := range t.timers.committed {
		_, touched := t.timers.transaction[k]
		if due := decimal(v); !touched && (!ok || due < at || due == at && k < id) {
			id, at, ok = k, due, true
		}
	}
	return id, at, ok
}

func decimal(b []byte) int64 {
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// FireTimers calls the processor for what is due by Clock, in one transaction, until it has emitted limit records. more says
// that something is due still.
func (t *Task) FireTimers(limit int) (out []Output, more bool, err error) {
	t.record = nil
	for len(t.out) < limit {
		id, at, ok := t.nextTimer()
		if !ok || at > t.Clock {
			break
		}
		name, key, _ := strings.Cut(id, "\x00")
		t.mark = len(t.out)
		t.timers.Delete([]byte(id))
		err := t.proc.(processors.TimerHandler).OnTimer(t, processors.Timer{Name: name, Key: []byte(key), At: at}, limit-len(t.out))
		t.endRecord(err)
		if err != nil {
			t.Abort()
			return nil, false, err
		}
	}
	out = t.Commit()
	at, ok := t.NextTimer()
	return out, ok && at <= t.Clock, nil
}

// SetTimer sets a timer.
func (t *Task) SetTimer(name string, key []byte, at int64) {
	t.timers.Put(timerID(name, key), strconv.AppendInt(nil, at, 10))
}

// CancelTimer forgets a timer.
func (t *Task) CancelTimer(name string, key []byte) { t.timers.Delete(timerID(name, key)) }

// TimerAt tells when a timer is due.
func (t *Task) TimerAt(name string, key []byte) (at int64, ok bool) {
	v := t.timers.Get(timerID(name, key))
	if v == nil {
		return 0, false
	}
	return decimal(v), true
}

func timerID(name string, key []byte) []byte { return append([]byte(name+"\x00"), key...) }

func (t *Task) endRecord(err error) {
	if err != nil {
		t.out = t.out[:t.mark]
	}
	for i, s := range t.all() {
		for _, k := range s.order {
			if err == nil {
				s.transaction[k] = s.record[k]
				if i == 0 && len(t.stores) > 0 && !slices.Contains(s.dirty, k) {
					s.dirty = append(s.dirty, k)
				}
				if i == 0 {
					t.lastOf[k] = t.record
				}
			}
			delete(s.record, k)
		}
		s.order = s.order[:0]
	}
}

// Commit ends the transaction and returns what it emitted.
func (t *Task) Commit() []Output {
	if hook, ok := t.proc.(processors.CommitHook); ok && len(t.stores) > 0 {
		s := t.stores[0]
		for _, k := range s.dirty {
			if v := s.transaction[k]; v != nil {
				t.record = t.lastOf[k]
				if err := hook.BeforeCommit(t, []byte(k), bytes.Clone(v)); err != nil {
					panic(err)
				}
			}
		}
		t.record = nil
	}
	for _, s := range t.all() {
		for k, v := range s.transaction {
			if v == nil {
				delete(s.committed, k)
			} else {
				s.committed[k] = v
			}
		}
	}
	out := t.out
	t.end()
	return out
}

// Abort ends the transaction as if it had never been.
func (t *Task) Abort() { t.end() }

func (t *Task) end() {
	t.out = nil
	clear(t.lastOf)
	for _, s := range t.all() {
		clear(s.transaction)
		s.dirty = nil
		for _, b := range s.shown {
			scribble(b)
		}
		s.shown = nil
	}
	for _, r := range t.inHand {
		scribble(r.Key)
		scribble(r.Value)
	}
	t.inHand = nil
}

func scribble(b []byte) {
	for i := range b {
		b[i] = 0xdb
	}
}

// Now is Clock.
func (t *Task) Now() int64 { return t.Clock }

// Record is the record in hand.
func (t *Task) Record() *processors.Record { return t.record }

// Decode reads the value of the record in hand.
func (t *Task) Decode(e event.Record) error { return t.reject(t.Serde.Decode(t.record.Value, e)) }

// Kind names the event of the record in hand.
func (t *Task) Kind() (event.Kind, error) {
	k, err := t.Serde.Kind(t.record.Value)
	return k, t.reject(err)
}

func (t *Task) reject(err error) error {
	var unknown *serde.UnknownSchemaError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unknown):
		return processors.Rejectf(processors.UnknownSchema, "register it", "%v", err)
	}
	return processors.Rejectf(processors.BadRecord, "send it again", "%v", err)
}

// Encode frames an event.
func (t *Task) Encode(b []byte, e event.Record) []byte { return t.Serde.Append(b, e) }

// Store is the i-th store.
func (t *Task) Store(i int) processors.Store { return t.stores[i] }

// Emit keeps an event.
func (t *Task) Emit(to topics.ID, key []byte, e event.Record) {
	var headers []processors.Header
	if t.record != nil {
		headers = t.record.Headers
	}
	t.out = append(t.out, Output{to, bytes.Clone(key), t.Serde.Append(nil, e), headers})
}

// EmitRaw keeps a framed value.
func (t *Task) EmitRaw(to topics.ID, key, value []byte, headers []processors.Header) {
	t.out = append(t.out, Output{to, bytes.Clone(key), bytes.Clone(value), slices.Clone(headers)})
}

// A Store is three layers: the record's, the transaction's, the committed state. nil is a deleted key.
type Store struct {
	committed, transaction, record map[string][]byte
	order                          []string // keys of record, as they were put
	dirty                          []string // keys of transaction, as they were first put
	shown                          [][]byte
}

// Get shows a copy, which is overwritten when the transaction ends.
func (s *Store) Get(key []byte) []byte {
	v, ok := s.record[string(key)]
	if !ok {
		v, ok = s.transaction[string(key)]
	}
	if !ok {
		v = s.committed[string(key)]
	}
	if v == nil {
		return nil
	}
	c := bytes.Clone(v)
	s.shown = append(s.shown, c)
	return c
}

// Put copies both.
func (s *Store) Put(key, value []byte) { s.set(string(key), append([]byte{}, value...)) }

// Delete removes a key.
func (s *Store) Delete(key []byte) { s.set(string(key), nil) }

func (s *Store) set(key string, value []byte) {
	if _, ok := s.record[key]; !ok {
		s.order = append(s.order, key)
	}
	s.record[key] = value
}

// Each walks the keys in an order that changes with every run, as Go's maps do.
func (s *Store) Each(f func(key, value []byte) bool) {
	all := map[string][]byte{}
	for _, layer := range []map[string][]byte{s.committed, s.transaction, s.record} {
		for k, v := range layer {
			all[k] = v
		}
	}
	for k, v := range all {
		if v != nil && !f([]byte(k), bytes.Clone(v)) {
			return
		}
	}
}

// Len counts the keys.
func (s *Store) Len() int {
	n := 0
	s.Each(func(_, _ []byte) bool { n++; return true })
	return n
}

// Keys shows the keys, quoted, for a test's message.
func (s *Store) Keys() []string {
	var keys []string
	s.Each(func(k, _ []byte) bool { keys = append(keys, strconv.Quote(string(k))); return true })
	slices.Sort(keys)
	return keys
}
