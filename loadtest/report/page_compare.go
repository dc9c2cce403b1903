package report

import (
	"fmt"
	"html/template"
	"io"
	"strings"

	"crossdock/loadtest/report/chart"
)

type comparisonPage struct {
	page
	Sides    []sideView
	Warnings []string
}

type sideView struct {
	Letter, Run, Headline, About, Verdict string
	State                                 state
}

// WriteHTML writes the comparison as one self-contained page.
func (c *Comparison) WriteHTML(w io.Writer) error {
	p := comparisonPage{page: newPage(c.headline()), Warnings: c.Warnings}
	for _, s := range []struct {
		letter string
		side   Side
	}{{"A", c.A}, {"B", c.B}} {
		about := fmt.Sprintf("Profile %s, %s", or(s.side.Profile, absent), moment(s.side.Began))
		if s.side.Revision != "" {
			about += ", crossdock " + shortRevision(s.side.Revision)
		}
		about += "."
		if s.side.Objectives > 0 {
			about += fmt.Sprintf(" %d of %d objectives met.", s.side.Met, s.side.Objectives)
		}
		p.Sides = append(p.Sides, sideView{s.letter, or(s.side.Run, "without a name"), s.side.Headline, about, grouped(s.side.Verdict), s.side.state})
	}
	p.Sections = append(p.Sections, c.setupSection(), c.figuresSection())
	if s := c.curvesSection(); len(s.Figures) > 0 {
		p.Sections = append(p.Sections, s)
	}
	return render(w, "comparison", p)
}

// headline tells of the hop that matters most, where both measured it.
func (c *Comparison) headline() string {
	best := ""
	for _, f := range c.Figures {
		hop, ok := strings.CutPrefix(f.Section, "Latency: ")
		if !ok || f.Name != "p99" || f.A == nil || f.B == nil {
			continue
		}
		_, word := f.change()
		if word == "" {
			word = "about the same"
		}
		best = fmt.Sprintf("%s, p99: %s in A, %s in B (%s)", hop, f.Unit.text(f.A), f.Unit.text(f.B), word)
		if hop == hopLabel("balance") {
			break
		}
	}
	return or(best, "Two runs side by side")
}

func (c *Comparison) setupSection() section {
	s := section{ID: "setup", Title: "What differs in how they ran"}
	if len(c.Setup) == 0 {
		s.Intro = []string{"Nothing: the same revision, machine, versions and profile."}
		return s
	}
	t := table{Head: []string{"", "A", "B"}, Wordy: []int{1, 2}}
	for _, d := range c.Setup {
		t.Rows = append(t.Rows, cells(d.Name, or(d.A, absent), or(d.B, absent)))
	}
	s.Tables = []table{t}
	return s
}

func (c *Comparison) figuresSection() section {
	s := section{ID: "figures", Title: "Figures", Intro: []string{
		fmt.Sprintf("The bar runs from the middle, no change, to the ratio B/A, on a logarithmic scale that ends at a quarter and at four times. Changes under %s are not judged: of one run each they may be chance.", share(noticeable, 1)),
	}}
	t := table{Head: []string{"", "A", "B", "B/A", "¼× to 4×", ""}, Wordy: []int{5}, Full: true}
	section := ""
	for i, f := range c.Figures {
		if f.Section != section {
			section = f.Section
			t.Rows = append(t.Rows, row{Cells: []cell{{Text: section}, {}, {}, {}, {}, {}}, Group: true})
		}
		state, word := f.change()
		bar := template.HTML("")
		if f.Ratio != nil {
			bar = chart.Ratio{Title: f.Name + ": " + f.ratio(), Value: *f.Ratio, Class: string(state)}.Draw(chart.Frame{Width: 120, Height: 16, ID: fmt.Sprintf("ratio-%d", i)}).SVG
		}
		judged := cell{Text: word}
		if word != "" {
			judged.State = state
		}
		t.Rows = append(t.Rows, row{Cells: []cell{{Text: f.Name}, {Text: f.Unit.text(f.A)}, {Text: f.Unit.text(f.B)}, {Text: f.ratio()}, {Drawing: bar, Class: "ratio"}, judged}})
	}
	s.Tables = []table{t}
	return s
}

func (c *Comparison) curvesSection() section {
	s := section{ID: "latency", Title: "Latency curves"}
	for i, o := range c.Curves {
		curves := []curve{}
		for n, side := range []struct {
			name   string
			points []Point
		}{{"A", o.A}, {"B", o.B}} {
			if len(side.points) > 0 {
				curves = append(curves, curve{name: side.name, colour: n, points: side.points})
			}
		}
		title := hopLabel(o.Hop)
		if len(curves) == 2 {
			title += fmt.Sprintf(": 99 %% of events within %s in A, %s in B", quantileAt(o.A, 0.99), quantileAt(o.B, 0.99))
		} else if len(curves) == 1 {
			title += ": measured in " + curves[0].name + " alone"
		}
		if f, ok := quantileFigure(fmt.Sprintf("curve-%d", i), title, curves); ok {
			if i > 0 {
				f.Note = "" // said once
			}
			s.Figures = append(s.Figures, f)
		}
	}
	return s
}
