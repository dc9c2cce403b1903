package assignor

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
)

// userData is what a member tells beyond the consumer protocol, in the protocol's user data: which instance it is a worker
// of, which partitions it was given, as of which generation, where it answers queries, and how far the state that the
// instance has is behind. (Ownership, which the cooperative rule needs, is in the consumer protocol's own fields.)
//
//	byte     version, 3
//	string   instance
//	varint   generation
//	uvarint  topics, each: string, uvarint count, then that many uvarints: the first partition, then differences
//	string   address where the instance answers queries, empty where it does not; from version 2 on
//	         how far the state of each partition is behind, as appendHoldings has it; from version 3 on
//
// A string is a uvarint length and its bytes. A later version only appends, so that every version reads the part of it
// that it knows, and members of two versions form one group during a rolling deploy.
type userData struct {
	instance   string
	generation int32
	held       []topicPartitions
	address    string
	holds      Holdings
}

// topicPartitions are partitions of one topic, in rising order.
type topicPartitions struct {
	topic      string
	partitions []int32
}

const (
	userDataVersion = 3
	withAddress     = 2 // the first version that has one
	withHoldings    = 3 // the first version that tells what state an instance has
)

func sortTopics(t []topicPartitions) {
	slices.SortFunc(t, func(a, b topicPartitions) int { return strings.Compare(a.topic, b.topic) })
}

func (u userData) encode() []byte {
	b := []byte{userDataVersion}
	b = appendString(b, u.instance)
	b = binary.AppendVarint(b, int64(u.generation))
	b = binary.AppendUvarint(b, uint64(len(u.held)))
	for _, t := range u.held {
		b = appendPartitions(appendString(b, t.topic), t.partitions)
	}
	return appendHoldings(appendString(b, u.address), u.holds)
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

var errUserData = errors.New("user data of another protocol or cut short")

// parseUserData reads any version's data. Errors are of bytes that no version writes.
func parseUserData(b []byte) (u userData, err error) {
	if len(b) == 0 || b[0] == 0 {
		return u, errUserData
	}
	r := reader{b: b[1:]}
	u.instance = r.string()
	u.generation = int32(r.varint())
	for n := r.count(); n > 0 && !r.bad; n-- {
		u.held = append(u.held, topicPartitions{r.string(), r.partitions()})
	}
	if b[0] >= withAddress {
		u.address = r.string()
	}
	if b[0] >= withHoldings {
		u.holds = r.holdings()
	}
	if r.bad {
		return userData{}, errUserData
	}
	return u, nil
}

// A reader reads what encode writes; after the first fault everything is zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) {
	if n <= 0 || r.bad {
		r.b, r.bad = nil, true
		return
	}
	r.b = r.b[n:]
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	r.take(n)
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	r.take(n)
	return v
}

// count is a number of things of which each takes a byte at least: a larger one is a fault, not a reason to allocate.
func (r *reader) count() int {
	v := r.uvarint()
	if v > uint64(len(r.b)) {
		r.bad = true
		return 0
	}
	return int(v)
}

func (r *reader) string() string {
	n := r.count()
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}
