package observe

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"crossdock/loadtest/latency"
	"crossdock/loadtest/report"
	"crossdock/topology/topics"
)

// TrackerOptions of NewTracker.
type TrackerOptions struct {
	// Run is the load's (scans.Load.Run): keys that do not begin with it are not the run's.
	Run string
	// Rate is the highest that is to come, in events a second. Above FullRate only half of the keys are followed, above
	// twice that a quarter, and so on: so the tool costs as much and no more. 0: all keys.
	Rate float64
	// Events bounds those that wait for their balance, and apart from them those that wait for their row; default
	// 4,000,000. An event costs 12 bytes in one and 16 in the other.
	Events int
	// Keys bounds the keys that are followed; default 2,000,000, at 28 to 32 bytes.
	Keys int
	// Documents bounds those that wait for their events; default 1,000,000, at about 40 bytes.
	Documents int
}

// FullRate is up to how many events a second all keys are followed. Reading the balances costs 0.4 CPU seconds a million
// whatever is followed, and following all of them 0.3 more (BenchmarkBalances): 1.5 % of a core at this rate.
const FullRate = 50_000

// A Tracker knows which events are still to be seen. The sender tells it of what it makes, the observers of what they see,
// each from its own goroutines.
type Tracker struct {
	prefix    []byte
	shards    [shards]shard
	documents documents
	rows      rows

	// Set by Start.
	rowsAwaited, inboxAwaited, documentsAwaited bool

	awaited              atomic.Int64 // in the shards
	inboxMade, inboxSeen atomic.Int64

	mu      sync.Mutex    // guards change
	change  chan struct{} // closed when something was seen; nil: nobody waits for that
	waiting atomic.Bool   // change is not nil
}

// NewTracker makes a Tracker for one run.
func NewTracker(o TrackerOptions) *Tracker {
	for _, d := range []struct {
		n     *int
		usual int
	}{{&o.Events, 4_000_000}, {&o.Keys, 2_000_000}, {&o.Documents, 1_000_000}} {
		if *d.n <= 0 {
			*d.n = d.usual
		}
	}
	t := &Tracker{}
	if o.Run != "" {
		t.prefix = []byte(o.Run + "-") // scans: what the SKUs of a run start with
	}
	t.documents = documents{most: o.Documents, open: make(map[uint64]document)}
	t.rows = rows{most: o.Events, partitions: make(map[int32]*rowQueue)}
	level := uint8(0)
	for rate := o.Rate; rate > FullRate && level < sampleBits; rate /= 2 {
		level++
	}
	for i := range t.shards {
		s := &t.shards[i]
		s.level, s.most, s.mostKeys = level, max(1, o.Events/shards), max(1, o.Keys/shards)
	}
	return t
}

// Await says that an original movement of a key is about to be sent, to be applied once and for all. A key's movements
// are awaited in the order in which they are sent.
func (t *Tracker) Await(sku, site string, intended time.Duration) {
	var b [96]byte
	hash := xxhash.Sum64(topics.Key(b[:0], sku, site))
	t.awaited.Add(int64(t.shard(hash).made(hash, intended)))
}

// AwaitOnInbox says that a movement, original or not, is about to be sent that will come to the inbox.
func (t *Tracker) AwaitOnInbox() { t.inboxMade.Add(1) }

// Document says that a document is about to be sent that makes this many events on the inbox. id is what the connector
// makes the events' header.source_doc_id. A document that repeats another is not told of.
func (t *Tracker) Document(id string, events int, intended time.Duration) {
	if events > 0 {
		t.documents.add(xxhash.Sum64String(id), events, intended)
	}
}

func (t *Tracker) shard(hash uint64) *shard { return &t.shards[hash>>shardShift%shards] }

// follows says whether a key may be in the sample.
func (t *Tracker) follows(hash uint64) bool { return t.shard(hash).follows(hash) }

// balance takes note of a key's balance. take gets the intended time of each followed event that it holds first, and how
// many events that stands for.
func (t *Tracker) balance(hash uint64, version int64, at position, take func(intended time.Duration, n int64)) {
	taken := t.shard(hash).balance(hash, version, func(us int64, level uint8) {
		take(time.Duration(us)*time.Microsecond, 1<<level)
		if t.rowsAwaited {
			t.rows.add(at, hash, us, level)
		}
	})
	t.awaited.Add(int64(-taken))
}

// changes is closed when something was seen after the call.
func (t *Tracker) changes() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.change == nil {
		t.change = make(chan struct{})
		t.waiting.Store(true)
	}
	return t.change
}

// changed wakes who waits.
func (t *Tracker) changed() {
	if !t.waiting.Load() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.change != nil {
		close(t.change)
		t.change = nil
		t.waiting.Store(false)
	}
}

// Awaited is how many events (documents at Translated) are still to be seen at each hop, of those that are followed.
type Awaited struct {
	Translated, Enriched, Balance, Row int64
}

// None says that nothing is awaited.
func (a Awaited) None() bool { return a == Awaited{} }

// String names what is awaited: "12 at balance, 14 at row".
func (a Awaited) String() string {
	var parts []string
	for _, p := range []struct {
		n    int64
		what string
	}{{a.Translated, "documents at translated"}, {a.Enriched, "at enriched"}, {a.Balance, "at balance"}, {a.Row, "at row"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// Awaited is what is still to be seen.
func (t *Tracker) Awaited() Awaited {
	a := Awaited{Balance: max(0, t.awaited.Load())}
	if t.rowsAwaited {
		a.Row = a.Balance + int64(t.rows.len())
	}
	if t.inboxAwaited {
		a.Enriched = max(0, t.inboxMade.Load()-t.inboxSeen.Load())
	}
	if t.documentsAwaited {
		a.Translated = int64(t.documents.len())
	}
	return a
}

// complete fills in Share and Missing.
func (t *Tracker) complete(hops []report.Hop) []report.Hop {
	left := t.Awaited()
	var all counts
	for i := range t.shards {
		c := t.shards[i].counts()
		all.eligible, all.unfollowed = all.eligible+c.eligible, all.unfollowed+c.unfollowed
	}
	hops = append([]report.Hop(nil), hops...)
	slices := 0
	for _, h := range hops {
		slices = max(slices, len(h.Heat))
	}
	set := func(h latency.Hop, observed bool, share float64, missing int64) {
		if !observed {
			return
		}
		at := len(hops)
		for i := range hops {
			if hops[i].Name == h.String() {
				at = i
			}
		}
		if at == len(hops) {
			hops = append(hops, latency.Unseen(h, slices))
		}
		hops[at].Share, hops[at].Missing = share, missing
	}
	set(latency.Translated, t.documentsAwaited, t.documents.share(), left.Translated)
	set(latency.Enriched, t.inboxAwaited, 1, left.Enriched)
	set(latency.Balance, true, share(all.eligible, all.unfollowed), left.Balance)
	set(latency.Row, t.rowsAwaited, share(all.eligible, all.unfollowed+t.rows.letGo()), left.Row)
	return latency.InOrder(hops)
}

func share(all, without int64) float64 {
	if all == 0 {
		return 1
	}
	return float64(all-without) / float64(all)
}
