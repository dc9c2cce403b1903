package runtime

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/topology/runtime/store"
)

// A nearby brings the state of records near before they are processed, so that their waits for memory overlap. It helps where the
// stage's first store has the keys of its input: what it finds of a batch's first records tells.
type nearby struct {
	stores []*store.Partition
	apart  bool // the store has other keys
}

// warmed is how many keys are brought near at a time.
const warmed = 16

// bring is for each record in turn, by its index.
func (n *nearby) bring(records []*kgo.Record, i int) {
	if i%warmed != 0 || n.apart || len(n.stores) == 0 {
		return
	}
	n.apart = warm(n.stores[0], records[i:]) == 0 && len(records) > warmed
}

// warm brings the keys of the next records near, and says how many of them are in memory, as it seems.
func warm(s *store.Partition, records []*kgo.Record) int {
	var keys [warmed][]byte
	n := min(len(records), warmed)
	for i, rec := range records[:n] {
		keys[i] = rec.Key
	}
	return s.Warm(keys[:n])
}
