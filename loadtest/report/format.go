package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// absent stands where nothing was measured.
const absent = "–"

// count is 24,000.
func count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "−", digits[1:]
	}
	var b strings.Builder
	b.WriteString(sign)
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// figure is a number with three significant digits, and with all before the point: 0.82, 12.3, 24,000.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0) || a >= 1<<62:
		return absent
	case a >= 99.95:
		return count(int64(math.Round(v)))
	case a == 0:
		return "0"
	case a >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 0.0995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	default:
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
}

// short is figure without zeros behind the point, for axes: 0.5, 20, 24,000.
func short(v float64) string {
	text := figure(v)
	if strings.ContainsAny(text, ".") && !strings.Contains(text, "e") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

// grouped sets commas into the long numbers of a text that somebody else wrote.
func grouped(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		rest := strings.TrimLeft(text, "0123456789")
		if digits := text[:len(text)-len(rest)]; len(digits) > 4 && len(digits) < 19 && digits[0] != '0' && !strings.HasSuffix(b.String(), ".") {
			n, _ := strconv.ParseInt(digits, 10, 64) // at most 18 digits
			b.WriteString(count(n))
		} else {
			b.WriteString(digits)
		}
		end := strings.IndexAny(rest, "0123456789")
		if end < 0 {
			end = len(rest)
		}
		b.WriteString(rest[:end])
		text = rest[end:]
	}
	return b.String()
}

// rate is 24,000/s.
func rate(v float64) string {
	if text := short(v); text != absent {
		return text + "/s"
	}
	return absent
}

// micros is a latency: 850 µs, 12.3 ms, 1.92 s, 12 min 5 s.
func micros(us int64) string { return scaled(float64(us), figure) }

// microsShort is micros for axes: 1 ms, 20 ms.
func microsShort(us float64) string { return scaled(us, short) }

func scaled(us float64, number func(float64) string) string {
	switch a := math.Abs(us); {
	case math.IsNaN(us) || math.IsInf(us, 0):
		return absent
	case a < 999.5:
		return short(math.Round(us)) + " µs"
	case a < 999.5e3:
		return number(us/1e3) + " ms"
	case a < 120e6:
		return number(us/1e6) + " s"
	default:
		return seconds(us / 1e6)
	}
}

// seconds is how long something took: 4.8 s, 10 min, 10 min 5 s, 2 h 5 min.
func seconds(s float64) string {
	switch {
	case math.IsNaN(s) || math.IsInf(s, 0) || math.Abs(s) > 1e15:
		return absent
	case math.Abs(s) < 1 && s != 0:
		return scaled(s*1e6, short)
	case math.Abs(s) < 60:
		return short(math.Round(s*10)/10) + " s"
	}
	whole := int64(math.Round(s))
	hours, minutes, rest := whole/3600, whole/60%60, whole%60
	parts := make([]string, 0, 2)
	if hours > 0 {
		parts = append(parts, count(hours)+" h")
		rest = 0 // a run of hours is not told to the second
	}
	if minutes > 0 {
		parts = append(parts, strconv.FormatInt(minutes, 10)+" min")
	}
	if rest > 0 {
		parts = append(parts, strconv.FormatInt(rest, 10)+" s")
	}
	return strings.Join(parts, " ")
}

// clock is a moment of the run: 4.8 s, 2:31, 1:02:31.
func clock(s float64) string {
	if s < 60 {
		return short(math.Round(s*10)/10) + " s"
	}
	whole := int64(s)
	if whole >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", whole/3600, whole/60%60, whole%60)
	}
	return fmt.Sprintf("%d:%02d", whole/60, whole%60)
}

// size is 1.9 GiB.
func size(bytes int64) string {
	v := float64(bytes)
	if v < 1024 {
		return count(bytes) + " B"
	}
	units := []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	unit := -1
	for v >= 1023.5 && unit < len(units)-1 {
		v /= 1024
		unit++
	}
	if v < 99.95 {
		return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0") + " " + units[unit]
	}
	return count(int64(math.Round(v))) + " " + units[unit]
}

// share is 0.04 %, 12.3 %, 100 %.
func share(part, whole float64) string {
	if whole == 0 {
		return absent
	}
	return short(part/whole*100) + " %"
}

// times is a ratio: 1.23×.
func times(v float64) string {
	if text := figure(v); text != absent {
		return text + "×"
	}
	return absent
}

// plural is "1 key", "2 keys".
func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}

// moment is a time as the page shows it.
func moment(t time.Time) string {
	if t.IsZero() {
		return absent
	}
	return t.UTC().Format("2 January 2006, 15:04:05") + " UTC"
}
