package scans

import "math"

// random is SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014): 8 bytes of state, so
// that a record keeps the seed of its own texts, and the same numbers on every machine and with every version of Go.
type random struct{ state uint64 }

func (r *random) next() uint64 {
	r.state += 0x9e3779b97f4a7c15
	z := r.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below is uniform in [0, n). The bias of scaling 32 bits is under n/2^32.
func (r *random) below(n int) int { return int(uint64(uint32(r.next()>>32)) * uint64(n) >> 32) }

// between is uniform in [low, high].
func (r *random) between(low, high int) int { return low + r.below(high-low+1) }

// A share is a probability as a threshold: share 0.01 is a hundredth of all 64-bit numbers.
type share uint64

func shareOf(p float64) share {
	if p >= 1 {
		return math.MaxUint64
	}
	return share(p * (1 << 63) * 2)
}

func (r *random) hit(s share) bool { return r.next() < uint64(s) }
