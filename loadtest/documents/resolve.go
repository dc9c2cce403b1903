package documents

import (
	"context"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/loadtest/committed"
)

// headerKey is the header of a raw record that repeats the Idempotency-Key of the request.
const headerKey = "idempotency-key"

// Resolve reads the raw topics to find out which of the documents without an answer are in, and how often those are that were
// sent more than once: the ingress knows a repetition by its key only as long as its process lives. It must run when nothing
// sends any more. Where every document was answered at once it does nothing.
func (l *Log) Resolve(ctx context.Context) error {
	l.mu.Lock()
	doubtful := len(l.doubtful)
	l.mu.Unlock()
	if l.Unknown() == 0 && doubtful == 0 {
		return nil
	}
	events := make(map[int64]int64) // of the documents in question
	cutter, err := NewCutter(l.generator.Again(), l.Shape, l.Planned, nil)
	if err != nil {
		return err
	}
	found := make(map[int64]int)
	sources := make(map[string]struct{})
	for range l.Documents {
		d := cutter.Next()
		if d == nil {
			break
		}
		if l.open(d.Number) {
			events[d.Number] = int64(d.Events())
			found[d.Number] = 0
			sources[cutter.Targets()[d.Target].Source] = struct{}{}
		}
		cutter.Release(d)
	}
	prefix := l.generator.Load().Run + "-J"
	for source := range sources {
		err := committed.Read(ctx, l.kafka, l.Naming.Raw(source), func(r *kgo.Record) error {
			for _, h := range r.Headers {
				if h.Key != headerKey {
					continue
				}
				if text, ok := strings.CutPrefix(string(h.Value), prefix); ok {
					if number, err := strconv.ParseInt(text, 10, 64); err == nil {
						if _, asked := found[number]; asked {
							found[number]++
						}
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for number, n := range found {
		before := number < int64(len(l.copies)) && l.copies[number] > 0
		if n > 0 && !before {
			l.taken++
			l.events += events[number]
		}
		if n > 0 || !before {
			l.set(number, n)
		}
	}
	clear(l.doubtful)
	return nil
}

// open says that it is not known how often a document is in.
func (l *Log) open(number int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, doubtful := l.doubtful[number]; doubtful {
		return true
	}
	return number >= int64(len(l.copies)) || l.copies[number] == 0
}
