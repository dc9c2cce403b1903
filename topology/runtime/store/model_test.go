package store

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A model is the same contract, slow and obvious: three maps, copied at each border.
type model struct {
	rest, now, saved map[string]string
	touched          []string // first touch first
	savedTouched     int
	tags, savedTags  map[string]uint32
	tag              uint32
}

func newModel() *model {
	return &model{rest: map[string]string{}, now: map[string]string{}, saved: map[string]string{},
		tags: map[string]uint32{}, savedTags: map[string]uint32{}}
}

func (m *model) touch(k string) {
	if !slices.Contains(m.touched, k) {
		m.touched = append(m.touched, k)
	}
	m.tags[k] = m.tag
}

func (m *model) put(k, v string) { m.touch(k); m.now[k] = v }

func (m *model) delete(k string) {
	if _, ok := m.now[k]; ok {
		m.touch(k)
		delete(m.now, k)
	}
}

func (m *model) savepoint(tag uint32) {
	m.tag = tag
	m.saved, m.savedTags, m.savedTouched = maps.Clone(m.now), maps.Clone(m.tags), len(m.touched)
}

func (m *model) rollback() {
	m.now, m.tags, m.touched = maps.Clone(m.saved), maps.Clone(m.savedTags), m.touched[:m.savedTouched]
}

func (m *model) end(commit bool) {
	if commit {
		m.rest = maps.Clone(m.now)
	} else {
		m.now = maps.Clone(m.rest)
	}
	m.touched, m.tags = nil, map[string]uint32{}
	m.savepoint(m.tag)
}

func (m *model) changes() string {
	var b strings.Builder
	for _, k := range m.touched {
		v, ok := m.now[k]
		_, was := m.rest[k]
		if ok || was {
			fmt.Fprintf(&b, "%q %v %q %d\n", k, ok, v, m.tags[k])
		}
	}
	return b.String()
}

func changes(p *Partition) string {
	var b strings.Builder
	for c := range p.Changes() {
		fmt.Fprintf(&b, "%q %v %q %d\n", c.Key, c.Value != nil, c.Value, c.Tag)
	}
	return b.String()
}

// Whatever is put, deleted, rolled back, committed, aborted or restored, in whatever order, the partition answers as the
// model does. Few keys and many sizes make cells move between classes and be used again.
func TestPartitionEqualsPlainMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, m := New(), newModel()
		// Values of one letter repeated: what they are made of does not matter, their sizes do.
		size := rapid.OneOf(rapid.IntRange(0, 40), rapid.IntRange(60, 700), rapid.IntRange(100_000, MaxValue))
		if rapid.Bool().Draw(t, "small only") {
			size = rapid.IntRange(0, 160)
		}
		keys := rapid.IntRange(2, 300).Draw(t, "keys")
		drawKey := func() string {
			n := rapid.IntRange(0, keys-1).Draw(t, "key")
			return strings.Repeat("k", n%23) + fmt.Sprint(n)
		}
		drawValue := func() string {
			return strings.Repeat(string(rapid.ByteRange('a', 'z').Draw(t, "letter")), size.Draw(t, "size"))
		}
		get := func(k string) {
			want, ok := m.now[k]
			got := p.Get([]byte(k))
			if (got != nil) != ok || string(got) != want {
				t.Fatalf("Get(%q) is %d bytes, want %d (there: %v)", k, len(got), len(want), ok)
			}
		}
		var dirty bool
		end := func(commit bool) {
			if commit {
				p.Commit(Position{})
			} else {
				p.Abort()
			}
			m.end(commit)
			dirty = false
		}
		t.Repeat(map[string]func(*rapid.T){
			"get": func(*rapid.T) { get(drawKey()) },
			"put": func(*rapid.T) {
				k, v := drawKey(), drawValue()
				p.Put([]byte(k), []byte(v))
				m.put(k, v)
				dirty = true
			},
			"get, put the same": func(*rapid.T) {
				k, v := drawKey(), drawValue()
				get(k)
				p.Put([]byte(k), []byte(v))
				m.put(k, v)
				dirty = true
			},
			"put a part of what is there": func(t *rapid.T) {
				k := drawKey()
				v := p.Get([]byte(k))
				if v == nil {
					t.Skip("nothing there")
				}
				m.put(k, string(v[len(v)/2:]))
				p.Put([]byte(k), v[len(v)/2:])
				dirty = true
			},
			"delete": func(*rapid.T) {
				k := drawKey()
				p.Delete([]byte(k))
				m.delete(k)
				dirty = true
			},
			"savepoint": func(*rapid.T) {
				tag := rapid.Uint32().Draw(t, "tag")
				p.Savepoint(tag)
				m.savepoint(tag)
			},
			"rollback": func(*rapid.T) { p.Rollback(); m.rollback() },
			"commit":   func(*rapid.T) { end(true) },
			"abort":    func(*rapid.T) { end(false) },
			"restore": func(t *rapid.T) {
				if dirty {
					t.Skip("in a transaction")
				}
				k := drawKey()
				var v []byte
				if rapid.Bool().Draw(t, "tombstone") {
					delete(m.rest, k)
				} else {
					v = append([]byte{}, drawValue()...)
					m.rest[k] = string(v)
				}
				if err := p.Restore([]byte(k), v); err != nil {
					t.Fatal(err)
				}
				m.end(false)
			},
			"": func(t *rapid.T) {
				if p.Len() != len(m.now) {
					t.Fatalf("Len is %d, want %d", p.Len(), len(m.now))
				}
				if got, want := changes(p), m.changes(); got != want {
					t.Fatalf("changes are\n%.2000s\nwant\n%.2000s", got, want)
				}
				seen := map[string]string{}
				p.Each(func(k, v []byte) bool { seen[string(k)] = string(v); return true })
				if !maps.Equal(seen, m.now) {
					t.Fatalf("Each shows %d keys, want %d, or other values", len(seen), len(m.now))
				}
				checkMemory(t, p)
			},
		})
	})
}

// checkMemory holds that every cell is either free or of one key, and none of two.
func checkMemory(t *rapid.T, p *Partition) {
	type span struct{ at, n uint32 }
	var spans []span
	for _, slot := range p.index.slots {
		if slot == 0 {
			continue
		}
		at := cellOf(slot)
		h := p.cells.head(at)
		spans = append(spans, span{at, classUnits(h.class())})
		if headBytes+h.keyLen()+h.valueLen() > int(classUnits(h.class()))*unit {
			t.Fatalf("%q is larger than its cell", p.cells.key(at))
		}
	}
	if len(spans) != p.index.n {
		t.Fatalf("%d cells, %d in the index", len(spans), p.index.n)
	}
	free := 0
	for class := range p.cells.free {
		for head := p.cells.free[class]; head != 0; {
			n := classUnits(uint8(class))
			spans = append(spans, span{head - 1, n})
			free += int(n)
			head = p.cells.link(head - 1)
		}
	}
	if free != p.cells.freeUnits {
		t.Fatalf("%d units in the free lists, %d counted", free, p.cells.freeUnits)
	}
	slices.SortFunc(spans, func(a, b span) int { return int(int64(a.at) - int64(b.at)) })
	at := uint32(0)
	for _, s := range spans {
		if s.at != at {
			t.Fatalf("memory is lost or shared at unit %d: the next cell is at %d", at, s.at)
		}
		at += s.n
	}
	if at != p.cells.next {
		t.Fatalf("cells end at %d, the arena at %d", at, p.cells.next)
	}
}

func TestClassesHoldTheirSizesAndWasteAnEighth(t *testing.T) {
	var prev uint32
	for c := range uint8(classes) {
		n := classUnits(c)
		if n <= prev {
			t.Fatalf("class %d is %d units, the one before %d", c, n, prev)
		}
		for _, u := range []uint32{prev + 1, n} {
			if got := classOf(u); got != c {
				t.Fatalf("classOf(%d) is %d, want %d", u, got, c)
			}
		}
		if c >= smallClasses && (n-prev-1)*8 > n {
			t.Fatalf("class %d wastes %d of %d units", c, n-prev-1, n)
		}
		prev = n
	}
	if prev != chunkUnits || units(headBytes+MaxKey+MaxValue) > prev {
		t.Fatalf("the largest cell is %d units", prev)
	}
}

// A hot key that is put by every record of a transaction takes two rooms, not one a record.
func TestHotKeyHoldsTwoRooms(t *testing.T) {
	p := New()
	value := bytes.Repeat([]byte("v"), 600)
	for i := range uint32(20_000) {
		p.Savepoint(i)
		p.Put([]byte("hot"), value)
	}
	if p.Pending() > 4*len(value) {
		t.Errorf("pending bytes are %d", p.Pending())
	}
}

// A value of the largest size passes, one byte more is the record's rejection and leaves the state as it was.
func TestValuePastItsBoundRejectsTheRecord(t *testing.T) {
	p := New()
	p.Savepoint(0)
	p.Put([]byte("k"), make([]byte, MaxValue))
	p.Put(make([]byte, MaxKey), make([]byte, MaxValue))
	if p.Err() != nil {
		t.Fatal(p.Err())
	}
	p.Savepoint(1)
	p.Put([]byte("k"), make([]byte, MaxValue+1))
	p.Put(make([]byte, MaxKey+1), nil)
	if err := p.Err(); err == nil || !strings.Contains(err.Error(), "TOO_LARGE") {
		t.Fatalf("the error is %v", err)
	}
	p.Rollback()
	if p.Err() != nil || len(p.Get([]byte("k"))) != MaxValue || p.Len() != 2 {
		t.Errorf("after the rollback: %v, %d keys", p.Err(), p.Len())
	}
	if err := p.Restore([]byte("r"), make([]byte, MaxValue+1)); err == nil {
		t.Error("a restored value past the bound passes")
	}
}

// A store whose keys come and go (parked events) does not grow.
func TestDeletedRoomIsUsedAgain(t *testing.T) {
	p := New()
	var bytesAfterFirst int
	for round := range 50 {
		for i := range 2000 {
			p.Put(fmt.Appendf(nil, "%d-%d", round, i), make([]byte, 100+i%50))
		}
		p.Commit(Position{})
		if round == 0 {
			bytesAfterFirst = p.Stats().Bytes
		}
		for i := range 2000 {
			p.Delete(fmt.Appendf(nil, "%d-%d", round, i))
		}
		p.Commit(Position{})
	}
	if s := p.Stats(); s.Keys != 0 || s.Bytes > bytesAfterFirst*5/4 {
		t.Errorf("after 50 rounds: %+v, after the first %d bytes", s, bytesAfterFirst)
	}
}
