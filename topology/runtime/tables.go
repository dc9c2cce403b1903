package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/topology/topics"
)

// A TableApplier takes the records of the compacted master data topics into memory: a nil value deletes the key. It is
// called from one goroutine, while processors read the tables from others. An error is that of one record, which is
// skipped: master data that does not decode must not stop the stock.
type TableApplier interface {
	ApplyTable(topic topics.ID, key, value []byte) error
}

// GlobalTables follows the items and sites topics for every instance of the process. They are read to the end taken at
// start before anything is processed, then followed; they may lag.
type GlobalTables struct {
	client   *kgo.Client
	naming   topics.Naming
	applier  TableApplier
	log      *slog.Logger
	interval time.Duration

	loaded     chan struct{}
	generation atomic.Uint64
	skipped    atomic.Uint64

	mu      sync.Mutex
	watches map[int]func()
	next    int
}

// TablesInterval is how long changes are collected before the stages look at them.
const TablesInterval = 250 * time.Millisecond

// tableTopics are the tables.
var tableTopics = [...]topics.ID{topics.Items, topics.Sites}

// NewGlobalTables makes tables that Run fills.
func NewGlobalTables(client []kgo.Opt, naming topics.Naming, applier TableApplier, log *slog.Logger) (*GlobalTables, error) {
	names := make([]string, 0, len(tableTopics))
	for _, id := range tableTopics {
		names = append(names, naming.Topic(id))
	}
	c, err := kgo.NewClient(append(append([]kgo.Opt(nil), client...),
		kgo.ClientID("crossdock/tables"),
		kgo.ConsumeTopics(names...),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // the end may be a marker
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), // a table made anew is read anew
		kgo.WithLogger(clientLog{log}),
	)...)
	if err != nil {
		return nil, exit(StageFailed, err, "Correct the client's options.", "the client of the tables cannot be made")
	}
	return &GlobalTables{client: c, naming: naming, applier: applier, log: log, interval: TablesInterval,
		loaded: make(chan struct{}), watches: map[int]func(){}}, nil
}

// Loaded is closed when the tables have been read to the end that they had at start.
func (g *GlobalTables) Loaded() <-chan struct{} { return g.loaded }

// Generation rises when the tables have changed.
func (g *GlobalTables) Generation() uint64 { return g.generation.Load() }

// Skipped counts records that the applier refused.
func (g *GlobalTables) Skipped() uint64 { return g.skipped.Load() }

// watch calls f after each rise of the generation, until stop is called.
func (g *GlobalTables) watch(f func()) (stop func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	id := g.next
	g.next++
	g.watches[id] = f
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.watches, id)
	}
}

// Run reads until ctx ends, which is no error.
func (g *GlobalTables) Run(ctx context.Context) error {
	defer g.client.Close()
	left, err := g.endsAtStart(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	if len(left) == 0 {
		close(g.loaded)
	}
	ids := map[string]topics.ID{}
	for _, id := range tableTopics {
		ids[g.naming.Topic(id)] = id
	}
	changed, risen := false, time.Time{}
	for ctx.Err() == nil {
		wait := time.Minute
		if changed {
			wait = g.interval - time.Since(risen)
		}
		pollCtx, cancel := context.WithTimeout(ctx, max(wait, 0))
		fetches := g.client.PollFetches(pollCtx)
		cancel()
		for _, e := range fetches.Errors() {
			if errors.Is(e.Err, context.Canceled) || errors.Is(e.Err, context.DeadlineExceeded) {
				continue
			}
			if x := asExit(e.Err, "table topic "+e.Topic); x != nil && x.Reason != DataLoss {
				return x
			}
			g.log.Warn("a table cannot be read just now", "topic", e.Topic, "partition", e.Partition, "error", e.Err)
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			for _, r := range p.Records {
				if !r.Attrs.IsControl() {
					g.apply(ids[p.Topic], r)
					changed = true
				}
			}
			at := input{p.Topic, p.Partition}
			if end, ok := left[at]; ok && len(p.Records) > 0 && p.Records[len(p.Records)-1].Offset+1 >= end {
				delete(left, at)
				if len(left) == 0 {
					g.log.Info("the tables are loaded", "skipped", g.skipped.Load())
					close(g.loaded)
				}
			}
		})
		if changed && time.Since(risen) >= g.interval {
			changed, risen = false, time.Now()
			g.rise()
		}
	}
	return nil
}

func (g *GlobalTables) apply(id topics.ID, r *kgo.Record) {
	if err := g.applier.ApplyTable(id, r.Key, r.Value); err != nil {
		g.skipped.Add(1)
		g.log.Error("a master data record is skipped", "topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "error", err)
	}
}

func (g *GlobalTables) rise() {
	g.generation.Add(1)
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, f := range g.watches {
		f()
	}
}

// endsAtStart is ends, however long the brokers are away: only what is known of the topics stops a process.
func (g *GlobalTables) endsAtStart(ctx context.Context) (map[input]int64, error) {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, maxRemakeBackoff) {
		left, err := g.ends(ctx)
		var x *ExitError
		if err == nil || ctx.Err() != nil || errors.As(err, &x) {
			return left, err
		}
		g.log.Warn("the tables' topics cannot be asked for just now", "error", err, "backoff", wait.String())
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// ends lists what must be read before the tables are loaded: committed ends, for what an open transaction writes may
// come late as well.
func (g *GlobalTables) ends(ctx context.Context) (map[input]int64, error) {
	admin := kadm.NewClient(g.client)
	left := map[input]int64{}
	for _, id := range tableTopics {
		name := g.naming.Topic(id)
		var starts, ends kadm.ListedOffsets
		err := retry(ctx, func() (err error) {
			if starts, err = admin.ListStartOffsets(ctx, name); err != nil {
				return err
			}
			if ends, err = admin.ListCommittedOffsets(ctx, name); err != nil {
				return err
			}
			return errors.Join(starts.Error(), ends.Error())
		})
		if e := asExit(err, "table topic "+name); e != nil {
			return nil, e
		}
		if err != nil {
			return nil, fmt.Errorf("table topic %s cannot be listed: %w", name, err)
		}
		if len(ends[name]) == 0 {
			return nil, exit(MissingTopic, nil, createTopics, "there is no table topic %s", name)
		}
		ends.Each(func(e kadm.ListedOffset) {
			if s, _ := starts.Lookup(e.Topic, e.Partition); e.Offset > s.Offset {
				left[input{e.Topic, e.Partition}] = e.Offset
			}
		})
	}
	return left, nil
}
