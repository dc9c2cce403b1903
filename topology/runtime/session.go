package runtime

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// An input is one partition of an input topic: a task.
type input struct {
	topic     string
	partition int32
}

func (i input) String() string { return fmt.Sprintf("%s/%d", i.topic, i.partition) }

// A grant is one assignment of an input to this worker, as the stable offset fetch and the offsets listed after it tell.
type grant struct {
	sequence uint64     // of all grants of the session: a partition that left and came back has another
	offset   int64      // committed, or the log's start
	epoch    int32      // leader epoch of it
	number   uint64     // of the last commit
	ends     []span     // of the stages' changelogs' partition, by store
	ids      [][16]byte // topic ids of the changelogs
}

// A span is what a changelog's partition holds.
type span struct{ start, end int64 }

// A session is one life of a worker's client: from joining the group to the first error that cannot be retried in it.
// The callbacks of the client only pause, list offsets and take notes; the worker's loop acts on the notes.
type session struct {
	*kgo.GroupTransactSession
	client *kgo.Client
	admin  *kadm.Client
	worker *worker
	wake   waker
	life   context.Context    // of the client
	kill   context.CancelFunc // ends it, and whatever the client waits for

	contact contact

	producing   chan struct{} // closed when the producer id is known
	joined      atomic.Bool
	awaiting    atomic.Bool // partitions were assigned, and their offsets are not fetched yet
	interrupted atomic.Bool // a callback took partitions away since the last End

	mu       sync.Mutex
	sequence uint64
	marks    map[input]mark // from the last offset fetch, until its grants are made
	grants   map[input]grant
	unlisted time.Time // since when a changelog has too few partitions
}

func newSession(ctx context.Context, w *worker) (*session, error) {
	// What the client waits for by itself, a transaction's begin for instance, holds up no stop.
	life, kill := outliving(ctx, stopGrace+2*leaveGrace)
	s := &session{worker: w, life: life, kill: kill, contact: contact{window: w.cfg.SessionTimeout}, producing: make(chan struct{}), marks: map[input]mark{}, grants: map[input]grant{}}
	gts, err := kgo.NewGroupTransactSession(append(s.options(), kgo.WithContext(life))...)
	if err != nil {
		kill()
		return nil, exit(StageFailed, err, "Correct the client's options.", "the client of %s cannot be made", w.name)
	}
	s.GroupTransactSession, s.client = gts, gts.Client()
	s.admin = kadm.NewClient(s.client)
	// The first act: it aborts what this id left open, which the stable offset fetch waits for. The client would load it
	// lazily, and wait for itself.
	idCtx, cancel := context.WithTimeout(ctx, 2*w.cfg.TransactionTimeout)
	defer cancel()
	began := time.Now()
	producer, epoch, err := s.client.ProducerID(idCtx)
	if took := time.Since(began); took > slowProducerID {
		w.log.Warn("the producer id took long to load", "took", took, "error", err)
	}
	what := "the producer id cannot be loaded"
	if err == nil {
		// What hangs of it would hold the offset fetch back too, and what comes next would be added to it.
		what, err = "the session cannot begin", w.fencer.own(ctx, w.name, producer, epoch)
	}
	close(s.producing) // in any case: closing the client waits for its callbacks
	if err != nil {
		w.pending = s.close(ctx)
		return nil, &sessionError{what, err}
	}
	return s, nil
}

// slowProducerID is when the load of a producer id is told of: it is what a restarted worker stands still for.
const slowProducerID = time.Second

// remakeGrace is how long a session that is made anew waits for the old one's rebalance: the next one takes its place in it.
const remakeGrace = 500 * time.Millisecond

// close ends the client. One that is in a rebalance waits for its end, which a member that died puts off for up to a
// session timeout: it is given hardly any time. inRebalance says that it was closed within one, so the group waits for it.
func (s *session) close(ctx context.Context) (inRebalance bool) {
	grace := remakeGrace
	if ctx.Err() != nil {
		grace = leaveGrace
	}
	leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	_ = s.client.LeaveGroupContext(leaving) // a static member tells nobody, unless it owes the group a rejoin
	if leaving.Err() != nil || s.life.Err() != nil {
		s.worker.log.Warn("the group's rebalance does not end: the client is closed within it")
		s.kill()
		inRebalance = true
	}
	s.Close()
	s.kill()
	return inRebalance
}

// fetchWait is how long a broker holds a fetch without records (fetch.max.wait.ms). A partition that is resumed or added
// joins the next fetch, so this is what a restored task may wait for its first record; franz-go's default is 5 s.
const fetchWait = 200 * time.Millisecond

// options are those of a worker's client. Its offset fetches are stable ones always (franz-go 1.22): they wait for
// transactions with offsets of the group (KIP-447).
func (s *session) options() []kgo.Opt {
	w := s.worker
	c := &w.cfg
	compression, _ := codec(c.Compression) // validated
	opts := append(append([]kgo.Opt(nil), c.Client...),
		kgo.ClientID(w.name),
		kgo.MetadataMinAge(c.MetadataMinAge),
		kgo.WithLogger(clientLog{w.log}),
		kgo.WithPools(w.pool),
		kgo.WithHooks(&s.contact),

		kgo.ConsumerGroup(c.App),
		kgo.InstanceID(w.name),
		kgo.Balancers(signed{c.Balancer, w.signature}),
		kgo.SessionTimeout(c.SessionTimeout),
		kgo.RebalanceTimeout(c.RebalanceTimeout),
		kgo.HeartbeatInterval(c.HeartbeatInterval),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(fetchWait),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // lost records stop the worker by name
		kgo.OnPartitionsAssigned(s.onAssigned),
		kgo.OnPartitionsRevoked(s.onRevoked),
		kgo.OnPartitionsLost(s.onLost),
		kgo.OnOffsetsFetched(s.onOffsetsFetched),
		kgo.AdjustFetchOffsetsFn(s.grant),

		kgo.TransactionalID(w.name),
		kgo.TransactionTimeout(c.TransactionTimeout),
		kgo.RecordPartitioner(partitioner{}),
		kgo.ProducerBatchCompression(compression),
		kgo.ProducerLinger(c.Linger),
		kgo.ProducerBatchMaxBytesFn(w.topics.batchBytes),
		kgo.MaxBufferedRecords(max(100_000, 8*c.Commit.MaxRecords)),
		kgo.UnknownTopicRetries(20), // a topic that was just created reaches the brokers one by one
		kgo.ConcurrentTransactionsBackoff(5*time.Millisecond),
	)
	if w.topics.inputRegex {
		return append(opts, kgo.ConsumeRegex(), kgo.ConsumeTopics(w.topics.inputPatterns...), kgo.MetadataMaxAge(30*time.Second))
	}
	return append(opts, kgo.ConsumeTopics(w.topics.inputs...))
}

// onAssigned keeps new partitions from being fetched until their tasks run, and their offsets from being fetched before
// this worker's own id has aborted what it left open: the client waits a second after an unstable offset.
func (s *session) onAssigned(ctx context.Context, client *kgo.Client, added map[string][]int32) {
	client.PauseFetchPartitions(added)
	s.worker.directory.stale.Store(true)
	s.awaiting.Store(len(added) > 0)
	s.joined.Store(true)
	select {
	case <-s.producing:
	case <-ctx.Done():
	}
	if len(added) > 0 {
		// What their last owner left open would make the offset fetch, which comes next, wait a second too.
		s.worker.fencer.ask()
		s.worker.fencer.settled(ctx, fencerWait)
	}
	s.wake.wake()
}

// fencerWait bounds how long an assignment waits for the fencer. Who does not wait loses time, nothing else.
const fencerWait = 500 * time.Millisecond

// onRevoked is called at the end of every group session, mostly with nothing: the transaction may go on then. The session
// calls it with something once until the next End, so it is no account of what is assigned.
func (s *session) onRevoked(_ context.Context, _ *kgo.Client, taken map[string][]int32) {
	if len(taken) > 0 {
		s.worker.directory.stale.Store(true)
		s.interrupted.Store(true)
	}
	s.worker.fencer.ask() // the group's membership changes: whoever has left need not be waited for until the rebalance is over
	s.wake.wake()
}

func (s *session) onLost(context.Context, *kgo.Client, map[string][]int32) {
	s.interrupted.Store(true)
	s.wake.wake()
}

// onOffsetsFetched reads the marks of what was just assigned. grant is called next.
func (s *session) onOffsetsFetched(_ context.Context, _ *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.marks)
	return eachOffset(resp, func(i input, _ int64, m mark) { s.marks[i] = m })
}

// eachOffset reads committed offsets and their marks; an offset below 0 is none.
func eachOffset(resp *kmsg.OffsetFetchResponse, f func(i input, offset int64, m mark)) error {
	for _, g := range resp.Groups {
		if err := kerr.ErrorForCode(g.ErrorCode); err != nil {
			return err
		}
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return fmt.Errorf("committed offset of %s/%d: %w", t.Topic, p.Partition, err)
				}
				f(input{t.Topic, p.Partition}, p.Offset, readMark(p.Metadata))
			}
		}
	}
	return nil
}

// grant takes note of what was assigned, and makes "start" a concrete offset: a partition without one is rewound to 0 by
// an abort, which is out of range once retention has run. The changelogs' ends are listed here, after the stable fetch
// (I3), as high watermarks: the last stable offset would lose the update of a transaction whose markers are still being
// written.
func (s *session) grant(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	s.client.PauseFetchPartitions(partitions(offsets)) // an earlier fetch of them may have been cancelled
	names := make([]string, 0, len(offsets))
	for topic := range offsets {
		names = append(names, topic)
	}
	starts, err := s.list(ctx, s.admin.ListStartOffsets, names)
	if err != nil {
		return nil, err
	}
	changelogs := s.worker.topics.changelogs
	var logStarts, logEnds kadm.ListedOffsets
	if len(changelogs) > 0 {
		if logStarts, err = s.list(ctx, s.admin.ListStartOffsets, changelogs); err != nil {
			return nil, err
		}
		if logEnds, err = s.list(ctx, s.admin.ListEndOffsets, changelogs); err != nil {
			return nil, err
		}
	}
	var ids map[string][16]byte
	if len(changelogs) > 0 {
		if ids, err = s.topicIDs(ctx, partitionsOf(changelogs)); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for topic, parts := range offsets {
		for p, o := range parts {
			at := input{topic, p}
			m, ok := s.marks[at]
			if !ok {
				return nil, fmt.Errorf("the offset fetch said nothing of %v", at)
			}
			e := o.EpochOffset()
			if e.Offset < 0 {
				start, ok := starts.Lookup(topic, p)
				if !ok {
					return nil, fmt.Errorf("the start of %v is not listed", at)
				}
				e = kgo.EpochOffset{Epoch: start.LeaderEpoch, Offset: start.Offset}
				parts[p] = kgo.NewOffset().At(e.Offset).WithEpoch(e.Epoch)
			}
			s.sequence++
			g := grant{sequence: s.sequence, offset: e.Offset, epoch: e.Epoch, number: m.number}
			for i, changelog := range changelogs {
				g.ids = append(g.ids, ids[changelog])
				start, ok1 := logStarts.Lookup(changelog, p)
				end, ok2 := logEnds.Lookup(changelog, p)
				if !ok1 || !ok2 {
					return nil, s.unlistedChangelog(input{changelog, p}, at)
				}
				g.ends = append(g.ends, span{start.Offset, end.Offset})
				if why := m.lost(i, ids[changelog], g.ends[i]); why != "" {
					return nil, exit(ChangelogLost, nil, lostChangelogRemedy(s.worker.cfg.App, topic), "changelog %v: %s", input{changelog, p}, why)
				}
			}
			s.grants[at] = g
		}
	}
	s.unlisted = time.Time{}
	s.awaiting.Store(false)
	s.wake.wake()
	return offsets, nil
}

func partitionsOf(names []string) map[string][]int32 {
	m := make(map[string][]int32, len(names))
	for _, name := range names {
		m[name] = nil
	}
	return m
}

// unlistedChangelog is for a partition that an input has got while the stage runs, and its changelog has not: it may be on
// its way, or stop the instance by name.
func (s *session) unlistedChangelog(changelog, of input) error {
	if s.unlisted.IsZero() {
		s.unlisted = time.Now()
	}
	if time.Since(s.unlisted) > topicGrace {
		return exit(PartitionsMismatch, nil, "Give the changelog as many partitions as its input has.",
			"input partition %v has no changelog partition %v", of, changelog)
	}
	return fmt.Errorf("the start or end of changelog %v is not listed", changelog)
}

// lostTopicGrace is how long a topic that was there at start may be unknown to a broker, which may just be starting.
const lostTopicGrace = 15 * time.Second

// list asks for offsets, again where a partition has no leader just now. A topic that is gone is an ExitError.
func (s *session) list(ctx context.Context, ask func(context.Context, ...string) (kadm.ListedOffsets, error), names []string) (kadm.ListedOffsets, error) {
	var listed kadm.ListedOffsets
	began := time.Now()
	err := retry(ctx, func() (err error) {
		if listed, err = ask(ctx, names...); err == nil {
			err = listed.Error()
		}
		if errors.Is(err, kerr.UnknownTopicOrPartition) && time.Since(began) > lostTopicGrace {
			return exit(MissingTopic, err, createTopics, "one of the topics %q is gone", names)
		}
		return err
	})
	return listed, err
}

// committedNumbers reads the group's stable committed offsets of some inputs: the outcome of a transaction (I4).
func (s *session) committedNumbers(ctx context.Context, of []input) (map[input]uint64, error) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.RequireStable = true
	group := kmsg.NewOffsetFetchRequestGroup()
	group.Group = s.worker.cfg.App
	byTopic := map[string][]int32{}
	for _, i := range of {
		byTopic[i.topic] = append(byTopic[i.topic], i.partition)
	}
	ids, err := s.topicIDs(ctx, byTopic)
	if err != nil {
		return nil, err
	}
	for topic, parts := range byTopic {
		t := kmsg.NewOffsetFetchRequestGroupTopic()
		t.Topic, t.TopicID, t.Partitions = topic, ids[topic], parts
		group.Topics = append(group.Topics, t)
	}
	req.Groups = append(req.Groups, group)
	numbers := map[input]uint64{}
	err = retry(ctx, func() error {
		resp, err := req.RequestWith(ctx, s.client)
		if err != nil {
			return err
		}
		names := map[[16]byte]string{}
		for name, id := range ids {
			names[id] = name
		}
		for g := range resp.Groups {
			for t := range resp.Groups[g].Topics {
				if topic := &resp.Groups[g].Topics[t]; topic.Topic == "" {
					topic.Topic = names[topic.TopicID]
				}
			}
		}
		return eachOffset(resp, func(i input, _ int64, m mark) { numbers[i] = m.number })
	})
	return numbers, err
}

func (s *session) topicIDs(ctx context.Context, topics map[string][]int32) (map[string][16]byte, error) {
	names := make([]string, 0, len(topics))
	for name := range topics {
		names = append(names, name)
	}
	ids := map[string][16]byte{}
	err := retry(ctx, func() error {
		details, err := s.admin.ListTopics(ctx, names...)
		if err != nil {
			return err
		}
		for name, d := range details {
			ids[name] = d.ID
		}
		return details.Error()
	})
	return ids, err
}

// retry tries again while the error is one that passes, until ctx ends.
func retry(ctx context.Context, f func() error) error {
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		err := f()
		if err == nil || !passing(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (given up: %w)", err, ctx.Err())
		case <-time.After(wait):
		}
	}
}

// passing says whether an error of a request is one that passes.
func passing(err error) bool {
	var (
		x *ExitError
		e *kerr.Error
	)
	return !errors.As(err, &x) && errors.As(err, &e) && (e.Retriable || errors.Is(err, kerr.UnstableOffsetCommit))
}

func partitions(offsets map[string]map[int32]kgo.Offset) map[string][]int32 {
	m := make(map[string][]int32, len(offsets))
	for topic, parts := range offsets {
		for p := range parts {
			m[topic] = append(m[topic], p)
		}
	}
	return m
}

// exactly is the regular expression of a name.
func exactly(name string) string { return "^" + regexp.QuoteMeta(name) + "$" }

// A waker ends a wait of the loop before its time.
type waker struct {
	mu     sync.Mutex
	cancel context.CancelFunc // of the wait that is on
	due    bool
}

// context is for one wait, which release ends.
func (k *waker) context(parent context.Context, limit time.Duration) (ctx context.Context, release func()) {
	ctx, cancel := context.WithTimeout(parent, limit)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.due {
		k.due = false
		cancel()
		return ctx, func() {}
	}
	k.cancel = cancel
	return ctx, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.cancel = nil
		cancel()
	}
}

// wake ends the wait that is on, or the next.
func (k *waker) wake() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.cancel != nil {
		k.cancel()
		k.cancel = nil
		return
	}
	k.due = true
}
