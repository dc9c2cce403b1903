package chart

import (
	"math"
	"strconv"
)

// short is a number without zeros behind its point.
func short(v float64) string { return strconv.FormatFloat(math.Round(v*1e6)/1e6, 'f', -1, 64) }

// A plot is the rectangle in which values are drawn.
type plot struct {
	x, y, w, h float64
	across, up Axis
}

func (p plot) px(v float64) float64 { return p.x + p.across.Scale.Place(v)*p.w }
func (p plot) py(v float64) float64 { return p.y + (1-p.up.Scale.Place(v))*p.h }

// Room around a plot: above for the vertical axis' name, below for marks and the horizontal axis' name.
const (
	above = 26.0
	below = 42.0
)

// lay finds the plot's place in a frame: room on the left for the marks of up, on the right for right pixels.
func lay(f Frame, across, up Axis, right float64) plot {
	left := 0.0
	for _, t := range up.ticks(rows(f)) {
		left = max(left, widest(t.Text))
	}
	p := plot{x: min(left+12, f.Width/2), y: above, across: across, up: up}
	p.w = max(40, f.Width-p.x-right)
	p.h = max(20, f.Height-above-below)
	return p
}

// rows and columns are how many marks an axis has room for.
func rows(f Frame) int { return max(2, int((f.Height-above-below)/34)) }

func (p plot) columns() int { return max(2, int(p.w/64)) }

// axes draws the grid, the marks and the names.
func (c *canvas) axes(p plot, f Frame) {
	for _, t := range p.up.ticks(rows(f)) {
		y := p.py(t.At)
		c.line("grid", p.x, y, p.x+p.w, y)
		c.text("tick", p.x-8, y+4, "end", t.Text)
	}
	if p.up.Label != "" {
		c.text("name", 0, 11, "start", p.up.Label)
	}
	c.across(p)
}

// across draws the horizontal axis alone.
func (c *canvas) across(p plot) {
	bottom := p.y + p.h
	c.line("axis", p.x, bottom, p.x+p.w, bottom)
	end := math.Inf(-1)
	for _, t := range p.across.ticks(p.columns()) {
		x, half := p.px(t.At), widest(t.Text)/2
		c.line("axis", x, bottom, x, bottom+4)
		if x-half < end+4 {
			continue // it would touch the one before
		}
		c.text("tick", x, bottom+18, "middle", t.Text)
		end = x + half
	}
	c.acrossName(p, p.across.Label)
}

// acrossName writes the horizontal axis' name below its end, or from the drawing's edge where it is too long for that.
func (c *canvas) acrossName(p plot, name string) {
	switch at := p.y + p.h + 36; {
	case name == "":
	case widest(name) > p.x+p.w:
		c.text("name", 0, at, "start", name)
	default:
		c.text("name", p.x+p.w, at, "end", name)
	}
}

// A Band is a stretch of the horizontal axis that stands out, such as an outage.
type Band struct{ From, To float64 }

func (c *canvas) bands(p plot, all []Band) {
	for _, b := range all {
		if !finite(b.From) || !finite(b.To) {
			continue
		}
		x := p.px(b.From)
		c.rect("band", x, p.y, max(2, p.px(b.To)-x), p.h)
	}
}

// A Bound is a value that the vertical axis is measured against.
type Bound struct {
	At   float64
	Text string
}

func (c *canvas) bounds(p plot, all []Bound) {
	for _, b := range all {
		if !finite(b.At) {
			continue
		}
		y := p.py(b.At)
		c.line("bound", p.x, y, p.x+p.w, y)
		// Above the line, unless the plot ends there.
		at := y - 6
		if at < p.y+10 {
			at = y + 15
		}
		c.text("boundname", p.x+6, at, "start", b.Text)
	}
}

// spread moves heights apart so that texts of lineHeight do not touch, within low and high, and keeps their order.
func spread(at []float64, low, high float64) []float64 {
	moved := append([]float64(nil), at...)
	order := make([]int, len(at))
	for i := range order {
		order[i] = i
	}
	for i := 1; i < len(order); i++ { // few, and equal heights keep the order given
		for j := i; j > 0 && moved[order[j]] < moved[order[j-1]]; j-- {
			order[j], order[j-1] = order[j-1], order[j]
		}
	}
	for n, i := range order {
		least := low
		if n > 0 {
			least = moved[order[n-1]] + lineHeight
		}
		moved[i] = max(moved[i], least)
	}
	most := high
	for n := len(order) - 1; n >= 0; n-- {
		i := order[n]
		moved[i] = min(moved[i], most)
		most = moved[i] - lineHeight
	}
	return moved
}
