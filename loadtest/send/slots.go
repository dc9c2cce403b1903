package send

import (
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/topology/topics"
)

// A slot is a record in flight, with its bytes: they are the client's until the promise is called, and used again then,
// so that a run allocates no more than its flight.
type slot struct {
	record   kgo.Record
	buffer   []byte
	seq      int64
	intended time.Time
	topic    topics.ID
	promise  func(*kgo.Record, error)
}

// slots hands slots from the client's goroutine, which ends flights, to the run's, which starts them. The run keeps a
// hand of free ones, so that the lock is taken once for many.
type slots struct {
	total int
	hand  []*slot // the run's own

	mu     sync.Mutex // guards freed and wakeAt
	freed  []*slot
	wakeAt int // how many must be free to wake the run; 0: it does not wait
	// wake tells the run, which has set wakeAt and looks again at the latest after lookEvery, that slots are free. It may
	// tell so when there are none any more.
	wake chan struct{}
}

// wakeFor is how many slots the run waits for, where it has so many: one alone is not worth a change of goroutines.
const wakeFor = 256

func newSlots(o *Options, l *Log) *slots {
	n := o.InFlight
	s := &slots{total: n, wake: make(chan struct{}, 1), hand: make([]*slot, 0, n), freed: make([]*slot, 0, n)}
	for range n {
		one := &slot{}
		one.promise = func(r *kgo.Record, err error) {
			l.settled(one.topic, one.seq, r.Partition, err)
			if o.Settled != nil {
				o.Settled(one.seq, one.intended, time.Now(), err)
			}
			s.free(one)
		}
		s.hand = append(s.hand, one)
	}
	return s
}

func (s *slots) free(one *slot) {
	s.mu.Lock()
	s.freed = append(s.freed, one)
	wake := s.wakeAt > 0 && len(s.freed) >= s.wakeAt
	if wake {
		s.wakeAt = 0
	}
	s.mu.Unlock()
	if wake {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// take returns a free slot; nil: there is none, and wake will tell.
func (s *slots) take() *slot {
	if len(s.hand) == 0 {
		s.mu.Lock()
		s.hand, s.freed = s.freed, s.hand
		if len(s.hand) == 0 {
			s.wakeAt = max(1, min(wakeFor, s.total/4))
		}
		s.mu.Unlock()
		if len(s.hand) == 0 {
			return nil
		}
	}
	last := len(s.hand) - 1
	one := s.hand[last]
	s.hand = s.hand[:last]
	return one
}

// inFlight is how many are with the client; wake tells when there are none.
func (s *slots) inFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.total - len(s.hand) - len(s.freed)
	if n > 0 {
		s.wakeAt = s.total - len(s.hand)
	}
	return n
}

// settle waits until every slot is back: the client calls the promise of each record, at the latest when it is closed.
func (s *slots) settle() {
	for s.inFlight() > 0 {
		<-s.wake
	}
}
