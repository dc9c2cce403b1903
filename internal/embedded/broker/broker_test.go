package broker_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"crossdock/internal/embedded/broker"
	"crossdock/internal/embedded/process"
	"crossdock/internal/testservices"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client connects to a cluster until the test's end.
func client(t *testing.T, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(addr), kgo.MetadataMinAge(50 * time.Millisecond)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func createTopic(t *testing.T, cl *kgo.Client, partitions int32, config map[string]string, topic string) {
	t.Helper()
	configs := map[string]*string{}
	for k, v := range config {
		configs[k] = &v
	}
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), partitions, 1, configs, topic); err != nil {
		t.Fatal(err)
	}
}

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// producer is a transactional client with a transaction begun and one record of it written.
func producer(t *testing.T, addr, id, topic string, timeout time.Duration) *kgo.Client {
	t.Helper()
	cl := client(t, addr, kgo.TransactionalID(id), kgo.TransactionTimeout(timeout))
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(bounded(t), &kgo.Record{Topic: topic, Value: []byte(id)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	return cl
}

// The tests below say what the pipeline relies on. They run on the embedded broker and on real Kafka: where both pass, the
// one stands in for the other.

func TestReadersOfCommittedRecordsStandBeforeAnOpenTransactionAndNeverSeeAnAbortedOne(t *testing.T) {
	testservices.Brokers(t, func(t *testing.T, c testservices.Cluster) {
		ctx, topic := bounded(t), c.Prefix+"t"
		admin := client(t, c.Addr)
		createTopic(t, admin, 1, nil, topic)
		aborted := producer(t, c.Addr, c.Prefix+"aborted", topic, 40*time.Second)
		committed := producer(t, c.Addr, c.Prefix+"committed", topic, 40*time.Second)
		if err := committed.EndTransaction(ctx, kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
		adm := kadm.NewClient(admin)
		stable, err := adm.ListCommittedOffsets(ctx, topic)
		if err != nil {
			t.Fatal(err)
		}
		if o, _ := stable.Lookup(topic, 0); o.Offset != 0 {
			t.Errorf("the last stable offset is %d under a transaction that began at 0", o.Offset)
		}
		if err := aborted.EndTransaction(ctx, kgo.TryAbort); err != nil {
			t.Fatal(err)
		}
		reader := client(t, c.Addr, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		fs := reader.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			t.Fatal(err)
		}
		for _, r := range fs.Records() {
			if string(r.Value) != c.Prefix+"committed" {
				t.Errorf("read %q", r.Value)
			}
		}
	})
}

func TestASecondOwnerOfATransactionalIDFencesTheFirst(t *testing.T) {
	testservices.Brokers(t, func(t *testing.T, c testservices.Cluster) {
		ctx, topic := bounded(t), c.Prefix+"t"
		createTopic(t, client(t, c.Addr), 1, nil, topic)
		zombie := producer(t, c.Addr, c.Prefix+"id", topic, 40*time.Second)
		heir := client(t, c.Addr, kgo.TransactionalID(c.Prefix+"id"))
		if _, _, err := heir.ProducerID(ctx); err != nil {
			t.Fatal(err)
		}
		err := zombie.EndTransaction(ctx, kgo.TryCommit)
		if !errors.Is(err, kerr.ProducerFenced) && !errors.Is(err, kerr.InvalidProducerEpoch) && !errors.Is(err, kerr.InvalidTxnState) {
			t.Errorf("the zombie's commit: %v", err)
		}
	})
}

func TestATransactionPastItsTimeoutIsAborted(t *testing.T) {
	// Real Kafka sweeps every 10 s; the embedded broker has a timer for each transaction.
	c := testservices.Broker(t)
	ctx := bounded(t)
	createTopic(t, client(t, c), 1, nil, "t")
	producer(t, c, "left", "t", 300*time.Millisecond)
	reader := client(t, c, kgo.ConsumeTopics("t"), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err := client(t, c).ProduceSync(ctx, &kgo.Record{Topic: "t", Value: []byte("after")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	fs := reader.PollRecords(ctx, 1)
	if rs := fs.Records(); fs.Err() != nil || len(rs) != 1 || string(rs[0].Value) != "after" {
		t.Errorf("%v, %v", rs, fs.Err())
	}
}

func TestOpenTransactionsCanBeFoundByTheirID(t *testing.T) {
	testservices.Brokers(t, func(t *testing.T, c testservices.Cluster) {
		ctx, topic := bounded(t), c.Prefix+"t"
		admin := client(t, c.Addr)
		createTopic(t, admin, 1, nil, topic)
		open := producer(t, c.Addr, c.Prefix+"open", topic, 40*time.Second)
		adm := kadm.NewClient(admin)
		listed, err := adm.ListTransactions(ctx, nil, []string{"Ongoing"})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := listed[c.Prefix+"open"]; !ok {
			t.Errorf("not among %v", listed.TransactionalIDs())
		}
		described, err := adm.DescribeTransactions(ctx, c.Prefix+"open")
		if err != nil {
			t.Fatal(err)
		}
		if d := described[c.Prefix+"open"]; d.Err != nil || d.State != "Ongoing" || !d.Topics.Lookup(topic, 0) {
			t.Errorf("described as %+v", d)
		}
		if err := open.EndTransaction(ctx, kgo.TryAbort); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAStableFetchOfOffsetsWaitsForTheTransactionThatHoldsThem(t *testing.T) {
	testservices.Brokers(t, func(t *testing.T, c testservices.Cluster) {
		ctx, in, group := bounded(t), c.Prefix+"in", c.Prefix+"group"
		admin := client(t, c.Addr)
		createTopic(t, admin, 1, nil, in)
		if err := admin.ProduceSync(ctx, &kgo.Record{Topic: in, Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		// The embedded broker knows no group that has neither had a member nor an offset; a task's group always has.
		if err := kadm.NewClient(admin).CommitAllOffsets(ctx, group, offsetsOf(in, 0)); err != nil {
			t.Fatal(err)
		}
		pid := initProducer(t, admin, c.Prefix+"offsets")
		addOffsets(t, admin, c.Prefix+"offsets", group, pid)
		commitOffset(t, admin, c.Prefix+"offsets", group, in, pid)
		if err := fetchStable(ctx, t, admin, group, in); !errors.Is(err, kerr.UnstableOffsetCommit) {
			t.Errorf("under an open transaction: %v", err)
		}
		endTxn(t, admin, c.Prefix+"offsets", pid)
		for { // the markers of real Kafka come after the answer
			err := fetchStable(ctx, t, admin, group, in)
			if err == nil {
				break
			}
			if !errors.Is(err, kerr.UnstableOffsetCommit) || ctx.Err() != nil {
				t.Fatalf("after the commit: %v", err)
			}
		}
	})
}

func TestARecreatedTopicHasAnotherID(t *testing.T) {
	c := testservices.Broker(t)
	cl := client(t, c)
	adm := kadm.NewClient(cl)
	id := func() kadm.TopicID {
		createTopic(t, cl, 1, nil, "t")
		d, err := kadm.NewClient(client(t, c)).ListTopics(t.Context(), "t") // a client of its own: one may answer from its cache
		if err != nil {
			t.Fatal(err)
		}
		return d["t"].ID
	}
	first := id()
	if _, err := adm.DeleteTopic(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	if second := id(); first == second {
		t.Errorf("both are %v", first)
	}
}

func TestARecordPastTheTopicsLimitIsRefusedByName(t *testing.T) {
	testservices.Brokers(t, func(t *testing.T, c testservices.Cluster) {
		cl := client(t, c.Addr, kgo.ProducerBatchMaxBytes(4<<20), kgo.ProducerBatchCompression(kgo.NoCompression()))
		createTopic(t, cl, 1, map[string]string{"max.message.bytes": "65536"}, c.Prefix+"t")
		err := cl.ProduceSync(bounded(t), &kgo.Record{Topic: c.Prefix + "t", Value: make([]byte, 1<<20)}).FirstErr()
		if !errors.Is(err, kerr.MessageTooLarge) {
			t.Errorf("got %v", err)
		}
	})
}

func TestTheLargestDocumentFits(t *testing.T) {
	c := testservices.Broker(t)
	cl := client(t, c, kgo.ProducerBatchMaxBytes(broker.MaxMessage), kgo.ProducerBatchCompression(kgo.NoCompression()))
	createTopic(t, cl, 1, nil, "raw")
	if err := cl.ProduceSync(bounded(t), &kgo.Record{Topic: "raw", Value: make([]byte, 16<<20)}).FirstErr(); err != nil {
		t.Error(err)
	}
}

func TestTopicsAreNotCreatedByMistake(t *testing.T) {
	testservices.Brokers(t, func(t *testing.T, c testservices.Cluster) {
		cl := client(t, c.Addr, kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(1))
		if err := cl.ProduceSync(bounded(t), &kgo.Record{Topic: c.Prefix + "typo"}).FirstErr(); !errors.Is(err, kerr.UnknownTopicOrPartition) {
			t.Errorf("got %v", err)
		}
	})
}

func TestCompactionKeepsTheNewestOfEachKeyAndRetentionTheNewestBytes(t *testing.T) {
	b := testservices.OwnBroker(t, broker.Options{CleanInterval: 20 * time.Millisecond})
	cl := client(t, b.Addrs()[0], kgo.ProducerBatchCompression(kgo.NoCompression()))
	createTopic(t, cl, 1, map[string]string{"cleanup.policy": "compact"}, "balances")
	createTopic(t, cl, 1, map[string]string{"retention.bytes": "20000"}, "raw")
	ctx := bounded(t)
	for i := range 50 {
		err := cl.ProduceSync(ctx,
			&kgo.Record{Topic: "balances", Key: []byte("k"), Value: fmt.Append(nil, i)},
			&kgo.Record{Topic: "raw", Value: make([]byte, 1000)}).FirstErr()
		if err != nil {
			t.Fatal(err)
		}
	}
	adm := kadm.NewClient(cl)
	for { // sweeps have no event
		starts, err := adm.ListStartOffsets(ctx, "raw")
		if err != nil {
			t.Fatal(err)
		}
		if o, _ := starts.Lookup("raw", 0); o.Offset > 0 && o.Offset < 50 {
			break
		}
	}
	for {
		reader := client(t, b.Addrs()[0], kgo.ConsumeTopics("balances"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		rs := reader.PollFetches(ctx).Records()
		reader.Close()
		if len(rs) == 0 {
			t.Fatal(ctx.Err())
		}
		if last := string(rs[len(rs)-1].Value); last != "49" {
			t.Fatalf("the newest is %s", last)
		}
		if len(rs) <= 2 { // the newest batch is never compacted
			return
		}
	}
}

func TestAFixedPortIsHeldAndARunningOneIsNamed(t *testing.T) {
	port, err := process.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	b := testservices.OwnBroker(t, broker.Options{Port: port})
	if want := fmt.Sprintf("127.0.0.1:%d", port); b.Addrs()[0] != want {
		t.Errorf("%v, want %s", b.Addrs(), want)
	}
	if _, err := broker.Start(broker.Options{Port: port}); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("got %v", err)
	}
}

func TestOptionsThatMakeNoBrokerAreAllNamed(t *testing.T) {
	_, err := broker.Start(broker.Options{Brokers: 10, Partitions: -1, Port: -5, CleanInterval: -1})
	for _, what := range []string{"10 brokers", "-1 partitions", "port -5", "sweeps"} {
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s is not in %v", what, err)
		}
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	err := broker.Serve(ctx, broker.Options{}, func(addrs []string) {
		conn, err := net.Dial("tcp", addrs[0])
		if err != nil {
			t.Error(err)
		} else if err := conn.Close(); err != nil {
			t.Error(err)
		}
		cancel()
	})
	if err != nil {
		t.Error(err)
	}
}

// producerID is what a broker gave a transactional id.
type producerID struct {
	id    int64
	epoch int16
}

func request[R kmsg.Response](t *testing.T, cl *kgo.Client, r kmsg.Request) R {
	t.Helper()
	resp, err := cl.Request(bounded(t), r)
	if err != nil {
		t.Fatal(err)
	}
	return resp.(R)
}

func must(t *testing.T, code int16) {
	t.Helper()
	if err := kerr.ErrorForCode(code); err != nil {
		t.Fatal(err)
	}
}

func initProducer(t *testing.T, cl *kgo.Client, id string) producerID {
	t.Helper()
	r := kmsg.NewPtrInitProducerIDRequest()
	r.TransactionalID, r.TransactionTimeoutMillis = &id, 40_000
	for {
		resp := request[*kmsg.InitProducerIDResponse](t, cl, r)
		if errors.Is(kerr.ErrorForCode(resp.ErrorCode), kerr.ConcurrentTransactions) {
			continue
		}
		must(t, resp.ErrorCode)
		return producerID{resp.ProducerID, resp.ProducerEpoch}
	}
}

func addOffsets(t *testing.T, cl *kgo.Client, id, group string, p producerID) {
	t.Helper()
	r := kmsg.NewPtrAddOffsetsToTxnRequest()
	r.TransactionalID, r.Group, r.ProducerID, r.ProducerEpoch = id, group, p.id, p.epoch
	must(t, request[*kmsg.AddOffsetsToTxnResponse](t, cl, r).ErrorCode)
}

func commitOffset(t *testing.T, cl *kgo.Client, id, group, topic string, p producerID) {
	t.Helper()
	r := kmsg.NewPtrTxnOffsetCommitRequest()
	r.TransactionalID, r.Group, r.ProducerID, r.ProducerEpoch, r.Generation = id, group, p.id, p.epoch, -1
	rp := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	rp.Offset = 1
	rt := kmsg.NewTxnOffsetCommitRequestTopic()
	rt.Topic, rt.TopicID, rt.Partitions = topic, topicID(bounded(t), t, cl, topic), append(rt.Partitions, rp)
	r.Topics = append(r.Topics, rt)
	must(t, request[*kmsg.TxnOffsetCommitResponse](t, cl, r).Topics[0].Partitions[0].ErrorCode)
}

func endTxn(t *testing.T, cl *kgo.Client, id string, p producerID) {
	t.Helper()
	r := kmsg.NewPtrEndTxnRequest()
	r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Commit = id, p.id, p.epoch, true
	must(t, request[*kmsg.EndTxnResponse](t, cl, r).ErrorCode)
}

func topicID(ctx context.Context, t *testing.T, cl *kgo.Client, topic string) [16]byte {
	t.Helper()
	d, err := kadm.NewClient(cl).ListTopics(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	return d[topic].ID
}

func offsetsOf(topic string, at int64) kadm.Offsets {
	o := kadm.Offsets{}
	o.AddOffset(topic, 0, at, -1)
	return o
}

// fetchStable asks once for the group's offset, as a task does before it restores (RequireStable).
func fetchStable(ctx context.Context, t *testing.T, cl *kgo.Client, group, topic string) error {
	t.Helper()
	rt := kmsg.NewOffsetFetchRequestGroupTopic()
	rt.Topic, rt.TopicID, rt.Partitions = topic, topicID(ctx, t, cl, topic), []int32{0}
	rg := kmsg.NewOffsetFetchRequestGroup()
	rg.Group, rg.Topics = group, append(rg.Topics, rt)
	r := kmsg.NewPtrOffsetFetchRequest()
	r.RequireStable, r.Groups = true, append(r.Groups, rg)
	resp, err := r.RequestWith(ctx, cl)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range resp.Groups {
		if err := kerr.ErrorForCode(g.ErrorCode); err != nil {
			return err
		}
		for _, topic := range g.Topics {
			for _, p := range topic.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return err
				}
				if p.Offset != 1 {
					return fmt.Errorf("committed offset %d", p.Offset)
				}
			}
		}
	}
	return nil
}
