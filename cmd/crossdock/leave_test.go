package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/internal/testservices"
)

// memberOf is a static member of a group, of a worker that does not know that it is over.
func memberOf(t *testing.T, broker, group, id string) {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumerGroup(group), kgo.InstanceID(id), kgo.ConsumeTopics("leave-test"),
		kgo.DisableAutoCommit())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	admin := kadm.NewClient(c)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !hasMember(ctx, admin, group, id) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s does not become a member of %s", id, group)
		}
	}
}

func hasMember(ctx context.Context, admin *kadm.Client, group, id string) bool {
	groups, err := admin.DescribeGroups(ctx, group)
	if err != nil || groups.Error() != nil {
		return false
	}
	for _, m := range groups[group].Members {
		if m.InstanceID != nil && *m.InstanceID == id {
			return true
		}
	}
	return false
}

func TestLeaveTakesAnInstanceOutOfItsGroupsAndNoOther(t *testing.T) {
	away(t)
	broker := testservices.Broker(t)
	app := applicationName(testservices.Prefix(t))
	maker, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		t.Fatal(err)
	}
	defer maker.Close()
	if _, err := kadm.NewClient(maker).CreateTopic(t.Context(), 1, 1, nil, "leave-test"); err != nil {
		t.Fatal(err)
	}
	memberOf(t, broker, app+"-inventory", app+"-inventory/one/0")
	memberOf(t, broker, app+"-inventory", app+"-inventory/one1/0") // another instance, though its name begins alike
	memberOf(t, broker, app+"-enrich", app+"-enrich/two/0")
	memberOf(t, broker, app+"-sink", app+"/one/sink/stock")
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.TransactionalID(app+"-inventory/one/0"), kgo.TransactionTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "leave-test", Value: []byte("open")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	at := []string{"--set", "app=" + app, "--set", "kafka.brokers=" + broker}

	if got := command(t, "", append([]string{"leave", "three"}, at...)...); got.code != exitUsage || !strings.Contains(got.stderr, `no instance "three"`) || !strings.Contains(got.stderr, "there are one, one1, two") {
		t.Errorf("exit code %d: %s", got.code, got.stderr)
	}
	if got := command(t, "", append([]string{"leave", "two", "--stage", "inventory"}, at...)...); got.code != exitUsage || !strings.Contains(got.stderr, "there are one, one1") {
		t.Errorf("exit code %d: %s", got.code, got.stderr)
	}
	got := command(t, "", append([]string{"leave", "one", "--json"}, at...)...)
	var left []departure
	if err := json.Unmarshal([]byte(got.stdout), &left); err != nil || got.code != exitOK {
		t.Fatalf("exit code %d, %v: %s%s", got.code, err, got.stdout, got.stderr)
	}
	if len(left) != 2 || left[0].Stage != "inventory" || len(left[0].Members) != 1 || len(left[0].Ended) != 1 || left[1].Stage != "sink" || len(left[1].Members) != 1 {
		t.Errorf("left: %+v", left)
	}
	if err := client.EndTransaction(t.Context(), kgo.TryCommit); err == nil {
		t.Error("what it left open could still be committed")
	}
	admin := kadm.NewClient(client)
	for id, group := range map[string]string{app + "-inventory/one1/0": app + "-inventory", app + "-enrich/two/0": app + "-enrich"} {
		if !hasMember(t.Context(), admin, group, id) {
			t.Errorf("%s was removed too", id)
		}
	}
	if got := command(t, "", append([]string{"leave", "two"}, at...)...); got.code != exitOK || got.stdout != "enrich: 1 members left, 0 open transactions ended\n" {
		t.Errorf("exit code %d: %s%s", got.code, got.stdout, got.stderr)
	}
}
