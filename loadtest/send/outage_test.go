package send

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"crossdock/avro/serde"
	"crossdock/internal/testservices"
)

// A cable connects a client to its brokers, until it is cut.
type cable struct {
	mu    sync.Mutex // guards all below
	cut   bool
	conns map[net.Conn]bool
}

var errCut = errors.New("the cable is cut")

func (c *cable) dial(ctx context.Context, network, host string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errCut} // as the system refuses
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, host)
	if err == nil {
		if c.conns == nil {
			c.conns = map[net.Conn]bool{}
		}
		c.conns[conn] = true
	}
	return conn, err
}

func (c *cable) set(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
	for conn := range c.conns {
		_ = conn.Close()
		delete(c.conns, conn)
	}
}

func TestARunGoesOnWhenItsBrokerIsBack(t *testing.T) {
	_, kafka := broker(t)
	var line cable
	const n, rate = 16_000, 5000
	var told []string
	cut, mended := time.Time{}, time.Time{}
	var good atomic.Bool // the cable is mended
	var back time.Time   // the first acknowledgement after that
	l, err := Run(t.Context(), generator(t, rate), Options{
		Kafka: append(kafka, kgo.Dialer(line.dial)), Serde: serde.Local(), Topic: topic, Count: n, Paced: true, InFlight: 1000,
		Progress: func(p Progress) {
			switch {
			case cut.IsZero() && p.Acknowledged > 1000:
				line.set(true)
				cut = time.Now()
			case p.Away != "":
				told = append(told, p.Away)
				// Long enough that all slots are taken and the pace slips.
				if mended.IsZero() && time.Since(cut) > 1200*time.Millisecond {
					mended = time.Now()
					good.Store(true)
					line.set(false)
				}
			}
		},
		Settled: func(_ int64, _, at time.Time, _ error) {
			if back.IsZero() && good.Load() {
				back = at
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if l.Made != n || l.Acknowledged() != n {
		t.Errorf("%d made, %d acknowledged", l.Made, l.Acknowledged())
	}
	if len(told) == 0 || !strings.Contains(told[len(told)-1], errCut.Error()) {
		t.Errorf("the progress told %q", told)
	}
	outages := l.Outages()
	if len(outages) != 1 {
		t.Fatalf("outages %+v", outages)
	}
	o := outages[0]
	if o.From.After(cut.Add(2*lookEvery)) || o.From.Before(cut.Add(-time.Second)) || o.To.Sub(back).Abs() > 300*time.Millisecond || !strings.Contains(o.What, errCut.Error()) {
		t.Errorf("cut from %v to %v, acknowledged again at %v, and the outage is %+v", cut, mended, back, o)
	}
	// The pace slipped, and it was the broker's doing; a busy machine may hold up the tool too.
	if l.LateByBroker == 0 || l.LateByBroker+l.LateByTool != l.Late || l.LateByTool > l.LateByBroker/5 || l.LateMost < 500*time.Millisecond {
		t.Errorf("late %d: %d by the broker, %d by the tool, most %v", l.Late, l.LateByBroker, l.LateByTool, l.LateMost)
	}
	same(t, replayed(t, l), onTopic(t, kafka))
}

func TestABrokerThatDoesNotAnswerIsAwayToo(t *testing.T) {
	cluster, kafka := broker(t)
	answer := make(chan struct{})
	requests := 0
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if requests++; requests == 20 {
			cluster.SleepControl(func() { <-answer })
		}
		return nil, nil, false
	})
	const n, rate = 10_000, 5000
	away := false
	l, err := Run(t.Context(), generator(t, rate), Options{
		Kafka: kafka, Serde: serde.Local(), Topic: topic, Count: n, Paced: true,
		Progress: func(p Progress) {
			if p.Away != "" && !away {
				away = true
				close(answer)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	outages := l.Outages()
	if len(outages) != 1 || outages[0].To.Sub(outages[0].From) < time.Second || !strings.Contains(outages[0].What, "do not answer") {
		t.Errorf("outages %+v", outages)
	}
	same(t, replayed(t, l), onTopic(t, kafka))
}

func TestARunIsStoppedWhileItsBrokerIsAway(t *testing.T) {
	_, kafka := broker(t)
	var line cable
	ctx, stop := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	l, err := Run(ctx, generator(t, 2000), Options{
		Kafka: append(kafka, kgo.Dialer(line.dial)), Serde: serde.Local(), Topic: topic, Count: 1_000_000, Paced: true,
		InFlight: 200, Grace: 300 * time.Millisecond,
		Progress: func(p Progress) {
			if p.Acknowledged > 500 {
				line.set(true)
			}
			if p.Away != "" {
				stop(enough)
			}
		},
	})
	if !errors.Is(err, enough) || !strings.Contains(err.Error(), "were not acknowledged within 300ms") || !strings.Contains(err.Error(), errCut.Error()) {
		t.Errorf("the error is %v", err)
	}
	if errors.Is(err, kgo.ErrClientClosed) {
		t.Errorf("what was given up is told as refused: %v", err)
	}
	if l.Unknown() == 0 || len(l.Outages()) != 1 {
		t.Errorf("%d unknown, outages %v", l.Unknown(), l.Outages())
	}
	line.set(false)
	if err := l.Resolve(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, replayed(t, l), onTopic(t, kafka))
}

// Connections break at every place of a request and its answer: nothing may be lost, doubled or wrongly counted.
func TestTheLogHoldsWhatTheTopicHoldsUnderFaults(t *testing.T) {
	_, kafka := broker(t)
	var line cable
	settled, breaks := 0, 0
	const n = 40_000
	l, err := Run(t.Context(), generator(t, 1000), Options{
		Kafka: append(kafka, kgo.Dialer(line.dial), kgo.ProducerBatchMaxBytes(16_384)),
		Serde: serde.Local(), Topic: topic, Count: n, InFlight: 2000,
		Settled: func(int64, time.Time, time.Time, error) {
			if settled++; settled%1777 == 0 { // from within the client: requests are on their way
				breaks++
				line.set(false)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if breaks < 20 || l.Acknowledged() != n {
		t.Errorf("%d breaks, %d acknowledged", breaks, l.Acknowledged())
	}
	same(t, replayed(t, l), onTopic(t, kafka))
}

func TestARunGoesOnWhenKafkaWasKilled(t *testing.T) {
	kafka := testservices.OwnKafka(t)
	opts := []kgo.Opt{kgo.SeedBrokers(kafka.Addr())}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 4, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	var restarting sync.WaitGroup
	killed, back := false, time.Time{}
	const n, rate = 40_000, 20_000
	l, err := Run(t.Context(), generator(t, rate), Options{
		Kafka: opts, Serde: serde.Local(), Topic: topic, Count: n, Paced: true,
		Progress: func(p Progress) {
			if !killed && p.Acknowledged > n/5 {
				killed = true
				if err := kafka.Kill9(); err != nil {
					t.Error(err)
				}
				restarting.Go(func() {
					if err := kafka.Start(t.Context()); err != nil {
						t.Error(err)
					}
					back = time.Now()
				})
			}
		},
	})
	restarting.Wait()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("it answered again at %v; outages %+v; late %d, most %v", back, l.Outages(), l.Late, l.LateMost)
	if !killed || l.Acknowledged() != n || len(l.Outages()) == 0 {
		t.Errorf("killed %v, %d acknowledged, outages %+v", killed, l.Acknowledged(), l.Outages())
	}
	same(t, replayed(t, l), onTopic(t, opts))
}
