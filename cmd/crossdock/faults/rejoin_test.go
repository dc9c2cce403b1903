package faults

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// join is a request as a client of the version sends it, without its length.
func join(version int16, group, instance string, owned ...int32) []byte {
	m := kmsg.NewConsumerMemberMetadata()
	m.Version, m.Topics = 3, []string{"in"}
	o := kmsg.NewConsumerMemberMetadataOwnedPartition()
	o.Topic, o.Partitions = "in", owned
	m.OwnedPartitions = append(m.OwnedPartitions, o)
	req := kmsg.NewPtrJoinGroupRequest()
	req.SetVersion(version)
	req.Group, req.InstanceID, req.ProtocolType = group, &instance, "consumer"
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name, p.Metadata = "sticky", m.AppendTo(nil)
	req.Protocols = append(req.Protocols, p)
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("client")).AppendRequest(nil, req, 7)[4:]
}

func TestTrapSpringsOnceForAMemberThatRejoinsWithFewerPartitions(t *testing.T) {
	for _, version := range []int16{5, 9} { // before flexible versions, and since
		trap := newTrap("app-parking")
		asks := func(group, instance string, owned ...int32) bool {
			req, err := parse(join(version, group, instance, owned...))
			if err != nil {
				t.Fatal(err)
			}
			return trap.springs(req)
		}
		for _, c := range []struct {
			what    string
			springs bool
		}{
			{"it is seen for the first time", asks("app-parking", "app-parking/1/0", 1, 2, 3)},
			{"it has as many as before", asks("app-parking", "app-parking/1/0", 1, 2, 3)},
			{"another group's has fewer", asks("app-enrich", "app-parking/1/0", 1)},
			{"another member has fewer than this one", asks("app-parking", "app-parking/0/0", 4)},
		} {
			if c.springs {
				t.Errorf("version %d: it springs although %s", version, c.what)
			}
		}
		if !asks("app-parking", "app-parking/1/0", 1, 2) {
			t.Errorf("version %d: it does not spring", version)
		}
		if name := <-trap.has; name != "1" {
			t.Errorf("version %d: it has %s", version, name)
		}
		if asks("app-parking", "app-parking/1/0", 1) {
			t.Errorf("version %d: it springs twice", version)
		}
	}
}

func TestSlowProgressIsNoStandstill(t *testing.T) {
	p := &progress{parts: map[part]*standing{}}
	which := part{"group", "in", 0}
	at := time.Now()
	from := at
	for n := range int64(50) { // one record in nine seconds, a thousand behind
		at = at.Add(9 * time.Second)
		p.saw(at, map[part]standing{which: {committed: n, end: n + 1000}}, nil)
		if why := p.stuck(from, 10*time.Second); why != nil {
			t.Fatal(why)
		}
	}
	for range 2 {
		at = at.Add(9 * time.Second)
		p.saw(at, map[part]standing{which: {committed: 49, end: 2000}}, nil)
	}
	if why := p.stuck(from, 10*time.Second); why == nil {
		t.Error("a partition with records has stood for 18 s, and it is not said")
	}
	if why := p.stuck(at, 10*time.Second); why != nil {
		t.Errorf("what lies before a wait counts: %v", why)
	}
	p.saw(at.Add(9*time.Second), map[part]standing{which: {committed: 2000, end: 2000}}, nil)
	if why := p.stuck(from, 10*time.Second); why != nil {
		t.Errorf("nothing is left to do: %v", why)
	}
}
