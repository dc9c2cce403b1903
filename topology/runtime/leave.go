package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A Departure is what Leave did for one group.
type Departure struct {
	Group   string
	Members []string // group.instance.ids that were removed
	Ended   []string // transactional ids whose open transactions were aborted
}

// MemberPrefix begins the group.instance.ids and transactional ids of an instance's workers: app/instance/.
func MemberPrefix(app, instance string) string { return prefix(app) + instance + "/" }

// Leave removes the members of a group whose group.instance.id has a prefix (RemoveMembers, KIP-345), so that others take
// their partitions at once and not after the session timeout, and ends the transactions that their transactional ids left
// open, so that nobody who reads committed records waits. It returns when none is open.
//
// It is for an instance that has stopped for good, or is about to: a worker that is removed while it lives ends its session, and
// joins again only after RejoinAfter, so that a stop that follows finds it out of the group. An instance that is in no group is
// no error: Departure is empty.
func Leave(ctx context.Context, client *kgo.Client, group, prefix string) (Departure, error) {
	d := Departure{Group: group}
	admin := kadm.NewClient(client)
	there, err := members(ctx, admin, group, prefix)
	if err != nil {
		return d, err
	}
	for id := range there {
		d.Members = append(d.Members, id)
	}
	slices.Sort(d.Members)
	if err := leave(ctx, admin, group, "the instance leaves for good", d.Members...); err != nil {
		return d, err
	}
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		open, err := listOpenings(ctx, admin, prefix)
		if err != nil {
			return d, err
		}
		if len(open) == 0 {
			return d, nil
		}
		for _, o := range open {
			if o.ending || slices.Contains(d.Ended, o.id) {
				continue
			}
			is, err := fence(ctx, client, o.id, o.producer, o.epoch, max(o.timeout, time.Second))
			if err != nil {
				return d, err
			}
			if is == aborted {
				d.Ended = append(d.Ended, o.id)
			}
		}
		select {
		case <-ctx.Done():
			return d, fmt.Errorf("transaction %s is still being ended: %w", open[0].id, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// leave removes static members from a group; who is no member has left.
func leave(ctx context.Context, admin *kadm.Client, group, reason string, ids ...string) error {
	if len(ids) == 0 {
		return nil
	}
	left, err := admin.LeaveGroup(ctx, kadm.LeaveGroup(group).Reason(reason).InstanceIDs(ids...))
	if err != nil {
		return fmt.Errorf("leave group %s: %w", group, err)
	}
	for _, m := range left.Sorted() {
		if m.Err != nil && !errors.Is(m.Err, kerr.UnknownMemberID) {
			return fmt.Errorf("member %s cannot leave group %s: %w", m.InstanceID, group, m.Err)
		}
	}
	return nil
}

// Instances are the names of the instances that have members in a group, or transactions open, of ids that begin with app/.
func Instances(ctx context.Context, client *kgo.Client, group, app string) ([]string, error) {
	admin := kadm.NewClient(client)
	there, err := members(ctx, admin, group, prefix(app))
	if err != nil {
		return nil, err
	}
	open, err := listOpenings(ctx, admin, prefix(app))
	if err != nil {
		return nil, err
	}
	for _, o := range open {
		there[o.id] = true
	}
	var names []string
	for id := range there {
		if name, _, ok := strings.Cut(strings.TrimPrefix(id, prefix(app)), "/"); ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}
