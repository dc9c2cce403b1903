package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A RefusedError is a plan with refusals, of which nothing was done.
type RefusedError struct{ Refused []Refusal }

func (e *RefusedError) Error() string {
	first := e.Refused[0]
	s := fmt.Sprintf("apply: nothing was done, since %d of the plan's steps are refused; topic %s: %s. %s",
		len(e.Refused), first.Topic, first.What, first.Remedy)
	return s
}

// ErrChanged is a broker that has changed since the plan was made: compute it again.
var ErrChanged = errors.New("the topics have changed since the plan was made; plan again")

// Apply does what the plan says, in its order, and waits until every topic that it made has leaders and the brokers show
// every setting that it changed. done, if not nil, is told of each step. A step that fails ends it; what was done stays, and a new plan has the rest. The error is a
// *RefusedError, wraps ErrChanged, or is the broker's.
func (p *Plan) Apply(ctx context.Context, client *kgo.Client, done func(step string)) error {
	if len(p.Refused) > 0 {
		return &RefusedError{p.Refused}
	}
	if done == nil {
		done = func(string) {}
	}
	adm := kadm.NewClient(client)
	awaited := map[string]int{}
	for _, c := range p.Create {
		answers, err := adm.CreateTopics(ctx, int32(c.Partitions), int16(c.ReplicationFactor), pointers(c.Configs), c.Topic)
		if err == nil {
			var a kadm.CreateTopicResponse
			if a, err = answers.On(c.Topic, nil); err == nil && a.Err != nil {
				err = fmt.Errorf("%w (%s)", a.Err, a.ErrMessage)
			}
		}
		if errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("apply: topic %s is there already: %w", c.Topic, ErrChanged)
		}
		if err != nil {
			return fmt.Errorf("apply: topic %s cannot be made: %w", c.Topic, err)
		}
		awaited[c.Topic] = c.Partitions
		done(c.String())
	}
	for _, g := range p.Grow {
		if err := grow(ctx, adm, g); err != nil {
			return err
		}
		awaited[g.Topic] = g.To
		done(g.String())
	}
	for _, c := range p.Change {
		answers, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: c.Config, Value: &c.To}}, c.Topic)
		if err == nil {
			var a kadm.AlterConfigsResponse
			if a, err = answers.On(c.Topic, nil); err == nil && a.Err != nil {
				err = fmt.Errorf("%w (%s)", a.Err, a.ErrMessage)
			}
		}
		if err != nil {
			return fmt.Errorf("apply: %s of topic %s cannot be set to %s: %w", c.Config, c.Topic, c.To, err)
		}
		done(c.String())
	}
	if err := await(ctx, client, awaited); err != nil {
		return err
	}
	return awaitChanges(ctx, adm, p.Change)
}

// grow looks once more whether the topic is still without records: it may have got some since the plan was made.
func grow(ctx context.Context, adm *kadm.Client, g Grow) error {
	ends, err := adm.ListEndOffsets(ctx, g.Topic)
	if err != nil {
		return fmt.Errorf("apply: the end of topic %s cannot be asked for: %w", g.Topic, err)
	}
	for _, o := range ends[g.Topic] {
		if o.Err != nil || o.Offset > 0 || len(ends[g.Topic]) != g.From {
			return fmt.Errorf("apply: topic %s is in use now: %w", g.Topic, ErrChanged)
		}
	}
	answers, err := adm.UpdatePartitions(ctx, g.To, g.Topic)
	if err == nil {
		var a kadm.CreatePartitionsResponse
		if a, err = answers.On(g.Topic, nil); err == nil && a.Err != nil {
			err = fmt.Errorf("%w (%s)", a.Err, a.ErrMessage)
		}
	}
	if err != nil {
		return fmt.Errorf("apply: topic %s cannot get %d partitions: %w", g.Topic, g.To, err)
	}
	return nil
}

// awaitInterval is how often brokers are asked whether they have what the controller has acknowledged.
const awaitInterval = 50 * time.Millisecond

// await returns when every partition of the topics has a leader: before that, a client that starts finds topics missing.
func await(ctx context.Context, client *kgo.Client, partitions map[string]int) error {
	if len(partitions) == 0 {
		return nil
	}
	names := make([]string, 0, len(partitions))
	for name := range partitions {
		names = append(names, name)
	}
	tick := time.NewTicker(awaitInterval)
	defer tick.Stop()
	for {
		have, err := layouts(ctx, client, names)
		missing := ""
		for _, name := range names {
			if have[name].leaders != partitions[name] {
				missing = name
			}
		}
		if err == nil && missing == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("apply: topic %s was made, but has no leaders yet: %w", missing, errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}

// changesShown bounds the wait for a setting: a broker that shows it in other words than it was set would never be done.
const changesShown = 15 * time.Second

// awaitChanges returns when the brokers show every setting as it was set: the controller acknowledges before a broker has
// read its log, and a plan made in between would want the same change again.
func awaitChanges(ctx context.Context, adm *kadm.Client, changes []Change) error {
	if len(changes) == 0 {
		return nil
	}
	var names []string
	for _, c := range changes {
		if !slices.Contains(names, c.Topic) {
			names = append(names, c.Topic)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, changesShown)
	defer cancel()
	tick := time.NewTicker(awaitInterval)
	defer tick.Stop()
	for {
		shown, err := settings(ctx, adm, names)
		missing := slices.IndexFunc(changes, func(c Change) bool { return shown[c.Topic][c.Config] != c.To })
		if err == nil && missing < 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			if missing < 0 {
				missing = 0
			}
			c := changes[missing]
			return fmt.Errorf("apply: %s of topic %s was set to %s, but the brokers do not show it after %v: %w; plan again", c.Config, c.Topic, c.To, changesShown, errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}
