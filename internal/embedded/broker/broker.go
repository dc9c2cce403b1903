// Package broker runs an embedded Kafka broker (franz-go's kfake) in this process, for the demo and for tests on machines
// without Java.
//
// It is a broker by behaviour, not a mock by script. It has what the pipeline relies on: idempotent and transactional
// producers (KIP-98, KIP-447 and KIP-890: fencing by InitProducerId, stable offset fetches, the last stable offset, abort by
// timeout), classic groups with cooperative rebalancing and static members, ListTransactions, DescribeProducers and
// DescribeTransactions, RemoveMembers, topic configuration, message size limits, compaction and retention, and topic ids that
// change when a topic is created anew. The tests of this package hold it to that list.
//
// # Where it is not Kafka
//
//   - Data is in memory, all of it, until retention or compaction removes it; a broker ends with its process. Size runs
//     accordingly: see Options.RetentionBytes.
//   - One goroutine answers all requests of the cluster. It is fast enough for a demo and too slow to measure with.
//   - Replication is for show: min.insync.replicas is stored and never missed, and a transaction's markers are written in one
//     step, so that states between (an End whose markers are still on the way) are never seen. Exactly-once under broker
//     failures is proven on real Kafka only.
//   - Compaction and retention sweep every CleanInterval, and only while some topic sets cleanup.policy=compact,
//     retention.ms or retention.bytes itself; min.compaction.lag.ms is stored and not heeded. The newest batch of a partition
//     is never compacted.
//   - A stable offset fetch of a group that has neither had a member nor a committed offset answers GROUP_ID_NOT_FOUND, where
//     Kafka answers UNSTABLE_OFFSET_COMMIT if a transaction holds its first one.
//   - There is no throttling, no delay before a group's first rebalance, and quotas are stored only.
package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Defaults of Options.
const (
	DefaultPartitions = 8
	// MaxMessage is the largest record batch accepted, in bytes: that of Crossdock's largest topic and some air.
	MaxMessage = 18 << 20
	// minSession lets tests have sessions shorter than Kafka's least of 6 s.
	minSession = 100 * time.Millisecond
)

// Options of a broker.
type Options struct {
	Port           int           // of the first broker on 127.0.0.1; the others follow. 0: any free ones
	Brokers        int           // nodes; 0: 1
	Partitions     int           // of topics created with the default number; 0: DefaultPartitions
	RetentionBytes int64         // per partition of topics that set none (log.retention.bytes); 0: unlimited
	CleanInterval  time.Duration // between sweeps of compaction and retention (log.cleaner.backoff.ms); 0: 1 minute
	Config         [][2]string   // more of the broker's dynamic configuration: name, value
	Listen         ListenFunc    // replaces net.Listen, for faults on connections; nil: net.Listen
	TxnTimeoutMax  time.Duration // transaction.max.timeout.ms; 0: 15 minutes
}

// ListenFunc has net.Listen's form.
type ListenFunc = func(network, address string) (net.Listener, error)

func (o *Options) ensureDefaults() {
	if o.Brokers == 0 {
		o.Brokers = 1
	}
	if o.Partitions == 0 {
		o.Partitions = DefaultPartitions
	}
	if o.CleanInterval == 0 {
		o.CleanInterval = time.Minute
	}
	if o.TxnTimeoutMax == 0 {
		o.TxnTimeoutMax = 15 * time.Minute
	}
}

func (o *Options) validate() error {
	var errs []error
	if o.Brokers < 1 || o.Brokers > 9 {
		errs = append(errs, fmt.Errorf("%d brokers: 1 to 9 are possible", o.Brokers))
	}
	if o.Partitions < 1 {
		errs = append(errs, fmt.Errorf("%d partitions: at least 1", o.Partitions))
	}
	if o.CleanInterval < time.Millisecond {
		errs = append(errs, fmt.Errorf("%s between sweeps: at least 1ms", o.CleanInterval))
	}
	if o.Port < 0 || o.Port+o.Brokers > 1<<16 {
		errs = append(errs, fmt.Errorf("port %d is none for %d brokers", o.Port, o.Brokers))
	}
	return errors.Join(errs...)
}

// A Broker is a running cluster.
type Broker struct {
	cluster *kfake.Cluster
	addrs   []string
}

// Start runs a cluster until Stop. It has no topics; create them as on any broker (there is no automatic creation).
func Start(o Options) (*Broker, error) {
	o.ensureDefaults()
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("embedded broker: %w", err)
	}
	config := map[string]string{
		"message.max.bytes":          strconv.Itoa(MaxMessage),
		"log.cleaner.backoff.ms":     strconv.FormatInt(o.CleanInterval.Milliseconds(), 10),
		"transaction.max.timeout.ms": strconv.FormatInt(o.TxnTimeoutMax.Milliseconds(), 10),
	}
	if o.RetentionBytes > 0 {
		config["log.retention.bytes"] = strconv.FormatInt(o.RetentionBytes, 10)
	}
	for _, kv := range o.Config {
		config[kv[0]] = kv[1]
	}
	opts := []kfake.Opt{
		kfake.NumBrokers(o.Brokers), kfake.DefaultNumPartitions(o.Partitions), kfake.ClusterID("crossdock-embedded"),
		kfake.GroupMinSessionTimeout(minSession), kfake.BrokerConfigs(config),
	}
	if o.Port != 0 {
		ports := make([]int, o.Brokers)
		for i := range ports {
			ports[i] = o.Port + i
		}
		opts = append(opts, kfake.Ports(ports...))
	}
	if o.Listen != nil {
		opts = append(opts, kfake.ListenFn(o.Listen))
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		return nil, fmt.Errorf("embedded broker: %w", err)
	}
	return &Broker{cluster: cluster, addrs: cluster.ListenAddrs()}, nil
}

// Addrs are the brokers' addresses, host:port each, for kgo.SeedBrokers.
func (b *Broker) Addrs() []string { return append([]string(nil), b.addrs...) }

// Cluster is the cluster itself, for tests that answer requests with errors (ControlKey) or move leaders.
func (b *Broker) Cluster() *kfake.Cluster { return b.cluster }

// Stop ends the cluster and forgets its data. Clients that still use it see connection errors.
func (b *Broker) Stop() { b.cluster.Close() }

// Serve runs a cluster until ctx ends; ready is told the addresses.
func Serve(ctx context.Context, o Options, ready func(addrs []string)) error {
	b, err := Start(o)
	if err != nil {
		return err
	}
	defer b.Stop()
	ready(b.Addrs())
	<-ctx.Done()
	return nil
}
