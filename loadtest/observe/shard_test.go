package observe

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"pgregory.net/rapid"
)

func hashOf(key int) uint64 { return xxhash.Sum64String(fmt.Sprint("run-", key)) }

func hashOfKey(key string) uint64 { return xxhash.Sum64String(key) }

// A slow and obvious second implementation: a list of intended times by key.
type model map[uint64]*modelKey

type modelKey struct {
	queue []int64
	seen  int64
}

func (m model) balance(hash uint64, version int64) (taken []int64) {
	k := m[hash]
	if k == nil || version <= k.seen {
		return nil
	}
	n := min(int(version-k.seen), len(k.queue))
	taken, k.queue, k.seen = k.queue[:n], k.queue[n:], version
	return taken
}

func TestVersionVHoldsTheFirstVMovementsOfAKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, m := &shard{most: 1000, mostKeys: 1000}, model{}
		var clock int64
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			hash := hashOf(rapid.IntRange(0, 4).Draw(t, "key"))
			if rapid.Bool().Draw(t, "made") {
				clock++
				if m[hash] == nil {
					m[hash] = &modelKey{}
				}
				m[hash].queue = append(m[hash].queue, clock)
				if more := s.made(hash, time.Duration(clock)*time.Microsecond); more != 1 {
					t.Fatal("more", more)
				}
				continue
			}
			// Versions repeat, fall, and run ahead of what was made, as where a pipeline counts something twice.
			version := rapid.Int64Range(0, 30).Draw(t, "version")
			var taken []int64
			n := s.balance(hash, version, func(us int64, level uint8) {
				if level != 0 {
					t.Fatal("level", level)
				}
				taken = append(taken, us)
			})
			if want := m.balance(hash, version); n != len(want) || n > 0 && !reflect.DeepEqual(taken, want) {
				t.Fatalf("version %d takes %v, want %v", version, taken, want)
			}
		}
		left := 0
		for _, k := range m {
			left += len(k.queue)
		}
		if s.awaited != left {
			t.Fatalf("%d awaited, want %d", s.awaited, left)
		}
	})
}

// What was counted twice puts the key ahead for good: the movements that follow are still awaited, each for a version of
// its own.
func TestCountedTwiceNeitherBlocksNorSkipsWhatFollows(t *testing.T) {
	s, hash := &shard{most: 10, mostKeys: 10}, hashOf(1)
	take := func(version int64) (taken []int64) {
		s.balance(hash, version, func(us int64, _ uint8) { taken = append(taken, us) })
		return taken
	}
	s.made(hash, 1*time.Microsecond)
	if got := take(3); !reflect.DeepEqual(got, []int64{1}) {
		t.Fatal(got)
	}
	s.made(hash, 2*time.Microsecond)
	s.made(hash, 3*time.Microsecond)
	if got := take(3); got != nil {
		t.Fatal("seen before it was made", got)
	}
	if got := take(4); !reflect.DeepEqual(got, []int64{2}) {
		t.Fatal(got)
	}
	if got := take(1 << 60); !reflect.DeepEqual(got, []int64{3}) || s.awaited != 0 {
		t.Fatal(got, s.awaited)
	}
}

// A pipeline stands still until three quarters of the sample had to be let go, then everything comes out. What is left of
// the sample tells the same as all of it would have: as many slow events, and as slow.
func TestASmallerSampleStillCountsTheSlowOnesThatWereLetGo(t *testing.T) {
	const keys, events, most = 20_000, 400_000, 120_000
	s := &shard{most: most, mostKeys: keys}
	versions := make(map[uint64]int64)
	rng := rand.New(rand.NewPCG(1, 2))
	var fast, slow, slowUS, slowEvents int64
	made := func(i int) uint64 {
		hash := hashOf(rng.IntN(keys))
		versions[hash]++
		s.made(hash, time.Duration(i)*time.Microsecond)
		return hash
	}
	for i := range events / 4 {
		hash := made(i)
		s.balance(hash, versions[hash], func(_ int64, level uint8) { fast += 1 << level })
	}
	if fast != events/4 || s.level != 0 {
		t.Fatalf("%d of %d seen, level %d", fast, events/4, s.level)
	}
	for i := range events {
		made(i)
	}
	if s.level != 2 || s.awaited > most {
		t.Fatalf("level %d with %d awaited, want 2 with at most %d", s.level, s.awaited, most)
	}
	for hash, v := range versions {
		s.balance(hash, v, func(us int64, level uint8) {
			slow += 1 << level
			slowUS += us << level
			slowEvents++
		})
	}
	if off := float64(slow)/events - 1; off < -0.05 || off > 0.05 {
		t.Errorf("the sample stands for %d slow events, there were %d", slow, events)
	}
	if mean := float64(slowUS) / float64(slow) / (events / 2); mean < 0.97 || mean > 1.03 {
		t.Errorf("the mean of the sample is %.3f of the true one", mean)
	}
	if s.awaited != 0 || s.unfollowed != s.eligible-fast-slowEvents {
		t.Errorf("%d awaited, %d of %d not followed, %d and %d seen", s.awaited, s.unfollowed, s.eligible, fast, slowEvents)
	}
}

func TestKeysBeyondTheBoundHalveTheSample(t *testing.T) {
	s := &shard{most: 1 << 20, mostKeys: 1000}
	for i := range 10_000 {
		s.made(hashOf(i), 0)
	}
	if len(s.keys) > 1000 || s.level < 3 || s.level > 5 {
		t.Fatalf("%d keys at level %d", len(s.keys), s.level)
	}
	for i := range 10_000 {
		hash := hashOf(i)
		if n := s.balance(hash, 1, func(int64, uint8) {}); (n == 1) != s.follows(hash) {
			t.Fatalf("key %d: %d taken", i, n)
		}
	}
}

// One key alone is more than is kept: no sample by keys is small enough.
func TestAKeyBeyondEveryBoundIsLetGoAndSaid(t *testing.T) {
	s, hash := &shard{most: 100, mostKeys: 100}, uint64(1) // its sample bits are zero: it is in every sample
	awaited := 0
	for i := range 1000 {
		awaited += s.made(hash, time.Duration(i))
	}
	if !s.overwhelmed || s.awaited != 0 || awaited != 0 || s.unfollowed != 1000 || s.follows(hash) {
		t.Fatalf("%+v", s.counts())
	}
	if n := s.balance(hash, 1000, func(int64, uint8) { t.Fatal("it was let go") }); n != 0 {
		t.Fatal(n)
	}
}

func TestRowsLeaveInTheOrderOfOffsets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rows{most: 1 << 20, partitions: make(map[int32]*rowQueue)}
		type entry struct{ offset, us int64 }
		m := make(map[int32][]entry)
		next := make(map[int32]int64)
		for i := range rapid.IntRange(0, 50).Draw(t, "steps") {
			p := rapid.Int32Range(0, 1).Draw(t, "partition")
			if rapid.IntRange(0, 2).Draw(t, "add") > 0 {
				next[p] += rapid.Int64Range(0, 3).Draw(t, "on")
				for n := range rapid.SampledFrom([]int{1, 2, rowChunk, rowChunk + 1}).Draw(t, "events") {
					us := int64(i*10_000 + n)
					r.add(position{p, next[p]}, hashOf(i), us, 0)
					m[p] = append(m[p], entry{next[p], us})
				}
				continue
			}
			offset := rapid.Int64Range(0, 40).Draw(t, "offset")
			var taken []int64
			r.upTo(position{p, offset}, func(intended time.Duration, n int64) {
				if n != 1 {
					t.Fatal(n)
				}
				taken = append(taken, intended.Microseconds())
			})
			var want []int64
			for len(m[p]) > 0 && m[p][0].offset <= offset {
				want, m[p] = append(want, m[p][0].us), m[p][1:]
			}
			if !reflect.DeepEqual(taken, want) {
				t.Fatalf("up to %d: %d events, want %d", offset, len(taken), len(want))
			}
		}
		if want := len(m[0]) + len(m[1]); r.len() != want {
			t.Fatalf("%d left, want %d", r.len(), want)
		}
	})
}

// ClickHouse is away: rows are let go by whole keys, those of a sample of balances by the same bits.
func TestRowsBeyondTheBoundHalveTheSample(t *testing.T) {
	r := rows{most: 10_000, partitions: make(map[int32]*rowQueue)}
	const events = 80_000 // in a sample of a half: they stand for 160,000
	added := 0
	for i := 0; added < events; i++ {
		hash := hashOf(i)
		if !sampled(hash>>sampleShift, 1) {
			continue
		}
		r.add(position{int32(i % 4), int64(i)}, hash, int64(added), 1)
		added++
	}
	if r.len() > 10_000 {
		t.Fatal(r.len())
	}
	var stands, seen int64
	for p := range int32(4) {
		r.upTo(position{p, 1 << 40}, func(_ time.Duration, n int64) { stands, seen = stands+n, seen+1 })
	}
	if off := float64(stands)/(2*events) - 1; off < -0.06 || off > 0.06 {
		t.Errorf("the sample stands for %d events, want some %d", stands, 2*events)
	}
	if r.letGo() != events-seen || r.len() != 0 {
		t.Errorf("%d let go, %d of %d seen", r.letGo(), seen, events)
	}
}

// The pipeline stands still while 24,000 a second are sent for ten minutes.
func TestTenMinutesOfStandstillStayWithinBounds(t *testing.T) {
	if testing.Short() {
		t.Skip("14,400,000 events")
	}
	const events, keys = 14_400_000, 8_000_000
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	tracker := NewTracker(TrackerOptions{Run: "r", Rate: 24_000})
	rng := rand.New(rand.NewPCG(3, 4))
	began := time.Now()
	var site [8]string
	for i := range site {
		site[i] = fmt.Sprint("DC", i)
	}
	b := []byte("r-00000000")
	for i := range events {
		n := rng.IntN(keys / len(site))
		for at := len(b) - 1; at > 1; at-- {
			b[at] = byte('0' + n%10)
			n /= 10
		}
		tracker.Await(string(b), site[i%len(site)], time.Duration(i)*time.Second/24_000)
	}
	took, held := time.Since(began), int64(heap()-before)
	t.Logf("%v, %d MiB, %d awaited, share %.4f", took, held>>20, tracker.Awaited().Balance, tracker.complete(nil)[0].Share)
	if held > 200<<20 {
		t.Errorf("%d MiB are held", held>>20)
	}
	if n := tracker.Awaited().Balance; n > 4_000_000 || n < 500_000 {
		t.Errorf("%d awaited", n)
	}
}

func BenchmarkTracker(b *testing.B) {
	for _, keys := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			tracker := NewTracker(TrackerOptions{})
			skus := make([]string, keys)
			for i := range skus {
				skus[i] = fmt.Sprintf("run-SKU%07d", i)
			}
			versions := make([]int64, keys)
			hashes := make([]uint64, keys)
			for i := range hashes {
				hashes[i] = xxhash.Sum64String(skus[i] + "|DC001")
			}
			rng := rand.New(rand.NewPCG(5, 6))
			for b.Loop() {
				i := rng.IntN(keys)
				tracker.Await(skus[i], "DC001", time.Second)
				versions[i]++
				tracker.balance(hashes[i], versions[i], position{}, func(time.Duration, int64) {})
			}
			if n := tracker.Awaited().Balance; n != 0 {
				b.Fatal(n)
			}
		})
	}
}
