package runtime

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/processors"
	"crossdock/topology/runtime/task"
)

// stopped decides what an error of a task means for the transaction.
func (w *worker) stopped(r *run, err error) error {
	var (
		schema   *task.UnknownSchemaError
		panicked *task.PanicError
		rejected *task.RejectedError
		fatal    *processors.Fatal
	)
	var failed *task.StoreError
	switch {
	case errors.As(err, &failed):
		return storeFailed(failed.Err)
	case errors.As(err, &schema):
		return &abortion{why: abortSchema, err: err, action: func() error {
			w.pause(r.input)
			r.state = learning
			wake := w.session.wake.wake
			w.learner.learn(w.life, schema.ID, func() { r.learned.Store(true); wake() })
			return nil
		}}
	case errors.As(err, &panicked):
		w.log.Error("the processor panicked", "input", r.input.String(), "panic", fmt.Sprint(panicked.Value), "stack", string(panicked.Stack))
		if panicked.Tag == task.NoRecord {
			return exit(StageFailed, err, "Report the stack to the stage's owner.", "stage %s panicked on a timer or a change of the tables", w.stage.Name)
		}
		at := position{r.input, r.fetched[panicked.Tag].Offset}
		return &abortion{why: abortPanic, err: err, action: func() error {
			w.rejects[at] = panicked.Rejection()
			return w.panicked()
		}}
	case errors.As(err, &rejected):
		if rejected.Tag == task.NoRecord {
			return exit(StageFailed, err, "Report it to the stage's owner.", "stage %s failed on a timer or a change of the tables", w.stage.Name)
		}
		at := position{r.input, r.fetched[rejected.Tag].Offset}
		return &abortion{why: abortRejected, err: err, action: func() error {
			w.rejects[at] = rejected.Rejection
			return nil
		}}
	case errors.As(err, &fatal):
		return exit(StageFailed, fatal, "Correct what the stage names, then start again.", "stage %s cannot go on at %v", w.stage.Name, r.input)
	}
	return err
}

// panicked counts a panic, and stops the worker past a rate of them.
func (w *worker) panicked() error {
	now := time.Now()
	for len(w.panics) > 0 && now.Sub(w.panics[0]) > time.Minute {
		w.panics = w.panics[1:]
	}
	w.panics = append(w.panics, now)
	if len(w.panics) > w.cfg.PanicsPerMinute {
		return exit(PanicRate, nil, "Report the stacks of the dead letters to the stage's owner.",
			"stage %s panicked at %d records in a minute", w.stage.Name, len(w.panics))
	}
	return nil
}

// refused decides what records that the broker did not take mean. One that will return is not sent again: the input that
// made it is rejected, found by halving the batch where the broker refused more than one.
func (w *worker) refused(f *failed) error {
	if !returns(f.err) {
		if errors.Is(f.err, kerr.UnknownTopicOrPartition) {
			return exit(MissingTopic, f.err, createTopics, "topic %s", f.record.Topic)
		}
		if x := asExit(f.err, "topic "+f.record.Topic); x != nil {
			return x
		}
		return &abortion{why: abortProduce, err: f.err}
	}
	r, tag := w.txn.slab.cause(f.record)
	polled := w.txn.inputs
	if r == nil || tag == task.NoRecord {
		return exit(ProduceRefused, f.err, "Raise the topic's max.message.bytes to what topology describe says.",
			"topic %s does not take a record that a timer or a change of the tables made", f.record.Topic)
	}
	at := position{r.input, r.fetched[tag].Offset}
	topic := f.record.Topic
	if w.rejects[at] != nil && (f.count == 1 || polled == 1) {
		return exit(ProduceRefused, f.err, "Raise the topic's max.message.bytes to what topology describe says.",
			"topic %s does not take the dead letter of %v at offset %d", topic, at.input, at.offset)
	}
	return &abortion{why: abortProduce, err: fmt.Errorf("topic %s: %w", topic, f.err), action: func() error {
		if f.count > 1 && polled > 1 {
			w.bound.fell(polled, 0)
			return nil
		}
		w.rejects[at] = processors.Rejectf(processors.TooLarge, "Split the record, or raise the topic's max.message.bytes.",
			"the broker does not take what the record makes for topic %s: %v", topic, f.err)
		return nil
	}}
}

// A failure takes note of records that the broker did not take.
type failure struct {
	mu sync.Mutex
	f  failed
}

type failed struct {
	record *kgo.Record
	err    error
	count  int
}

func (f *failure) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.f = failed{}
}

// promise is called by the client for every record, from goroutines of its own.
func (f *failure) promise(r *kgo.Record, err error) {
	if err == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.f.count++
	if f.f.err == nil || returns(err) && !returns(f.f.err) {
		f.f.record, f.f.err = r, err
	}
}

// first is the failure that decides, nil if there is none.
func (f *failure) first() *failed {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.f.err == nil {
		return nil
	}
	first := f.f
	return &first
}
