package chart

import "math"

// Bars draws one bar for each name, side by side.
type Bars struct {
	Title, Desc string
	Names       []string
	AcrossLabel string
	Up          Axis
	Values      []float64
	Colour      int
	Bounds      []Bound
	// Between puts the names at the bars' right edges, as those of a histogram's buckets.
	Between bool
}

// Draw draws into a frame.
func (b Bars) Draw(f Frame) Drawing {
	right := 0.0
	if b.Between && len(b.Names) > 0 { // the last stands below the plot's end
		right = widest(b.Names[len(b.Names)-1])/2 + 2
	}
	p := lay(f, Axis{Scale: Linear(0, float64(max(1, len(b.Values))))}, b.Up, max(14, right))
	var c canvas
	c.open(f, b.Title, b.Desc)
	c.axes(p, f)
	wide := p.w / float64(max(1, len(b.Values)))
	gap := min(8, wide*0.2)
	for i, v := range b.Values {
		if !finite(v) || v <= 0 {
			continue
		}
		y := min(p.py(v), p.y+p.h-1) // what is there is seen
		c.rect("bar "+colour(b.Colour), p.x+float64(i)*wide+gap/2, y, max(0.5, wide-gap), p.y+p.h-y)
	}
	shift := 0.5
	if b.Between {
		shift = 1
	}
	// Every nth name, so that they do not touch.
	every := max(1, int(math.Ceil((widest(b.Names...)+8)/wide)))
	for i, name := range b.Names {
		if i%every != 0 || i >= len(b.Values) {
			continue
		}
		x := p.x + (float64(i)+shift)*wide
		if b.Between {
			c.line("axis", x, p.y+p.h, x, p.y+p.h+4)
		}
		c.text("tick", x, p.y+p.h+18, "middle", name)
	}
	c.acrossName(p, b.AcrossLabel)
	c.bounds(p, b.Bounds)
	return Drawing{SVG: c.close(), Left: p.x / f.Width, Width: p.w / f.Width}
}
