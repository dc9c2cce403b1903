// Package spelling finds the name that someone meant who wrote another one, for errors that help.
package spelling

import (
	"iter"
	"strings"
)

// Nearest is the name that fewest edits lead to from what was written, or "" where none is near: more than a third of its
// letters differ. Names have parts with dots between. Where what was written is near to a section, which are the first parts
// of a name, that is meant; and what has the same last part in another section is near too.
func Nearest(names iter.Seq[string], written string) string {
	best, least := "", max(1, len(written)/3)+1
	take := func(name string, far int) {
		if far < least {
			best, least = name, far
		}
	}
	for name := range names {
		take(name, distance(name, written))
		if far := distance(last(name), last(written)); far <= len(last(written))/3 {
			take(name, far+1)
		}
		for section := parent(name); section != ""; section = parent(section) {
			take(section, distance(section, written))
		}
	}
	return best
}

func last(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

func parent(name string) string { return name[:max(0, strings.LastIndexByte(name, '.'))] }

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
