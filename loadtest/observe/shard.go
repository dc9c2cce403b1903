package observe

import (
	"sync"
	"time"
)

// sampleBits are the bits of a key's hash that decide whether it is followed: at level n those whose lowest n bits of
// these are zero. The others choose the shard and the place in its index.
const (
	sampleShift = 48
	sampleBits  = 16
	shardShift  = 40
	shards      = 16
)

// sampled says whether a hash is in the sample of a level. Each level is half of the one before, and a part of it.
func sampled(bits uint64, level uint8) bool { return bits&(1<<level-1) == 0 }

// A shard follows the keys whose hash falls to it. Version v of a key's balance holds its first v movements: so a queue of
// intended times by key is enough, and a number says how many have left it.
type shard struct {
	mu          sync.Mutex // guards all below
	level       uint8      // 1 in 2^level keys is followed
	most        int        // events
	mostKeys    int
	index       []uint32 // key plus one; 0 is empty
	keys        []followed
	times       []int64  // of events, microseconds; a queue is linked by next
	next        []uint32 // event plus one; 0 ends a queue
	free        uint32   // event plus one: those that were taken out, linked by next
	awaited     int
	eligible    int64 // events that could have been followed
	unfollowed  int64 // of those, that were not, or not to the end
	overwhelmed bool  // what the smallest sample has is too much still: nothing is followed
}

// followed is one key: 24 bytes.
type followed struct {
	hash       uint64
	made, seen uint32 // movements; made-seen of them are queued
	head, tail uint32 // event plus one
}

// made queues an event of a key, and says by how many events more the shard waits for: fewer, where keys were let go.
func (s *shard) made(hash uint64, intended time.Duration) (more int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.awaited
	s.eligible++
	for !s.overwhelmed && sampled(hash>>sampleShift, s.level) {
		k := s.find(hash)
		if (k != nil || len(s.keys) < s.mostKeys) && s.awaited < s.most {
			if k == nil {
				k = s.open(hash)
			}
			s.push(k, intended)
			return s.awaited - before
		}
		s.halve()
	}
	s.unfollowed++
	return s.awaited - before
}

func (s *shard) follows(hash uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.overwhelmed && sampled(hash>>sampleShift, s.level)
}

// counts are a shard's numbers at one moment.
type counts struct{ eligible, unfollowed int64 }

func (s *shard) counts() counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return counts{s.eligible, s.unfollowed}
}

func (s *shard) push(k *followed, intended time.Duration) {
	// A pipeline that counted something twice is ahead by that much for good.
	k.made = max(k.made, k.seen) + 1
	var e uint32
	if s.free != 0 {
		e = s.free
		s.free = s.next[e-1]
	} else {
		s.times, s.next = append(s.times, 0), append(s.next, 0)
		e = uint32(len(s.times))
	}
	s.times[e-1], s.next[e-1] = intended.Microseconds(), 0
	if k.head == 0 {
		k.head = e
	} else {
		s.next[k.tail-1] = e
	}
	k.tail = e
	s.awaited++
}

// balance takes out the events that a version of a key's balance holds, and says how many events each stands for.
func (s *shard) balance(hash uint64, version int64, take func(us int64, level uint8)) (taken int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.find(hash)
	if k == nil || version <= int64(k.seen) {
		return 0
	}
	v := uint32(min(version, 1<<31))
	for k.seen < v && k.head != 0 {
		e := k.head
		take(s.times[e-1], s.level)
		k.head = s.next[e-1]
		s.next[e-1], s.free = s.free, e
		k.seen++
		taken++
	}
	k.seen = v
	s.awaited -= taken
	return taken
}

func (s *shard) find(hash uint64) *followed {
	if len(s.index) == 0 {
		return nil
	}
	mask := uint64(len(s.index) - 1)
	for at := hash & mask; s.index[at] != 0; at = (at + 1) & mask {
		if k := &s.keys[s.index[at]-1]; k.hash == hash {
			return k
		}
	}
	return nil
}

func (s *shard) open(hash uint64) *followed {
	if len(s.keys)*4 >= len(s.index)*3 {
		s.reindex(max(1<<6, 2*len(s.index)))
	}
	s.keys = append(s.keys, followed{hash: hash})
	s.place(len(s.keys) - 1)
	return &s.keys[len(s.keys)-1]
}

func (s *shard) place(i int) {
	mask := uint64(len(s.index) - 1)
	at := s.keys[i].hash & mask
	for s.index[at] != 0 {
		at = (at + 1) & mask
	}
	s.index[at] = uint32(i + 1)
}

func (s *shard) reindex(size int) {
	s.index = make([]uint32, size)
	for i := range s.keys {
		s.place(i)
	}
}

// halve lets go half of the keys. Each event of the others stands for twice as many from now on, those that wait too: the
// ones let go had waited alike.
func (s *shard) halve() {
	if s.level == sampleBits {
		s.overwhelmed = true
		s.unfollowed += int64(s.awaited)
		s.index, s.keys, s.times, s.next, s.free, s.awaited = nil, nil, nil, nil, 0, 0
		return
	}
	s.level++
	times, next := make([]int64, 0, s.awaited/2), make([]uint32, 0, s.awaited/2)
	kept := s.keys[:0]
	for _, k := range s.keys {
		if !sampled(k.hash>>sampleShift, s.level) {
			continue
		}
		e := k.head
		k.head, k.tail = 0, 0
		for ; e != 0; e = s.next[e-1] {
			times, next = append(times, s.times[e-1]), append(next, 0)
			if k.head == 0 {
				k.head = uint32(len(times))
			} else {
				next[k.tail-1] = uint32(len(times))
			}
			k.tail = uint32(len(times))
		}
		kept = append(kept, k)
	}
	s.unfollowed += int64(s.awaited - len(times))
	s.keys, s.times, s.next, s.free, s.awaited = kept, times, next, 0, len(times)
	s.reindex(len(s.index))
}
