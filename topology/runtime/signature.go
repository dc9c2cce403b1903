package runtime

import (
	"bytes"
	"context"
	"crypto/rand"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A signature tells the requests of this process to the group from those of another that has its name. A static member loses its
// name to the latest request to join that bears it: another process's, or an own one that was sent on a connection that broke, by a
// session that was closed since, or twice because its answer was lost, and which the coordinator has got to only now. Both
// come back as FENCED_INSTANCE_ID. Whose it was is in the group's description, in what the request said.
type signature [8]byte

func newSignature() signature {
	var s signature
	_, _ = rand.Read(s[:]) // it does not fail
	return s
}

// signatureEnd follows a signature, at the end of a member's user data. Whatever balancer wrote the user data reads its own part, and
// nobody reads what lies behind it.
const signatureEnd = "\x00cdp1"

// signed is a balancer whose members sign what they join with.
type signed struct {
	kgo.GroupBalancer
	by signature
}

// JoinGroupMetadata is for kgo.GroupBalancer.
func (s signed) JoinGroupMetadata(interests []string, current map[string][]int32, generation int32) []byte {
	said := s.GroupBalancer.JoinGroupMetadata(interests, current, generation)
	var m kmsg.ConsumerMemberMetadata
	if err := m.ReadFrom(said); err != nil || len(m.UserData) == 0 {
		return said
	}
	m.UserData = append(append(bytes.Clone(m.UserData), s.by[:]...), signatureEnd...)
	return m.AppendTo(nil)
}

// signatureOf reads what a member has signed with.
func signatureOf(m *kadm.DescribedGroupMember) (s signature, ok bool) {
	said, ok := m.Join.AsConsumer()
	if !ok {
		return s, false
	}
	rest, ok := bytes.CutSuffix(said.UserData, []byte(signatureEnd))
	if !ok || len(rest) < len(s) {
		return s, false
	}
	copy(s[:], rest[len(rest)-len(s):])
	return s, true
}

// lostToItself says whether the name that a worker has lost was taken by a request of this same process. False also where that
// cannot be told.
func (w *worker) lostToItself(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	group, err := w.describe(ctx, w.fencer.admin)
	if err != nil {
		return false
	}
	for i := range group.Members {
		m := &group.Members[i]
		if m.InstanceID == nil || *m.InstanceID != w.name {
			continue
		}
		s, ok := signatureOf(m)
		return ok && s == w.signature
	}
	return false
}
