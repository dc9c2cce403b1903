package report

import (
	_ "embed" // the page's text
	"fmt"
	"html/template"
	"io"

	"crossdock/loadtest/report/chart"
)

// The page's parts: its structure, its looks, and what follows the pointer.
var (
	//go:embed page/page.tmpl
	pageTemplate string
	//go:embed page/page.css
	pageCSS string
	//go:embed page/page.js
	pageJS string
)

// A page is what both pages share.
type page struct {
	Title    string
	CSS      template.CSS
	JS       template.JS
	Sections []section
}

// A section is a part of a page; what it lacks is left out.
type section struct {
	ID      string
	Title   string
	Short   string // for the list of sections; empty: Title
	Intro   []string
	Figures []figureView // over the whole width
	Small   []figureView // side by side
	Tables  []table
	Side    []table // side by side
	Keys    []keyView
	List    []string
	Folded  []folded
}

// A figureView is a chart with a sentence that says what is seen in it, and its numbers folded beneath.
type figureView struct {
	ID           string
	Title, Note  string
	Wide, Narrow chart.Drawing // Narrow empty: Wide serves both
	Legend       []legendEntry
	NarrowLegend bool // the wide drawing has its names beside the lines
	Ramp         bool // the legend is that of a heat map
	Hover        *chart.Hover
	Table        *table
}

type legendEntry struct {
	Key  template.HTML
	Text string
}

// A table has its first column on the left and numbers on the right; columns named in Wordy hold text.
type table struct {
	Caption string
	Head    []string
	Rows    []row
	Wordy   []int
	Full    bool // takes the whole width
}

// Words says whether a column holds text.
func (t table) Words(column int) bool {
	for _, w := range t.Wordy {
		if w == column {
			return true
		}
	}
	return false
}

type row struct {
	Cells []cell
	Group bool
}

type cell struct {
	Text    string
	Of      string // what it is a part of, in grey
	Class   string
	State   state
	Drawing template.HTML
}

// cells are plain ones.
func cells(texts ...string) row {
	var r row
	for _, t := range texts {
		r.Cells = append(r.Cells, cell{Text: t})
	}
	return r
}

type keyView struct {
	Key     string
	What    []string
	Events  []string
	Omitted string
	Open    bool
}

type folded struct{ Summary, Text string }

// The frames: beside their text on a screen or paper, and on a phone.
const (
	wideWidth   = 1040
	narrowWidth = 360
	smallWidth  = 320
)

// drawer is a chart that draws into any frame.
type drawer interface {
	Draw(chart.Frame) chart.Drawing
}

// draw fills a figure with both drawings.
func (f *figureView) draw(d drawer, height, narrowHeight float64) {
	f.Wide = d.Draw(chart.Frame{Width: wideWidth, Height: height, Direct: true, ID: f.ID + "-w"})
	f.Narrow = d.Draw(chart.Frame{Width: narrowWidth, Height: narrowHeight, ID: f.ID + "-n"})
}

// lines makes a figure of a line chart.
func lines(id, title, note string, l chart.Lines, height float64, numbers *table) figureView {
	l.Title = title
	if l.Desc == "" {
		l.Desc = note
	}
	f := figureView{ID: id, Title: title, Note: note, NarrowLegend: true, Hover: l.Hover(), Table: numbers}
	for _, s := range l.Series {
		f.Legend = append(f.Legend, legendEntry{chart.LineKey(s), s.Name})
	}
	f.draw(l, height, min(height, 250))
	return f
}

// render executes one of the page's templates.
func render(w io.Writer, name string, view any) error {
	t, err := template.New("").Parse(pageTemplate)
	if err != nil {
		return fmt.Errorf("report: the page's template: %w", err)
	}
	if err := t.ExecuteTemplate(w, name, view); err != nil {
		return fmt.Errorf("report: the page: %w", err)
	}
	return nil
}

// newPage is a page without sections.
func newPage(title string) page {
	return page{Title: title, CSS: template.CSS(pageCSS), JS: template.JS(pageJS)} //nolint:gosec // both are this package's own files
}
