package oracle

import (
	"fmt"
	"iter"

	"github.com/cespare/xxhash/v2"

	"crossdock/avro/event"
	"crossdock/topology/topics"
)

// A LedgerCheck compares the ledger with what was sent, posting by posting. The oracle must not be told of more movements
// while it runs. Memory: 32 bytes a key and up to 3 bytes a movement.
type LedgerCheck struct {
	oracle  *Oracle
	finding Finding
	limit   int
	posted  []bool // by place in the oracle's set of happenings
	keys    []posted
	key     []byte
	rows    bool
}

type posted struct {
	number   int64  // of the last posting; of rows, the highest
	count    int64  // of movements, each once
	postings uint64 // sum of postingOf over those
	numbers  uint64 // of rows: sum of mix over the postings' numbers
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
	if !c.oracle.keyOfRun(key) && !c.oracle.ofRun(p.SKU) {
		c.finding.Foreign++
		return
	}
	c.key = topics.Key(c.key[:0], p.SKU, p.Site)
	if string(c.key) != string(key) {
		c.problem(Inconsistent, key, "the record's key is not that of its value, "+string(c.key))
		return
	}
	c.observe(key, p)
}

// Rows takes the rows of a table, in any order; a check takes either records or rows. Of a posting, sku, site, number,
// buckets, quantity, event time and dedupe key count. It returns the error of the first row that could not be read.
func (c *LedgerCheck) Rows(rows iter.Seq2[*event.LedgerPosting, error]) error {
	c.rows = true
	for p, err := range rows {
		if err != nil {
			return fmt.Errorf("read %s: %w", c.finding.Source, err)
		}
		c.finding.Read++
		if !c.oracle.ofRun(p.SKU) {
			c.finding.Foreign++
			continue
		}
		c.key = topics.Key(c.key[:0], p.SKU, p.Site)
		c.observe(c.key, p)
	}
	return nil
}

func (c *LedgerCheck) observe(key []byte, p *event.LedgerPosting) {
	keyHash := xxhash.Sum64(key)
	happening := happeningOf(keyHash, p.DedupeKey)
	at, sent := c.oracle.happened.find(happening)
	i, known := c.oracle.keys.find(keyHash, key)
	if !sent || !known {
		c.problem(Unexpected, key, fmt.Sprintf("posting %d of %s, which was never sent for it", p.PostingNo, p.DedupeKey))
		return
	}
	k := &c.keys[i]
	if c.rows {
		k.number = max(k.number, p.PostingNo)
		k.numbers += mix(uint64(p.PostingNo))
	} else {
		if p.PostingNo != k.number+1 {
			c.problem(Disordered, key, fmt.Sprintf("posting %d after posting %d", p.PostingNo, k.number))
		}
		k.number = p.PostingNo
	}
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
		case c.rows && got.count == e.version && got.numbers != numbersTo(e.version):
			c.finding.add(c.limit, Difference{
				Problem: Disordered, Key: string(c.oracle.keys.key(e)),
				Detail: fmt.Sprintf("%d postings as expected, but their numbers are not 1 to %d: the highest is %d", got.count, got.count, got.number),
			})
		}
	}
	return c.finding
}

// numbersTo is what the numbers from 1 to n add up to, mixed.
func numbersTo(n int64) (sum uint64) {
	for i := range uint64(n) {
		sum += mix(i + 1)
	}
	return sum
}
