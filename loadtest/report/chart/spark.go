package chart

// Spark draws a small line for a table's cell: no axes, from 0 to High, which neighbours share so that they compare.
type Spark struct {
	Title  string
	X, Y   []float64
	Last   float64 // the horizontal axis' end; its begin is 0
	High   float64
	Colour int
}

// Draw draws into a frame.
func (s Spark) Draw(f Frame) Drawing {
	p := plot{x: 1, y: 2, w: max(1, f.Width-2), h: max(1, f.Height-4), across: Axis{Scale: Linear(0, s.Last)}, up: Axis{Scale: Linear(0, s.High)}}
	var c canvas
	c.open(f, s.Title, "A small line over the run's time, from zero.")
	c.line("axis", p.x, p.y+p.h, p.x+p.w, p.y+p.h)
	line := Series{X: s.X, Y: s.Y, Colour: s.Colour}
	c.path("line "+colour(s.Colour), p.trace(line))
	if len(s.Y) == 1 && len(s.X) == 1 && finite(s.Y[0]) {
		c.element("circle", "dot "+colour(s.Colour), "cx", p.px(s.X[0]), "cy", p.py(s.Y[0]), "r", 2.0)
	}
	return Drawing{SVG: c.close(), Left: p.x / f.Width, Width: p.w / f.Width}
}
