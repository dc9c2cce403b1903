package profile

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"
	"go.yaml.in/yaml/v3"

	"crossdock/loadtest/pace"
)

// A value is one number of a profile, in the form that people write.
type value interface {
	read(n *yaml.Node) error // sets it
	check() error            // that it lies within its bounds
	String() string          // as read takes it
	unit() string
}

// none is how "not at all" is written where it has a meaning of its own.
const none = "none"

// pickers is the rate that the scanners make.
const pickers = "pickers"

func scalar(n *yaml.Node) (string, error) {
	if n.Kind != yaml.ScalarNode {
		return "", fmt.Errorf("one value is wanted here, not a list or a section")
	}
	return strings.TrimSpace(n.Value), nil
}

// number reads 24000, 24k, 1.5M and 70 %, to the nearest float of what is written.
func number(text string) (float64, error) {
	digits, exponent := text, ""
	for suffix, e := range map[string]string{"k": "e3", "M": "e6", "%": "e-2"} {
		if d, ok := strings.CutSuffix(text, suffix); ok {
			digits, exponent = strings.TrimRight(d, " "), e
		}
	}
	if digits == "" || strings.Trim(digits, "0123456789.-+") != "" {
		return 0, fmt.Errorf("%q is no number: write it like 24000, 24k or 1.5M", text)
	}
	v, err := strconv.ParseFloat(digits+exponent, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no number: write it like 24000, 24k or 1.5M", text)
	}
	return v, nil
}

// plain writes a number with the suffix that makes it short.
func plain(v float64) string {
	for _, s := range []struct {
		size   float64
		suffix string
	}{{1e6, "M"}, {1e3, "k"}} {
		if math.Abs(v) >= s.size && math.Mod(v, s.size/100) == 0 {
			return decimal.NewFromFloat(v/s.size).String() + s.suffix
		}
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// percent writes a share.
func percent(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Sprint(v)
	}
	return decimal.NewFromFloat(v).Shift(2).String() + " %"
}

// short leaves out what is 0 at the end: 10m, not 10m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

type rate struct{ p *float64 }

func (v rate) read(n *yaml.Node) error {
	text, err := scalar(n)
	if err != nil {
		return err
	}
	if text == pickers {
		*v.p = 0
		return nil
	}
	r, err := number(text)
	if err != nil {
		return err
	}
	if strings.HasSuffix(text, "%") {
		return fmt.Errorf("%q is a share: give events a second, like 24k", text)
	}
	if err := checkRate(r); err != nil {
		return err
	}
	*v.p = r
	return nil
}

func (v rate) check() error {
	if *v.p == 0 {
		return nil
	}
	return checkRate(*v.p)
}

func checkRate(r float64) error {
	if r >= pace.MinRate && r <= pace.MaxRate {
		return nil
	}
	return fmt.Errorf("%s events a second cannot be: give %g to %s, like 24k", plain(r), pace.MinRate, plain(pace.MaxRate))
}

func (v rate) String() string {
	if *v.p == 0 {
		return pickers
	}
	return plain(*v.p)
}

func (rate) unit() string { return "events a second" }

type share struct {
	p     *float64
	below float64 // the highest that may be
}

func (v share) read(n *yaml.Node) error {
	text, err := scalar(n)
	if err != nil {
		return err
	}
	s, err := number(text)
	if err != nil {
		return fmt.Errorf("%q is no share: write it like 0.7 or 70 %%", text)
	}
	*v.p = s
	return nil
}

func (v share) check() error {
	if *v.p >= 0 && *v.p <= v.below {
		return nil
	}
	return fmt.Errorf("%s is no share that can be: give 0 to %g (0 %% to %s)", v, v.below, percent(v.below))
}

func (v share) String() string { return percent(*v.p) }
func (share) unit() string     { return "share" }

type quantity struct { // a number of no unit, or of one that its doc names
	p         *float64
	low, high float64
	of        string
}

func (v quantity) read(n *yaml.Node) error {
	text, err := scalar(n)
	if err != nil {
		return err
	}
	*v.p, err = number(text)
	return err
}

func (v quantity) check() error {
	if *v.p >= v.low && *v.p <= v.high {
		return nil
	}
	return fmt.Errorf("%s cannot be: give %s to %s", v, plain(v.low), plain(v.high))
}

func (v quantity) String() string { return plain(*v.p) }
func (v quantity) unit() string   { return v.of }

type count[T int | int64] struct {
	p         *T
	low, high T
	of        string
	optional  bool // 0 is none
}

func (v count[T]) read(n *yaml.Node) error {
	text, err := scalar(n)
	if err != nil {
		return err
	}
	if v.optional && text == none {
		*v.p = 0
		return nil
	}
	f, err := number(text)
	if err != nil {
		return err
	}
	if f != math.Trunc(f) || math.Abs(f) >= 1<<53 {
		return fmt.Errorf("%q is no whole number: write it like 200k", text)
	}
	*v.p = T(f)
	return nil
}

func (v count[T]) check() error {
	if *v.p >= v.low && *v.p <= v.high {
		return nil
	}
	return fmt.Errorf("%s cannot be: give %s to %s", v, plain(float64(v.low)), plain(float64(v.high)))
}

func (v count[T]) String() string {
	if v.optional && *v.p == 0 {
		return none
	}
	return plain(float64(*v.p))
}

func (v count[T]) unit() string { return v.of }

type duration struct {
	p         *time.Duration
	low, high time.Duration
	optional  bool // 0 is none
}

func (v duration) read(n *yaml.Node) error {
	text, err := scalar(n)
	if err != nil {
		return err
	}
	if v.optional && text == none {
		*v.p = 0
		return nil
	}
	d, err := time.ParseDuration(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		if _, number := strconv.ParseFloat(text, 64); number == nil {
			return fmt.Errorf("%s has no unit: write %ss, %sm or %sh", text, text, text, text)
		}
		return fmt.Errorf("%q is no duration: write it like 30s, 10m or 1h30m", text)
	}
	if d == 0 && strings.ContainsAny(text, "123456789") {
		return fmt.Errorf("%q is less than a nanosecond: give more", text)
	}
	*v.p = d
	return nil
}

func (v duration) check() error {
	if *v.p >= v.low && *v.p <= v.high || v.optional && *v.p == 0 {
		return nil
	}
	if v.optional {
		return fmt.Errorf("%s cannot be: give %s to %s, or none", v, short(v.low), short(v.high))
	}
	return fmt.Errorf("%s cannot be: give %s to %s", v, short(v.low), short(v.high))
}

func (v duration) String() string {
	if v.optional && *v.p == 0 {
		return none
	}
	return short(*v.p)
}

func (duration) unit() string { return "duration" }

type flag struct{ p *bool }

func (v flag) read(n *yaml.Node) error {
	text, err := scalar(n)
	if err != nil {
		return err
	}
	switch text {
	case "true":
		*v.p = true
	case "false":
		*v.p = false
	default:
		return fmt.Errorf("%q: write true or false", text)
	}
	return nil
}

func (flag) check() error     { return nil }
func (v flag) String() string { return strconv.FormatBool(*v.p) }
func (flag) unit() string     { return "true or false" }

type text struct{ p *string }

func (v text) read(n *yaml.Node) error {
	s, err := scalar(n)
	if err == nil {
		*v.p = s
	}
	return err
}

func (text) check() error { return nil }

// String quotes where YAML would take the text for something else.
func (v text) String() string {
	b, err := yaml.Marshal(&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: *v.p})
	if err != nil || strings.Count(string(b), "\n") != 1 {
		return strconv.Quote(*v.p)
	}
	return strings.TrimSpace(string(b))
}

func (text) unit() string { return "text" }
