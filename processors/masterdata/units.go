package masterdata

import (
	"math/bits"

	"crossdock/avro/event"
)

// A Ratio is a unit in base units: 1 unit = Num/Den base units, exactly. Both are above 0.
type Ratio struct{ Num, Den int64 }

// A Conversion says how a conversion ended.
type Conversion uint8

// The three ways.
const (
	Exact     Conversion = iota
	Remainder            // the result is no whole number of millionths, or of units for an integral item
	Overflow             // the result has more than 18 digits
)

// Convert makes base units of a quantity in this unit. It never rounds (N10): what does not come out even is Remainder.
// The product is 128 bits wide, so that nothing is lost on the way to the division.
func (r Ratio) Convert(q event.Quantity, integral bool) (event.Quantity, Conversion) {
	if r.Num <= 0 || r.Den <= 0 {
		return 0, Overflow
	}
	negative := q < 0
	n := uint64(q)
	if negative {
		n = -n
	}
	if r.Num != r.Den {
		hi, lo := bits.Mul64(n, uint64(r.Num))
		if hi >= uint64(r.Den) {
			return 0, Overflow
		}
		quo, rem := bits.Div64(hi, lo, uint64(r.Den))
		if rem != 0 {
			return 0, Remainder
		}
		n = quo
	}
	if n > uint64(event.MaxQuantity) {
		return 0, Overflow
	}
	if integral && n%event.QuantityScale != 0 {
		return 0, Remainder
	}
	if negative {
		return -event.Quantity(n), Exact
	}
	return event.Quantity(n), Exact
}
