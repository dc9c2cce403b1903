package observe

import (
	"time"

	"crossdock/loadtest/scans"
)

// Made takes note of the event in hand, which is about to be sent (send.Options.Made): originals that move stock are
// awaited in the balances, and whatever moves stock, repetitions too, on the inbox. Poison and what is no movement is not.
func (t *Tracker) Made(g *scans.Generator, s *scans.Scan, intended time.Duration) {
	if !s.Counts() {
		return
	}
	t.AwaitOnInbox()
	if s.Copy == scans.Original {
		sku, site := g.Canonical()
		t.Await(sku, site, intended)
	}
}
