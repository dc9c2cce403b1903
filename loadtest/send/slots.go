package send

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A slot is a record in flight, with its bytes: they are the client's until the promise is called, and used again then,
// so that a run allocates no more than its flight.
type slot struct {
	record  kgo.Record
	buffer  []byte
	seq     int64
	promise func(*kgo.Record, error)
}

// slots hands slots from the client's goroutine, which ends flights, to the run's, which starts them. The run keeps a
// hand of free ones, so that the lock is taken once for many.
type slots struct {
	total int
	hand  []*slot // the run's own

	mu     sync.Mutex // guards freed and sleeping
	freed  []*slot
	asleep bool
	wake   chan struct{} // the run waits for it with mu released, having set asleep
}

func newSlots(n int, l *Log) *slots {
	s := &slots{total: n, wake: make(chan struct{}, 1), hand: make([]*slot, 0, n), freed: make([]*slot, 0, n)}
	for range n {
		one := &slot{}
		one.promise = func(r *kgo.Record, err error) {
			l.settled(one.seq, r.Partition, err)
			s.free(one)
		}
		s.hand = append(s.hand, one)
	}
	return s
}

func (s *slots) free(one *slot) {
	s.mu.Lock()
	s.freed = append(s.freed, one)
	wake := s.asleep
	s.asleep = false
	s.mu.Unlock()
	if wake {
		s.wake <- struct{}{}
	}
}

// take waits for a free slot.
func (s *slots) take(ctx context.Context) (*slot, error) {
	for len(s.hand) == 0 {
		s.mu.Lock()
		s.hand, s.freed = s.freed, s.hand
		s.asleep = len(s.hand) == 0
		asleep := s.asleep
		s.mu.Unlock()
		if !asleep {
			break
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			s.mu.Lock()
			if !s.asleep {
				<-s.wake // free has taken it on itself to wake us
			}
			s.asleep = false
			s.mu.Unlock()
			return nil, context.Cause(ctx)
		}
	}
	last := len(s.hand) - 1
	one := s.hand[last]
	s.hand = s.hand[:last]
	return one, nil
}

// settle waits until every slot is back: the client calls the promise of each record, at the latest when it is closed.
func (s *slots) settle() {
	for {
		s.mu.Lock()
		missing := s.total - len(s.hand) - len(s.freed)
		s.asleep = missing > 0
		s.mu.Unlock()
		if missing == 0 {
			return
		}
		<-s.wake
	}
}
