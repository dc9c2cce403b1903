package profile

// Parse reads a profile from its text, as YAML prints it: a run that is over is made again from what its folder says.
// label is what errors call it, and its name where the text has none.
func Parse(label, text string) (*Profile, error) {
	return parse(document{label: label, name: label, data: []byte(text)}, []string{label})
}

// MeanRate is the rate that Plan's steps are shares of, in events a second: Pace.Rate, or what the scanners make.
func (p *Profile) MeanRate() float64 { return p.rate() }
