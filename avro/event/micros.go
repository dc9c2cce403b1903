package event

import "time"

// Micros is a moment as microseconds since 1970-01-01T00:00:00Z, UTC (Avro logical type timestamp-micros).
type Micros int64

// MicrosOf cuts a time to microseconds. Times outside the years -290307 to 294246 do not fit and are undefined.
func MicrosOf(t time.Time) Micros { return Micros(t.UnixMicro()) }

// Time is the moment in UTC.
func (m Micros) Time() time.Time { return time.UnixMicro(int64(m)).UTC() }

// String is the moment in RFC 3339, UTC, with as many digits of a second as it needs.
func (m Micros) String() string { return m.Time().Format(time.RFC3339Nano) }
