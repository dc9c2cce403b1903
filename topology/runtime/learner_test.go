package runtime

import (
	"testing"
	"time"

	"crossdock/avro/serde"
)

// Ids that the registry did not know are not kept for ever: damaged records bring a new one each.
func TestUnknownSchemaIdsAreForgotten(t *testing.T) {
	now := time.Unix(0, 0)
	l := newLearner(serde.Local(), discardLog(), func() time.Time { return now })
	const first = 1_000_000
	for id := first; id < first+1000; id++ {
		l.learn(t.Context(), id, func() {})
		if l.wait(); !l.unlearnable(id) {
			t.Fatalf("id %d is not believed to be unknown", id)
		}
		now = now.Add(time.Second)
	}
	if n := len(l.unknown); n > 2*int(unknownFor/time.Second) {
		t.Errorf("%d ids are kept", n)
	}
	if l.unlearnable(first) {
		t.Error("an old word is believed still")
	}
}
