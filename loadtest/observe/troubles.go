package observe

import (
	"fmt"
	"sync"
)

// A trouble is something that could not be read. It never ends a run.
type trouble uint8

const (
	fetchFailed trouble = iota
	unreadable
	rowsFailed
	troubleKinds = iota
)

// troubles counts them.
type troubles struct {
	mu    sync.Mutex // guards all below
	count [troubleKinds]int64
	last  [troubleKinds]error
}

func (t *troubles) add(what trouble, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count[what]++
	t.last[what] = err
}

func (t *troubles) notes() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var notes []string
	for what, format := range [troubleKinds]string{
		"the brokers did not answer the observers %d times, which were tried again; the last time: %v",
		"%d records could not be read by the observers and are missing at their hop; the last one: %v",
		"ClickHouse did not answer %d times, which were tried again: rows were seen later than they were there; the last time: %v",
	} {
		if t.count[what] > 0 {
			notes = append(notes, fmt.Sprintf(format, t.count[what], t.last[what]))
		}
	}
	return notes
}
