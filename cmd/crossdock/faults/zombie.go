package faults

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/avro/wire"
	"crossdock/cmd/crossdock/pipeline"
	"crossdock/topology/topics"
)

const (
	// parkingLimit is the setting of how long an event waits for master data.
	parkingLimit = "parking.limit"
	// parkedFor is the field's.
	parkedFor = 10 * time.Second
	// strangers is how many events wait in vain for a zombie: several for every partition.
	strangers = 60
)

func zombieWithTimers() Fault {
	return Fault{
		Name:  "zombie with due timers",
		Does:  "events arrive that wait for master data in vain; an instance is frozen then, until others have its partitions and have given every one of the events up; 0 to 2 s later it goes on, with timers that are due and nothing in its inbox",
		Must:  "it commits nothing of them: every event is given up once",
		needs: needsTimers,
		inject: func(ctx context.Context, f *Field, d Draw) (string, error) {
			ids, err := f.park(ctx)
			if err != nil {
				return "", err
			}
			if err := f.catchUp(ctx); err != nil {
				return "", err
			}
			i := f.victim(d)
			p := i.running()
			if err := p.Freeze(); err != nil {
				return "", err
			}
			began := time.Now()
			if err := f.awaitGivenUp(ctx, ids); err != nil {
				return "", err
			}
			long := d.between(0, 2*time.Second)
			if left := sessionTimeout - time.Since(began); left > 0 {
				long += left // given up before it was: its own timers were late, or it had none of the partitions
			}
			if err := pass(ctx, long); err != nil {
				return "", err
			}
			return fmt.Sprintf("%s for %v, %d events", i.name, round(time.Since(began)), len(ids)), p.Thaw()
		},
	}
}

// park sends events of sites that no master data knows, and returns their ids.
func (f *Field) park(ctx context.Context) ([]string, error) {
	naming := pipeline.Naming(&f.config)
	var ids []string
	var records []*kgo.Record
	for n := range strangers {
		id := fmt.Sprintf("stranger-%d-%d", len(f.waited), n)
		m := event.InventoryMovement{
			Header: event.EventHeader{EventID: id, DedupeKey: id, Site: "NOWHERE-" + id, SourceSystem: "stranger"},
			SKU:    "NOTHING", QtySrc: 1_000_000, UOMSrc: "EA",
		}
		ids = append(ids, id)
		records = append(records, &kgo.Record{Topic: naming.Topic(topics.Movements), Key: topics.Key(nil, m.SKU, m.Header.Site), Value: f.serde.Append(nil, &m)})
	}
	f.waited = append(f.waited, ids...)
	return ids, f.client.ProduceSync(ctx, records...).FirstErr()
}

// awaitGivenUp waits until events have come out as dead letters.
func (f *Field) awaitGivenUp(ctx context.Context, ids []string) error {
	ctx, cancel := f.within(ctx)
	defer cancel()
	missing := len(ids)
	err := f.until(ctx, func(ctx context.Context) (bool, error) {
		letters, err := f.givenUp(ctx, topics.DeadLetters)
		if err != nil {
			return false, err
		}
		missing = 0
		for _, id := range ids {
			if letters[id] == 0 {
				missing++
			}
		}
		return missing == 0, nil
	})
	if err != nil {
		return fmt.Errorf("%d of %d events that wait in vain are not given up: %w", missing, len(ids), err)
	}
	return nil
}

// givenUp counts, by event id, what came out on a topic because master data did not come.
func (f *Field) givenUp(ctx context.Context, topic topics.ID) (map[string]int, error) {
	records, err := f.held(ctx, pipeline.Naming(&f.config).Topic(topic))
	if err != nil {
		return nil, err
	}
	const masterDataMissing = "MASTER_DATA_MISSING"
	all := map[string]int{}
	for _, r := range records {
		id := ""
		switch topic {
		case topics.DeadLetters:
			var d event.DeadLetter
			if err := f.serde.Decode(r.Value, &d); err != nil {
				return nil, err
			}
			if _, payload, err := wire.Split(d.Value.Or(nil)); err == nil && d.Cause == masterDataMissing {
				id, _ = event.PeekEventID(payload) // of a parked event too: it begins with the event's
			}
		case topics.Exceptions:
			var x event.LogisticsException
			if err := f.serde.Decode(r.Value, &x); err != nil {
				return nil, err
			}
			if x.Class == masterDataMissing {
				id = x.Header.CausationID.Or("")
			}
		}
		if id != "" {
			all[string([]byte(id))]++
		}
	}
	return all, nil
}

// allGivenUp waits until parking has let go of everything that waits in vain, and holds that each of the zombies' events was given
// up once. The oracle says it of the load's.
func (f *Field) allGivenUp(ctx context.Context) error {
	if f.has&needsTimers == 0 {
		return nil
	}
	parked, err := f.held(ctx, pipeline.Naming(&f.config).Topic(topics.ParkingInbox))
	if err != nil {
		return err
	}
	var ids []string
	for _, r := range parked {
		id, err := parkedID(f.serde, r.Value)
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	if err := f.awaitGivenUp(ctx, ids); err != nil {
		return err
	}
	for _, topic := range []topics.ID{topics.DeadLetters, topics.Exceptions} {
		came, err := f.givenUp(ctx, topic)
		if err != nil {
			return err
		}
		for _, id := range f.waited {
			if came[id] != 1 {
				return fmt.Errorf("event %s waited in vain, and is %d times on %s", id, came[id], topic)
			}
		}
	}
	return nil
}

func parkedID(s *serde.Serde, value []byte) (string, error) {
	var p event.ParkedEvent
	if err := s.Decode(value, &p); err != nil {
		return "", err
	}
	return string([]byte(p.EventID)), nil
}
