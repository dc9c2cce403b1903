package committed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const topic = "balances"

func broker(t *testing.T) []kgo.Opt {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return []kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...)}
}

// write produces n records in a transaction of its own, and commits it, aborts it, or leaves it open.
func write(t *testing.T, opts []kgo.Opt, name string, n int, end kgo.TransactionEndTry) {
	t.Helper()
	client := writer(t, opts, name, n)
	if err := client.EndTransaction(t.Context(), end); err != nil {
		t.Fatal(err)
	}
}

func writer(t *testing.T, opts []kgo.Opt, name string, n int) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.TransactionalID(name))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		client.Produce(t.Context(), &kgo.Record{Topic: topic, Key: fmt.Append(nil, i), Value: fmt.Append(nil, name, ":", i)}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return client
}

func read(t *testing.T, opts []kgo.Opt) map[string]int {
	t.Helper()
	got, err := names(t, opts)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// names counts the records by the name of who wrote them.
func names(t *testing.T, opts []kgo.Opt) (map[string]int, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got := map[string]int{}
	err := Read(ctx, opts, topic, func(r *kgo.Record) error {
		name, _, _ := strings.Cut(string(r.Value), ":")
		got[name]++
		return nil
	})
	return got, err
}

func TestWhatIsCommittedIsReadOnceAndNothingElse(t *testing.T) {
	opts := broker(t)
	if got := read(t, opts); len(got) != 0 {
		t.Errorf("an empty topic holds %v", got)
	}
	write(t, opts, "first", 100, kgo.TryCommit)
	write(t, opts, "aborted", 50, kgo.TryAbort)
	write(t, opts, "second", 30, kgo.TryCommit)
	// The topic ends with aborted records and their marker.
	write(t, opts, "aborted too", 50, kgo.TryAbort)
	got := read(t, opts)
	if got["first"] != 100 || got["second"] != 30 || len(got) != 2 {
		t.Errorf("read %v", got)
	}
}

func TestAnOpenTransactionIsWaitedFor(t *testing.T) {
	opts := broker(t)
	write(t, opts, "before", 10, kgo.TryCommit)
	open := writer(t, opts, "open", 10)

	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := Read(short, opts, topic, func(*kgo.Record) error { return nil })
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "the end of partitions") {
		t.Errorf("with a transaction open: %v", err)
	}

	done := make(chan error, 1)
	var got map[string]int
	go func() {
		var err error
		got, err = names(t, opts)
		done <- err
	}()
	if err := open.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || got["before"] != 10 || got["open"] != 10 {
		t.Errorf("read %v: %v", got, err)
	}
}

func TestPartitionsAreReadInOrder(t *testing.T) {
	opts := broker(t)
	for i := range 5 {
		write(t, opts, fmt.Sprint("t", i), 20, kgo.TryCommit)
	}
	last := map[int32]int64{}
	err := Read(t.Context(), opts, topic, func(r *kgo.Record) error {
		if before, ok := last[r.Partition]; ok && r.Offset <= before {
			t.Errorf("partition %d: offset %d after %d", r.Partition, r.Offset, before)
		}
		last[r.Partition] = r.Offset
		return nil
	})
	if err != nil || len(last) != 3 {
		t.Errorf("%v, %d partitions", err, len(last))
	}
}

func TestAnErrorOfTheReaderEndsTheReading(t *testing.T) {
	opts := broker(t)
	write(t, opts, "t", 20, kgo.TryCommit)
	enough := errors.New("enough")
	var read []int64
	err := Read(t.Context(), opts, topic, func(r *kgo.Record) error {
		read = append(read, r.Offset)
		return enough
	})
	if !errors.Is(err, enough) || !slices.Equal(read, []int64{0}) {
		t.Errorf("%v after %v", err, read)
	}
}

func TestATopicThatIsNotThereIsNamed(t *testing.T) {
	opts := broker(t)
	err := Read(t.Context(), opts, "nowhere", func(*kgo.Record) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Error(err)
	}
}
