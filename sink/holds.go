package sink

import (
	"fmt"
	"unicode/utf8"

	"crossdock/avro/event"
)

// What a column of a table holds is judged by the encoder alone, before a row is taken into a block, so that a block that
// is made again is the same and never fails for one row.
const (
	// DateTime64 is defined from 1900-01-01 to 2299-12-31 (https://clickhouse.com/docs/sql-reference/data-types/datetime64).
	earliest event.Micros = -2_208_988_800_000_000
	latest   event.Micros = 10_413_792_000_000_000 - 1
)

// An unholdable row is one that ClickHouse cannot hold, or could hold but not give back to every reader.
type unholdable struct {
	column  string
	problem string
}

func (u *unholdable) Error() string { return fmt.Sprintf("column %s: %s", u.column, u.problem) }

// A check looks at the values of a row and remembers the first that no column holds.
type check struct{ failed *unholdable }

func (c *check) fail(column, format string, args ...any) {
	if c.failed == nil {
		c.failed = &unholdable{column, fmt.Sprintf(format, args...)}
	}
}

// text wants UTF-8: a String column would take other bytes, but most readers of a text fail at them.
func (c *check) text(column, s string) {
	if !utf8.ValidString(s) {
		c.fail(column, "a text that is not UTF-8: %.64q", s)
	}
}

func (c *check) optional(column string, s event.Optional[string]) {
	if s.Valid {
		c.text(column, s.Value)
	}
}

func (c *check) time(column string, m event.Micros) {
	if m < earliest || m > latest {
		c.fail(column, "%d microseconds since 1970 is outside of the years 1900 to 2299 that DateTime64 holds", int64(m))
	}
}

func (c *check) quantity(column string, q event.Quantity) {
	if q > event.MaxQuantity || q < -event.MaxQuantity {
		c.fail(column, "%s has more than the 18 digits of Decimal(18, 6)", q)
	}
}

func (c *check) count(column string, n int64) {
	if n < 0 {
		c.fail(column, "%d is negative, and the column is unsigned", n)
	}
}

// err is nil where every value can be held.
func (c *check) err() error {
	if c.failed == nil {
		return nil
	}
	return c.failed
}
