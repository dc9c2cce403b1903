package send

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"crossdock/avro/serde"
	"crossdock/loadtest/scans"
	"crossdock/loadtest/sent"
	"crossdock/topology/topics"
)

// sentWithout makes a log of a run of which the brokers have all but some events.
func sentWithout(g *scans.Generator, n int64, missing func(seq int64) bool) *Log {
	l := newLog(g, &Options{Count: n, Naming: topics.Naming{Prefix: "p."}, Serde: serde.Local()})
	made := g.Again()
	for seq := range n {
		scan := made.Next()
		l.Count(sent.MadeOf(scan), 1)
		l.Made++
		if !missing(seq) {
			l.settled(l.topicOf(scan), seq, int32(seq%3), nil)
		}
	}
	l.Began = time.Date(2026, 11, 27, 6, 0, 0, 123_456_789, time.UTC)
	l.Ended = l.Began.Add(time.Minute)
	l.Late, l.LateMost, l.LateByTool, l.LateByBroker, l.Bytes = 7, time.Second, 3, 4, 99
	l.watch.Restore([]sent.Outage{{From: l.Began.Add(time.Second), To: l.Began.Add(2 * time.Second), What: "gone"}})
	return l
}

func saved(t testing.TB, l *Log) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := l.Save(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestASavedLogReadsBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		g := generator(t, 1000)
		n := rapid.Int64Range(1, 3000).Draw(rt, "n")
		one := rapid.Int64Range(1, 100).Draw(rt, "one in")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		l := sentWithout(g, n, func(int64) bool { return rng.Int64N(one) == 0 })
		again, err := ReadLog(bytes.NewReader(saved(t, l)), generator(t, 1000), nil)
		if err != nil {
			rt.Fatal(err)
		}
		for _, d := range []string{
			cmp.Diff(l.Sent(), again.Sent()), cmp.Diff(l.Outages(), again.Outages()), cmp.Diff(l.Topics(), again.Topics()),
			cmp.Diff(l.Partitions(), again.Partitions()), cmp.Diff(l.Naming, again.Naming), cmp.Diff(l.acked, again.acked),
			cmp.Diff([]any{l.Began, l.Ended, l.Late, l.LateMost, l.LateByTool, l.LateByBroker, l.Copies},
				[]any{again.Began, again.Ended, again.Late, again.LateMost, again.LateByTool, again.LateByBroker, again.Copies}),
			cmp.Diff(replayed(t, l), replayed(t, again)),
		} {
			if d != "" {
				rt.Fatal(d)
			}
		}
	})
}

func TestALogOfTenMillionEventsIsSmall(t *testing.T) {
	l := sentWithout(generator(t, 1000), 100, func(int64) bool { return false })
	const n = 10_000_000
	l.Made, l.acked, l.count = n, make([]uint64, n/64), n
	for i := range l.acked {
		l.acked[i] = ^uint64(0)
	}
	if size := len(saved(t, l)); size > 10_000 {
		t.Errorf("10,000,000 acknowledged events take %d bytes", size)
	}
}

func TestALogOfAnotherLoadIsRefused(t *testing.T) {
	g := generator(t, 1000)
	file := saved(t, sentWithout(g, 500, func(seq int64) bool { return seq%7 == 0 }))
	load := g.Load()
	load.Seed++
	other, err := scans.NewEnriched(load)
	if err != nil {
		t.Fatal(err)
	}
	var e *sent.FileError
	if _, err := ReadLog(bytes.NewReader(file), other, nil); !errors.As(err, &e) || !strings.Contains(err.Error(), "another load") {
		t.Errorf("the error is %v", err)
	}
}

func FuzzReadLog(f *testing.F) {
	load := scans.DefaultLoad(7)
	load.SKUs = 10
	g, err := scans.NewEnriched(load)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(saved(f, sentWithout(g, 100, func(seq int64) bool { return seq%2 == 0 })))
	f.Add([]byte("xdk-sent\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, err := ReadLog(bytes.NewReader(b), g, nil); err == nil && l.Acknowledged() > l.Made {
			t.Errorf("%d acknowledged of %d", l.Acknowledged(), l.Made)
		}
	})
}
