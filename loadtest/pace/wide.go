package pace

import "math/bits"

// wide is an unsigned integer of 128 bits. The bounds of a plan keep every value below 2^128.
type wide struct{ high, low uint64 }

func product(a, b uint64) wide {
	high, low := bits.Mul64(a, b)
	return wide{high, low}
}

func (w wide) times(n uint64) wide {
	p := product(w.low, n)
	return wide{p.high + w.high*n, p.low}
}

func (w wide) plus(o wide) wide {
	low, carry := bits.Add64(w.low, o.low, 0)
	return wide{w.high + o.high + carry, low}
}

func (w wide) minus(o wide) wide {
	low, borrow := bits.Sub64(w.low, o.low, 0)
	return wide{w.high - o.high - borrow, low}
}

func (w wide) less(o wide) bool {
	return w.high < o.high || w.high == o.high && w.low < o.low
}

// dividedUp rounds up.
func (w wide) dividedUp(n uint64) wide {
	high, rest := w.high/n, w.high%n
	low, rest := bits.Div64(rest, w.low, n)
	if rest > 0 {
		return wide{high, low}.plus(wide{0, 1})
	}
	return wide{high, low}
}

// quotient rounds down and stays at the highest number where the answer is beyond it.
func (w wide) quotient(n uint64) uint64 {
	if w.high >= n {
		return ^uint64(0)
	}
	q, _ := bits.Div64(w.high, w.low, n)
	return q
}

// quotientUp rounds up and stays at the highest number where the answer is beyond it.
func (w wide) quotientUp(n uint64) uint64 {
	q := w.dividedUp(n)
	if q.high > 0 {
		return ^uint64(0)
	}
	return q.low
}

// float is close to it.
func (w wide) float() float64 { return float64(w.high)*(1<<64) + float64(w.low) }
