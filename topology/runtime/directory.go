package runtime

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"crossdock/topology/runtime/assignor"
)

// ErrNoOwner is a partition that no member of the group has just now: the group is sharing partitions out, or nobody runs.
var ErrNoOwner = errors.New("runtime: no instance has the partition just now")

// An Owner is the instance that has a partition.
type Owner struct {
	Instance string
	// Address is where it answers queries, as its assignor.Balancer advertises; empty: nowhere.
	Address string
	Self    bool // it is the instance that was asked
}

// A directory keeps who has which partition of the stage's input, as the group's description tells. The instance's watch of
// the group writes it.
type directory struct {
	stale  atomic.Bool   // a rebalance has been seen since the last description
	wanted chan struct{} // somebody waits for one

	mu     sync.RWMutex
	owners map[int32]Owner
	asked  time.Time     // when the last description came
	err    error         // or why it did not
	told   chan struct{} // closed by the next one
}

func newDirectory() directory {
	return directory{wanted: make(chan struct{}, 1), told: make(chan struct{})}
}

// describeAgain is how soon the group is asked again for what the last answer did not tell.
const describeAgain = 200 * time.Millisecond

// Owner says which instance has a partition of the stage's input, from what is known, which is a few seconds old at most.
// The brokers are asked where nobody is known, or a rebalance was seen. The error is ErrNoOwner, ErrNotRunning, that of ctx, or
// why the group could not be described.
func (i *Instance) Owner(ctx context.Context, partition int32) (Owner, error) {
	d := &i.directory
	if !d.stale.Load() {
		if o, ok := d.lookup(partition); ok {
			return o, nil
		}
	}
	if err := i.LookForOwners(ctx); err != nil {
		return Owner{}, err
	}
	if o, ok := d.lookup(partition); ok {
		return o, nil
	}
	return Owner{}, ErrNoOwner
}

// LookForOwners asks the brokers who has what, for somebody who found that Owner's answer does not hold. Many callers at
// once are one request, and none is made where the last answer is younger than 200 ms.
func (i *Instance) LookForOwners(ctx context.Context) error {
	if !i.up.Load() {
		return ErrNotRunning
	}
	d := &i.directory
	d.mu.RLock()
	fresh, err, told := time.Since(d.asked) < describeAgain, d.err, d.told
	d.mu.RUnlock()
	if fresh {
		return err
	}
	select {
	case d.wanted <- struct{}{}:
	default: // somebody wants it already
	}
	select {
	case <-told:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-i.over:
		return ErrNotRunning
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.err
}

// describe reads the application's group.
func (i *Instance) describe(ctx context.Context, admin *kadm.Client) (kadm.DescribedGroup, error) {
	groups, err := admin.DescribeGroups(ctx, i.cfg.App)
	if err == nil {
		err = groups.Error()
	}
	if err != nil {
		return kadm.DescribedGroup{}, fmt.Errorf("runtime: the group %s cannot be described: %w", i.cfg.App, err)
	}
	return groups[i.cfg.App], nil
}

// learnOwners takes note of a description, or of why there is none, and tells those who wait. A description of a group that is
// in a rebalance names no owners: what was known stands.
func (i *Instance) learnOwners(group kadm.DescribedGroup, err error) {
	d := &i.directory
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.told)
	d.told = make(chan struct{})
	d.asked, d.err = time.Now(), err
	if err != nil {
		return
	}
	if group.State != "Stable" {
		d.stale.Store(true)
		return
	}
	owners := map[int32]Owner{}
	for m := range group.Members {
		member := &group.Members[m]
		assigned, ok := member.Assigned.AsConsumer()
		if !ok {
			continue
		}
		o := Owner{Instance: i.instanceOf(member)}
		o.Self = o.Instance == i.cfg.Instance
		if join, ok := member.Join.AsConsumer(); ok {
			o.Address = assignor.Address(join.UserData)
		}
		for _, t := range assigned.Topics {
			if t.Topic != i.topics.inputs[0] {
				continue
			}
			for _, p := range t.Partitions {
				owners[p] = o
			}
		}
	}
	d.owners = owners
}

// instanceOf reads the instance's name of a member's: app/instance/worker.
func (i *Instance) instanceOf(m *kadm.DescribedGroupMember) string {
	if m.InstanceID == nil {
		return m.MemberID
	}
	name, _ := strings.CutPrefix(*m.InstanceID, i.cfg.App+"/")
	if cut := strings.LastIndexByte(name, '/'); cut >= 0 {
		name = name[:cut]
	}
	return name
}

func (d *directory) lookup(partition int32) (Owner, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	o, ok := d.owners[partition]
	return o, ok
}
