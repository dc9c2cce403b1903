package topics_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"crossdock/avro/schemas"
	"crossdock/topology/topics"
)

func TestDifferentPartsNeverMakeTheSameKey(t *testing.T) {
	part := rapid.StringOfN(rapid.RuneFrom([]rune(`|\ab`)), 0, 4, -1)
	rapid.Check(t, func(t *rapid.T) {
		a, b := []string{part.Draw(t, "a1"), part.Draw(t, "a2")}, []string{part.Draw(t, "b1"), part.Draw(t, "b2")}
		ka, kb := topics.Key(nil, a...), topics.Key(nil, b...)
		if (string(ka) == string(kb)) != slices.Equal(a, b) {
			t.Fatalf("%q and %q make %q and %q", a, b, ka, kb)
		}
		if got := topics.SplitKey(ka); !slices.Equal(got, a) {
			t.Fatalf("%q comes back as %q", a, got)
		}
	})
}

func TestEveryTopicIsNamedAndCarriesSchemasThatExist(t *testing.T) {
	names := map[string]bool{}
	for i, topic := range topics.All() {
		if int(topic.ID) != i || topic.Name == "" || topic.Doc == "" || topic.Key == "" || names[topic.Name] {
			t.Errorf("row %d: %+v", i, topic)
		}
		names[topic.Name] = true
		if (topic.Cleanup == topics.Compact) != (topic.Retention == 0) {
			t.Errorf("%s: a compacted topic keeps its newest records for good, others have a retention", topic.Name)
		}
		if len(topic.Schemas) == 0 {
			t.Errorf("%s carries nothing", topic.Name)
		}
		for _, s := range topic.Schemas {
			if _, err := schemas.Source(s); err != nil {
				t.Errorf("%s: %v", topic.Name, err)
			}
		}
	}
}

func TestRawTopicsTellTheirSource(t *testing.T) {
	n := topics.Naming{Prefix: "crossdock."}
	if source, ok := n.RawSource(n.Raw("acme-3pl")); !ok || source != "acme-3pl" {
		t.Fatal(source, ok)
	}
	if _, ok := n.RawSource(n.Topic(topics.Balances)); ok {
		t.Fatal("balances is no raw topic")
	}
	if !strings.HasPrefix(n.Topic(topics.InventoryInbox), "crossdock.") {
		t.Fatal(n.Topic(topics.InventoryInbox))
	}
}
