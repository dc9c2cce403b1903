package runtime

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sr"

	"crossdock/avro/event"
	"crossdock/avro/registry"
	"crossdock/avro/schemas"
	"crossdock/avro/serde"
	"crossdock/processors"
	"crossdock/topology/topics"
)

// letters is the dead letters of a rig.
func (r *rig) letters() []event.DeadLetter {
	r.t.Helper()
	var all []event.DeadLetter
	for _, rec := range r.read(r.naming.Topic(topics.DeadLetters)) {
		var d event.DeadLetter
		if err := serde.Local().Decode(rec.Value, &d); err != nil {
			r.t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

// oneLetter is the only dead letter, of a cause.
func (r *rig) oneLetter(cause processors.Cause) event.DeadLetter {
	r.t.Helper()
	all := r.letters()
	if len(all) != 1 || all[0].Cause != string(cause) {
		r.t.Fatalf("%d dead letters, should be one of %s: %+v", len(all), cause, all)
	}
	return all[0]
}

func TestBytesThatAreNoEventBecomeADeadLetterAndTheRestIsProcessed(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 1)
	r.send(50, 5)
	bad := &kgo.Record{Topic: r.input(), Key: []byte("bad"), Value: []byte("\xff\xfe no event"), Headers: []kgo.RecordHeader{
		{Key: "source", Value: []byte("wms")}, {Key: "raw-ref", Value: []byte("raw.wms/0/7")}}}
	r.produce(bad)
	r.send(50, 5)
	p := r.start(r.config("a"))
	r.drained()
	if n := p.metric("crossdock_task_dead_letters_total", "cause=BAD_FRAMING"); n != 1 {
		t.Errorf("%v dead letters are counted", n)
	}
	p.close(t)
	r.verify()
	d := r.oneLetter(processors.BadFraming)
	if string(d.Value.Value) != string(bad.Value) || string(d.Key.Value) != "bad" || d.Source.Value != "wms" || d.RawRef.Value != "raw.wms/0/7" ||
		d.Topic != r.input() || d.Offset != 51 || d.Stage != "counting" || d.Remedy == "" || d.ID != r.input()+"/0/51/0" || len(d.Headers) != 2 {
		t.Errorf("the dead letter is %+v", d)
	}
}

func TestOutputsHaveTheirInputsHeadersTimeAndPartition(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 4)
	r.send(100, 20)
	p := r.start(r.config("a"))
	r.drained()
	p.close(t)
	in := map[string]*kgo.Record{}
	for _, rec := range r.read(r.input()) {
		var m event.InventoryMovement
		if err := serde.Local().Decode(rec.Value, &m); err != nil {
			t.Fatal(err)
		}
		if in[m.Header.DedupeKey] == nil {
			in[strings.Clone(m.Header.DedupeKey)] = rec
		}
	}
	for _, out := range r.read(r.naming.Topic(topics.Ledger)) {
		var m event.LedgerPosting
		if err := serde.Local().Decode(out.Value, &m); err != nil {
			t.Fatal(err)
		}
		rec := in[m.DedupeKey]
		if !out.Timestamp.Equal(rec.Timestamp) || out.Partition != rec.Partition || len(out.Headers) != 2 || string(out.Headers[0].Value) != "rig" {
			t.Fatalf("%v partition %d headers %v came of %v partition %d", out.Timestamp, out.Partition, out.Headers, rec.Timestamp, rec.Partition)
		}
	}
}

// on calls f for the movement with a dedupe key.
func on(dedupe string, f func(ctx processors.Context) error) func(processors.Context, *event.InventoryMovement) error {
	return func(ctx processors.Context, m *event.InventoryMovement) error {
		if m.Header.DedupeKey == dedupe {
			return f(ctx)
		}
		return nil
	}
}

func TestPanicIsIsolatedAndRejectedWithItsStack(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(on("d500", func(ctx processors.Context) error {
		ctx.Store(0).Put(ctx.Record().Key, []byte("half written, and of no length that can be read"))
		panic("at the disco")
	})), 2)
	r.send(1000, 20)
	p := r.start(r.config("a"))
	r.drained()
	p.close(t)
	r.verify("d500")
	// 550 has the second sending of d549; d500 was sent once.
	if d := r.oneLetter(processors.Panicked); !strings.Contains(d.Detail, "at the disco") || !strings.Contains(d.Detail, "faults_test.go") {
		t.Errorf("the detail is %q", d.Detail)
	}
}

func TestPanicsPastARateStopByName(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(func(processors.Context, *event.InventoryMovement) error { panic("always") }), 1)
	r.send(100, 5)
	if reason := r.start(r.config("a")).exitReason(t); reason != PanicRate {
		t.Errorf("stopped with %s", reason)
	}
	if n := len(r.letters()); n != 0 {
		t.Errorf("%d dead letters were committed by a batch that never passed", n)
	}
}

func TestFatalOfAProcessorStopsByName(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(on("d77", func(processors.Context) error {
		return &processors.Fatal{Reason: "newer than the program"}
	})), 1)
	r.send(100, 5)
	if reason := r.start(r.config("a")).exitReason(t); reason != StageFailed {
		t.Errorf("stopped with %s", reason)
	}
}

// noise does not compress.
func noise(n int) []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 0, n+8)
	for len(b) < n {
		b = binary.LittleEndian.AppendUint64(b, rng.Uint64())
	}
	return b[:n]
}

// A produce that fails since a record is too large does not fail the commit by itself: the record would be missing.
func TestRecordThatTheBrokerDoesNotTakeRejectsItsInput(t *testing.T) {
	c := fake(t)
	tooLargeProduce(t, c.ListenAddrs())
}

func tooLargeProduce(t *testing.T, brokers []string) {
	stage := countingStage(on("d500", func(ctx processors.Context) error {
		ctx.EmitRaw(topics.Exceptions, []byte("k"), noise(100_000), nil)
		return nil
	}))
	stage.Outputs = append(stage.Outputs, topics.Exceptions)
	r := newRig(t, brokers, stage, 2)
	r.limitMessages(r.naming.Topic(topics.Exceptions), "50000")
	r.send(1000, 20)
	p := r.start(r.config("a"))
	r.drained()
	p.close(t)
	r.verify("d500")
	d := r.oneLetter(processors.TooLarge)
	if !strings.Contains(d.Detail, r.naming.Topic(topics.Exceptions)) {
		t.Errorf("the detail is %q", d.Detail)
	}
	if n := len(r.read(r.naming.Topic(topics.Exceptions))); n != 0 {
		t.Errorf("%d exceptions were written", n)
	}
}

// limitMessages sets a topic's max.message.bytes below what the topic table says.
func (r *rig) limitMessages(topic, bytes string) {
	r.t.Helper()
	resp, err := kadm.NewClient(r.client).AlterTopicConfigs(r.t.Context(), []kadm.AlterConfig{{Name: "max.message.bytes", Value: &bytes}}, topic)
	if err != nil || resp[0].Err != nil {
		r.t.Fatal(err, resp)
	}
}

// A broker that refuses whole batches makes the batch smaller until it fits; no input is to blame.
func TestBatchThatTheBrokerDoesNotTakeIsMadeSmaller(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 1)
	r.limitMessages(r.naming.Topic(topics.Ledger), "1500")
	r.send(500, 20)
	p := r.start(r.config("a"))
	r.drained()
	if n := p.metric("crossdock_transaction_aborts_total", "why=produce"); n == 0 {
		t.Error("the broker took it all")
	}
	p.close(t)
	r.verify()
	if n := len(r.letters()); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

func TestDeadLetterThatTheBrokerDoesNotTakeStopsByName(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(on("d7", func(processors.Context) error {
		return processors.Rejectf("NO", "", "no")
	})), 1)
	r.limitMessages(r.naming.Topic(topics.DeadLetters), "100")
	r.send(10, 5)
	if reason := r.start(r.config("a")).exitReason(t); reason != ProduceRefused {
		t.Errorf("stopped with %s", reason)
	}
}

// Batches whose outputs pass the bound are aborted and polled again at half the size; a record that passes it alone is
// rejected.
func TestBatchThatPassesTheBoundIsHalvedAndARecordAloneIsRejected(t *testing.T) {
	c := fake(t)
	big := noise(100_000)
	stage := countingStage(func(ctx processors.Context, m *event.InventoryMovement) error {
		n := 1
		if m.Header.DedupeKey == "d60" {
			n = 30
		}
		for range n {
			ctx.EmitRaw(topics.Exceptions, []byte("k"), big, nil)
		}
		return nil
	})
	stage.Outputs = append(stage.Outputs, topics.Exceptions)
	r := newRig(t, c.ListenAddrs(), stage, 1)
	r.send(99, 20)
	cfg := r.config("a")
	cfg.Commit.MaxBytes = 2 << 20
	p := r.start(cfg)
	r.drained()
	if n := p.metric("crossdock_transaction_aborts_total", "why=too_much"); n == 0 || n > 20 {
		t.Errorf("%v batches were aborted", n)
	}
	p.close(t)
	r.verify("d60")
	r.oneLetter(processors.TooLarge)
	if n := len(r.read(r.naming.Topic(topics.Exceptions))); n != 99 {
		t.Errorf("%d exceptions", n) // 98 movements and one sent twice
	}
}

func TestStateThatIsTooLargeRejectsItsRecord(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(on("d30", func(ctx processors.Context) error {
		ctx.Store(0).Put([]byte("other"), make([]byte, 600<<10))
		return nil
	})), 1)
	r.send(48, 5)
	p := r.start(r.config("a"))
	r.drained()
	p.close(t)
	r.verify("d30")
	r.oneLetter(processors.TooLarge)
}

// An error of the brokers that passes costs a retry, never a record.
func TestBrokersErrorsThatPassAreRetried(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 4)
	r.send(1000, 50)
	p := r.start(r.config("a"))
	r.drained()
	for _, f := range []kfake.Fault{
		{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotLeaderForPartition, Count: 3},
		{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.CoordinatorNotAvailable, Count: 3},
		{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.CoordinatorLoadInProgress, TopLevel: true, Count: 3},
		{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.NotLeaderForPartition, Count: 3},
		{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.UnknownServerError, TopLevel: true, Count: 2},
		{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.UnknownMemberID, TopLevel: true, Count: 1},
	} {
		c.Fault(f)
		r.send(1000, 50)
		r.drained()
	}
	p.close(t)
	r.verify()
}

// door is a registry that can be shut.
type door struct {
	http.Handler
	shut  atomic.Bool
	knock atomic.Int64
}

func (d *door) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	d.knock.Add(1)
	if d.shut.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	d.Handler.ServeHTTP(w, req)
}

// registered is a serde of a registry that can be shut.
func registered(t *testing.T) (*serde.Serde, *sr.Client, *door) {
	t.Helper()
	reg, err := registry.Open("")
	if err != nil {
		t.Fatal(err)
	}
	d := &door{Handler: reg}
	server := httptest.NewServer(d)
	transport := &http.Transport{}
	t.Cleanup(func() { transport.CloseIdleConnections(); server.Close() })
	client, err := sr.NewClient(sr.URLs(server.URL), sr.HTTPClient(&http.Client{Transport: transport}), sr.LogLevel(sr.LogLevelNone))
	if err != nil {
		t.Fatal(err)
	}
	var carried []serde.Carried
	for _, k := range event.Kinds() {
		carried = append(carried, serde.Carried{Topic: "t", Record: k.String()})
	}
	s, err := serde.Register(t.Context(), client, carried)
	if err != nil {
		t.Fatal(err)
	}
	return s, client, d
}

// A schema id that this process has not met is asked for off the path: its partition waits as long as the registry is
// away, the others go on, and nothing is rejected.
func TestUnknownSchemaWaitsForTheRegistry(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 4)
	s, client, d := registered(t)
	// The same schema under another id, as another registry's subject would have it.
	text, err := schemas.Full("InventoryMovement")
	if err != nil {
		t.Fatal(err)
	}
	other, err := client.CreateSchema(context.Background(), "other", sr.Schema{Schema: strings.Replace(text, `"doc":`, `"note": "another", "doc":`, 1), Type: sr.TypeAvro})
	if err != nil {
		t.Fatal(err)
	}
	send := func(dedupe string, id int) {
		rec := r.movement("k"+dedupe, dedupe, 5)
		binary.BigEndian.PutUint32(rec.Value[1:], uint32(id))
		r.sent = append(r.sent, sent{"k" + dedupe, dedupe, 5})
		r.produce(rec)
	}
	d.shut.Store(true)
	p := r.start(r.config("a"), func(deps *Deps) { deps.Serde = s })
	known := s.ID(event.KindInventoryMovement)
	send("a", other.ID)
	knocked := d.knock.Load()
	until(t, "the registry is asked", func() bool { return d.knock.Load() > knocked })
	for _, n := range []string{"b", "c", "d", "e", "f", "g"} {
		send(n, known)
	}
	until(t, "other partitions go on", func() bool { return len(r.read(r.naming.Topic(topics.Ledger))) > 0 })
	d.shut.Store(false)
	r.drained()
	p.close(t)
	if n := len(r.letters()); n != 0 {
		t.Errorf("%d dead letters", n)
	}
	if n := len(r.read(r.naming.Topic(topics.Ledger))); n != 7 {
		t.Errorf("%d postings", n)
	}
}

func TestSchemaThatTheRegistryDoesNotKnowBecomesADeadLetter(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 1)
	s, _, _ := registered(t)
	rec := r.movement("k", "d", 5)
	binary.BigEndian.PutUint32(rec.Value[1:], 4711)
	r.produce(rec)
	p := r.start(r.config("a"), func(deps *Deps) { deps.Serde = s })
	r.drained()
	p.close(t)
	records := r.read(r.naming.Topic(topics.DeadLetters))
	var d event.DeadLetter
	if len(records) != 1 || s.Decode(records[0].Value, &d) != nil || d.Cause != string(processors.UnknownSchema) || string(d.Value.Value) != string(rec.Value) {
		t.Errorf("%d dead letters, %+v", len(records), d)
	}
}

// A batch that takes longer than the broker leaves a transaction open is made smaller; it would be processed for ever else.
func TestBatchThatTakesLongerThanTheTransactionTimeoutIsMadeSmaller(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(func(processors.Context, *event.InventoryMovement) error {
		<-time.After(10 * time.Millisecond) // at work
		return nil
	}), 1)
	r.send(400, 10)
	cfg := r.config("a")
	cfg.RebalanceTimeout, cfg.EndTimeout, cfg.TransactionTimeout = 500*time.Millisecond, 800*time.Millisecond, time.Second
	p := r.start(cfg)
	r.drained()
	p.close(t)
	r.verify()
}

// An instance stops although the brokers are gone, with records that it cannot get rid of.
func TestInstanceStopsWhileTheBrokersAreAway(t *testing.T) {
	c := fake(t)
	met, gone := make(chan struct{}), make(chan struct{})
	stage := countingStage(on("d60", func(processors.Context) error {
		close(met)
		<-gone
		return nil
	}))
	r := newRig(t, c.ListenAddrs(), stage, 1)
	r.send(100, 10)
	p := r.start(r.config("a"))
	<-met // in the middle of a transaction
	c.Close()
	close(gone)
	p.close(t)
}

// A client that closes waits for the rebalance that it is in, which may wait for a member that died: a stop does not.
func TestInstanceStopsWhileARebalanceWaitsForADeadMember(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 1)
	joins := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Observe: true, Count: -1})
	beats := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Observe: true, Count: -1})
	dead, err := kgo.NewClient(kgo.SeedBrokers(r.brokers...), kgo.ConsumerGroup(r.app), kgo.InstanceID("dead"), kgo.ConsumeTopics(r.input()),
		kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.RebalanceTimeout(time.Minute), kgo.SessionTimeout(time.Minute), kgo.HeartbeatInterval(20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Close()
	until(t, "a member has said its last word for a while", func() bool { return beats.Hits() > 0 })
	from := joins.Hits()
	cfg := r.config("a")
	p := r.start(cfg)
	until(t, "the instance waits for it", func() bool { return joins.Hits() > from })
	began := time.Now()
	p.close(t)
	if took := time.Since(began); took > cfg.RebalanceTimeout+2*time.Second {
		t.Errorf("the stop took %v", took)
	}
}

// A transaction that cannot begin, since the producer id must be loaded anew and is not, does not hold up a stop.
func TestInstanceStopsWhileATransactionCannotBegin(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 1)
	r.send(10, 10)
	var asked atomic.Int64
	c.ControlKey(int16(kmsg.InitProducerID), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if req.(*kmsg.InitProducerIDRequest).TransactionalID == nil || asked.Add(1) == 1 {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
		resp.ErrorCode = kerr.ConcurrentTransactions.Code
		return resp, nil, true
	})
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: r.changelog(), Err: kerr.UnknownProducerID, Count: 1})
	cfg := r.config("a")
	cfg.RebalanceTimeout, cfg.EndTimeout = 500*time.Millisecond, 800*time.Millisecond
	p := r.start(cfg)
	until(t, "the id is asked for again", func() bool { return asked.Load() > 1 })
	p.close(t)
}

// Brokers that close every connection before they say what they speak are away, as a proxy before them is: the client gives
// up at once then, and the tables ask again until they answer.
func TestTablesWaitForBrokersThatCloseEveryConnection(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), waitingStage(), 1)
	r.produce(&kgo.Record{Topic: r.naming.Topic(topics.Items), Key: []byte("sku"), Value: []byte("item")})
	var asked atomic.Int64
	var back atomic.Bool
	c.ControlKey(int16(kmsg.ApiVersions), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if asked.Add(1); back.Load() {
			return nil, nil, false
		}
		return nil, errors.New("away"), true
	})
	tables := r.tables(&table{})
	until(t, "the client has given up more than once", func() bool { return asked.Load() > 8 })
	back.Store(true)
	until(t, "the tables are there", func() bool { return tables.Generation() == 1 })
}
