package chart

import "math"

// Ratio draws how far a ratio lies from 1, for a table's cell: to the right above it, to the left below, logarithmic, up to
// four times. Class is the state's: good, bad or neutral.
type Ratio struct {
	Title string
	Value float64
	Class string
}

// Draw draws into a frame.
func (r Ratio) Draw(f Frame) Drawing {
	var c canvas
	c.open(f, r.Title, "A bar from the middle, which stands for no change, to the ratio; its ends stand for a quarter and four times.")
	middle := f.Width / 2
	if finite(r.Value) && r.Value > 0 {
		far := max(-1, min(1, math.Log(r.Value)/math.Log(4))) * (middle - 1)
		c.rect("ratio "+r.Class, min(middle, middle+far), f.Height/2-4, math.Abs(far), 8)
	}
	c.line("axis", middle, 1, middle, f.Height-1)
	return Drawing{SVG: c.close(), Left: 0, Width: 1}
}
