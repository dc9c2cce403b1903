package chart

// Points draws single points of two kinds, told apart by form as well as by colour.
type Points struct {
	Title, Desc string
	Across, Up  Axis
	Points      []Point
	Bounds      []Bound
}

// A Point is a ring where Good, a cross otherwise, with a short text beside it.
type Point struct {
	X, Y float64
	Good bool
	Text string
}

// Draw draws into a frame.
func (s Points) Draw(f Frame) Drawing {
	p := lay(f, s.Across, s.Up, 24)
	var c canvas
	c.open(f, s.Title, s.Desc)
	c.axes(p, f)
	c.bounds(p, s.Bounds)
	var taken [][2]float64
	for _, point := range s.Points {
		if !finite(point.X) || !finite(point.Y) {
			continue
		}
		x, y := p.px(point.X), p.py(point.Y)
		if point.Good {
			c.element("circle", "pointgood", "cx", x, "cy", y, "r", 5.0)
		} else {
			c.line("pointbad", x-5, y-5, x+5, y+5)
			c.line("pointbad", x-5, y+5, x+5, y-5)
		}
		// Bisection ends with neighbours close together: a text goes where none is yet.
		tx, ty := x, y-11
		for _, place := range [][2]float64{{0, -11}, {0, 21}, {14, 4}, {-14, 4}, {0, -25}, {0, 35}} {
			tx, ty = x+place[0], y+place[1]
			if ty > p.y+8 && ty < p.y+p.h-2 && free(taken, tx, ty) {
				break
			}
		}
		taken = append(taken, [2]float64{tx, ty})
		c.text("series", tx, ty, "middle", point.Text)
	}
	return Drawing{SVG: c.close(), Left: p.x / f.Width, Width: p.w / f.Width}
}

func free(taken [][2]float64, x, y float64) bool {
	for _, t := range taken {
		if t[0]-x < 14 && x-t[0] < 14 && t[1]-y < 13 && y-t[1] < 13 {
			return false
		}
	}
	return true
}
