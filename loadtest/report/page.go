package report

import (
	"html/template"
	"io"
)

// WriteHTML writes the report as one self-contained page.
func (r *Report) WriteHTML(w io.Writer) error {
	line, _ := r.headline()
	_, err := io.WriteString(w, "<!doctype html><title>"+template.HTMLEscapeString(line)+"</title><p>"+template.HTMLEscapeString(r.whatRan()))
	return err
}

// WriteHTML writes the comparison as one self-contained page.
func (c *Comparison) WriteHTML(w io.Writer) error {
	_, err := io.WriteString(w, "<!doctype html><title>"+template.HTMLEscapeString(c.A.Run+" and "+c.B.Run)+"</title>")
	return err
}
