package send

import (
	"context"
	"errors"
	"time"

	"crossdock/avro/serde"
	"crossdock/loadtest/scans"
)

// Calibrate measures for about d (0: 200 ms) how many events a second one core of this machine makes and encodes: a run
// makes its events one after the other, so that no pace above it can be kept. To send them costs about as much again, on
// another core where there is one: a pace above half of it asks for two cores. The generator is not moved.
func Calibrate(ctx context.Context, g *scans.Generator, s *serde.Serde, d time.Duration) (float64, error) {
	if s == nil {
		return 0, errors.New("calibrate: no Serde to encode with")
	}
	if d <= 0 {
		d = 200 * time.Millisecond
	}
	g = g.Again()
	var buffer []byte
	warm := d / 4 // caches, and the room of buffers
	began, from := time.Now(), int64(0)
	for n := int64(0); ; n++ {
		if n%burst == 0 {
			if ctx.Err() != nil {
				return 0, context.Cause(ctx)
			}
			switch took := time.Since(began); {
			case from == 0 && took >= warm:
				from, began = n, time.Now()
			case from > 0 && took >= d:
				return float64(n-from) / took.Seconds(), nil
			}
		}
		g.Next()
		buffer = g.AppendKey(buffer[:0])
		buffer = g.AppendValue(buffer, s)
	}
}
