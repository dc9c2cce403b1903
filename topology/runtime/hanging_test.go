package runtime

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"crossdock/internal/testservices"
	"crossdock/topology/topics"
)

// The coordinator's log decides how a hanging transaction ended, never a guess: what it does not say stays unknown.
func TestEndingIsWhatTheCoordinatorLogged(t *testing.T) {
	const ongoing, commit, abort, completeCommit, completeAbort, empty = 1, 2, 3, 4, 5, 0
	type logged struct {
		producer int64
		epoch    int16
		state    int
		parts    string // of topic t, each a digit
	}
	for _, c := range []struct {
		name    string
		version int16
		log     []logged
		want    ending
	}{
		{"committed with the next epoch", 2, []logged{{7, 5, ongoing, "013"}, {7, 6, commit, "013"}, {7, 6, completeCommit, ""}, {7, 7, empty, ""}}, endedByCommit},
		{"aborted with the next epoch", 2, []logged{{7, 5, ongoing, "013"}, {7, 6, abort, "013"}, {7, 6, completeAbort, ""}, {7, 7, empty, ""}}, endedByAbort},
		{"a later transaction is another's end", 2, []logged{{7, 6, commit, "3"}, {7, 6, ongoing, "2"}, {7, 7, abort, "2"}, {7, 7, ongoing, "3"}, {7, 8, abort, "3"}}, endedByCommit},
		{"an earlier one too", 2, []logged{{7, 5, abort, "3"}, {7, 5, ongoing, "3"}, {7, 6, commit, "3"}}, endedByCommit},
		{"another producer's", 2, []logged{{8, 5, ongoing, "3"}, {8, 6, commit, "3"}}, endingUnknown},
		{"not decided yet", 2, []logged{{7, 5, ongoing, "3"}}, endingUnknown},
		{"the decision is cleaned away", 2, []logged{{7, 6, completeCommit, ""}, {7, 7, empty, ""}}, endingUnknown},
		{"it never was a part of it", 2, []logged{{7, 5, completeCommit, ""}, {7, 5, ongoing, "01"}, {7, 6, commit, "01"}, {7, 6, completeCommit, ""}}, endedByAbort},
		{"nor of any, and the id has another producer", 2, []logged{{7, 5, completeCommit, ""}, {9, 0, empty, ""}}, endedByAbort},
		{"many transactions of one epoch: the last that names it", 0, []logged{{7, 5, abort, "3"}, {7, 5, ongoing, "3"}, {7, 5, commit, "3"}, {7, 5, ongoing, "0"}, {7, 5, abort, "0"}}, endedByCommit},
		{"aborted by a fence", 0, []logged{{7, 5, commit, "3"}, {7, 5, ongoing, "3"}, {7, 6, abort, "3"}}, endedByAbort},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log []kmsg.TxnMetadataValue
			for _, l := range c.log {
				v := kmsg.NewTxnMetadataValue()
				v.ProducerID, v.ProducerEpoch, v.State, v.ClientTransactionVersion = l.producer, l.epoch, kmsg.TransactionState(l.state), c.version
				topic := kmsg.NewTxnMetadataValueTopic()
				topic.Topic = "t"
				for _, d := range l.parts {
					topic.Partitions = append(topic.Partitions, d-'0')
				}
				v.Topics = append(v.Topics, topic)
				log = append(log, v)
			}
			if got := judge(log, &hanging{at: input{"t", 3}, producer: 7, epoch: 5}); got != c.want {
				t.Errorf("judged %v, not %v", got, c.want)
			}
		})
	}
}

// Partitions of internal topics, as Kafka's own tools name them.
func TestInternalPartitionIsJavasHash(t *testing.T) {
	for name, want := range map[string]int32{"": 0, "a": 97 % 50, "faults-inventory/1/0": 3} {
		n := int32(50)
		if strings.Contains(name, "/") {
			n = 8
		}
		if got := among(name, n); got != want {
			t.Errorf("%q is in %d, not %d", name, got, want)
		}
	}
}

// A restore that stands behind a transaction that its coordinator calls ended is told of by name, and cured by the marker that the
// coordinator's log asks for, once it has hung for longer than a transaction may take.
func TestHangingTransactionIsNamedAndEndedByTheCoordinatorsLog(t *testing.T) {
	for _, how := range []ending{endedByCommit, endedByAbort, endingUnknown} {
		t.Run(how.String(), func(t *testing.T) {
			c := fake(t)
			r := newRig(t, c.ListenAddrs(), countingStage(nil), 1)
			r.leftOpen("dead/0", r.changelog())
			was, err := listOpenings(t.Context(), kadm.NewClient(r.client), prefix(r.app))
			if err != nil || len(was) != 1 {
				t.Fatal(was, err)
			}
			c.ControlKey(int16(kmsg.DescribeTransactions), func(req kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				if !strings.HasSuffix(req.(*kmsg.DescribeTransactionsRequest).TransactionalIDs[0], "dead/0") {
					return nil, nil, false
				}
				resp := req.ResponseKind().(*kmsg.DescribeTransactionsResponse)
				s := kmsg.NewDescribeTransactionsResponseTransactionState()
				s.TransactionalID, s.State, s.TimeoutMillis, s.ProducerID, s.ProducerEpoch = was[0].id, "Empty", 500, was[0].producer, was[0].epoch+2
				resp.TransactionStates = append(resp.TransactionStates, s)
				return resp, nil, true
			})
			if how != endingUnknown {
				r.decided(was[0], how == endedByCommit, r.changelog())
			}
			r.send(100, 10)
			log := &logged{}
			cfg := r.config("other")
			cfg.RebalanceTimeout, cfg.EndTimeout, cfg.TransactionTimeout = 400*time.Millisecond, 600*time.Millisecond, 800*time.Millisecond
			p := r.start(cfg, log.to)
			until(t, "it is named", func() bool {
				return log.count(fmt.Sprintf("topic=%s partition=0 worker=%s producer=%d epoch=%d start_offset=0 coordinator_says=Empty", r.changelog(), was[0].id, was[0].producer, was[0].epoch)) > 0
			})
			if n := p.metric("crossdock_fencer_hanging_transactions_count"); n != 1 {
				t.Errorf("the metric says %v", n)
			}
			if how == endingUnknown {
				until(t, "the remedy is named", func() bool { return log.count("kafka-transactions.sh abort") > 0 })
				if n := p.metric("crossdock_fencer_markers_total"); n != 0 {
					t.Errorf("%v markers were guessed", n)
				}
				return
			}
			until(t, "it is ended", func() bool { return p.metric("crossdock_fencer_markers_total", "outcome="+how.String()) > 0 })
			r.drained()
			p.close(t)
			if n := len(r.keyed(r.changelog(), "left")); n == 1 != (how == endedByCommit) {
				t.Errorf("readers of committed records see %d of its records", n)
			}
		})
	}
}

// decided writes what a coordinator would have logged of a transaction.
func (r *rig) decided(o opening, commit bool, topic string) {
	r.t.Helper()
	if _, err := kadm.NewClient(r.client).CreateTopic(r.t.Context(), 1, 1, nil, transactionsTopic); err != nil {
		r.t.Fatal(err)
	}
	key := kmsg.NewTxnMetadataKey()
	key.TransactionalID = o.id
	value := kmsg.NewTxnMetadataValue()
	value.Version, value.ClientTransactionVersion, value.ProducerID = 1, 2, o.producer
	place := kmsg.NewTxnMetadataValueTopic()
	place.Topic, place.Partitions = topic, []int32{0}
	value.Topics = append(value.Topics, place)
	for _, state := range []kmsg.TransactionState{loggedOngoing, loggedPrepareAbort} {
		value.State, value.ProducerEpoch = state, o.epoch
		if state == loggedPrepareAbort {
			value.ProducerEpoch++
			if commit {
				value.State = loggedPrepareCommit
			}
		}
		r.produce(&kgo.Record{Topic: transactionsTopic, Key: key.AppendTo(nil), Value: value.AppendTo(nil)})
	}
}

// keyed are the committed records of a topic with a key.
func (r *rig) keyed(topic, key string) []*kgo.Record {
	r.t.Helper()
	var all []*kgo.Record
	for _, rec := range r.read(topic) {
		if string(rec.Key) == key {
			all = append(all, rec)
		}
	}
	return all
}

// A broker that ends a transaction while a partition has no leader writes no marker there, ever. The fencer writes it: a commit where
// it was one. A worker whose own id left it begins no transaction before, since its next end would decide on both.
func TestTransactionThatEndedWithoutALeaderIsEndedAsItWasDecided(t *testing.T) {
	cluster := testservices.KafkaCluster(t, [3][]string{}, "broker.session.timeout.ms=3000", "broker.heartbeat.interval.ms=500")
	type left struct {
		*rig
		worker string
		topic  string
		commit bool
		writer *kgo.Client
	}
	fresh := func() *rig { return newRig(t, cluster.Addrs(), countingStage(nil), 1) }
	own := &left{rig: fresh(), worker: "one/0"}
	own.topic = own.naming.Topic(topics.Ledger)
	all := []*left{own}
	for _, commit := range []bool{true, false} {
		l := &left{rig: fresh(), commit: commit}
		l.topic = l.changelog()
		all = append(all, l)
	}
	admin := kadm.NewClient(own.client)
	coordinator := func(id string) int32 {
		var found kadm.FindCoordinatorResponse
		until(t, "a coordinator is found", func() bool { // the topic may just be made
			found = admin.FindTxnCoordinators(t.Context(), id)[id]
			return found.Err == nil && found.NodeID > 0
		})
		return found.NodeID
	}
	// The broker that goes away leads what the transactions write, and coordinates none of them.
	away := coordinator(prefix(own.app)+own.worker)%3 + 1
	for _, l := range all[1:] {
		for n := 0; l.worker == "" || coordinator(prefix(l.app)+l.worker) == away; n++ {
			l.worker = fmt.Sprintf("dead-%d/0", n)
		}
	}
	leader := func(topic string) int32 {
		details, err := admin.ListTopics(t.Context(), topic)
		if err != nil || details[topic].Err != nil || len(details[topic].Partitions) != 1 {
			return -2
		}
		return details[topic].Partitions[0].Leader
	}
	var moves kadm.AlterPartitionAssignmentsReq
	for _, l := range all {
		l.send(200, 10)
		moves.Assign(l.topic, 0, []int32{away})
	}
	if moved, err := admin.AlterPartitionAssignments(t.Context(), moves); err != nil || moved.Error() != nil {
		t.Fatal(err, moved.Error())
	}
	for _, l := range all {
		until(t, "the partition has moved", func() bool { return leader(l.topic) == away })
		l.writer = l.leftOpen(l.worker, l.topic)
	}
	broker := cluster.Brokers[away-1]
	moving, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := broker.Stop(moving); err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		until(t, "the partition has no leader", func() bool { return leader(l.topic) == -1 })
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		if err := l.writer.EndTransaction(ctx, kgo.TransactionEndTry(l.commit)); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	waits := func() string {
		for _, l := range all {
			id := prefix(l.app) + l.worker
			if d, err := admin.DescribeTransactions(t.Context(), id); err != nil || !strings.HasPrefix(d[id].State, "Complete") {
				return fmt.Sprint(id, d[id].State, err)
			}
		}
		return ""
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); waits() != ""; <-tick.C {
		if time.Now().After(deadline) {
			t.Skip("this Kafka waits for the leader, and leaves nothing hanging: " + waits())
		}
	}
	if err := broker.Start(moving); err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		until(t, "the partition has a leader", func() bool { return leader(l.topic) == away })
		hang, _, err := listHanging(t.Context(), l.client, places{l.topic: 1}, l.app)
		if err != nil || len(hang) != 1 || hang[0].id != prefix(l.app)+l.worker || hang[0].start != 0 {
			t.Fatalf("hanging are %v, %v", hang, err)
		}
		instance, how := "other", endedByAbort
		if l == own {
			instance = "one"
		}
		if l.commit {
			how = endedByCommit
		}
		log := &logged{}
		began := time.Now()
		p := l.start(l.config(instance), log.to)
		until(t, "it is ended", func() bool { return p.metric("crossdock_fencer_markers_total", "outcome="+how.String()) == 1 })
		l.drained()
		if n := log.count("a hanging transaction is ended as its coordinator decided"); n != 1 {
			t.Errorf("the log tells of %d", n)
		}
		if took := time.Since(began); l != own && took < l.config(instance).TransactionTimeout {
			t.Errorf("another's was ended after %v, in less than its timeout", took)
		}
		if n := len(l.keyed(l.topic, "left")); n == 1 != l.commit {
			t.Errorf("ended by %v, readers of committed records see %d of its records", how, n)
		}
		p.close(t)
		if !l.commit {
			l.verify()
		}
	}
}

// Who may not read the transaction log guesses nothing.
func TestEndingThatCannotBeReadIsUnknown(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 1)
	h := &hanging{at: input{r.changelog(), 0}, id: prefix(r.app) + "dead/0"}
	if how, err := endingOf(t.Context(), r.client, r.reach(), h); how != endingUnknown || err == nil {
		t.Errorf("%v, %v", how, err)
	}
	r.decided(opening{id: h.id, producer: 1, epoch: 1}, true, "another")
	if how, err := endingOf(t.Context(), r.client, r.reach(), h); how != endingUnknown || err == nil {
		t.Errorf("%v, %v", how, err)
	}
}

// Who sees no ids but its own is told so, since it is shown a list without the others' as if nothing were open.
func TestFencerThatSeesItsOwnIDsAloneSaysSoOnce(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 1)
	mine := MemberPrefix(r.app, "a")
	c.ControlKey(int16(kmsg.DescribeTransactions), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		id := req.(*kmsg.DescribeTransactionsRequest).TransactionalIDs[0]
		if strings.HasPrefix(id, mine) {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.DescribeTransactionsResponse)
		s := kmsg.NewDescribeTransactionsResponseTransactionState()
		s.TransactionalID, s.ErrorCode = id, kerr.TransactionalIDAuthorizationFailed.Code
		resp.TransactionStates = append(resp.TransactionStates, s)
		return resp, nil, true
	})
	c.ControlKey(int16(kmsg.ListTransactions), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		return req.ResponseKind(), nil, true // as Kafka does: what may not be described is not listed
	})
	log := &logged{}
	r.send(100, 10)
	p := r.start(r.config("a"), log.to)
	r.drained()
	p.fencer.ask()
	until(t, "it has looked again", func() bool { return p.metric("crossdock_fencer_looks_total") >= 2 })
	p.close(t)
	if n := log.count("the fencer sees the transactional ids of this instance at most"); n != 1 || log.count("begin with "+prefix(r.app)) != 1 {
		t.Errorf("it said so %d times", n)
	}
	r.verify()
}
