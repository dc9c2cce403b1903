package report

import (
	"math"
	"testing"
)

func TestNumbersAreWrittenForPeople(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{count(24000), "24,000"}, {count(999), "999"}, {count(-1234567), "−1,234,567"}, {count(math.MinInt64), "−9,223,372,036,854,775,808"},
		{rate(24000), "24,000/s"}, {rate(3.5), "3.5/s"}, {rate(math.NaN()), absent},
		{micros(0), "0 µs"}, {micros(850), "850 µs"}, {micros(1234), "1.23 ms"}, {micros(12345), "12.3 ms"}, {micros(123456), "123 ms"}, {micros(999_600), "1.00 s"}, {micros(1_920_000), "1.92 s"}, {micros(725_000_000), "12 min 5 s"}, {micros(math.MaxInt64), "2,562,047,788 h"},
		{seconds(0), "0 s"}, {seconds(4.84), "4.8 s"}, {seconds(600), "10 min"}, {seconds(605), "10 min 5 s"}, {seconds(7500), "2 h 5 min"}, {seconds(0.0025), "2.5 ms"}, {seconds(math.Inf(1)), absent},
		{clock(12.34), "12.3 s"}, {clock(151), "2:31"}, {clock(3751), "1:02:31"},
		{size(0), "0 B"}, {size(1023), "1,023 B"}, {size(1 << 20), "1 MiB"}, {size(2_040_109_466), "1.9 GiB"}, {size(700 << 20), "700 MiB"}, {size(math.MaxInt64), "8 EiB"},
		{share(1, 0), absent}, {share(5, 10_000), "0.05 %"}, {share(1, 1), "100 %"},
		{times(1.234), "1.23×"}, {times(math.Inf(1)), absent},
		{figure(0.0044), "0.0044"}, {figure(99.96), "100"}, {figure(1e300), absent},
		{grouped("verified: 14400000 events, 0 lost, in 2026; 1.23456 s, id 000123456"), "verified: 14,400,000 events, 0 lost, in 2026; 1.23456 s, id 000123456"},
		{shortRevision("4f0c2a91be7d3366aa01+"), "4f0c2a91be7d with changes"}, {shortRevision("v1.2.3"), "v1.2.3"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}
