package chart

import (
	"math"
	"strings"
	"testing"
)

var odd = []float64{0, -1, 1e-300, 1e300, math.MaxFloat64, math.NaN(), math.Inf(1), math.Inf(-1)}

func plain(v float64) string { return short(v) }

// Whatever a chart is given, no coordinate is NaN or infinite, and the number of marks is bounded.
func TestNoValueMakesACoordinateThatIsNoNumber(t *testing.T) {
	frames := []Frame{{Width: 1040, Height: 280, Direct: true, ID: "w"}, {Width: 360, Height: 200, ID: "n"}, {Width: 10, Height: 10, ID: "tiny"}}
	for _, a := range odd {
		for _, b := range odd {
			series := []Series{{Name: "s", X: []float64{a, b, 1, 2}, Y: []float64{b, a, 3}, Step: true, Behind: true}, {Name: "t", X: []float64{a, b}, Y: []float64{b, a, 7}, Colour: -3}, {Name: "none"}}
			for _, axes := range [][2]Axis{{Time(a, plain), Amount("", b, plain)}, {Amount("", a, plain), Magnitude("", a, b, plain)}, {{}, {}}} {
				for _, f := range frames {
					l := Lines{Across: axes[0], Up: axes[1], Series: series, Bands: []Band{{a, b}}, Bounds: []Bound{{a, "bound"}}}
					l.Hover()
					drawings := []Drawing{
						l.Draw(f),
						Points{Across: axes[0], Up: axes[1], Points: []Point{{a, b, true, "1"}, {b, a, false, "2"}}}.Draw(f),
						Bars{Up: axes[1], Names: []string{"x", "y", "z"}, Values: []float64{a, b}, Between: true}.Draw(f),
						Heat{Across: axes[0], Edges: []float64{a, b, 3}, Rows: 2, Marks: []RowMark{{a, "m", 0}, {b, "n", 1}}, Counts: [][]int64{{1}, {2, 3, 4}}, Thresholds: Thresholds(4), Mark: []float64{a, b, 1}, MarkName: "p99", Bands: []Band{{a, b}}}.Draw(f),
						Heat{}.Draw(f),
						Spark{X: []float64{a, b}, Y: []float64{b, a}, Last: a, High: b}.Draw(f),
						Ratio{Value: a}.Draw(f),
					}
					for i, d := range drawings {
						for _, bad := range []string{"NaN", "Inf", "e+", "e-"} {
							if strings.Contains(string(d.SVG), bad) {
								t.Fatalf("drawing %d of %v and %v holds %s:\n%s", i, a, b, bad, d.SVG)
							}
						}
						if len(d.SVG) > 20_000 {
							t.Fatalf("drawing %d of %v and %v has %d bytes", i, a, b, len(d.SVG))
						}
						if math.IsNaN(d.Left) || math.IsNaN(d.Width) {
							t.Fatalf("drawing %d: %v, %v", i, d.Left, d.Width)
						}
					}
				}
			}
		}
	}
}

func texts(all []Tick) string {
	words := make([]string, 0, len(all))
	for _, t := range all {
		words = append(words, t.Text)
	}
	return strings.Join(words, " ")
}

func TestMarksAreRoundNumbers(t *testing.T) {
	for _, c := range []struct {
		axis Axis
		most int
		want string
	}{
		{Amount("", 31200, plain), 4, "0 10000 20000 30000 40000"},
		{Amount("", 0, plain), 4, "0 0.5 1"},
		{Amount("", 7, plain), 8, "0 1 2 3 4 5 6 7 8"},
		{Time(600, plain), 10, "0 1 2 3 4 5 6 7 8 9 10"},
		{Time(600, plain), 4, "0 5 10"},
		{Time(5, plain), 5, "0 1 2 3 4 5"},
		{Time(4*3600, plain), 4, "0 1 2 3 4"},
		{Magnitude("", 1300, 412000, plain), 9, "1000 2000 5000 10000 20000 50000 100000 200000 500000"},
		{Magnitude("", 1300, 412000, plain), 4, "1000 10000 100000"},
		{Magnitude("", 1, 1e9, plain), 4, "1 10000 100000000"},
	} {
		if got := texts(c.axis.Ticks(c.most)); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestThresholdsAreRoundAndFewAndReachTheHighest(t *testing.T) {
	for _, high := range []int64{0, 1, 3, 9, 42, 999, 24_000, 5_000_000, 1 << 40, math.MaxInt64} {
		all := Thresholds(high)
		if len(all) == 0 || len(all) > Levels || all[0] != 1 {
			t.Errorf("%d: %v", high, all)
		}
		for i := 1; i < len(all); i++ {
			if all[i] <= all[i-1] {
				t.Errorf("%d: %v", high, all)
			}
		}
		if last := all[len(all)-1]; high > 0 && (last > high || high < math.MaxInt64/100 && high/last >= 10) {
			t.Errorf("%d: the strongest shade begins at %d", high, last)
		}
		if len(Legend(all, func(n int64) string { return short(float64(n)) })) != len(all)+1 {
			t.Errorf("%d: legend", high)
		}
	}
}

func TestNamesBesideLinesDoNotTouch(t *testing.T) {
	at := []float64{100, 100, 101, 20, 250}
	got := spread(at, 10, 250)
	for i := range got {
		if got[i] < 10 || got[i] > 250 {
			t.Errorf("%v", got)
		}
		for j := range got {
			if i != j && math.Abs(got[i]-got[j]) < lineHeight-0.001 {
				t.Errorf("%d and %d touch: %v", i, j, got)
			}
		}
	}
	if got[3] > got[0] {
		t.Errorf("order changed: %v", got)
	}
}

func TestAGapInALineIsNoLine(t *testing.T) {
	p := plot{w: 100, h: 100, across: Axis{Scale: Linear(0, 4)}, up: Axis{Scale: Linear(0, 1)}}
	x := []float64{0, 1, 2, 3, 4}
	if got := p.trace(Series{X: x, Y: []float64{0, 1, math.NaN(), 0, 1}}); got != "M0 100L25 0M75 100L100 0" {
		t.Error(got)
	}
	if got := p.trace(Series{X: x, Y: []float64{1, 1, math.NaN(), 0}, Step: true}); got != "M0 0H25H50M75 100H100" {
		t.Error(got)
	}
}

func TestEveryTextIsEscaped(t *testing.T) {
	const evil = `"><script>alert(1)</script>`
	d := Lines{Title: evil, Desc: evil, Across: Axis{Label: evil}, Up: Axis{Label: evil}, Series: []Series{{Name: evil, X: []float64{0}, Y: []float64{1}}}, Bounds: []Bound{{0, evil}}}.Draw(Frame{Width: 400, Height: 200, Direct: true, ID: evil})
	if strings.Contains(string(d.SVG), "<script") || strings.Contains(string(d.SVG), `="">`) {
		t.Error(d.SVG)
	}
}
