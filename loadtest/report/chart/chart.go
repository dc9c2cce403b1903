// Package chart draws the load test report's charts as SVG text: lines over an axis, a heat map, bars, points, and small lines
// for a table's cell. It knows nothing of what the figures mean.
//
// Colours, fonts and widths of lines are the page's: an element carries a class (c0..c5 for a series' colour, h1..h7 for a
// heat map's levels, grid, axis, bound, band), so that one drawing serves light, dark and paper. What is drawn is bounded by
// its frame, and a value that is no number leaves a gap: no coordinate is ever NaN or infinite.
package chart

import (
	"html"
	"html/template"
	"math"
	"strconv"
	"strings"
)

// A Frame is the room that a drawing has, in pixels at its natural size.
type Frame struct {
	Width  float64
	Height float64
	// Direct writes the names of series beside their ends. A narrow drawing leaves them to the page's legend.
	Direct bool
	// ID tells this drawing's title and description from all others of the page.
	ID string
}

// A Drawing is one SVG, and where its plot lies within it: shares of its width, for what follows the pointer.
type Drawing struct {
	SVG   template.HTML
	Left  float64
	Width float64
}

// Colours is how many colours for series there are. A chart with more series repeats them, so it should not have more.
const Colours = 6

// Typical widths of a character and heights of a line at the page's 12 px, to leave room for text.
const (
	charWidth  = 6.7
	lineHeight = 15.0
)

// A canvas collects SVG text. Only text and label take what comes from outside, and both escape it.
type canvas struct{ b strings.Builder }

// open begins the drawing. The title and description are its text alternative.
func (c *canvas) open(f Frame, title, desc string) {
	c.raw(`<svg role="img" viewBox="0 0 `)
	c.num(f.Width)
	c.raw(" ")
	c.num(f.Height)
	c.raw(`" aria-labelledby="`)
	c.label(f.ID + "-t " + f.ID + "-d")
	c.raw(`"><title id="`)
	c.label(f.ID + "-t")
	c.raw(`">`)
	c.label(title)
	c.raw(`</title><desc id="`)
	c.label(f.ID + "-d")
	c.raw(`">`)
	c.label(desc)
	c.raw(`</desc>`)
}

func (c *canvas) close() template.HTML {
	c.raw("</svg>")
	return template.HTML(c.b.String()) //nolint:gosec // every text within was escaped by label
}

func (c *canvas) raw(s string)   { c.b.WriteString(s) }
func (c *canvas) label(s string) { c.b.WriteString(html.EscapeString(s)) }

// num writes a coordinate to a tenth of a pixel.
func (c *canvas) num(v float64) { c.b.WriteString(coordinate(v)) }

func coordinate(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "0"
	}
	v = math.Round(max(-1e5, min(1e5, v))*10) / 10
	return strconv.FormatFloat(v+0, 'f', -1, 64) // +0: no minus zero
}

// element writes <name class="..." k="v" .../> with numbers for values.
func (c *canvas) element(name, class string, attributes ...any) {
	c.raw("<" + name + ` class="` + class + `"`)
	for i := 0; i+1 < len(attributes); i += 2 {
		key, _ := attributes[i].(string)
		c.raw(" " + key + `="`)
		if v, ok := attributes[i+1].(float64); ok {
			c.num(v)
		}
		c.raw(`"`)
	}
	c.raw("/>")
}

func (c *canvas) line(class string, x1, y1, x2, y2 float64) {
	c.element("line", class, "x1", x1, "y1", y1, "x2", x2, "y2", y2)
}

func (c *canvas) rect(class string, x, y, w, h float64) {
	c.element("rect", class, "x", x, "y", y, "width", max(0, w), "height", max(0, h))
}

func (c *canvas) path(class, d string) {
	if d != "" {
		c.raw(`<path class="` + class + `" d="` + d + `"/>`)
	}
}

// text writes words; anchor is start, middle or end.
func (c *canvas) text(class string, x, y float64, anchor, words string) {
	c.raw(`<text class="` + class + `" x="`)
	c.num(x)
	c.raw(`" y="`)
	c.num(y)
	if anchor != "start" {
		c.raw(`" text-anchor="` + anchor)
	}
	c.raw(`">`)
	c.label(words)
	c.raw("</text>")
}

// widest is the room that the longest of some texts takes.
func widest(texts ...string) (w float64) {
	for _, t := range texts {
		w = max(w, float64(len([]rune(t)))*charWidth)
	}
	return w
}

// colour is the class of a series' colour.
func colour(i int) string { return "c" + strconv.Itoa(((i%Colours)+Colours)%Colours) }
