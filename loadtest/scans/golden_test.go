package scans

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"crossdock/avro/serde"
)

// The benchmarks' figures compare over time only if their input stays what it was: the two older shapes keep every byte,
// keys and framed values, of their first hundred thousand movements.
func TestOlderShapesKeepEveryByte(t *testing.T) {
	const n = 100_000
	for name, c := range map[string]struct {
		g    *Generator
		want string
	}{
		"enriched": {enriched(t, nil), "13a094c95e32a29aab10622539a84cd72b10bed5978c63a68082510bfa7c32c0"},
		"scans":    {scanned(t, nil), "ff15094d00113e4bc51ecaa89d2d3c0951a0d72247096856feb7df3f9e0cf8e9"},
	} {
		h := sha256.New()
		s := serde.Local()
		var b []byte
		for range n {
			scan := c.g.Next()
			b = c.g.AppendKey(b[:0])
			b = s.Append(b, &scan.Movement)
			h.Write(b)
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != c.want {
			t.Errorf("%s: hash %s, not %s", name, got, c.want)
		}
	}
}
