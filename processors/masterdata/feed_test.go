package masterdata_test

import (
	"strings"
	"testing"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/processors/masterdata"
	"crossdock/topology/topics"
)

func TestFeedAppliesTheTopicsRecordsAndTombstones(t *testing.T) {
	s := serde.Local()
	var tb masterdata.Tables
	f := masterdata.NewFeed(&tb, s.Decode)
	key := topics.Key(nil, "T|1")
	value := s.Append(nil, item("T|1", 1, alias("", "X"), unit("CA", 12, 1, "")))
	if err := f.ApplyTable(topics.Items, key, value); err != nil {
		t.Fatal(err)
	}
	if err := f.ApplyTable(topics.Sites, []byte("DC1"), s.Append(nil, &event.SiteMaster{Site: "DC1", Version: 1})); err != nil {
		t.Fatal(err)
	}
	for i := range value { // the runner uses its buffers again
		value[i] = 0xdb
	}
	if m := tb.Item("s", "X"); m.Item.SKU != "T|1" || tb.Sites() != 1 {
		t.Errorf("found %q, %d sites", m.Item.SKU, tb.Sites())
	}
	if err := f.ApplyTable(topics.Items, []byte("BAD"), []byte{1, 2}); err == nil || !strings.Contains(err.Error(), "BAD") {
		t.Errorf("damaged bytes: %v", err)
	}
	if err := f.ApplyTable(topics.Items, []byte("U"), s.Append(nil, item("U", 1, unit("CA", 1, 0, "")))); err == nil || tb.Items() != 2 {
		t.Errorf("a unit without a ratio: %v, %d items", err, tb.Items())
	}
	if err := f.ApplyTable(topics.Items, key, nil); err != nil || tb.Items() != 1 {
		t.Errorf("a tombstone: %v, %d items", err, tb.Items())
	}
	if err := f.ApplyTable(topics.Sites, []byte("DC1"), nil); err != nil || tb.Sites() != 0 {
		t.Errorf("a tombstone: %v, %d sites", err, tb.Sites())
	}
	if err := f.ApplyTable(topics.Ledger, key, nil); err == nil {
		t.Error("the ledger is no table")
	}
}
