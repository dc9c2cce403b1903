package chart

import (
	"html/template"
	"math"
	"strconv"
	"strings"
)

// Levels is how many shades a heat map has, beside that of nothing.
const Levels = 7

// Heat draws counts over time and size: dark where many are.
type Heat struct {
	Title, Desc string
	Across      Axis
	Edges       []float64 // of the columns, one more than there are
	Rows        int       // from the bottom
	Marks       []RowMark // of the vertical axis, from the bottom
	UpLabel     string    // name of the vertical axis, with its unit
	Counts      [][]int64 // by column, by row from the bottom
	Thresholds  []int64   // growing, at most Levels: a count is of the level of the last one that it reaches
	Mark        []float64 // by column, a height in rows (NaN: none), drawn as a line over the shades
	MarkName    string    // what the line is, written on a wide drawing
	Bands       []Band    // of time, marked above the plot
}

// A RowMark names a height, in rows from the bottom. Fine ones are left out where there is no room: the higher, the sooner.
type RowMark struct {
	At   float64
	Text string
	Fine int
}

// Thresholds are round steps for counts up to high, at most Levels of them.
func Thresholds(high int64) []int64 {
	if high <= 0 {
		return []int64{1}
	}
	for _, digits := range [][]int64{{1, 2, 5}, {1, 3}, {1}} {
		var all []int64
		for power := int64(1); power <= high && power <= math.MaxInt64/100; power *= 10 {
			for _, d := range digits {
				if d*power <= high {
					all = append(all, d*power)
				}
			}
		}
		if len(all) <= Levels {
			return all
		}
		if len(digits) == 1 { // the highest powers; the lowest level takes all that is below
			all = all[len(all)-Levels:]
			all[0] = 1
			return all
		}
	}
	return []int64{1}
}

func (h Heat) level(n int64) int {
	level := 0
	for i, t := range h.Thresholds {
		if n >= t {
			level = i + 1
		}
	}
	return min(level, Levels)
}

// Shade is the class of a level where there are few levels: they are spread over all shades, the last being the strongest.
func Shade(level, levels int) string {
	if levels <= 1 {
		return "h" + strconv.Itoa(Levels)
	}
	return "h" + strconv.Itoa(1+(level-1)*(Levels-1)/(levels-1))
}

// Draw draws into a frame. Its height is that of rows of at least 6 pixels.
func (h Heat) Draw(f Frame) Drawing {
	left := 12.0
	for _, m := range h.Marks {
		left = max(left, widest(m.Text)+12)
	}
	p := plot{x: left, y: above, w: max(40, f.Width-left-14), h: max(20, f.Height-above-below), across: h.Across}
	if f.Direct && h.MarkName != "" {
		p.w = max(40, p.w-widest(h.MarkName)-20)
	}
	var c canvas
	c.open(f, h.Title, h.Desc)
	if h.Rows <= 0 || len(h.Edges) < 2 {
		c.text("name", f.Width/2, f.Height/2, "middle", "nothing was measured")
		return Drawing{SVG: c.close(), Left: p.x / f.Width, Width: p.w / f.Width}
	}
	tall := p.h / float64(h.Rows)
	c.rect("h0", p.x, p.y, p.w, p.h)
	for level := 1; level <= len(h.Thresholds); level++ {
		c.path(Shade(level, len(h.Thresholds)), h.cells(p, level, tall))
	}
	c.rowNames(p, h.Marks, tall)
	if h.UpLabel != "" {
		c.text("name", 0, 11, "start", h.UpLabel)
	}
	for _, b := range h.Bands {
		if finite(b.From) && finite(b.To) {
			x := p.px(b.From)
			c.rect("bandmark", x, p.y-6, max(2, p.px(b.To)-x), 4)
		}
	}
	if d, end := h.mark(p, tall); d != "" {
		c.path("halo", d)
		c.path("mark", d)
		if f.Direct && h.MarkName != "" {
			c.text("series", p.x+p.w+10, max(p.y+10, min(p.y+p.h-2, end+4)), "start", h.MarkName)
		}
	}
	c.across(p)
	return Drawing{SVG: c.close(), Left: p.x / f.Width, Width: p.w / f.Width}
}

// cells is the path of all cells of a level; neighbours in a row are one.
func (h Heat) cells(p plot, level int, tall float64) string {
	var d strings.Builder
	height := coordinate(tall + 0.3) // so that no hairline of the ground shows between rows
	for row := range max(0, h.Rows) {
		y := coordinate(p.y + p.h - float64(row+1)*tall - 0.3)
		for column := 0; column+1 < len(h.Edges); column++ {
			if h.levelAt(column, row) != level {
				continue
			}
			end := column + 1
			for end+1 < len(h.Edges) && h.levelAt(end, row) == level {
				end++
			}
			x := p.px(h.Edges[column])
			width := coordinate(max(0.5, p.px(h.Edges[end])-x+0.3))
			d.WriteString("M" + coordinate(x) + " " + y + "h" + width + "v" + height + "h-" + width + "z")
			column = end - 1
		}
	}
	return d.String()
}

func (h Heat) levelAt(column, row int) int {
	if column >= len(h.Counts) || row >= len(h.Counts[column]) {
		return 0
	}
	return h.level(h.Counts[column][row])
}

// rowNames writes the marks of the vertical axis, all kinds where there is room, else the rounder ones.
func (c *canvas) rowNames(p plot, marks []RowMark, tall float64) {
	coarse := 0
	for _, m := range marks {
		coarse = max(coarse, m.Fine)
	}
	for ; coarse > 0; coarse-- {
		last, fits := math.Inf(1), true
		for _, m := range marks {
			if y := m.At * tall; m.Fine <= coarse {
				fits, last = fits && math.Abs(last-y) >= lineHeight+2, y
			}
		}
		if fits {
			break
		}
	}
	for _, m := range marks {
		if m.Fine > coarse || !finite(m.At) {
			continue
		}
		y := p.y + p.h - m.At*tall
		c.line("axis", p.x-4, y, p.x, y)
		c.text("tick", p.x-8, y+4, "end", m.Text)
	}
}

// mark is the path of the line over the shades, and the height at which it ends.
func (h Heat) mark(p plot, tall float64) (d string, end float64) {
	var b strings.Builder
	drawn := false
	for i, v := range h.Mark {
		if !finite(v) || i+1 >= len(h.Edges) {
			drawn = false
			continue
		}
		y := p.y + p.h - max(0, min(float64(h.Rows), v))*tall
		if drawn {
			b.WriteString("V" + coordinate(y))
		} else {
			b.WriteString("M" + coordinate(p.px(h.Edges[i])) + " " + coordinate(y))
		}
		b.WriteString("H" + coordinate(p.px(h.Edges[i+1])))
		drawn, end = true, y
	}
	return b.String(), end
}

// A Swatch is one entry of a heat map's legend.
type Swatch struct {
	Class string
	Text  string
}

// Legend names the levels of thresholds: "none", "1–9", "10–99", "100 and more".
func Legend(thresholds []int64, format func(int64) string) []Swatch {
	all := []Swatch{{"h0", "none"}}
	for i, t := range thresholds {
		text := format(t) + " and more"
		if i+1 < len(thresholds) {
			text = format(t) + "–" + format(thresholds[i+1]-1)
			if thresholds[i+1]-1 == t {
				text = format(t)
			}
		}
		all = append(all, Swatch{Shade(i+1, len(thresholds)), text})
	}
	return all
}

// Key is a small square in a class's colour, for a legend.
func Key(class string) template.HTML {
	var c canvas
	c.raw(`<svg class="key" viewBox="0 0 14 14" aria-hidden="true">`)
	c.rect(class, 0, 0, 14, 14)
	return c.close()
}

// LineKey is a short line in a series' colour, for a legend; a Behind one is a grey square.
func LineKey(s Series) template.HTML {
	if s.Behind {
		return Key("behind")
	}
	var c canvas
	c.raw(`<svg class="key" viewBox="0 0 14 14" aria-hidden="true">`)
	c.line(s.class(), 0, 7, 14, 7)
	return c.close()
}
