package faults

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func brokerKill() Fault {
	return Fault{
		Name: "kill a broker",
		Does: "a broker is killed with -9 and starts again after 0 to 4 s; where there is one alone, Kafka is away",
		Must: "what was acknowledged is still there",
		inject: func(ctx context.Context, f *Field, d Draw) (string, error) {
			return f.killBroker(ctx, d, d.Broker%len(f.brokers))
		},
	}
}

func coordinatorKill() Fault {
	return Fault{
		Name:  "kill a coordinator",
		Does:  "the broker that coordinates a stage's group, or an instance's transactions, is killed with -9 and starts again after 0 to 4 s",
		Must:  "another takes over, and the outcome of every transaction is found out",
		needs: needsCluster,
		inject: func(ctx context.Context, f *Field, d Draw) (string, error) {
			part := f.o.Parts[d.Victim%len(f.o.Parts)]
			what := f.group(part)
			find := f.admin.FindGroupCoordinators
			if d.Twice {
				what = fmt.Sprintf("%s/%s/0", f.group(part), f.victim(d).name)
				find = f.admin.FindTxnCoordinators
			}
			found, ok := find(ctx, what)[what]
			if !ok || found.Err != nil {
				return "", fmt.Errorf("the coordinator of %s: %w", what, found.Err)
			}
			detail, err := f.killBroker(ctx, d, int(found.NodeID)-1)
			return detail + ", of " + what, err
		},
	}
}

func controllerKill() Fault {
	return Fault{
		Name:  "kill the controller",
		Does:  "the broker that leads the cluster's metadata is killed with -9 and starts again after 0 to 4 s",
		Must:  "another is elected",
		needs: needsCluster,
		inject: func(ctx context.Context, f *Field, d Draw) (string, error) {
			n, err := f.controller(ctx)
			if err != nil {
				return "", err
			}
			return f.killBroker(ctx, d, n)
		},
	}
}

func brokerFreeze() Fault {
	return Fault{
		Name:  "freeze a broker",
		Does:  "a broker is frozen for 1 to 8 s, half of the times for longer than the cluster waits for it, and goes on",
		Must:  "what it still takes for its own is refused",
		needs: needsCluster,
		inject: func(ctx context.Context, f *Field, d Draw) (string, error) {
			n := d.Broker % len(f.brokers)
			b := f.brokers[n]
			if err := b.Freeze(); err != nil {
				return "", err
			}
			long := d.between(time.Second, 8*time.Second)
			if err := pass(ctx, long); err != nil {
				return "", err
			}
			if err := b.Thaw(); err != nil {
				return "", err
			}
			return fmt.Sprintf("broker %d for %v", n+1, round(long)), f.awaitReplicas(ctx)
		},
	}
}

// killBroker kills one, starts it again, and waits until every replica is in sync: the next fault may take another.
func (f *Field) killBroker(ctx context.Context, d Draw, n int) (string, error) {
	b := f.brokers[n]
	if err := b.Kill9(); err != nil {
		return "", err
	}
	away := d.between(0, 4*time.Second)
	if err := pass(ctx, away); err != nil {
		return "", err
	}
	starting, cancel := context.WithTimeout(ctx, brokerWithin)
	defer cancel()
	if err := b.Start(starting); err != nil {
		return "", err
	}
	return fmt.Sprintf("broker %d, away for %v and its start", n+1, round(away)), f.awaitReplicas(ctx)
}

// brokerWithin is how long a broker's start, and the replicas', may take.
const brokerWithin = 2 * time.Minute

// controller is the place of the broker that leads the metadata.
func (f *Field) controller(ctx context.Context) (int, error) {
	req := kmsg.NewPtrDescribeQuorumRequest()
	t := kmsg.NewDescribeQuorumRequestTopic()
	t.Topic = "__cluster_metadata"
	t.Partitions = append(t.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, f.client)
	if err != nil {
		return 0, fmt.Errorf("who leads the metadata: %w", err)
	}
	if len(resp.Topics) == 0 || len(resp.Topics[0].Partitions) == 0 || resp.Topics[0].Partitions[0].LeaderID < 1 {
		return 0, errors.New("nobody leads the metadata")
	}
	return int(resp.Topics[0].Partitions[0].LeaderID) - 1, nil
}

// awaitReplicas waits until every partition has all of its replicas in sync.
func (f *Field) awaitReplicas(ctx context.Context) error {
	behind := 0
	ctx, cancel := context.WithTimeoutCause(ctx, brokerWithin, fmt.Errorf("not within %v", brokerWithin))
	defer cancel()
	err := f.until(ctx, func(ctx context.Context) (bool, error) {
		m, err := f.admin.Metadata(ctx)
		if err != nil {
			return false, err
		}
		behind = 0
		m.Topics.EachPartition(func(p kadm.PartitionDetail) {
			if p.Leader < 0 || len(p.ISR) < len(p.Replicas) {
				behind++
			}
		})
		return behind == 0 && len(m.Brokers) == len(f.brokers), nil
	})
	if err != nil {
		return fmt.Errorf("%d partitions lack a replica: %w", behind, err)
	}
	return nil
}
