package event_test

import (
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"crossdock/avro/event"

	"pgregory.net/rapid"
)

func TestQuantityReadsDecimalsExactly(t *testing.T) {
	for text, want := range map[string]event.Quantity{
		"0": 0, "-0": 0, "+0.0": 0, "1": 1_000_000, "+1": 1_000_000, "-12.5": -12_500_000, ".5": 500_000, "5.": 5_000_000,
		"0.000001": 1, "-0.000001": -1, "007": 7_000_000, "1.2300000000000": 1_230_000,
		"999999999999.999999": event.MaxQuantity, "-999999999999.999999": -event.MaxQuantity,
		strings.Repeat("0", 1000) + "1": 1_000_000,
	} {
		if got, err := event.ParseQuantity(text); err != nil || got != want {
			t.Errorf("ParseQuantity(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
}

func TestQuantityRefusesWhatItWouldHaveToGuessOrRound(t *testing.T) {
	for text, problem := range map[string]string{
		"": "decimal number", "-": "decimal number", "+": "decimal number", ".": "decimal number", "-.": "decimal number",
		"1e3": "decimal number", "1E30": "decimal number", "1,5": "decimal number", "1.000,5": "decimal number", " 1": "decimal number",
		"1 ": "decimal number", "--1": "decimal number", "1-": "decimal number", "NaN": "decimal number", "Inf": "decimal number",
		"0x10": "decimal number", "1.2.3": "decimal number", "1_000": "decimal number", "\u0661": "decimal number", "1\x00": "decimal number",
		"0.0000001": "6 digits", "1.0000005": "6 digits",
		"1000000000000": "beyond", "9300000000000": "beyond", // times a million the latter wraps an int64
		"9999999999999.999999": "beyond", "1000000000000.000000": "beyond", "18446744073709.551617": "beyond", // 2^64 + 1
		"-1000000000000": "beyond", "999999999999.9999999": "6 digits",
		"1" + strings.Repeat("0", 30): "beyond", strings.Repeat("9", 100_000): "beyond",
		strings.Repeat("9", 100) + "e5": "decimal number",
	} {
		got, err := event.ParseQuantity(text)
		var bad *event.QuantityError
		if !errors.As(err, &bad) || bad.Text != text || !strings.Contains(bad.Problem, problem) {
			t.Errorf("ParseQuantity(%.40q) = %d, %v; want an error with %q", text, got, err, problem)
		}
	}
}

func TestQuantityPrintsTheShortestTextThatReadsBack(t *testing.T) {
	for q, want := range map[event.Quantity]string{
		0: "0", 1: "0.000001", -1: "-0.000001", 1_000_000: "1", -12_500_000: "-12.5", 1_000_010: "1.00001",
		event.MaxQuantity: "999999999999.999999", math.MinInt64: "-9223372036854.775808", math.MaxInt64: "9223372036854.775807",
	} {
		if got := q.String(); got != want {
			t.Errorf("%d prints %q, want %q", int64(q), got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		q := event.Quantity(rapid.Int64Range(-int64(event.MaxQuantity), int64(event.MaxQuantity)).Draw(t, "q"))
		if back, err := event.ParseQuantity(q.String()); err != nil || back != q {
			t.Fatalf("%d prints %s, which reads as %d, %v", int64(q), q, back, err)
		}
		millionths, ok := new(big.Rat).SetString(q.String())
		if !ok || millionths.Mul(millionths, big.NewRat(event.QuantityScale, 1)).Cmp(new(big.Rat).SetInt64(int64(q))) != 0 {
			t.Fatalf("%d prints %s, which math/big reads as %s millionths", int64(q), q, millionths)
		}
	})
}

// math/big is the second opinion on which texts are decimals, and on their value.
func TestQuantityReadsWhatMathBigReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[+-]?[0-9]{0,21}(\.[0-9]{0,8})?`).Draw(t, "text")
		q, err := event.ParseQuantity(text)
		value, ok := new(big.Rat).SetString(text)
		if !ok {
			if err == nil {
				t.Fatalf("%q reads as %s, and math/big does not read it", text, q)
			}
			return
		}
		value.Mul(value, big.NewRat(event.QuantityScale, 1))
		fits := value.IsInt() && value.Num().CmpAbs(big.NewInt(int64(event.MaxQuantity))) <= 0
		if fits != (err == nil) || fits && value.Num().Int64() != int64(q) {
			t.Fatalf("%q reads as %s, %v; math/big says %s millionths", text, q, err, value)
		}
	})
}

func TestQuantitySumsNeverWrap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := event.Quantity(rapid.Int64().Draw(t, "a"))
		b := event.Quantity(rapid.Int64().Draw(t, "b"))
		for _, c := range []struct {
			name  string
			got   func(event.Quantity) (event.Quantity, error)
			exact *big.Int
		}{
			{"+", a.Add, new(big.Int).Add(big.NewInt(int64(a)), big.NewInt(int64(b)))},
			{"-", a.Sub, new(big.Int).Sub(big.NewInt(int64(a)), big.NewInt(int64(b)))},
		} {
			got, err := c.got(b)
			fits := c.exact.CmpAbs(big.NewInt(int64(event.MaxQuantity))) <= 0
			if fits != (err == nil) || fits && c.exact.Int64() != int64(got) {
				// One sum is refused though it fits: minus the smallest int64 is none.
				if c.name == "-" && b == math.MinInt64 {
					continue
				}
				t.Fatalf("%d %s %d = %d, %v; exactly %s", int64(a), c.name, int64(b), int64(got), err, c.exact)
			}
		}
	})
	for _, pair := range [][2]event.Quantity{ // sums that wrap to what looks like a quantity
		{math.MaxInt64, math.MaxInt64}, {math.MinInt64, math.MinInt64}, {math.MinInt64, -1}, {math.MaxInt64, 2},
	} {
		if sum, err := pair[0].Add(pair[1]); err == nil {
			t.Errorf("%d + %d = %d", int64(pair[0]), int64(pair[1]), int64(sum))
		}
		if sum, err := pair[0].Sub(pair[1]); err == nil && pair[0] != pair[1] {
			t.Errorf("%d - %d = %d", int64(pair[0]), int64(pair[1]), int64(sum))
		}
	}
	if _, err := event.MaxQuantity.Add(1); err == nil || !strings.Contains(err.Error(), "999999999999.999999 + 0.000001") {
		t.Errorf("%v", err)
	}
}

func TestQuantityOfWholeUnits(t *testing.T) {
	for units, ok := range map[int64]bool{0: true, 7: true, -7: true, 999_999_999_999: true, 1_000_000_000_000: false, -1_000_000_000_000: false, math.MinInt64: false} {
		q, got := event.QuantityOf(units)
		if got != ok || ok && (int64(q) != units*event.QuantityScale || !q.Whole()) {
			t.Errorf("QuantityOf(%d) = %d, %v", units, int64(q), got)
		}
	}
	if event.Quantity(1_500_000).Whole() {
		t.Error("1.5 is whole")
	}
}

func TestMicrosAndDateAreUTCAndReadBack(t *testing.T) {
	plus5 := time.FixedZone("", 5*60*60)
	at := time.Date(1969, 12, 31, 23, 30, 0, 1_999, plus5)
	m := event.MicrosOf(at)
	if m.String() != "1969-12-31T18:30:00.000001Z" {
		t.Errorf("%s", m)
	}
	if d := event.DateOf(at); d.String() != "1969-12-31" || d != -1 {
		t.Errorf("the day is %s (%d): it must be the day of the time's own zone", d, d)
	}
	rapid.Check(t, func(t *rapid.T) {
		d := event.Date(rapid.Int32Range(-719_162, 2_932_896).Draw(t, "day"))
		if back, err := event.ParseDate(d.String()); err != nil || back != d || event.DateOf(d.Time()) != d {
			t.Fatalf("%d prints %s, which reads as %d, %v", d, d, back, err)
		}
	})
	for _, bad := range []string{"", "2026-02-30", "20260201", "2026-2-1", "2026-02-01T00:00:00Z"} {
		if d, err := event.ParseDate(bad); err == nil || !strings.Contains(err.Error(), "YYYY-MM-DD") {
			t.Errorf("ParseDate(%q) = %s, %v", bad, d, err)
		}
	}
}

func TestEverySymbolReadsBack(t *testing.T) {
	for b := event.BucketExternal; b <= event.BucketClearing; b++ {
		if back, ok := event.ParseBucket(b.String()); !ok || back != b {
			t.Errorf("%s reads as %s, %v", b, back, ok)
		}
	}
	if _, ok := event.ParseBucket("available"); ok {
		t.Error("symbols are read without regard to case")
	}
	if s := event.Bucket(200).String(); s != "Bucket(200)" {
		t.Errorf("what is no symbol prints %s", s)
	}
	for _, k := range event.Kinds() {
		if back, ok := event.ParseKind(k.String()); !ok || back != k || event.New(k).Kind() != k || k.FullName() != "crossdock.v1."+k.String() {
			t.Errorf("%s reads as %s, %v", k, back, ok)
		}
	}
	if event.New(0) != nil || event.New(200) != nil {
		t.Error("New makes an event of no kind")
	}
}
