package scans

import "crossdock/avro/event"

// counted are the buckets that a Retailer's movements use, from AVAILABLE on.
const countedBuckets = int(event.BucketReturned) - int(event.BucketAvailable) + 1

// A count is what the generator has made of one item at one site, in base units.
type count struct {
	movements int32
	bucket    [countedBuckets]int32
}

func (c *count) add(b event.Bucket, n int32) {
	if b != event.BucketExternal {
		c.bucket[b-event.BucketAvailable] += n
	}
}

// reports are the sites' stock reports. The stock of their items alone is counted: those with an index below rows.
type reports struct {
	load    *Snapshots
	sites   int
	rows    int     // per site; 0: there are no reports
	counted []count // by site and item
	start   event.Micros
	turn    int64 // of the report that is due next: site turn modulo sites
	due     event.Micros

	// The report in hand: what was counted at its cut-off.
	lines   []line
	line    int
	site    int32
	number  int64
	cutoff  int64 // the first sequence number that is not in it
	asOf    event.Micros
	waiting int // events since its last row
}

type line struct {
	item  int32
	stock count
}

const (
	// rowEvery bounds the part of reports: at most one event in so many is a row.
	rowEvery = 4
	// rowsAPage is how many rows of a report one page has.
	rowsAPage = 100
)

func (r *reports) rewind() {
	if r.rows == 0 {
		return
	}
	r.counted = make([]count, r.sites*r.rows)
	r.lines = make([]line, 0, r.rows)
	r.turn, r.line, r.waiting = 0, 0, 0
	r.schedule()
}

// schedule says when the next report is due: each site every Every, one site after the other.
func (r *reports) schedule() {
	every := r.load.Every.Microseconds()
	n := r.turn + 1
	sites := int64(r.sites)
	r.due = r.start + event.Micros(n/sites*every+n%sites*every/sites)
}

// moved counts a movement.
func (r *reports) moved(item, site int32, from, to event.Bucket, n int32) {
	if int(item) >= r.rows {
		return
	}
	c := &r.counted[int(site)*r.rows+int(item)]
	c.movements++
	c.add(from, -n)
	c.add(to, n)
}

// next is the row that takes the place of event seq, nil where none does.
func (r *reports) next(seq int64, at event.Micros) *line {
	if r.line == len(r.lines) {
		if at < r.due {
			return nil
		}
		r.open(seq, at)
		if len(r.lines) == 0 {
			return nil
		}
	}
	if r.waiting++; r.waiting < rowEvery {
		return nil
	}
	r.waiting = 0
	r.line++
	return &r.lines[r.line-1]
}

// open cuts the report that is due.
func (r *reports) open(seq int64, at event.Micros) {
	r.site, r.number = int32(r.turn%int64(r.sites)), r.turn/int64(r.sites)
	r.cutoff, r.asOf = seq, at
	r.lines, r.line = r.lines[:0], 0
	for i := range r.rows {
		if c := &r.counted[int(r.site)*r.rows+i]; c.movements > 0 {
			r.lines = append(r.lines, line{int32(i), *c})
		}
	}
	r.turn++
	r.schedule()
	if rounds := int64(at-r.due) / r.load.Every.Microseconds(); rounds > 0 {
		// Whole rounds wait: they are left out, for each site has a younger report that waits as well.
		r.turn += rounds * int64(r.sites)
		r.schedule()
	}
}

func (r *reports) page() (page, pages int32) {
	return int32((r.line-1)/rowsAPage + 1), int32((len(r.lines)-1)/rowsAPage + 1)
}
