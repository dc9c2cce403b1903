package trial

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"crossdock/loadtest/documents"
	"crossdock/loadtest/latency"
	"crossdock/loadtest/machine"
	"crossdock/loadtest/report"
	"crossdock/loadtest/scans"
	"crossdock/loadtest/send"
	"crossdock/topology/topics"
)

// calibration is how long the tool's own speed is measured.
const calibration = 300 * time.Millisecond

// check looks at everything that can be looked at before something is sent.
func (t *trial) check(ctx context.Context) error {
	o := &t.o
	switch {
	case o.Entry == report.Documents && o.Documents == nil:
		return &UnfitError{fmt.Errorf("entry %s: the ingress is not named", o.Entry)}
	case o.Entry != report.Movements && o.Entry != report.Documents:
		return &UnfitError{fmt.Errorf("entry %s: there are %s and %s", o.Entry, report.Movements, report.Documents)}
	}
	plan, err := o.Profile.Plan()
	if err != nil {
		return &UnfitError{err}
	}
	if err := o.boundIsSeen(); err != nil {
		return err
	}
	if err := CheckOut(o.Out, o.Run); err != nil {
		return &UnfitError{err}
	}
	if t.groups, err = openGroups(o.Kafka, o.Naming, o.Groups); err != nil {
		return err
	}
	if err = t.checkTopics(ctx); err == nil {
		err = t.calibrate(ctx, plan.Peak())
	}
	if err == nil && o.Start != nil {
		err = t.start(ctx)
	}
	if err == nil {
		err = t.checkGroups(ctx)
	}
	if err == nil {
		err = o.boundIsSeen() // without a sink, rows are not
	}
	if err == nil {
		t.from, err = t.groups.ends(ctx, read()...)
	}
	if err != nil {
		t.groups.close()
	}
	return err
}

// boundIsSeen refuses a search by a hop that nobody would look at: every attempt of it would fail, each for nothing.
func (o *Options) boundIsSeen() error {
	b := o.FindMax
	if b == nil || hopsOf(o.Entry, o.Tables != nil)[b.Hop] {
		return nil
	}
	why := "clickhouse.addresses is not set, or no sink is running"
	switch b.Hop {
	case latency.Translated.String():
		why = fmt.Sprintf("movements are enriched; give %s, or --entry %s", latency.Enriched, report.Documents)
	case latency.Enriched.String():
		why = fmt.Sprintf("documents are translated; give %s, or --entry %s", latency.Translated, report.Movements)
	}
	return &UnfitError{fmt.Errorf("%v: nothing comes to hop %s: %s", b, b.Hop, why)}
}

// start has the stages started, where nobody else runs them.
func (t *trial) start(ctx context.Context) error {
	members, err := t.groups.members(ctx, t.o.Instance)
	if err != nil {
		return err
	}
	for _, g := range t.o.Groups {
		if n := members[g.Stage]; n > 0 {
			return &NotReadyError{fmt.Errorf("the %s stage runs already (%d members in group %s): leave out --start, or stop it first", g.Stage, n, g.Name)}
		}
	}
	started, err := t.o.Start(ctx)
	if err != nil {
		return err
	}
	t.alive = started.Alive
	t.o.Watch = append(t.o.Watch, started.Watch...)
	if t.o.State == "" {
		t.o.State = started.State
	}
	if t.o.Documents != nil && t.o.Documents.URL == "" {
		t.o.Documents.URL = started.URL
	}
	return nil
}

// checkTopics asks the brokers whether the topics are there.
func (t *trial) checkTopics(ctx context.Context) error {
	var names []string
	for _, topic := range topics.All() {
		names = append(names, t.o.Naming.Topic(topic.ID))
	}
	found, err := t.groups.admin.ListTopics(ctx, names...)
	if err != nil {
		return err
	}
	var missing []string
	for _, name := range names {
		if d := found[name]; d.Err != nil || len(d.Partitions) == 0 {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return &NotReadyError{fmt.Errorf("topics are missing: %s; make them with crossdock topology apply --yes", strings.Join(missing, ", "))}
	}
	t.version = t.versions(ctx)
	return nil
}

// checkGroups asks whether the stages that the load goes through run, and forgets those that do not and need not.
func (t *trial) checkGroups(ctx context.Context) error {
	members, err := t.groups.members(ctx, "")
	if err != nil {
		return err
	}
	var idle []string
	var running []Group
	for _, g := range t.o.Groups {
		switch {
		case members[g.Stage] > 0:
			running = append(running, g)
		case g.Needed:
			idle = append(idle, g.Stage)
		case g.Sink && t.o.Tables != nil:
			t.o.Tables = nil
			t.o.Step("no sink is running, so ClickHouse is not looked at")
		}
	}
	t.o.Groups, t.groups.all = running, running
	if len(idle) > 0 {
		stages := strings.Join(idle, " ")
		return &NotReadyError{fmt.Errorf("no %s stage is running (no process has joined its group), so nothing would come out: crossdock run %s, or give --start",
			strings.Join(idle, " and no "), stages)}
	}
	return nil
}

// versions are those of this program and of the brokers; a broker that does not tell leaves a gap.
func (t *trial) versions(ctx context.Context) machine.Versions {
	v := machine.VersionsOf(t.o.Revision)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if all, err := t.groups.admin.ApiVersions(ctx); err == nil {
		all.Each(func(b kadm.BrokerApiVersions) {
			if v.Broker == "" && b.Err == nil {
				v.Broker = "Kafka " + b.VersionGuess()
			}
		})
	}
	if name := t.embedded(ctx); name != "" {
		v.Broker = name
	}
	return v
}

// embedded names the broker that comes with Crossdock, by the id of its cluster.
func (t *trial) embedded(ctx context.Context) string {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	resp, err := req.RequestWith(ctx, t.groups.client)
	if err == nil && resp.ClusterID != nil && *resp.ClusterID == "crossdock-embedded" {
		return "embedded, in memory"
	}
	return ""
}

// calibrate refuses a rate that this machine cannot make, and tells of one that leaves it no room.
func (t *trial) calibrate(ctx context.Context, peak float64) error {
	shape, err := t.o.Profile.Load(t.o.Seed, t.space(0))
	if err != nil {
		return &UnfitError{err}
	}
	g, err := scans.NewRetailer(shape)
	if err != nil {
		return &UnfitError{err}
	}
	if t.o.Entry == report.Documents {
		t.most, err = documents.Calibrate(ctx, g, t.o.Documents.Shape, calibration)
	} else {
		t.most, err = send.Calibrate(ctx, g, t.o.Serde, calibration)
	}
	if err != nil {
		return err
	}
	switch {
	case t.o.FindMax == nil && peak > t.most:
		return &UnfitError{fmt.Errorf("%s events a second, the highest rate of the plan, cannot be made on this machine: one core makes %s; "+
			"give a lower --rate, or run the load test on a faster machine", thousands(peak), thousands(t.most))}
	case t.o.FindMax == nil && peak > t.most/2:
		t.o.Step(fmt.Sprintf("this machine makes at most %s events a second, and sends them with as much work again: at %s the load test itself may set the limit; its report says so if it did",
			thousands(t.most), thousands(peak)))
	}
	return nil
}

// thousands is 24k, 1.5M, 850.
func thousands(rate float64) string {
	switch {
	case rate >= 1e6:
		return fmt.Sprintf("%.3gM", rate/1e6)
	case rate >= 1e3:
		return fmt.Sprintf("%.3gk", rate/1e3)
	}
	return fmt.Sprintf("%.3g", rate)
}
