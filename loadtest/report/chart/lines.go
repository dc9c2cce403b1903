package chart

import (
	"math"
	"slices"
	"strings"
)

// Lines draws series of values over an axis.
type Lines struct {
	Title, Desc string // the text alternative
	Across, Up  Axis
	Series      []Series
	Bands       []Band
	Bounds      []Bound
}

// A Series is one line. Y may hold NaN, which leaves a gap.
type Series struct {
	Name   string
	Colour int
	X, Y   []float64
	// Step draws Y[i] flat from X[i] to X[i+1]; the last X only ends it. Otherwise points are joined.
	Step bool
	// Behind fills a step down to the axis in grey: what the others are measured against.
	Behind bool
	// Wide draws a broad line, which is still seen where another lies upon it.
	Wide bool
}

// A Hover is what follows the pointer: at which share of the plot, with which heading and values by series.
type Hover struct {
	At     []float64  `json:"at"`
	Heads  []string   `json:"heads"`
	Names  []string   `json:"names"`
	Values [][]string `json:"values"` // by point, by series
}

// Draw draws into a frame.
func (l Lines) Draw(f Frame) Drawing {
	right := 14.0
	if f.Direct {
		names := make([]string, 0, len(l.Series))
		for _, s := range l.Series {
			names = append(names, s.Name)
		}
		right = min(f.Width/3, widest(names...)+44)
	}
	p := lay(f, l.Across, l.Up, right)
	var c canvas
	c.open(f, l.Title, l.Desc)
	for _, s := range l.Series {
		if s.Behind {
			c.path("behind", p.area(s))
		}
	}
	c.bands(p, l.Bands)
	c.axes(p, f)
	for _, s := range l.Series {
		if s.Behind {
			c.path("line behindline", p.trace(s))
			continue
		}
		c.path(s.class(), p.trace(s))
		for i := range s.Y { // a point without neighbours makes no line
			if !s.Step && finite(s.Y[i]) && (i == 0 || !finite(s.Y[i-1])) && (i+1 >= len(s.Y) || !finite(s.Y[i+1])) && i < len(s.X) {
				c.element("circle", "dot "+colour(s.Colour), "cx", p.px(s.X[i]), "cy", p.py(s.Y[i]), "r", 3.0)
			}
		}
	}
	c.bounds(p, l.Bounds)
	if f.Direct {
		c.names(p, l.Series)
	}
	return Drawing{SVG: c.close(), Left: p.x / f.Width, Width: p.w / f.Width}
}

func (s Series) class() string {
	if s.Wide {
		return "line wide " + colour(s.Colour)
	}
	return "line " + colour(s.Colour)
}

// names writes each series' name beside its end.
func (c *canvas) names(p plot, all []Series) {
	at := make([]float64, len(all))
	for i, s := range all {
		at[i] = p.y + p.h
		for j := len(s.Y) - 1; j >= 0; j-- {
			if finite(s.Y[j]) {
				at[i] = p.py(s.Y[j])
				break
			}
		}
	}
	x := p.x + p.w + 8
	for i, y := range spread(at, p.y+4, p.y+p.h-2) {
		if all[i].Behind {
			c.rect("behind", x, y-5, 18, 10)
		} else {
			c.line(all[i].class(), x, y, x+18, y)
		}
		c.text("series", x+24, y+4, "start", all[i].Name)
	}
}

// trace is the path of a series' line.
func (p plot) trace(s Series) string {
	var d strings.Builder
	drawn := false
	last := ""
	for i, v := range s.Y {
		if i >= len(s.X) || !finite(v) || !finite(s.X[i]) {
			drawn = false
			continue
		}
		x, y := coordinate(p.px(s.X[i])), coordinate(p.py(v))
		switch {
		case !drawn:
			d.WriteString("M" + x + " " + y)
		case s.Step && y != last:
			d.WriteString("V" + y)
		case !s.Step:
			d.WriteString("L" + x + " " + y)
		}
		if s.Step && i+1 < len(s.X) {
			d.WriteString("H" + coordinate(p.px(s.X[i+1])))
		}
		drawn, last = true, y
	}
	return d.String()
}

// area is the path of a step's surface.
func (p plot) area(s Series) string {
	var d strings.Builder
	base := coordinate(p.y + p.h)
	open := false
	for i, v := range s.Y {
		if i+1 >= len(s.X) || !finite(v) || !finite(s.X[i]) || !finite(s.X[i+1]) {
			if open {
				d.WriteString("V" + base + "Z")
			}
			open = false
			continue
		}
		if !open {
			d.WriteString("M" + coordinate(p.px(s.X[i])) + " " + base)
			open = true
		}
		d.WriteString("V" + coordinate(p.py(v)) + "H" + coordinate(p.px(s.X[i+1])))
	}
	if open {
		d.WriteString("V" + base + "Z")
	}
	return d.String()
}

// most points follow the pointer: more would not be told apart.
const most = 400

// Hover is what follows the pointer over the drawing.
func (l Lines) Hover() *Hover {
	var at []float64
	for _, s := range l.Series {
		for i := range min(len(s.X), len(s.Y)) {
			if finite(s.X[i]) {
				at = append(at, s.X[i])
			}
		}
	}
	slices.Sort(at)
	at = slices.CompactFunc(at, func(a, b float64) bool { return math.Abs(a-b) < 1e-9 })
	if len(at) == 0 {
		return nil
	}
	by := (len(at) + most - 1) / most
	h := &Hover{}
	for _, s := range l.Series {
		h.Names = append(h.Names, s.Name)
	}
	for i := 0; i < len(at); i += by {
		h.At = append(h.At, math.Round(l.Across.Scale.Place(at[i])*1e4)/1e4)
		h.Heads = append(h.Heads, l.Across.format(at[i]))
		values := make([]string, len(l.Series))
		for n, s := range l.Series {
			values[n] = l.valueAt(s, at[i])
		}
		h.Values = append(h.Values, values)
	}
	return h
}

// valueAt is a series' value at x: of the step that x lies in, or of the first point that is not before it.
func (l Lines) valueAt(s Series, x float64) string {
	i, _ := slices.BinarySearchFunc(s.X, x, func(v, x float64) int {
		switch {
		case v < x-1e-9:
			return -1
		case v > x+1e-9:
			return 1
		}
		return 0
	})
	if i >= len(s.Y) || i >= len(s.X) || !finite(s.Y[i]) {
		return "–"
	}
	return l.Up.format(s.Y[i])
}
