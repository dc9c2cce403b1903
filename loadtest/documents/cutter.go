package documents

import (
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"crossdock/avro/event"
	"crossdock/loadtest/scans"
	"crossdock/loadtest/sent"
)

// A Document is one that is ready to be sent.
type Document struct {
	Number int64         // in the order in which the run's documents were begun, from 0
	Due    time.Duration // after the run's start
	Format Format
	Target int    // index of Cutter.Targets
	ID     string // that its events carry as header.source_doc_id
	Key    string // of idempotency: unique among all runs
	Body   []byte
	// Movements is how many movements of this ID it brings to the inventory stage's inbox: lines that were said before in a
	// document of another ID, and whole documents that are said again, do not count.
	Movements int

	scans     []sent.Made
	originals []byte // the keys of the movements that are said for the first time: length of SKU, of site, SKU, site
	advice    *advice
	most      int     // lines
	refused   refused // of the whole document's bytes
}

// refused is the event of a document whose dead letter repeats the whole document: there is one of them at most.
type refused struct {
	said  bool
	cause string
	seq   int64
	at    event.Micros
	kind  scans.Kind
	what  scans.Poison
}

// Events is how many events of the load it brings.
func (d *Document) Events() int { return len(d.scans) }

// Originals calls f with the key of the balance of every movement that is said for the first time, in the document's order.
func (d *Document) Originals(f func(sku, site string)) {
	for at := 0; at < len(d.originals); {
		sku, site := int(d.originals[at]), int(d.originals[at+1])
		at += 2
		text := string(d.originals[at : at+sku+site])
		f(text[:sku], text[sku:])
		at += sku + site
	}
}

// Said is what one part of a document says: an event, or something of which none comes. It is valid during the call that it
// is given to.
type Said struct {
	Number int64 // of the document
	Format Format
	Seq    int64 // of the event
	At     event.Micros
	Kind   scans.Kind
	Copy   scans.Copy
	Poison scans.Poison
	// Movement is the movement that is meant, in the codes and units of the source; nil: it is none.
	Movement *event.InventoryMovement
	// SKU and Site are the key of the balance that it is about; empty where there is none.
	SKU, Site string
	// Cause is that of the dead letter which the part must become, with this key and these bytes; empty: none.
	Cause      string
	Key, Bytes []byte
}

// A Cutter cuts the events of a load into documents. One goroutine uses it, and returns documents by Release from any.
type Cutter struct {
	generator *scans.Generator
	wait      time.Duration
	targets   []Target
	index     map[string]int // of targets, by system
	start     event.Micros
	count     int64 // events
	next      int64
	seed      uint64
	run       string
	told      func(*Said)

	numbers int64
	jsons   []*Document         // open, by target
	ships   map[place]*Document // open
	waiting []waiting           // open ones and some that were closed since, the oldest first
	ready   []*Document         // to be given out
	origins *origins
	text    jsonText
	said    Said
	means   event.InventoryMovement
	pool    sync.Pool
}

// place is where shipments leave from.
type place struct {
	target int
	site   string
}

// waiting is a document that was begun, and when it must go.
type waiting struct {
	number   int64
	deadline time.Duration
	where    place
	ship     bool
}

const (
	// fullBytes ends a document of JSON lines early: a dead letter repeats whole documents of up to 64 KiB.
	fullBytes = 48 << 10
	// longestRun leaves an order's number the 22 characters that X12 element 285 has.
	longestRun = 12
	noOrder    = "-O0"
)

// NewCutter makes a cutter of the first count events of a generator that stands at its start. told, where given, is told of every
// part of every document, before Next returns the document.
func NewCutter(g *scans.Generator, s Shape, count int64, told func(*Said)) (*Cutter, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	load := g.Load()
	if !g.Scanned() {
		return nil, errors.New("documents: the load is canonical movements, which no partner sends: make it with scans.NewRetailer")
	}
	if load.Run == "" || len(load.Run) > longestRun {
		return nil, fmt.Errorf("documents: run %q: give it a name, which sets its documents apart; its orders must fit into 22 characters (X12 element 285), give it at most %d", load.Run, longestRun)
	}
	c := &Cutter{
		generator: g, wait: s.wait(), index: make(map[string]int), start: event.MicrosOf(load.Start), count: count, seed: load.Seed, run: load.Run, told: told,
		ships: make(map[place]*Document), origins: newOrigins(load.DuplicateSpan, load.Hottest.Share > 0),
	}
	c.pool.New = func() any { return new(Document) }
	bySource := make(map[string]int)
	for _, system := range Systems() {
		t := *s.target(system)
		at, known := bySource[t.Source]
		if !known {
			at = len(c.targets)
			bySource[t.Source] = at
			c.targets = append(c.targets, t)
		}
		c.index[system] = at
	}
	c.jsons = make([]*Document, len(c.targets))
	return c, nil
}

// Sites are a load's sites as they must be known while its documents are sent: a site's own system owns its shipments, and a 945
// is told by the system of the source that it comes through.
func Sites(g *scans.Generator, s Shape) iter.Seq[*event.SiteMaster] {
	return func(yield func(*event.SiteMaster) bool) {
		for site := range g.Sites() {
			for i := range site.Owners {
				if o := &site.Owners[i]; o.Fact == event.MovementTypeShip.String() {
					if t := s.target(o.System); t != nil {
						o.System = t.system()
					}
				}
			}
			if !yield(site) {
				return
			}
		}
	}
}

// Targets are the sources that documents go to, by Document.Target.
func (c *Cutter) Targets() []Target { return c.targets }
