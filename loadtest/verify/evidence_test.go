package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/loadtest/report"
	"crossdock/loadtest/scans"
	"crossdock/loadtest/send"
	"crossdock/topology/topics"
)

// A stage is a broker with a run on it, and what a pipeline without a fault says of it.
type stage struct {
	t      *testing.T
	naming topics.Naming
	kafka  []kgo.Opt
	serde  *serde.Serde
	logs   []*send.Log
	said   outputs
	state  map[string]*event.InventoryBalance
}

func newStage(t *testing.T, generators ...*scans.Generator) *stage {
	t.Helper()
	b := &stage{t: t, naming: topics.Naming{Prefix: "t."}, serde: serde.Local(), said: outputs{}, state: map[string]*event.InventoryBalance{}}
	var names []string
	for _, topic := range topics.All() {
		names = append(names, b.naming.Topic(topic.ID))
	}
	b.kafka = broker(t, names...)
	for _, g := range generators {
		l, err := send.Run(t.Context(), g, send.Options{Kafka: b.kafka, Serde: b.serde, Naming: b.naming, Count: 20_000})
		if err != nil {
			t.Fatal(err)
		}
		b.logs = append(b.logs, l)
		m := newModel(g, b.said.put(b.naming, b.serde))
		if err := l.ReplayFrom(func(g *scans.Generator, s *scans.Scan) error {
			m.event(g, s, b.serde)
			if m.seq%500 == 0 {
				m.commit()
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		m.commit()
		for i := range m.all {
			balance := m.balance(int32(i))
			b.state[balance.SKU+"|"+balance.Site] = balance
		}
	}
	return b
}

// evidence is all of it, once what the pipeline says is on its topics.
func (b *stage) evidence() Evidence {
	b.t.Helper()
	produce(b.t, b.kafka, b.said.all()...)
	e := Evidence{Kafka: b.kafka, Serde: b.serde, Naming: b.naming, Ledger: true, State: &State{URL: b.serve(b.answer)}}
	for _, l := range b.logs {
		e.Sent = append(e.Sent, Load{Log: l})
	}
	return e
}

func (b *stage) serve(h http.HandlerFunc) string {
	server := httptest.NewServer(h)
	b.t.Cleanup(server.Close)
	return server.URL
}

type asked struct {
	Keys []struct{ SKU, Site string }
}

// answer answers queries from the state.
func (b *stage) answer(w http.ResponseWriter, r *http.Request) {
	var q asked
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil || r.URL.Path != "/v1/inventory/query" || len(q.Keys) > 1000 {
		http.Error(w, "no query", http.StatusBadRequest)
		return
	}
	var all []map[string]any
	for _, k := range q.Keys {
		s := b.state[k.SKU+"|"+k.Site]
		if s == nil {
			all = append(all, map[string]any{"sku": k.SKU, "site": k.Site, "found": false})
			continue
		}
		all = append(all, map[string]any{
			"sku": s.SKU, "site": s.Site, "found": true, "version": s.Version, "as_of": time.UnixMicro(int64(s.AsOf)).UTC().Format("2006-01-02T15:04:05.000000Z"),
			"available": s.Available.String(), "allocated": s.Allocated.String(), "picked": s.Picked.String(), "staged": s.Staged.String(),
			"qc": s.QC.String(), "damaged": s.Damaged.String(), "hold": s.Hold.String(), "returned": s.Returned.String(),
			"in_transit_in": s.InTransitIn.String(), "in_transit_out": s.InTransitOut.String(), "clearing": s.Clearing.String(),
			"on_hand": s.OnHand.String(), "safety_stock": "0", "ats": s.ATS.String(), "negative": s.Negative,
		})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"balances": all}) // a client that is gone asks no more
}

func (b *stage) run(e Evidence) report.Verdict {
	b.t.Helper()
	v, err := Run(b.t.Context(), e)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

func shown(v report.Verdict) string {
	text, _ := json.MarshalIndent(v, "", "  ")
	return string(text)
}

func TestARunWithEverythingInItIsVerified(t *testing.T) {
	b := newStage(t, retailer(t, "r1", 7))
	// Other stock of the same system, and another run whose name begins like this one's.
	for _, sku := range []string{"HOUSE-1", "r10-000001"} {
		b.said[topics.Balances] = append(b.said[topics.Balances], &kgo.Record{
			Topic: b.naming.Topic(topics.Balances), Key: []byte(sku + "|DC1"),
			Value: b.serde.Append(nil, &event.InventoryBalance{SKU: sku, Site: "DC1", Version: 3}),
		})
	}
	b.said.put(b.naming, b.serde)(topics.DeadLetters, []byte("other"), &event.DeadLetter{Cause: "BAD_RECORD", Value: event.Some([]byte("x r10 y"))})
	v := b.run(b.evidence())
	if !v.OK || v.Line != "verified: 20000 events, 0 lost, 0 duplicated" || v.Events != 20_000 || len(v.Failing) != 0 {
		t.Fatal(shown(v))
	}
	if v.Fates["counted"] == 0 || v.Fates["repeated"] == 0 || v.Fates["aside"] == 0 || v.Fates["refused"] == 0 || v.Fates["unreadable"] == 0 {
		t.Errorf("fates: %v", v.Fates)
	}
	want := map[string]int64{readBalances: 2, readLedger: 0, readState: 0, "dead letters": 1, "exceptions": 0, "parked": 0}
	for _, r := range v.Readings {
		foreign, known := want[r.Source]
		if delete(want, r.Source); !known || r.Foreign != foreign || r.Keys == 0 || !r.OK {
			t.Errorf("%+v", r)
		}
	}
	if len(want) > 0 {
		t.Errorf("not read: %v", want)
	}
	if len(v.NotCompared) != 2 || !strings.HasPrefix(v.NotCompared[0], "clickhouse: ") {
		t.Errorf("not compared: %v", v.NotCompared)
	}
}

func TestSeveralRunsGoIntoOneVerdict(t *testing.T) {
	b := newStage(t, retailer(t, "fm-1", 1), retailer(t, "fm-2", 2))
	v := b.run(b.evidence())
	if !v.OK || v.Events != 40_000 {
		t.Fatal(shown(v))
	}
	// One alone takes the other's for other stock.
	e := b.evidenceOf(0)
	if v := b.run(e); !v.OK || v.Events != 20_000 || v.Readings[0].Foreign == 0 {
		t.Fatal(shown(v))
	}
}

// evidenceOf is of one run, once evidence has put everything on its topics.
func (b *stage) evidenceOf(run int) Evidence {
	return Evidence{Kafka: b.kafka, Serde: b.serde, Naming: b.naming, Sent: []Load{{Log: b.logs[run]}}}
}

// Each failure is shown with the events that made it.
func TestAFailingKeyIsShownWithItsEvents(t *testing.T) {
	b := newStage(t, retailer(t, "r1", 7))
	lost := b.said[topics.DeadLetters][0]
	var letter event.DeadLetter
	if err := b.serde.Decode(slices.Clone(lost.Value), &letter); err != nil {
		t.Fatal(err)
	}
	b.said[topics.DeadLetters] = b.said[topics.DeadLetters][1:]
	e := b.evidence()
	var key string
	for k, s := range b.state {
		if s.Version > 3 && s.Version < 30 {
			key = k
			break
		}
	}
	forgotten := *b.state[key]
	forgotten.Version--
	b.state[key] = &forgotten
	v := b.run(e)
	if v.OK || v.Lost != 2 || len(v.Failing) != 2 || v.FailingMore != 0 {
		t.Fatal(shown(v))
	}
	for _, f := range v.Failing {
		if f.Key == key {
			// Repetitions are shown too.
			if n := int64(len(f.Events)); n < forgotten.Version+1 || !strings.Contains(f.What[0], "state: "+key+" lost (1)") {
				t.Errorf("%+v", f)
			}
			if first := f.Events[0]; !strings.HasPrefix(first, "#") || !strings.Contains(first, "dedupe key") || !strings.Contains(first, " EA ") && !strings.Contains(first, " CS ") {
				t.Error(first)
			}
			continue
		}
		if !strings.HasPrefix(f.Key, "event ") || len(f.Events) != 1 || !strings.Contains(f.Events[0], "must become dead letter "+letter.Cause) {
			t.Errorf("%+v", f)
		}
	}
}

// What is asked for patience is asked again; what is refused ends the reading.
func TestTheStateIsAskedAgainWhileItRestores(t *testing.T) {
	b := newStage(t, retailer(t, "r1", 7))
	var mu sync.Mutex
	turnedAway := 0
	e := b.evidence()
	e.State = &State{InFlight: 2, URL: b.serve(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		first := turnedAway < 3
		turnedAway++
		mu.Unlock()
		if first {
			w.Header().Set("Retry-After", "0")
			http.Error(w, "partition 3 is being restored", http.StatusServiceUnavailable)
			return
		}
		b.answer(w, r)
	})}
	if v := b.run(e); !v.OK {
		t.Fatal(shown(v))
	}

	e.State.URL = b.serve(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no such service", http.StatusNotFound) })
	if _, err := Run(t.Context(), e); err == nil || !strings.Contains(err.Error(), "state") || !strings.Contains(err.Error(), "404") {
		t.Errorf("%v", err)
	}
	impatient := fmt.Errorf("patience is at its end")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	e.State.URL = b.serve(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "600")
		http.Error(w, "partition 3 is being restored", http.StatusServiceUnavailable)
		cancel(impatient)
	})
	began := time.Now()
	if _, err := Run(ctx, e); !errors.Is(err, impatient) || time.Since(began) > 20*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	for _, broken := range []string{"{}", "no json", `{"balances":[]}`, `{"balances":[{"found":true,"available":"1e3"}]}`} {
		e.State.URL = b.serve(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(broken)) })
		var wrong *AnswerError
		if _, err := Run(t.Context(), e); !errors.As(err, &wrong) {
			t.Errorf("%s: %v", broken, err)
		}
	}
}

func TestRetentionThatTookTheEvidenceIsAnError(t *testing.T) {
	b := newStage(t, retailer(t, "r1", 7))
	e := b.evidence()
	e.From = map[string]map[int32]int64{b.naming.Topic(topics.Exceptions): {0: -1}}
	if _, err := Run(t.Context(), e); err == nil || !strings.Contains(err.Error(), "retention") {
		t.Errorf("%v", err)
	}
	// Nothing of the run lies before its own records.
	e.From = map[string]map[int32]int64{b.naming.Topic(topics.Exceptions): {0: 0, 1: 0, 2: 0}}
	if v := b.run(e); !v.OK {
		t.Error(shown(v))
	}
}
