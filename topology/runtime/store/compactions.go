package store

import (
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// compactions lets a few compactions of a process run at a time, however many partitions it has: they take turns. Pebble's
// own scheduler knows one database.
type compactions struct {
	limit int

	mu      sync.Mutex
	running int
	members []*compactor
	turn    int
}

// A compactor is the scheduler of one partition's database.
type compactor struct {
	of *compactions
	db pebble.DBForCompaction

	// Guarded by of.mu:
	gone     bool
	granting int // calls of the database that are on
	idle     *sync.Cond
}

var (
	_ pebble.CompactionScheduler   = (*compactor)(nil)
	_ pebble.CompactionGrantHandle = (*compactor)(nil)
)

func (s *compactions) newMember() *compactor { return &compactor{of: s, idle: sync.NewCond(&s.mu)} }

// Register is for pebble.CompactionScheduler.
func (c *compactor) Register(_ int, db pebble.DBForCompaction) {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.db = db
	c.of.members = append(c.of.members, c)
}

// Unregister is for pebble.CompactionScheduler. When it returns, the database is called no more.
func (c *compactor) Unregister() {
	s := c.of
	s.mu.Lock()
	defer s.mu.Unlock()
	c.gone = true
	for i, m := range s.members {
		if m == c {
			s.members = append(s.members[:i], s.members[i+1:]...)
			break
		}
	}
	for c.granting > 0 {
		c.idle.Wait()
	}
}

// TrySchedule is for pebble.CompactionScheduler. The database holds its own lock.
func (c *compactor) TrySchedule() (bool, pebble.CompactionGrantHandle) {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if c.gone || c.of.running >= c.of.limit {
		return false, nil // it is asked when another is done
	}
	c.of.running++
	return true, c
}

// UpdateGetAllowedWithoutPermission is for pebble.CompactionScheduler: what a database allows itself never changes here.
func (c *compactor) UpdateGetAllowedWithoutPermission() {}

// Started is for pebble.CompactionGrantHandle.
func (c *compactor) Started() {}

// MeasureCPU is for pebble.CompactionGrantHandle.
func (c *compactor) MeasureCPU(pebble.CompactionGoroutineKind) {}

// CumulativeStats is for pebble.CompactionGrantHandle.
func (c *compactor) CumulativeStats(pebble.CompactionGrantHandleStats) {}

// Done is for pebble.CompactionGrantHandle. The database holds no lock.
func (c *compactor) Done() {
	s := c.of
	s.mu.Lock()
	s.running--
	// Each member is asked once, beginning with the one after the last that was granted something.
	for asked := 0; asked < len(s.members) && s.running < s.limit; asked++ {
		s.turn = (s.turn + 1) % len(s.members)
		m := s.members[s.turn]
		s.running++
		m.granting++
		s.mu.Unlock()
		accepted := false
		if waiting, _ := m.db.GetWaitingCompaction(); waiting {
			accepted = m.db.Schedule(m)
		}
		s.mu.Lock()
		if m.granting--; m.granting == 0 {
			m.idle.Broadcast()
		}
		if !accepted {
			s.running--
		}
	}
	s.mu.Unlock()
}
