package demo

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"crossdock/avro/event"
	"crossdock/internal/testservices"
	"crossdock/loadtest/scans"
)

func options(t *testing.T, brokers string, out *bytes.Buffer) Options {
	t.Helper()
	ch := testservices.ClickHouse(t)
	return Options{
		Brokers: []string{brokers}, ClickHouse: ch.TCP, Prefix: strings.TrimRight(testservices.Prefix(t), ".-_"),
		Ingress: "127.0.0.1:0", Query: "127.0.0.1:0", Admin: "127.0.0.1:0", Registry: "127.0.0.1:0", Rate: 300, For: 3 * time.Second, Seed: 7, Out: out,
	}
}

// The whole way: documents over HTTP, master data, scans, a late item; every balance in Kafka and in ClickHouse recounted.
func TestTheWholeWayOnBothBrokers(t *testing.T) {
	testservices.Brokers(t, func(t *testing.T, c testservices.Cluster) {
		var out bytes.Buffer
		o := options(t, c.Addr, &out)
		o.recounting = func(ctx context.Context, e *evidence) error {
			mustFail(ctx, t, e)
			return nil
		}
		if err := Run(t.Context(), o); err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
		for _, want := range []string{
			"verified: 916 events, 0 lost, 0 duplicated",
			"MUG-BLUE   240     187  5        0                 187",
			"LAMP-DESK  -       8    0        0                 8",
			"2     MUG-RED    60       52    short",
			"SHORT_SHIPMENT  SO-50017",
			"UNIT_REMAINDER  KETTLE",
			"BAD_QUANTITY  acme-3pl segment 9 (W12), element 2",
			"CLICKHOUSE is complete up to",
		} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the summary lacks %q:\n%s", want, out.String())
			}
		}
	})
}

// mustFail recounts something else than what was sent, three times, and sees it fail each time with the key.
func mustFail(ctx context.Context, t *testing.T, e *evidence) {
	t.Helper()
	another := func(p posting) *event.InventoryMovement {
		m, err := p.movement("one more")
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	removed := another(posting{"2026-11-24T08:00:00Z", "TOWEL-L", event.BucketAvailable, event.BucketExternal, "1"})
	changed := *e.sent.Documents[1] // MUG-RED's receipt
	changed.QtyDelta += 1_000_000
	for _, c := range []struct {
		name   string
		tamper func(*Sent)
		says   []string
	}{
		{"a record that was sent is removed on the way", func(s *Sent) { s.Documents = append(s.Documents[:len(s.Documents):len(s.Documents)], removed) }, []string{"TOWEL-L|CHI", "1 lost"}},
		{"a record that was sent once is there twice", func(s *Sent) { s.Documents = append(s.Documents[:3:3], s.Documents[4:]...) }, []string{"TOWEL-L|CHI"}},
		{"a quantity is changed on the way", func(s *Sent) {
			s.Documents = append([]*event.InventoryMovement{s.Documents[0], &changed}, s.Documents[2:]...)
		}, []string{"MUG-RED|CHI wrong"}},
		{"a scan is removed on the way", func(s *Sent) {
			all, left := s.Scans, 1
			s.Scans = func(f func(*scans.Scan) error) error {
				return all(func(m *scans.Scan) error {
					if m.Copy == 0 && left > 0 { // the pipeline has it, the recount has not
						left--
						return nil
					}
					return f(m)
				})
			}
		}, []string{"duplicated"}},
	} {
		tampered := *e
		c.tamper(&tampered.sent)
		verdict, err := tampered.verify(ctx)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if verdict.OK() || !strings.HasPrefix(verdict.String(), "verified: FAILED") {
			t.Errorf("%s, and the recount says %s", c.name, verdict.String())
		}
		for _, want := range c.says {
			if !strings.Contains(verdict.String(), want) {
				t.Errorf("%s: no %q in %s", c.name, want, verdict.String())
			}
		}
	}
}

func TestARecountThatFailsIsSaidAndEndsTheDemoWithAnError(t *testing.T) {
	var out bytes.Buffer
	o := options(t, testservices.Broker(t), &out)
	o.For = time.Second
	o.recounting = func(_ context.Context, e *evidence) error {
		e.sent.Documents[0].QtyDelta--
		return nil
	}
	if err := Run(t.Context(), o); !errors.Is(err, ErrNotVerified) {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if !strings.Contains(out.String(), "verified: FAILED") || !strings.Contains(out.String(), "MUG-BLUE|CHI") {
		t.Fatal(out.String())
	}
}
