package serde

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"crossdock/avro/event"
	"crossdock/avro/schemas"

	"github.com/cenkalti/backoff/v5"
	"github.com/twmb/franz-go/pkg/sr"
)

// Carried says that a topic carries a record: Topic is the broker's name, Record the schema's name without namespace.
type Carried struct {
	Topic, Record string
}

// Subject is the registry's subject of the pair (Confluent's TopicRecordNameStrategy): the topic, "-", the record's full
// name. A topic may carry several records, each of which evolves on its own.
func (c Carried) Subject() string { return c.Topic + "-" + schemas.FullName(c.Record) }

// Register makes a Serde whose ids are those of a registry. Each pair's schema is looked up under its subject and
// registered where it is new, after the subject's compatibility has been set to BACKWARD_TRANSITIVE. Every kind of event
// needs at least one topic, since what cannot be registered cannot be written. It is safe to call from many processes at
// once. Where the registry cannot be reached or is not well it is asked again, with growing pauses, registerTries times a
// pair. An error that wraps a *sr.ResponseError says what the registry answered.
func Register(ctx context.Context, client *sr.Client, carried []Carried) (*Serde, error) {
	s := newSerde(client)
	var found []schema
	s.registered = make([]Registered, 0, len(carried))
	for _, c := range carried {
		kind, ok := event.ParseKind(c.Record)
		if !ok {
			return nil, fmt.Errorf("serde: topic %s carries %q, which is no event: the names are those of schemas.Events", c.Topic, c.Record)
		}
		text, err := schemas.Full(c.Record)
		if err != nil {
			return nil, err
		}
		done, err := backoff.Retry(ctx, func() (Registered, error) {
			id, isNew, err := register(ctx, client, c.Subject(), text)
			if err != nil && !isPassing(err) {
				err = backoff.Permanent(err)
			}
			return Registered{Carried: c, ID: id, New: isNew}, err
		}, backoff.WithMaxTries(registerTries))
		if err != nil {
			return nil, err
		}
		id := done.ID
		s.registered = append(s.registered, done)
		if s.ids[kind] == 0 { // a registry may give the same text another id under another subject: both are read
			s.ids[kind] = id
		}
		found = append(found, schema{id: id, kind: kind})
	}
	for _, k := range event.Kinds() {
		if s.ids[k] == 0 {
			return nil, fmt.Errorf("serde: no topic carries %s, so it has no schema id: add it to the table of topics", k)
		}
	}
	s.known.Store(newTable(found))
	return s, nil
}

// registerTries bounds how often one pair is tried: about five seconds in all.
const registerTries = 5

// isPassing tells whether an error may be gone on the next try: every request of register may be sent twice.
func isPassing(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var answer *sr.ResponseError
	return !errors.As(err, &answer) || answer.StatusCode >= http.StatusInternalServerError || answer.StatusCode == http.StatusTooManyRequests
}

// Registered is what Register found or did for one pair.
type Registered struct {
	Carried
	ID  int  // of the schema
	New bool // whether it was registered now
}

// Registered tells what Register found and did, in the order of the pairs.
func (s *Serde) Registered() []Registered { return s.registered }

// register returns the id of a schema under a subject, and whether it is new there. What is there already is not written again, so that a process
// that may only read the registry can start once somebody has registered the schemas.
func register(ctx context.Context, client *sr.Client, subject, text string) (id int, isNew bool, err error) {
	want := sr.Schema{Schema: text, Type: sr.TypeAvro}
	have, err := client.LookupSchema(ctx, subject, want)
	isNew = IsNotFound(err)
	if err != nil && !isNew {
		return 0, false, fmt.Errorf("serde: looking up the schema of subject %s: %w", subject, err)
	}
	governed, err := govern(ctx, client, subject)
	if err != nil {
		return 0, false, err
	}
	if !isNew {
		return have.ID, false, nil
	}
	id, err = client.RegisterSchema(ctx, subject, want, -1, -1)
	if err != nil {
		return 0, false, fmt.Errorf("serde: registering the schema of subject %s: %w; where it is incompatible, `crossdock schema check` names the field and the remedy", subject, err)
	}
	if !governed {
		if governed, err = govern(ctx, client, subject); err != nil {
			return 0, false, err
		}
		if !governed {
			return 0, false, fmt.Errorf("serde: the registry does not find subject %s, in which it has just registered schema id %d", subject, id)
		}
	}
	return id, true, nil
}

// govern makes sure that the subject only takes schemas that can read everything written before. A registry that is not
// Confluent's may by default take any schema, and may have no settings for a subject that is empty: then it returns false.
func govern(ctx context.Context, client *sr.Client, subject string) (bool, error) {
	have := client.Compatibility(sr.WithParams(ctx, sr.DefaultToGlobal), subject)[0]
	if have.Err != nil && !IsNotFound(have.Err) {
		return false, fmt.Errorf("serde: reading the compatibility of subject %s: %w", subject, have.Err)
	}
	if have.Err == nil && (have.Level == sr.CompatBackwardTransitive || have.Level == sr.CompatFullTransitive) {
		return true, nil
	}
	set := client.SetCompatibility(ctx, sr.SetCompatibility{Level: sr.CompatBackwardTransitive}, subject)[0]
	if IsNotFound(set.Err) {
		return false, nil
	}
	if set.Err != nil {
		return false, fmt.Errorf("serde: setting the compatibility of subject %s to BACKWARD_TRANSITIVE: %w; let someone who may do so set it, for the subject or for the whole registry",
			subject, set.Err)
	}
	return true, nil
}
