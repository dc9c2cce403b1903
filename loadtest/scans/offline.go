package scans

import (
	"crossdock/avro/event"
)

// A flush is a device that has its network back and sends what it kept.
type flush struct {
	due    event.Micros // when its next scan leaves, if the plan has a place for it
	device int32
	site   int32
	sent   int32
	kept   int32
	gap    event.Micros // between two scans
	since  event.Micros // when it went offline
	away   event.Micros
}

const (
	// maxFlushes bounds the devices that flush at the same time; others wait for their turn.
	maxFlushes = 1 << 14
	// scansAnHour is what one picker makes: 80 lines an hour (WERC's best), 4 scans a line.
	scansAnHour = 320
	// flushesInARow is how many scans of flushes leave before another one: at low rates a flush would else stop all
	// other traffic.
	flushesInARow = 3
	// One device in offlineEvery is one that loses its network, the others never do: what a device sends in time cannot
	// belie that it was away.
	offlineEvery = 8
	microsAnHour = 3_600_000_000
)

// flushes lets devices come back so often that their scans are the load's share of all movements. Each movement adds its
// part to what is owed, and a device comes back when its scans are owed. Its memory is the devices that flush now.
type flushes struct {
	load  *Offline
	fleet *fleet
	part  uint64 // owed a movement, in 2^-32 scans
	owed  uint64 // in 2^-32 scans
	next  flush  // the one that comes back next; only its absence is known
	turn  int    // how many came back
	heap  []flush
	row   int
}

func (f *flushes) start(r *random) {
	f.part = uint64(shareOf(f.load.Share) >> 32)
	f.draw(r)
	// The run begins in the middle of things.
	f.owed = uint64(r.below(int(f.next.kept))) << 32
}

// draw decides how long the next device was away, and so how much it kept.
func (f *flushes) draw(r *random) {
	least, most := f.load.Min.Microseconds(), f.load.Max.Microseconds()
	away := least + int64(r.next()>>32)*((most-least)>>16)>>16
	f.next = flush{away: event.Micros(away), kept: int32(max(1, away*scansAnHour/microsAnHour))}
}

// comes is called for each movement: it lets a device come back when its scans are owed.
func (f *flushes) comes(at event.Micros, r *random) {
	f.owed += f.part
	need := uint64(f.next.kept) << 32
	if f.owed < need || len(f.heap) == maxFlushes {
		return
	}
	f.owed -= need
	x := f.next
	x.device, x.site = f.fleet.returns(f.turn)
	f.turn++
	x.since, x.due = at-x.away, at
	x.gap = event.Micros(1_000_000 / r.between(f.load.FlushMin, f.load.FlushMax))
	f.push(x)
	f.draw(r)
}

// takes is the flush whose scan takes the place of a movement at a time, nil where none is due.
func (f *flushes) takes(at event.Micros) *flush {
	if len(f.heap) == 0 || f.heap[0].due > at || f.row == flushesInARow {
		f.row = 0
		return nil
	}
	f.row++
	return &f.heap[0]
}

// sent tells that the first flush has sent one.
func (f *flushes) sent() {
	x := &f.heap[0]
	x.sent++
	x.due += x.gap
	if x.sent == x.kept {
		last := len(f.heap) - 1
		f.heap[0] = f.heap[last]
		f.heap = f.heap[:last]
	}
	f.sink()
}

// when is when the next scan of a flush was made: evenly over the time away, one after the other.
func (x *flush) when(r *random) event.Micros {
	step := int64(x.away) / int64(x.kept)
	return x.since + event.Micros(step*int64(x.sent)+int64(r.below(int(min(step, 1<<31-1)))))
}

// The heap is ordered by due, and by device where these are equal.

func (x *flush) before(y *flush) bool { return x.due < y.due || x.due == y.due && x.device < y.device }

func (f *flushes) push(x flush) {
	f.heap = append(f.heap, x)
	for i := len(f.heap) - 1; i > 0; {
		up := (i - 1) / 2
		if !f.heap[i].before(&f.heap[up]) {
			return
		}
		f.heap[i], f.heap[up] = f.heap[up], f.heap[i]
		i = up
	}
}

func (f *flushes) sink() {
	for i := 0; ; {
		least := i
		for _, down := range [...]int{2*i + 1, 2*i + 2} {
			if down < len(f.heap) && f.heap[down].before(&f.heap[least]) {
				least = down
			}
		}
		if least == i {
			return
		}
		f.heap[i], f.heap[least] = f.heap[least], f.heap[i]
		i = least
	}
}

// A fleet is the devices of all sites, numbered from 0. It is never changed once it is made.
type fleet struct {
	sites  []crew
	away   []awayDevice // those that lose their network
	stride int
}

// crew is the devices of a site: online of them from first on never lose their network.
type crew struct{ first, online int32 }

type awayDevice struct{ device, site int32 }

// newFleet shares devices out among the sites as traffic is, at least one each.
func newFleet(devices int, traffic []float64) *fleet {
	sum := 0.0
	for _, w := range traffic {
		sum += w
	}
	f := &fleet{}
	first := int32(0)
	for site, w := range traffic {
		n := max(1, int32(float64(devices)*w/sum+0.5))
		away := n / offlineEvery
		if away == 0 && n > 1 {
			away = 1
		}
		f.sites = append(f.sites, crew{first, n - away})
		for d := first + n - away; d < first+n; d++ {
			f.away = append(f.away, awayDevice{d, int32(site)})
		}
		first += n
	}
	if len(f.away) == 0 { // one device a site: any may be away
		for site, c := range f.sites {
			f.away = append(f.away, awayDevice{c.first, int32(site)})
		}
	}
	// Golden section: devices that come back after each other are far apart.
	f.stride = max(1, int(float64(len(f.away))*0.6180339887))
	for common(f.stride, len(f.away)) > 1 {
		f.stride++
	}
	return f
}

func common(a, b int) int {
	for b > 0 {
		a, b = b, a%b
	}
	return a
}

// returns is the device that comes back at a turn: each once, before the first again.
func (f *fleet) returns(turn int) (device, site int32) {
	d := f.away[turn%len(f.away)*f.stride%len(f.away)]
	return d.device, d.site
}
