package bench

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/loadtest/oracle"
	"crossdock/loadtest/scans"
	"crossdock/loadtest/send"
	"crossdock/topology/topics"
)

const enrichWorkload = "movements as scanners send them, in the codes and units of each site's system, of the SKUs at 220 sites, Zipf 0.9, 1 % repeated, 3 % late"

// enrichJob drains movements in a source's codes and units to the inbox.
type enrichJob struct {
	*drain
	items []event.ItemMaster
	sites []event.SiteMaster
	log   *send.Log
}

func (j *enrichJob) fill(ctx context.Context) (backlog, Measure, error) {
	g, err := scans.NewRetailer(j.load())
	if err != nil {
		return backlog{}, Measure{}, err
	}
	for m := range g.Items() {
		j.items = append(j.items, *m)
	}
	for m := range g.Sites() {
		j.sites = append(j.sites, *m)
	}
	if err := j.teach(ctx, j.items, j.sites); err != nil {
		return backlog{}, Measure{}, err
	}
	var b backlog
	var m Measure
	j.log, b, m, err = j.send(ctx, g)
	b.topics = []string{j.env.Naming.Topic(topics.Movements)}
	return b, m, err
}

func (j *enrichJob) limit(ctx context.Context) (Measure, error) {
	return j.copy(ctx, func(r *kgo.Record, put func([]byte)) { put(r.Value) })
}

// verify holds that every movement that the broker has is on the inbox, once, and means what the oracle says.
func (j *enrichJob) verify(ctx context.Context) (Outcome, error) {
	catalogue, err := oracle.NewCatalogue(j.items, j.sites)
	if err != nil {
		return Outcome{}, err
	}
	sent := oracle.New(oracle.Options{Catalogue: catalogue})
	if err := j.log.Resolve(ctx); err != nil {
		return Outcome{}, fmt.Errorf("what was sent: %w", err)
	}
	var ids multiset
	err = j.log.Replay(func(s *scans.Scan) error {
		ids.add(s.Movement.Header.EventID)
		_, err := sent.Received(&s.Movement)
		return err
	})
	if err != nil {
		return Outcome{}, err
	}
	in, err := j.readInbox(ctx)
	if err != nil {
		return Outcome{}, err
	}
	out := in.judge(sent)
	if in.ids != ids {
		out.wrong("the event ids on the inbox are not those that were sent, each as often")
	}
	return out, j.expectNone(ctx, &out, topics.ParkingInbox, topics.Exceptions, topics.DeadLetters)
}

func (*enrichJob) close(context.Context) error { return nil }
