package sink

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/topology/topics"
)

func TestWhatCannotBeHeldIsDeadLetteredAndNeighboursGoIn(t *testing.T) {
	f := newFixture(t)
	good := func(i int) *kgo.Record {
		return &kgo.Record{Topic: f.topic(topics.Ledger), Partition: 0, Key: []byte("k"), Value: f.serde.Append(nil, posting(i))}
	}
	bad := func(change func(*event.LedgerPosting)) *kgo.Record {
		p := posting(9)
		change(p)
		r := good(0)
		r.Value = f.serde.Append(nil, p)
		return r
	}
	raw := func(value []byte) *kgo.Record {
		r := good(0)
		r.Value = value
		r.Headers = []kgo.RecordHeader{{Key: "source", Value: []byte("wms")}, {Key: "raw-ref", Value: []byte("raw.wms/0/3")}}
		return r
	}
	truncated := good(5).Value
	records := []*kgo.Record{
		good(0),
		bad(func(p *event.LedgerPosting) { p.EventTime = latest + 1 }),
		good(1),
		bad(func(p *event.LedgerPosting) { p.PostedAt = earliest - 1 }),
		bad(func(p *event.LedgerPosting) { p.SKU = "A\xff" }),
		bad(func(p *event.LedgerPosting) { p.Qty = event.MaxQuantity + 1 }),
		bad(func(p *event.LedgerPosting) { p.PostingNo = -1 }),
		good(2),
		raw([]byte{0, 0, 0, 0xff, 0xff, 1, 2, 3}),
		raw([]byte("plain text")),
		raw(truncated[:len(truncated)-3]),
		raw(f.serde.Append(nil, balance("A", 1, 1))),
		raw(nil),
		good(3),
	}
	f.produceRecords(kgo.TryCommit, records...)
	s := f.run()
	f.awaitNoLag(s.Sink)
	f.expect("SELECT arraySort(groupArray(event_id)) FROM {db}.inventory_ledger FINAL", [][]string{{"['e000000','e000001','e000002','e000003']"}})
	topic := f.topic(topics.Ledger)
	want := [][]string{}
	for _, w := range []struct {
		offset int
		cause  string
	}{{1, causeUnholdable}, {3, causeUnholdable}, {4, causeUnholdable}, {5, causeUnholdable}, {6, causeUnholdable}, {8, causeUnknownSchema},
		{9, causeFraming}, {10, causeRecord}, {11, causeKind}, {12, causeFraming}} {
		want = append(want, []string{fmt.Sprintf("%s/0/%d/0", topic, w.offset), "sink", w.cause, fmt.Sprint(w.offset),
			strings.ToUpper(fmt.Sprintf("%x", records[w.offset].Value))})
	}
	letters := "SELECT id, stage, cause, offset, hex(value) FROM {db}.dead_letters FINAL ORDER BY offset"
	f.expect(letters, want)
	f.expect("SELECT source, raw_ref FROM {db}.dead_letters FINAL WHERE offset = 8", [][]string{{"wms", "raw.wms/0/3"}})

	// Read again, they are sent again, and still are one each.
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.admin.DeleteGroup(t.Context(), f.config.Group()); err != nil {
		t.Fatal(err)
	}
	again := f.run()
	f.awaitNoLag(again.Sink)
	f.awaitCount(int64(len(want)), "SELECT count() FROM {db}.dead_letters FINAL")
	f.expect(letters, want)
	if sent, err := again.admin.ListCommittedOffsets(t.Context(), f.topic(topics.DeadLetters)); err != nil {
		t.Fatal(err)
	} else {
		var n int64
		sent.Each(func(o kadm.ListedOffset) { n += o.Offset })
		if n < int64(2*len(want)) {
			t.Errorf("%d dead letters were produced, want at least %d: the second reading did not send them again", n, 2*len(want))
		}
	}
}

func TestDeadLetterOfDeadLettersDoesNotLoop(t *testing.T) {
	f := newFixture(t)
	letter := func(value []byte) *kgo.Record {
		return &kgo.Record{Topic: f.topic(topics.DeadLetters), Partition: 0, Value: value}
	}
	broken := deadLetter("raw/0/1/0")
	broken.Detail = "caf\xe9"
	f.produceRecords(kgo.TryCommit, letter([]byte("no framing")), letter(f.serde.Append(nil, deadLetter("raw/0/0/0"))),
		letter(f.serde.Append(nil, broken)))
	s := f.run()
	f.awaitNoLag(s.Sink)
	topic := f.topic(topics.DeadLetters)
	f.expect("SELECT id, stage, cause FROM {db}.dead_letters FINAL ORDER BY id", [][]string{
		{"raw/0/0/0", "translate", "BAD_SEGMENT"}, {topic + "/0/0/0", "sink", causeFraming}, {topic + "/0/2/0", "sink", causeUnholdable}})
	ends, err := f.admin.ListEndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	ends.Each(func(o kadm.ListedOffset) { sum += o.Offset })
	if sum != 4 { // three records and a marker
		t.Errorf("the partitions end at %d in sum: something was sent", sum)
	}
}

func TestDeadLetterIsAcknowledgedBeforeItsRecordIsPassed(t *testing.T) {
	f := newFixture(t)
	topic := f.topic(topics.DeadLetters)
	if resp, err := f.admin.DeleteTopics(t.Context(), topic); err != nil || resp.Error() != nil {
		t.Fatal(err, resp.Error())
	}
	s := f.run()
	f.produceRecords(kgo.TryCommit, &kgo.Record{Topic: f.topic(topics.Ledger), Partition: 0, Value: []byte("no record")})
	eventually(t, "the table waits", func() error {
		return tells(s.Ready(), "inventory_ledger waits")
	})
	if lag, err := s.lag(t.Context(), f.topic(topics.Ledger)); err != nil || lag == 0 {
		t.Fatalf("lag %d, %v: the record was passed", lag, err)
	}
	f.createTopic(topics.DeadLetters, nil)
	f.awaitCount(1, "SELECT count() FROM {db}.dead_letters FINAL WHERE hex(value) = '"+fmt.Sprintf("%X", "no record")+"'")
	f.awaitNoLag(s.Sink)
}
