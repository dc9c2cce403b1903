package faults

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"crossdock/cmd/crossdock/pipeline"
	"crossdock/loadtest/report"
	"crossdock/loadtest/scans"
	"crossdock/loadtest/send"
	"crossdock/loadtest/verify"
	"crossdock/topology/topics"
)

// A Result is what a run came to.
type Result struct {
	Seed    uint64         `json:"seed"`
	Cluster bool           `json:"cluster"`
	Rate    int            `json:"rate"`
	Seconds float64        `json:"seconds"` // with the drain
	Sent    int64          `json:"sent"`
	Faults  []Happened     `json:"faults"`
	Verdict report.Verdict `json:"verdict"`
	Held    bool           `json:"held"` // the verdict is that nothing is wrong
}

// A Happened is one fault of a run.
type Happened struct {
	Fault     string  `json:"fault"`
	Detail    string  `json:"detail"`
	At        float64 `json:"at_seconds"`        // since the first event
	Lasted    float64 `json:"lasted_seconds"`    // from its beginning until it was undone
	Stood     float64 `json:"stood_seconds"`     // the longest time in which a partition with records did not move
	Recovered float64 `json:"recovered_seconds"` // from when it was undone until all that had come by then was committed
	Failed    string  `json:"failed,omitempty"`  // why the run ended with it
}

// drainWithin is how long the pipeline may take, after the last event, to come to its end, while all of it moves.
const drainWithin = 10 * time.Minute

// errEnough ends the sending.
var errEnough = errors.New("enough is sent")

// Run sends events, breaks things, and recounts. An error says that something broke that must not, or that no verdict could
// be reached; the result says how far it came.
func (f *Field) Run(ctx context.Context) (r *Result, err error) {
	o := &f.o
	began := time.Now()
	r = &Result{Seed: o.Seed, Cluster: o.Cluster, Rate: o.Rate}
	defer func() { r.Seconds = time.Since(began).Seconds() }()
	g, err := scans.NewRetailer(f.load())
	if err != nil {
		return r, err
	}
	if err := f.publish(ctx, g); err != nil {
		return r, err
	}
	var all sync.WaitGroup
	defer all.Wait()
	looking, stopLooking := context.WithCancel(ctx)
	defer stopLooking()
	f.progress = newProgress(f.client, f.groups())
	all.Go(func() { f.progress.run(looking) })
	for n, i := range f.running() {
		if err := i.start(fmt.Sprint(n)); err != nil {
			return r, err
		}
	}
	sending, enough := context.WithCancelCause(ctx)
	defer enough(errEnough)
	var log *send.Log
	var sendErr error
	sent := make(chan struct{})
	all.Go(func() {
		defer close(sent)
		log, sendErr = send.Run(sending, g, send.Options{
			Kafka: f.kafka, Serde: f.serde, Naming: pipeline.Naming(&f.config), Count: int64(o.Rate) * int64((o.For+time.Hour)/time.Second), Paced: true,
			Grace: 2 * time.Minute, // a broker may be away
		})
	})
	broken := f.firstCommits(ctx)
	if broken == nil {
		broken = f.steps(ctx, r)
	}
	enough(errEnough)
	<-sent
	if sendErr != nil && !errors.Is(sendErr, errEnough) {
		return r, errors.Join(broken, sendErr)
	}
	r.Sent = log.Acknowledged()
	if broken != nil {
		return r, broken
	}
	if err := f.drain(ctx); err != nil {
		return r, err
	}
	r.Verdict, err = verify.Run(ctx, verify.Evidence{
		Sent: []verify.Load{{Log: log}}, Kafka: f.kafka, Serde: f.serde, Naming: pipeline.Naming(&f.config), Ledger: true,
		GivenUp: f.has&needsTimers != 0,
	})
	r.Held = err == nil && r.Verdict.OK
	return r, err
}

// firstCommits waits until the pipeline works.
func (f *Field) firstCommits(ctx context.Context) error {
	var left, committed int64
	ctx, stop := f.moving(ctx)
	defer stop()
	err := f.until(ctx, func(context.Context) (bool, error) {
		ends, err := f.progress.ends(time.Time{})
		if err != nil {
			return false, err
		}
		left, committed = f.progress.behind(ends)
		return committed > int64(f.o.Rate), nil
	})
	if err != nil {
		return fmt.Errorf("the pipeline does not begin to work, %d records are committed and %d are not: %w", committed, left, err)
	}
	return f.catchUp(ctx)
}

// steps lets one fault follow on the other until there have been enough.
func (f *Field) steps(ctx context.Context, r *Result) error {
	schedule := NewSchedule(f.o.Seed, f.possible())
	began := time.Now()
	for time.Since(began) < f.o.For && (f.o.Steps == 0 || len(r.Faults) < f.o.Steps) {
		s := schedule.Next()
		if err := pass(ctx, s.Draw.Gap); err != nil {
			return err
		}
		f.progress.standing()
		h := Happened{Fault: s.Fault.Name, At: time.Since(began).Seconds()}
		from := time.Now()
		detail, err := s.Fault.inject(ctx, f, s.Draw)
		undone := time.Now()
		if err == nil {
			err = f.catchUp(ctx)
		}
		h.Detail, h.Lasted, h.Recovered = detail, undone.Sub(from).Seconds(), time.Since(undone).Seconds()
		h.Stood = f.progress.standing().Seconds()
		if err != nil {
			h.Failed = err.Error()
		}
		r.Faults = append(r.Faults, h)
		f.o.Log("%s", h.line(len(r.Faults)))
		if err != nil {
			return fmt.Errorf("fault %d, %s (%s): %w", len(r.Faults), h.Fault, h.Detail, err)
		}
	}
	return nil
}

// possible are the faults that the field can have.
func (f *Field) possible() []Fault {
	all := f.o.Faults
	if len(all) == 0 {
		all = All()
	}
	var can []Fault
	for _, x := range all {
		if x.needs&^f.has == 0 {
			can = append(can, x)
		}
	}
	return can
}

// drain waits until all that was sent is through, and asks the processes to end.
func (f *Field) drain(ctx context.Context) error {
	naming := pipeline.Naming(&f.config)
	moving, stop := f.moving(ctx)
	defer stop()
	settling, cancel := context.WithTimeoutCause(moving, drainWithin, fmt.Errorf("not within %v", drainWithin))
	defer cancel()
	w := verify.Waiting{Kafka: f.kafka, Balances: naming.Topic(topics.Balances)}
	groups := f.groups()
	for _, part := range f.o.Parts { // in the order of the way
		w.Groups = append(w.Groups, verify.Group{Name: f.group(part), Topics: groups[f.group(part)]})
	}
	if err := verify.Settled(settling, w); err != nil {
		return errors.Join(err, f.alive())
	}
	if err := f.allGivenUp(settling); err != nil {
		return err
	}
	for _, i := range f.running() {
		if err := i.terminate(ctx); err != nil {
			return err
		}
	}
	return nil
}
