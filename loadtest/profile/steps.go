package profile

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxSteps bounds a shape that someone writes by hand.
const maxSteps = 1000

// maxFactor is how far a step or a spike may rise above the rate.
const maxFactor = 1000

// steps are written as a list: [{rate: 25 %, for: 20 %}, {rate: 100 %, for: 80 %}].
type steps struct{ p *[]Step }

func (v steps) read(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode && (n.Value == none || n.Tag == "!!null") {
		*v.p = nil
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		return errors.New("a list of steps is wanted here: write [{rate: 25 %, for: 20 %}, {rate: 100 %, for: 80 %}], or none")
	}
	var all []Step
	var problems []error
	for i, item := range n.Content {
		s, err := readStep(item)
		if err != nil {
			problems = append(problems, fmt.Errorf("step %d (line %d): %w", i+1, item.Line, err))
		}
		all = append(all, s)
	}
	if len(problems) == 0 {
		*v.p = all
	}
	return errors.Join(problems...)
}

func readStep(n *yaml.Node) (Step, error) {
	if n.Kind != yaml.MappingNode {
		return Step{}, errors.New("write {rate: 25 %, for: 20 %}")
	}
	var s Step
	parts := map[string]*float64{"rate": &s.Rate, "for": &s.For}
	var problems []error
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i].Value
		p, ok := parts[name]
		if !ok {
			problems = append(problems, fmt.Errorf("it has rate and for, each once, and no %s", name))
			continue
		}
		delete(parts, name)
		if err := (share{p: p}).read(n.Content[i+1]); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", name, err))
		}
	}
	for _, name := range []string{"rate", "for"} {
		if _, missing := parts[name]; missing {
			problems = append(problems, fmt.Errorf("it has no %s", name))
		}
	}
	return s, errors.Join(problems...)
}

func (v steps) check() error {
	if len(*v.p) == 0 {
		return nil
	}
	if len(*v.p) > maxSteps {
		return fmt.Errorf("%d steps: give at most %d", len(*v.p), maxSteps)
	}
	var problems []error
	sum, highest := 0.0, 0.0
	for i, s := range *v.p {
		if !(s.Rate >= 0 && s.Rate <= maxFactor) {
			problems = append(problems, fmt.Errorf("step %d: a rate of %s: give 0 %% to %s of the run's rate", i+1, percent(s.Rate), percent(maxFactor)))
		}
		if !(s.For > 0 && s.For <= 1) {
			problems = append(problems, fmt.Errorf("step %d lasts %s of the run: give more than 0 %%, at most 100 %%", i+1, percent(s.For)))
		}
		sum += s.For
		highest = max(highest, s.Rate)
	}
	if len(problems) == 0 && math.Abs(sum-1) > 1e-9 {
		problems = append(problems, fmt.Errorf("the steps last %s of the run together: make it 100 %%", percent(math.Round(sum*1e6)/1e6)))
	}
	if len(problems) == 0 && highest == 0 {
		problems = append(problems, errors.New("no step has a rate above 0: give at least one"))
	}
	return errors.Join(problems...)
}

func (v steps) String() string {
	if len(*v.p) == 0 {
		return none
	}
	all := make([]string, len(*v.p))
	for i, s := range *v.p {
		all[i] = fmt.Sprintf("{rate: %s, for: %s}", percent(s.Rate), percent(s.For))
	}
	return "[" + strings.Join(all, ", ") + "]"
}

func (steps) unit() string { return "list" }
