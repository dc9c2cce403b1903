package assignor

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

func assertPlan(t *testing.T, got map[string]map[string][]int32, want string) {
	t.Helper()
	if s := fmt.Sprint(got); s != want {
		t.Errorf("the plan is\n%s, want\n%s", s, want)
	}
}

func reading(id, instance string) *worker {
	return &worker{id: id, instance: instance, reads: []string{"inbox"}, generation: -1}
}

// Two partitions go to two instances, not to the two workers of one.
func TestInstancesComeBeforeWorkers(t *testing.T) {
	workers := []*worker{reading("a1", "a"), reading("a2", "a"), reading("b1", "b"), reading("b2", "b")}
	assertPlan(t, balanced(t, workers, map[string]int32{"inbox": 2}),
		"map[a1:map[inbox:[0]] a2:map[] b1:map[inbox:[1]] b2:map[]]")
	assertPlan(t, balanced(t, workers, map[string]int32{"inbox": 6}),
		"map[a1:map[inbox:[0 1]] a2:map[inbox:[2]] b1:map[inbox:[3 4]] b2:map[inbox:[5]]]")
}

// A topic of one partition does not make a worker's share of the busy topic smaller or larger than its neighbour's by
// more than one.
func TestEachTopicIsEven(t *testing.T) {
	c := &cluster{topics: map[string]int32{"movements": 8, "raw.a": 1, "raw.b": 1, "raw.c": 2}}
	var workers []*worker
	for i := range 3 {
		workers = append(workers, &worker{id: fmt.Sprint(i), instance: fmt.Sprint(i), generation: -1,
			reads: []string{"movements", "raw.a", "raw.b", "raw.c"}})
	}
	c.settle(t, workers) // checks it
}

// In the rebalance in which b joins, a gives up and b gets nothing yet; in the next b gets it.
func TestPartitionIsRevokedBeforeItIsGiven(t *testing.T) {
	a, b := reading("a", "a"), reading("b", "b")
	a.owns, a.generation = map[string][]int32{"inbox": {0, 1, 2, 3}}, 1
	c := &cluster{generation: 1, topics: map[string]int32{"inbox": 4}}
	again, moved := c.rebalance(t, []*worker{a, b})
	if !again || moved != 0 || a.total() != 2 || b.total() != 0 {
		t.Fatalf("first: again %v, moved %d, a %v, b %v", again, moved, a.owns, b.owns)
	}
	again, moved = c.rebalance(t, []*worker{a, b})
	if again || moved != 2 || a.total() != 2 || b.total() != 2 {
		t.Fatalf("second: again %v, moved %d, a %v, b %v", again, moved, a.owns, b.owns)
	}
}

// A worker that slept while its partitions went to another comes back with its claim: the newer generation holds.
func TestStaleClaimTakesNothingFromTheOwner(t *testing.T) {
	owner, zombie := reading("owner", "a"), reading("zombie", "b")
	zombie.owns, zombie.generation = map[string][]int32{"inbox": {0, 1}}, 3
	owner.owns, owner.generation = map[string][]int32{"inbox": {0}}, 5
	third := reading("third", "c")
	third.owns, third.generation = map[string][]int32{"inbox": {1}}, 5
	assertPlan(t, balanced(t, []*worker{owner, zombie, third}, map[string]int32{"inbox": 2}),
		"map[owner:map[inbox:[0]] third:map[inbox:[1]] zombie:map[]]")
}

// Claims to partitions that are no more, or to a topic that is no longer read, are not kept.
func TestClaimsBeyondTheTopicsAreDropped(t *testing.T) {
	a := reading("a", "a")
	a.owns, a.generation = map[string][]int32{"inbox": {-1, 0, 7}, "gone": {0}}, 1
	assertPlan(t, balanced(t, []*worker{a}, map[string]int32{"inbox": 2}), "map[a:map[inbox:[0 1]]]")
}

// A member whose user data is broken or absent is a member all the same.
func TestMemberWithoutOurUserDataIsServed(t *testing.T) {
	for _, data := range [][]byte{nil, {0}, {1, 200}, {1, 1}, bytes.Repeat([]byte{0xff}, 40)} {
		meta := kmsg.NewConsumerMemberMetadata()
		meta.Version, meta.Topics, meta.UserData, meta.Generation = 3, []string{"inbox"}, data, 4
		meta.OwnedPartitions = []kmsg.ConsumerMemberMetadataOwnedPartition{{Topic: "inbox", Partitions: []int32{1}}}
		odd := kmsg.NewJoinGroupResponseMember()
		odd.MemberID, odd.ProtocolMetadata = "odd", meta.AppendTo(nil)
		gb, topics, err := New("").MemberBalancer([]kmsg.JoinGroupResponseMember{odd, reading("us", "a").join()})
		if err != nil || len(topics) != 1 {
			t.Fatal(topics, err)
		}
		into, err := gb.(kgo.GroupMemberBalancerOrError).BalanceOrError(map[string]int32{"inbox": 2})
		if err != nil {
			t.Fatal(err)
		}
		if s := fmt.Sprint(into); !strings.Contains(s, "odd{inbox[1]}") || !strings.Contains(s, "us{inbox[0]}") {
			t.Errorf("with user data %x: %s", data, s)
		}
	}
}

// The same members make the same plan in whatever order the broker lists them.
func TestPlanDoesNotDependOnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		topics := map[string]int32{"a": int32(rapid.IntRange(1, 9).Draw(t, "a")), "b": int32(rapid.IntRange(1, 9).Draw(t, "b"))}
		var workers []*worker
		for i := range rapid.IntRange(1, 6).Draw(t, "workers") {
			w := &worker{id: fmt.Sprint(i), instance: fmt.Sprint(i % 2), reads: []string{"a", "b"}, owns: map[string][]int32{}}
			w.generation = int32(rapid.IntRange(-1, 3).Draw(t, "generation"))
			for topic, n := range topics {
				for p := range n {
					if rapid.Bool().Draw(t, "claims") {
						w.owns[topic] = append(w.owns[topic], p)
					}
				}
			}
			workers = append(workers, w)
		}
		first := balanced(t, workers, topics)
		rand.Shuffle(len(workers), func(i, j int) { workers[i], workers[j] = workers[j], workers[i] })
		if second := balanced(t, workers, topics); !reflect.DeepEqual(first, second) {
			t.Fatalf("%v\nand\n%v", first, second)
		}
	})
}

func TestUserDataRoundTripsAndLaterVersionsAreRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := userData{instance: rapid.String().Draw(t, "instance"), generation: rapid.Int32().Draw(t, "generation")}
		for range rapid.IntRange(0, 3).Draw(t, "topics") {
			top := topicPartitions{topic: rapid.String().Draw(t, "topic")}
			last := int32(0)
			for range rapid.IntRange(0, 5).Draw(t, "partitions") {
				last += rapid.Int32Range(0, 1000).Draw(t, "step")
				top.partitions = append(top.partitions, last)
			}
			u.held = append(u.held, top)
		}
		u.address = rapid.String().Draw(t, "address")
		b := u.encode()
		b[0] = byte(rapid.IntRange(userDataVersion, 255).Draw(t, "version"))
		got, err := parseUserData(append(b, rapid.SliceOf(rapid.Byte()).Draw(t, "what a later version appends")...))
		if err != nil || fmt.Sprint(got) != fmt.Sprint(u) {
			t.Fatalf("%v is read as %v, %v", u, got, err)
		}
		for cut := range b {
			if _, err := parseUserData(b[:cut]); err == nil {
				t.Fatalf("data cut to %d of %d bytes passes", cut, len(b))
			}
		}
	})
}

// The bytes of version 1, as members write them that do not know of addresses: a rolling deploy has both, in either role.
func TestMembersOfTheVersionBeforeAddressesFormAGroupWithThese(t *testing.T) {
	old := []byte("\x01\x05app/0\x0e\x01\x05inbox\x02\x00\x05")
	want := userData{instance: "app/0", generation: 7, held: []topicPartitions{{"inbox", []int32{0, 5}}}}
	got, err := parseUserData(old)
	if err != nil || !reflect.DeepEqual(got, want) || Address(old) != "" {
		t.Errorf("version 1 is read as %+v, %v, address %q", got, err, Address(old))
	}
	want.address = "http://10.0.0.1:8082"
	now := want.encode()
	if !bytes.HasPrefix(now[1:], old[1:]) {
		t.Errorf("version 1 reads what it knows at the beginning of %q", now)
	}
	if Address(now) != want.address || Address(nil) != "" || Address([]byte("\x02broken")) != "" {
		t.Errorf("addresses are read as %q, %q and %q", Address(now), Address(nil), Address([]byte("\x02broken")))
	}
	meta := kmsg.NewConsumerMemberMetadata()
	if err := meta.ReadFrom(Advertising("a", want.address).JoinGroupMetadata([]string{"inbox"}, nil, 1)); err != nil || Address(meta.UserData) != want.address {
		t.Errorf("a member tells %q, %v", Address(meta.UserData), err)
	}
}

func FuzzUserData(f *testing.F) {
	f.Add(userData{instance: "app/0", generation: 7, held: []topicPartitions{{"inbox", []int32{0, 5}}}}.encode())
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = parseUserData(b) })
}

// The broker takes changed metadata for a reason to rebalance: what a map's order or kgo's lists look like must not change it.
func TestMetadataDependsOnWhatIsOwnedOnly(t *testing.T) {
	b := New("a")
	first := b.JoinGroupMetadata([]string{"x", "y"}, map[string][]int32{"x": {0, 1, 2}, "y": {4}}, 3)
	for range 20 {
		if got := b.JoinGroupMetadata([]string{"y", "x"}, map[string][]int32{"y": {4}, "x": {2, 0, 1}}, 3); !bytes.Equal(got, first) {
			t.Fatalf("%q and %q", got, first)
		}
	}
}

// A large group is balanced in a small part of the rebalance timeout: a tenth of a second, and a second under the race detector.
func TestLargeGroupIsPlannedInTime(t *testing.T) {
	topics := map[string]int32{}
	var names []string
	for i := range 30 {
		names = append(names, fmt.Sprintf("topic-%02d", i))
		topics[names[i]] = int32(95 - i)
	}
	var workers []*worker
	for i := range 96 {
		workers = append(workers, &worker{id: fmt.Sprintf("m%03d", i), instance: fmt.Sprint(i / 4), reads: names, generation: -1})
	}
	var took []time.Duration
	for range 3 { // the machine may be at other work
		start := time.Now()
		balanced(t, workers, topics)
		took = append(took, time.Since(start))
		if took[len(took)-1] <= 2*time.Second {
			t.Logf("96 workers, 30 topics of 66 to 95 partitions: %v", took)
			return
		}
	}
	t.Errorf("it took %v", took)
}
