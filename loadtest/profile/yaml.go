package profile

import (
	"fmt"
	"strings"
)

// YAML is the profile as it runs: every value, with what it means. Load reads it as the same profile, whatever the defaults
// are by then.
func (p *Profile) YAML() string {
	var b strings.Builder
	var open []string
	for _, s := range p.settings() {
		parts := strings.Split(s.key, ".")
		sections := parts[:len(parts)-1]
		same := 0
		for same < min(len(open), len(sections)) && open[same] == sections[same] {
			same++
		}
		for depth := same; depth < len(sections); depth++ {
			fmt.Fprintf(&b, "%s%s:\n", strings.Repeat("  ", depth), sections[depth])
		}
		open = sections
		line := fmt.Sprintf("%s%s: %s", strings.Repeat("  ", len(sections)), parts[len(parts)-1], s.value)
		if len(sections) == 0 {
			fmt.Fprintln(&b, line)
			continue
		}
		fmt.Fprintf(&b, "%-34s # %s (%s)\n", line, s.doc, s.value.unit())
	}
	return b.String()
}
