package runtime

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"crossdock/avro/serde"
)

// unknownFor is how long the registry's word that it does not know a schema id is believed.
const unknownFor = time.Minute

// A learner asks the registry for schema ids, off the processing path: the partition that met one is paused meanwhile.
type learner struct {
	serde *serde.Serde
	log   *slog.Logger
	clock func() time.Time
	asks  sync.WaitGroup

	mu      sync.Mutex
	waiting map[int][]func()  // ids being asked for, and who waits
	unknown map[int]time.Time // ids that the registry does not know, until when that is believed
	swept   time.Time         // when those not believed any more were last forgotten
}

func newLearner(s *serde.Serde, log *slog.Logger, clock func() time.Time) *learner {
	return &learner{serde: s, log: log, clock: clock, waiting: map[int][]func(){}, unknown: map[int]time.Time{}}
}

// unlearnable says that the registry does not know an id.
func (l *learner) unlearnable(id int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	until, ok := l.unknown[id]
	return ok && l.clock().Before(until)
}

// believe takes the registry's word that it does not know an id. Bytes that are no event bring ids of any number, so what
// is not believed any more is forgotten.
func (l *learner) believe(id int) {
	now := l.clock()
	if now.Sub(l.swept) >= unknownFor {
		l.swept = now
		maps.DeleteFunc(l.unknown, func(_ int, until time.Time) bool { return !now.Before(until) })
	}
	l.unknown[id] = now.Add(unknownFor)
}

// learn asks for an id until the registry has answered or ctx ends, and then calls notify once.
func (l *learner) learn(ctx context.Context, id int, notify func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	waiting, asked := l.waiting[id]
	l.waiting[id] = append(waiting, notify)
	if asked {
		return
	}
	l.asks.Go(func() {
		wait := &backoff.ExponentialBackOff{InitialInterval: 100 * time.Millisecond, Multiplier: 2, RandomizationFactor: 0.3, MaxInterval: 10 * time.Second}
		_, err := backoff.Retry(ctx, func() (struct{}, error) {
			err := l.serde.Learn(ctx, id)
			var unknown *serde.UnknownSchemaError
			if errors.As(err, &unknown) {
				return struct{}{}, backoff.Permanent(err)
			}
			if err != nil {
				l.log.Warn("the schema registry cannot be asked just now: the partition waits", "schema_id", id, "error", err)
			}
			return struct{}{}, err
		}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(0))
		l.mu.Lock()
		var unknown *serde.UnknownSchemaError
		if errors.As(err, &unknown) {
			l.believe(id)
		}
		notified := l.waiting[id]
		delete(l.waiting, id)
		l.mu.Unlock()
		for _, f := range notified {
			f()
		}
	})
}

// wait returns when nothing is being asked any more. The context of the asks must have ended.
func (l *learner) wait() { l.asks.Wait() }
