package event

import (
	"fmt"
	"time"
)

// Date is a calendar day as days since 1970-01-01, without a time zone (Avro logical type date).
type Date int32

const secondsPerDay = 24 * 60 * 60

// DateOf is the calendar day of a time in the time's own zone.
func DateOf(t time.Time) Date {
	year, month, day := t.Date()
	return Date(time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() / secondsPerDay)
}

// ParseDate reads YYYY-MM-DD (ISO 8601 calendar date, extended format).
func ParseDate(s string) (Date, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return 0, fmt.Errorf("event: %q is not a date: write YYYY-MM-DD", s)
	}
	return DateOf(t), nil
}

// Time is midnight UTC at which the day starts.
func (d Date) Time() time.Time { return time.Unix(int64(d)*secondsPerDay, 0).UTC() }

// String is the day as YYYY-MM-DD.
func (d Date) String() string { return d.Time().Format(time.DateOnly) }
