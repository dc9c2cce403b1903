package event

import (
	"fmt"
	"math"
	"strconv"
)

// Quantity is an exact amount in millionths of a unit: the item's base unit, unless the field that holds it says
// otherwise. On the wire it is Avro's decimal(18, 6) in fixed(8). There is no float on the way in or out.
//
// The type holds every int64; a decimal of 18 digits ends at MaxQuantity, which is what ParseQuantity, Add and
// QuantityOf keep to.
type Quantity int64

const (
	// QuantityScale is how many Quantity make one unit.
	QuantityScale = 1_000_000
	// MaxQuantity is the largest amount, 999,999,999,999.999999 units: 18 digits. The smallest is -MaxQuantity.
	MaxQuantity Quantity = 999_999_999_999_999_999

	quantityDecimals = 6
)

// A QuantityError says why a text or a sum is not a Quantity.
type QuantityError struct {
	Text    string // what was read, or the sum that was asked for
	Problem string // what is wrong with it, and what to do
}

func (e *QuantityError) Error() string {
	return fmt.Sprintf("event: quantity %q: %s", e.Text, e.Problem)
}

const (
	notANumber = "not a decimal number: write digits, with an optional sign before and one point within, no exponent and no separators"
	tooFine    = "more than 6 digits after the point: state it in a smaller unit"
	tooLarge   = "beyond 999,999,999,999.999999: check the unit and the decimal sign"
)

// QuantityOf is a whole number of units; ok is false where it passes MaxQuantity.
func QuantityOf(units int64) (q Quantity, ok bool) {
	if units > int64(MaxQuantity)/QuantityScale || units < -int64(MaxQuantity)/QuantityScale {
		return 0, false
	}
	return Quantity(units * QuantityScale), true
}

// ParseQuantity reads a decimal number of units: [+-]digits[.digits], with digits on at least one side of the point.
// Zeros at either end do not count. Anything else (an exponent, a thousands separator, spaces, NaN), more than 6 decimals
// and more than MaxQuantity are a *QuantityError: nothing is rounded.
func ParseQuantity(s string) (Quantity, error) {
	digits := s
	negative := false
	if digits != "" && (digits[0] == '-' || digits[0] == '+') {
		negative = digits[0] == '-'
		digits = digits[1:]
	}
	var millionths int64
	seen, decimals := false, -1 // decimals counts what follows the point; -1: no point yet
	for i := 0; i < len(digits); i++ {
		c := digits[i]
		if c == '.' && decimals < 0 {
			decimals = 0
			continue
		}
		if c < '0' || c > '9' {
			return 0, &QuantityError{s, notANumber}
		}
		seen = true
		if decimals >= quantityDecimals {
			if c != '0' {
				return 0, fault(s, digits[i:], tooFine)
			}
			continue
		}
		if decimals >= 0 {
			decimals++
		}
		digit := int64(c - '0')
		if millionths > (int64(MaxQuantity)-digit)/10 {
			return 0, fault(s, digits[i:], tooLarge)
		}
		millionths = millionths*10 + digit
	}
	if !seen {
		return 0, &QuantityError{s, notANumber}
	}
	for d := max(decimals, 0); d < quantityDecimals; d++ {
		if millionths > int64(MaxQuantity)/10 {
			return 0, &QuantityError{s, tooLarge}
		}
		millionths *= 10
	}
	if negative {
		millionths = -millionths
	}
	return Quantity(millionths), nil
}

// fault prefers the plainer complaint: a text whose rest is no number is not a number, whatever else it is.
func fault(s, rest, problem string) *QuantityError {
	for i := 0; i < len(rest); i++ {
		if c := rest[i]; (c < '0' || c > '9') && c != '.' {
			return &QuantityError{s, notANumber}
		}
	}
	return &QuantityError{s, problem}
}

// Append appends the shortest decimal text: no zeros at the end, no point where it is whole.
func (q Quantity) Append(b []byte) []byte {
	m := uint64(q)
	if q < 0 {
		b = append(b, '-')
		m = -m
	}
	b = strconv.AppendUint(b, m/QuantityScale, 10)
	rest := m % QuantityScale
	if rest == 0 {
		return b
	}
	b = append(b, '.')
	for place := uint64(QuantityScale / 10); rest > 0; place /= 10 {
		b = append(b, '0'+byte(rest/place))
		rest %= place
	}
	return b
}

// String is the shortest decimal text; ParseQuantity reads it back.
func (q Quantity) String() string { return string(q.Append(nil)) }

// Whole tells whether the amount is a whole number of units.
func (q Quantity) Whole() bool { return q%QuantityScale == 0 }

// Add is q + r; a *QuantityError where the sum passes MaxQuantity in either direction.
func (q Quantity) Add(r Quantity) (Quantity, error) {
	sum := q + r
	if (r > 0) != (sum > q) && r != 0 || sum > MaxQuantity || sum < -MaxQuantity {
		return 0, &QuantityError{q.String() + " + " + r.String(), tooLarge}
	}
	return sum, nil
}

// Sub is q - r, with Add's bound.
func (q Quantity) Sub(r Quantity) (Quantity, error) {
	if r == math.MinInt64 {
		return 0, &QuantityError{q.String() + " - " + r.String(), tooLarge}
	}
	return q.Add(-r)
}
