package registry

import (
	"encoding/json"
	"fmt"

	"github.com/twmb/avro"
)

// A level is which schemas a new one must be compatible with, and in which direction.
type level string

const (
	none               level = "NONE"
	backward           level = "BACKWARD"            // the new one reads what the latest wrote
	backwardTransitive level = "BACKWARD_TRANSITIVE" // ... what every version wrote
	forward            level = "FORWARD"             // the latest reads what the new one writes
	forwardTransitive  level = "FORWARD_TRANSITIVE"
	full               level = "FULL" // both
	fullTransitive     level = "FULL_TRANSITIVE"
)

// UnmarshalJSON refuses what is no level.
func (l *level) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	switch *l = level(s); *l {
	case none, backward, backwardTransitive, forward, forwardTransitive, full, fullTransitive:
		return nil
	}
	return invalidLevel()
}

func invalidLevel() error {
	return apiError{statusUnprocessable, codeInvalidLevel,
		"Invalid compatibility level. Valid values are none, backward, forward, full, backward_transitive, forward_transitive, and full_transitive"}
}

func (l level) transitive() bool {
	return l == backwardTransitive || l == forwardTransitive || l == fullTransitive
}

func (l level) readsOld() bool {
	return l == backward || l == backwardTransitive || l == full || l == fullTransitive
}

func (l level) readByOld() bool {
	return l == forward || l == forwardTransitive || l == full || l == fullTransitive
}

// A mode is whether schemas may be registered.
type mode string

const (
	readWrite        mode = "READWRITE"
	readOnly         mode = "READONLY"
	readOnlyOverride mode = "READONLY_OVERRIDE"
	importMode       mode = "IMPORT"
)

// UnmarshalJSON refuses what is no mode.
func (m *mode) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	switch *m = mode(s); *m {
	case readWrite, readOnly, readOnlyOverride:
		return nil
	case importMode:
		return notPermitted("This registry gives out its ids itself: the mode IMPORT is not available")
	}
	return invalidMode()
}

func invalidMode() error {
	return apiError{statusUnprocessable, codeInvalidMode, "Invalid mode. Valid values are READWRITE, READONLY, READONLY_OVERRIDE, IMPORT"}
}

// levelOf is the level that a subject's next version must keep to. mu is held.
func (r *Registry) levelOf(name string) level {
	if sub := r.state.Subjects[name]; sub != nil && sub.Level != "" {
		return sub.Level
	}
	return r.state.Level
}

// writable is nil where a subject takes new versions. mu is held.
func (r *Registry) writable(name string) error {
	m := r.state.Mode
	if sub := r.state.Subjects[name]; sub != nil && sub.Mode != "" && m != readOnlyOverride {
		m = sub.Mode
	}
	if m != readWrite {
		return notPermitted(fmt.Sprintf("Subject %s is in read-only mode", name))
	}
	return nil
}

// incompatible says why a schema may not follow versions of a subject; nothing where it may. mu is held.
func (r *Registry) incompatible(next *avro.Schema, l level, name string, versions []int) ([]string, error) {
	if !l.transitive() && len(versions) > 1 {
		versions = versions[len(versions)-1:]
	}
	if l == none {
		return nil, nil
	}
	var why []string
	for _, version := range versions {
		old, err := r.compile(r.state.Schemas[r.state.Subjects[name].Versions[version-1]-1])
		if err != nil {
			return nil, err
		}
		if l.readsOld() {
			if err := avro.CheckCompatibility(old, next); err != nil {
				why = append(why, fmt.Sprintf("the new schema cannot read what version %d has written: %v", version, err))
			}
		}
		if l.readByOld() {
			if err := avro.CheckCompatibility(next, old); err != nil {
				why = append(why, fmt.Sprintf("version %d cannot read what the new schema writes: %v", version, err))
			}
		}
	}
	if len(why) > 0 {
		why = append(why, fmt.Sprintf("{compatibility: '%s'}", l))
	}
	return why, nil
}
