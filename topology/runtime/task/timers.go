package task

import (
	"cmp"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"crossdock/processors"
	"crossdock/topology/runtime/store"
)

// maxQueued is how many timers a task keeps in memory after it has looked through its store: the soonest ones.
const maxQueued = 1 << 16

// timers are a task's. Its store has them all, under the transaction: it alone says which timer is set, for when. In memory is
// a queue of the soonest, so that the next one is found without a look through the store. An entry of the queue is a hint: it
// counts only where the store has its timer for its time.
type timers struct {
	store *store.Partition // nil: the stage has none
	queue timerQueue
	max   int // entries that a look through the store leaves in the queue
	// horizon: every timer that is due before it is in the queue.
	horizon  int64
	sequence uint64

	set   []queuedTimer // by the transaction, and not in the queue before it commits
	mark  int           // of set, at the last savepoint
	taken []queuedTimer // out of the queue by the transaction; they come back when it aborts
	fired map[string]bool

	key, value []byte
}

// A queuedTimer is an entry of the queue. Those that are due at one time are called in the order in which they were set.
type queuedTimer struct {
	at       int64
	sequence uint64
	key      string // of the store
}

func newTimers(s *store.Partition) timers {
	// The first next looks through the store.
	return timers{store: s, max: maxQueued, horizon: math.MinInt64, fired: map[string]bool{}}
}

// A timer's key in the store: its name, with the length before it (uvarint), and its key.
func (t *timers) keyOf(name string, key []byte) []byte {
	t.key = binary.AppendUvarint(t.key[:0], uint64(len(name)))
	t.key = append(append(t.key, name...), key...)
	return t.key
}

func splitTimerKey(b string) (name, key string, ok bool) {
	n := 0
	var length uint64
	for shift := 0; ; shift += 7 {
		if n == len(b) || shift > 28 {
			return "", "", false
		}
		length |= uint64(b[n]&0x7f) << shift
		n++
		if b[n-1] < 0x80 {
			break
		}
	}
	if length > uint64(len(b)-n) {
		return "", "", false
	}
	return b[n : n+int(length)], b[n+int(length):], true
}

// A timer's value in the store: format version (1 byte), and when it is due (8 bytes, little endian).
const timerVersion = 1

func timerDue(value []byte) (at int64, ok bool) {
	if len(value) != 9 || value[0] != timerVersion {
		return 0, false
	}
	return int64(binary.LittleEndian.Uint64(value[1:])), true
}

// put sets a timer within the transaction.
func (t *timers) put(name string, key []byte, at int64) {
	k := t.keyOf(name, key)
	if due, ok := timerDue(t.store.Get(k)); ok && due == at {
		return
	}
	t.value = binary.LittleEndian.AppendUint64(append(t.value[:0], timerVersion), uint64(at))
	t.store.Put(k, t.value)
	t.set = append(t.set, queuedTimer{at: at, key: string(k)})
}

// savepoint begins a record: rollback comes back to here. The store has a savepoint of its own.
func (t *timers) savepoint() { t.mark = len(t.set) }

func (t *timers) rollback() { t.set = t.set[:t.mark] }

// commit makes what the transaction set part of the queue.
func (t *timers) commit() {
	for _, e := range t.set {
		t.push(e)
	}
	t.end()
}

// abort puts the queue back to what it was.
func (t *timers) abort() {
	for _, e := range t.taken {
		heap.Push(&t.queue, e)
	}
	t.end()
}

func (t *timers) end() {
	clear(t.set)
	clear(t.taken)
	clear(t.fired)
	t.set, t.taken, t.mark = t.set[:0], t.taken[:0], 0
}

// push adds an entry, unless the next look through the store will find it.
func (t *timers) push(e queuedTimer) {
	if e.at > t.horizon {
		return
	}
	t.sequence++
	e.sequence = t.sequence
	heap.Push(&t.queue, e)
	if len(t.queue) >= 2*t.max {
		t.horizon = t.queue.cut(t.max)
	}
}

var errTimers = errors.New("the timers do not read; restore the store from its changelog")

// next tells when the next timer is due. It is for between transactions, since it may look through the store.
func (t *timers) next() (at int64, ok bool, err error) {
	for {
		if len(t.queue) == 0 {
			if t.horizon == math.MaxInt64 {
				return 0, false, nil
			}
			if err := t.look(); err != nil {
				return 0, false, err
			}
			continue
		}
		if t.isSet(t.queue[0]) {
			return t.queue[0].at, true, nil
		}
		heap.Pop(&t.queue)
	}
}

// isSet says whether an entry still counts.
func (t *timers) isSet(e queuedTimer) bool {
	t.key = append(t.key[:0], e.key...)
	at, ok := timerDue(t.store.Get(t.key))
	return ok && at == e.at
}

// look fills the queue from the store.
func (t *timers) look() (err error) {
	t.horizon = math.MaxInt64
	t.store.Each(func(key, value []byte) bool {
		at, ok := timerDue(value)
		if !ok {
			err = errTimers
			return false
		}
		if at > t.horizon {
			return true
		}
		t.queue = append(t.queue, queuedTimer{at: at, key: string(key)})
		if len(t.queue) >= 2*t.max {
			t.horizon = t.queue.cut(t.max)
		}
		return true
	})
	// A store's order is none: the same timers make the same queue.
	slices.SortFunc(t.queue, func(a, b queuedTimer) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.key, b.key)) })
	for i := range t.queue {
		t.sequence++
		t.queue[i].sequence = t.sequence
	}
	return err
}

// due takes the next timer that is due by now out of the queue, within the transaction. One that the transaction has set again
// is not among them, though the queue may have an entry of the same time twice.
func (t *timers) due(now int64) (e queuedTimer, ok bool) {
	for len(t.queue) > 0 && t.queue[0].at <= now {
		e = heap.Pop(&t.queue).(queuedTimer)
		t.taken = append(t.taken, e)
		if !t.fired[e.key] && t.isSet(e) {
			t.fired[e.key] = true
			return e, true
		}
	}
	return e, false
}

// A timerQueue is a heap, the soonest first.
type timerQueue []queuedTimer

// cut leaves the soonest n entries, and returns the time of the last of them.
func (q *timerQueue) cut(n int) int64 {
	slices.SortFunc(*q, queuedTimer.compare)
	clear((*q)[n:])
	*q = (*q)[:n] // sorted, so it is a heap
	return (*q)[n-1].at
}

func (e queuedTimer) compare(o queuedTimer) int {
	return cmp.Or(cmp.Compare(e.at, o.at), cmp.Compare(e.sequence, o.sequence))
}

// Len is for heap.Interface.
func (q timerQueue) Len() int { return len(q) }

// Less is for heap.Interface.
func (q timerQueue) Less(i, j int) bool { return q[i].compare(q[j]) < 0 }

// Swap is for heap.Interface.
func (q timerQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push is for heap.Interface.
func (q *timerQueue) Push(e any) { *q = append(*q, e.(queuedTimer)) }

// Pop is for heap.Interface.
func (q *timerQueue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = queuedTimer{}
	*q = (*q)[:last]
	return e
}

// Timers counts those that are set.
func (t *Task) Timers() int {
	if t.timers.store == nil {
		return 0
	}
	return t.timers.store.Len()
}

// NextTimer tells when the next timer is due, in microseconds since the epoch, UTC; ok is false where none is set. It is for
// between transactions. An error is a *StoreError or a *processors.Fatal.
func (t *Task) NextTimer() (at int64, ok bool, err error) {
	if t.timers.store == nil {
		return 0, false, nil
	}
	at, ok, err = t.timers.next()
	if fault := t.fault(); fault != nil {
		return 0, false, fault
	}
	if err != nil {
		return 0, false, t.timersFailed(err)
	}
	return at, ok, nil
}

func (t *Task) timersFailed(err error) error {
	return &processors.Fatal{Reason: "stage " + t.stage.Name + " failed on its timers", Err: err}
}

// FireTimers calls the processor for the timers that are due at the time of Begin, the longest due first, until it has emitted
// limit records, as many timers were called, or they put and emitted half of what a transaction may. fired counts them. It calls
// what NextTimer, asked before Begin, has in view, which is the next at least. A timer that is set meanwhile is called in a later
// transaction, whenever it is due. An error leaves the transaction to be aborted and is a *processors.Fatal, a *PanicError or a
// *StoreError: no record can be rejected for it.
func (t *Task) FireTimers(limit int) (fired int, err error) {
	for emitted := 0; fired < limit && emitted < limit && t.bytes() < t.limits.RecordBytes/2; fired++ {
		e, ok := t.timers.due(t.now)
		if !ok {
			break
		}
		n, err := t.fire(e, limit-emitted)
		if err != nil {
			return fired, err
		}
		emitted += n
	}
	return fired, t.fault()
}

// fire calls the processor for one timer, and counts what it emitted.
func (t *Task) fire(e queuedTimer, limit int) (emitted int, err error) {
	if t.handler == nil {
		return 0, t.timersFailed(errors.New("its processor has no OnTimer"))
	}
	name, key, ok := splitTimerKey(e.key)
	if !ok {
		return 0, t.timersFailed(errTimers)
	}
	t.hold(NoRecord)
	t.savepoint(NoRecord)
	t.timers.store.Delete([]byte(e.key))
	err = t.call(func() error {
		return t.handler.OnTimer((*taskContext)(t), processors.Timer{Name: name, Key: []byte(key), At: e.at}, limit)
	})
	if fault := t.fault(); fault != nil {
		return 0, fault
	}
	if err == nil {
		err = t.check(t.bytes())
	}
	if err == nil {
		emitted = len(t.out)
		t.release()
		return emitted, nil
	}
	var fatal *processors.Fatal
	var panicked *PanicError
	if errors.As(err, &fatal) || errors.As(err, &panicked) {
		return 0, err
	}
	return 0, t.timersFailed(fmt.Errorf("timer %s of %s: %w", name, strconv.Quote(key), err))
}

// SetTimer is for processors.Context.
func (c *taskContext) SetTimer(name string, key []byte, at int64) {
	(*Task)(c).needTimers()
	c.timers.put(name, key, at)
}

// CancelTimer is for processors.Context.
func (c *taskContext) CancelTimer(name string, key []byte) {
	(*Task)(c).needTimers()
	c.timers.store.Delete(c.timers.keyOf(name, key))
}

// TimerAt is for processors.Context.
func (c *taskContext) TimerAt(name string, key []byte) (at int64, ok bool) {
	(*Task)(c).needTimers()
	return timerDue(c.timers.store.Get(c.timers.keyOf(name, key)))
}

// needTimers panics where the stage has no store for timers: the processor and its stage do not belong together.
func (t *Task) needTimers() {
	if t.timers.store == nil {
		panic("stage " + t.stage.Name + " declares no store for timers, and its processor asks for one")
	}
}
