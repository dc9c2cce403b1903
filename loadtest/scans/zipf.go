package scans

import "math"

// A picker draws an index with given weights: Walker's alias method as Vose builds it (IEEE TSE 17, 1991), two look-ups a
// draw whatever the number of indices. It is built in whole numbers from rounded weights, so that the last bit of a
// power, which differs between processors, changes nothing.
type picker struct{ columns []column }

// A column's two halves lie together: a draw costs one line of the cache.
type column struct {
	keep  uint32 // of 2^32: below it the column's own index is drawn, from it on the alias
	alias uint32
}

const pickerOne = 1 << 32

// newPicker wants at least one weight above zero and fewer than 2^31 weights.
func newPicker(weights []float64) picker {
	n := uint64(len(weights))
	sum := 0.0
	for _, w := range weights {
		sum += w
	}
	p := picker{columns: make([]column, n)}
	scaled := make([]uint64, n) // a column's weight times n; they sum up to n * pickerOne
	left, heaviest := uint64(pickerOne), 0
	for i, w := range weights {
		part := min(left, uint64(math.Round(w/sum*pickerOne)))
		scaled[i], left = part*n, left-part
		if w > weights[heaviest] {
			heaviest = i
		}
	}
	scaled[heaviest] += left * n // what rounding left over
	var small, large []uint32
	for i, s := range scaled {
		if s < pickerOne {
			small = append(small, uint32(i))
		} else {
			large = append(large, uint32(i))
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		p.columns[s] = column{uint32(scaled[s]), l}
		scaled[l] -= pickerOne - scaled[s]
		if scaled[l] < pickerOne {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	for _, rest := range [][]uint32{small, large} {
		for _, i := range rest {
			p.columns[i] = column{math.MaxUint32, i}
		}
	}
	return p
}

func (p *picker) pick(r *random) int {
	bits := r.next()
	i := bits >> 32 * uint64(len(p.columns)) >> 32
	c := p.columns[i]
	if uint32(bits) < c.keep {
		return int(i)
	}
	return int(c.alias)
}

// zipfWeights are those of ranks 1..n under Zipf's law.
func zipfWeights(n int, exponent float64) []float64 {
	w := make([]float64, n)
	for i := range w {
		w[i] = 1 / math.Pow(float64(i+1), exponent)
	}
	return w
}

// itemWeights are those of the load's SKUs: Zipf's law, and the first one's own share where it is given.
func itemWeights(l *Load) []float64 {
	w := zipfWeights(l.SKUs, l.ZipfExponent)
	if l.HotShare == 0 || l.SKUs == 1 {
		return w
	}
	others := 0.0
	for _, x := range w[1:] {
		others += x
	}
	if l.HotShare == 1 {
		clear(w[1:])
		return w
	}
	w[0] = others * l.HotShare / (1 - l.HotShare)
	return w
}

// siteWeights shares busyShare equally among the busy sites and the rest among the others. Where all are alike it is
// all equal.
func siteWeights(busy []bool, busyShare float64) []float64 {
	n := 0
	for _, b := range busy {
		if b {
			n++
		}
	}
	w := make([]float64, len(busy))
	for i, b := range busy {
		switch {
		case n == 0 || n == len(busy):
			w[i] = 1
		case b:
			w[i] = busyShare / float64(n)
		default:
			w[i] = (1 - busyShare) / float64(len(busy)-n)
		}
	}
	return w
}
