package faults

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func killBetweenRevokeAndRejoin() Fault {
	return Fault{
		Name: "kill between revoke and rejoin",
		Does: "an instance more starts; the first member of a group that asks to join again after it has given partitions up is held there and killed with -9, and starts again under its name; the one more is asked to end",
		Must: "what it gave up is left to nobody only until the others notice",
		inject: func(ctx context.Context, f *Field, d Draw) (_ string, err error) {
			group := f.group(f.o.Parts[d.Broker%len(f.o.Parts)])
			t := newTrap(group)
			for _, i := range f.running() {
				for _, p := range i.paths {
					p.trap(t.springs)
					defer p.trap(nil)
				}
			}
			if err := f.startSpare(); err != nil {
				return "", err
			}
			name, err := f.sprung(ctx, t)
			if err != nil {
				return "", err
			}
			var i *instance
			for _, each := range f.running() {
				if each.name == name {
					i = each
				}
			}
			if i == nil {
				return "", fmt.Errorf("%s of group %s was to rejoin, and is no instance", name, group)
			}
			err = i.kill9()
			for _, p := range i.paths {
				p.cut() // the request that is held goes nowhere
				p.stall(false)
			}
			if err != nil {
				return "", err
			}
			if err := pass(ctx, d.between(0, time.Second)); err != nil {
				return "", err
			}
			if err := i.start(i.name); err != nil {
				return "", err
			}
			if err := f.catchUp(ctx); err != nil {
				return "", err
			}
			return fmt.Sprintf("%s of %s", i.name, group), f.spare().terminate(ctx)
		},
	}
}

// sprung waits until a trap has a member, and says of which instance.
func (f *Field) sprung(ctx context.Context, t *trap) (instance string, err error) {
	ctx, cancel := f.within(ctx)
	defer cancel()
	err = f.until(ctx, func(context.Context) (bool, error) {
		select {
		case instance = <-t.has:
			return true, nil
		default:
			return false, nil
		}
	})
	if err != nil {
		return "", fmt.Errorf("no member of group %s gives partitions up: %w", t.group, err)
	}
	return instance, nil
}

// A trap finds the moment between a cooperative rebalance's revoke and the join that follows it (KIP-429): a member asks to join
// and says that it owns fewer partitions than when it asked before. It springs once.
type trap struct {
	group string
	has   chan string // the instance that it has

	mu    sync.Mutex
	owned map[string]int // by group.instance.id, as said last
	over  bool
}

func newTrap(group string) *trap {
	return &trap{group: group, has: make(chan string, 1), owned: map[string]int{}}
}

// springs says whether a request is the one.
func (t *trap) springs(req kmsg.Request) bool {
	join, ok := req.(*kmsg.JoinGroupRequest)
	if !ok || join.Group != t.group || join.InstanceID == nil || len(join.Protocols) == 0 {
		return false
	}
	var m kmsg.ConsumerMemberMetadata
	if err := m.ReadFrom(join.Protocols[0].Metadata); err != nil {
		return false
	}
	owned := 0
	for _, topic := range m.OwnedPartitions {
		owned += len(topic.Partitions)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	before, known := t.owned[*join.InstanceID]
	t.owned[*join.InstanceID] = owned
	if t.over || !known || owned >= before {
		return false
	}
	name := strings.Split(*join.InstanceID, "/") // app-stage/instance/worker
	if len(name) != 3 {
		return false
	}
	t.over = true
	t.has <- name[1]
	return true
}
