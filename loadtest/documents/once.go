package documents

import (
	"context"
	"errors"
	"fmt"
	"time"

	"crossdock/avro/event"
	"crossdock/loadtest/scans"
)

// AppendMovement appends a movement as a line of a document of JSON lines, the line's end included.
func AppendMovement(b []byte, m *event.InventoryMovement) []byte {
	t := jsonText{b: b}
	t.movement(m.Kind().String(), m, m.Header.SourceDocID, true)
	return append(t.b, '\n')
}

// Post sends one document of JSON lines to a source, and returns once the ingress has taken it: what a run finds out with its first
// document, before it begins. The error is a *RefusedError where the ingress does not want it, else says what was wrong when ctx
// ended.
func Post(ctx context.Context, o *Options, t Target, key string, body []byte) error {
	where, err := o.where()
	if err != nil {
		return err
	}
	p := newPoster(where, []Target{t}, 1)
	defer p.client.CloseIdleConnections()
	l := &Log{}
	a := p.post(ctx, &Document{Format: JSONLines, Key: key, Body: body}, l)
	switch {
	case a.taken:
		return nil
	case a.refused != nil:
		return a.refused
	}
	if l.last != nil { // whoever set it has returned
		return fmt.Errorf("%s: %w: %w", o.URL, l.last, context.Cause(ctx))
	}
	return fmt.Errorf("%s: %w", o.URL, context.Cause(ctx))
}

// Sources are the targets of a shape, each once.
func (s *Shape) Sources() []Target {
	var all []Target
	seen := make(map[string]bool)
	for _, system := range Systems() {
		if t := s.target(system); t != nil && !seen[t.Source] {
			seen[t.Source] = true
			all = append(all, *t)
		}
	}
	return all
}

// Calibrate measures for about d how many events a second one core of this machine makes documents of, without sending them. The
// generator is not moved.
func Calibrate(ctx context.Context, g *scans.Generator, s Shape, d time.Duration) (float64, error) {
	c, err := NewCutter(g.Again(), s, 1<<40, nil)
	if err != nil {
		return 0, err
	}
	events, warm := 0, d/4 // caches, and the room of buffers
	for began, warmed := time.Now(), false; ; {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		for range 64 {
			one := c.Next()
			events += one.Events()
			c.Release(one)
		}
		switch took := time.Since(began); {
		case !warmed && took >= warm:
			warmed, began, events = true, time.Now(), 0
		case warmed && took >= d:
			return float64(events) / took.Seconds(), nil
		}
	}
}

// errNoURL says what an ingress's address is like.
var errNoURL = errors.New("give a URL such as http://127.0.0.1:8080")
