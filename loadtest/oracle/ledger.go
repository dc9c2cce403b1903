package oracle

import (
	"fmt"

	"github.com/cespare/xxhash/v2"

	"crossdock/avro/event"
	"crossdock/topology/topics"
)

// A LedgerCheck compares the ledger with what was sent, posting by posting. The oracle must not be told of more movements
// while it runs. Memory: 24 bytes a key and up to 3 bytes a movement.
type LedgerCheck struct {
	oracle  *Oracle
	finding Finding
	limit   int
	posted  []bool // by place in the oracle's set of happenings
	keys    []posted
	key     []byte
}

type posted struct {
	number   int64  // of the last posting
	count    int64  // of movements, each once
	postings uint64 // sum of postingOf over those
}

// Ledger starts a check; source names the reading in a report. limit is how many differences it lists; 0 is
// DefaultDifferences.
func (o *Oracle) Ledger(source string, limit int) *LedgerCheck {
	if limit <= 0 {
		limit = DefaultDifferences
	}
	return &LedgerCheck{
		oracle: o, finding: Finding{Source: source}, limit: limit,
		posted: make([]bool, len(o.happened.slots)), keys: make([]posted, o.keys.len()),
	}
}

// Record takes the next record of the ledger topic, each partition in its order. Neither key nor p is kept.
func (c *LedgerCheck) Record(key []byte, p *event.LedgerPosting) {
	c.finding.Read++
	c.key = topics.Key(c.key[:0], p.SKU, p.Site)
	if string(c.key) != string(key) {
		c.problem(Inconsistent, key, "the record's key is not that of its value, "+string(c.key))
		return
	}
	keyHash := xxhash.Sum64(key)
	happening := happeningOf(keyHash, p.DedupeKey)
	at, sent := c.oracle.happened.find(happening)
	i, known := c.oracle.keys.find(keyHash, key)
	if !sent || !known {
		c.problem(Unexpected, key, fmt.Sprintf("posting %d of %s, which was never sent for it", p.PostingNo, p.DedupeKey))
		return
	}
	k := &c.keys[i]
	if p.PostingNo != k.number+1 {
		c.problem(Disordered, key, fmt.Sprintf("posting %d after posting %d", p.PostingNo, k.number))
	}
	k.number = p.PostingNo
	if c.posted[at] {
		c.problem(Duplicated, key, fmt.Sprintf("posting %d counts %s again", p.PostingNo, p.DedupeKey))
		return
	}
	c.posted[at] = true
	k.count++
	k.postings += postingOf(happening, p.FromBucket, p.ToBucket, p.Qty, p.EventTime)
}

func (c *LedgerCheck) problem(p Problem, key []byte, detail string) {
	c.finding.add(c.limit, Difference{Problem: p, Key: string(key), Detail: detail})
}

// Finding ends the check.
func (c *LedgerCheck) Finding() Finding {
	for i := range c.keys {
		e, got := c.oracle.keys.at(i), &c.keys[i]
		if got.count > 0 {
			c.finding.Keys++
		}
		switch {
		case got.count < e.version:
			c.finding.add(c.limit, Difference{
				Problem: Lost, Key: string(c.oracle.keys.key(e)), Events: e.version - got.count,
				Detail: fmt.Sprintf("%d postings, %d were expected", got.count, e.version),
			})
		case got.count == e.version && got.postings != e.postings:
			c.finding.add(c.limit, Difference{
				Problem: Wrong, Key: string(c.oracle.keys.key(e)),
				Detail: fmt.Sprintf("%d postings as expected, but their places, quantities or times are not what was sent", got.count),
			})
		}
	}
	return c.finding
}
