// Package series keeps what was seen over time in bounded room, however long it takes: when there is much, every other
// value goes. What is cumulated loses nothing by it, and a mean over a stretch little.
package series

// A Series are values in the order in which they came, evenly thinned out, and always the last one. It is not safe for use
// by several goroutines. Its zero value keeps nothing; see New.
type Series[T any] struct {
	most  int // even
	each  int // values for one that is kept
	added int
	kept  []T // the last of every each
	last  T
	loose bool // last is not among those kept
}

// New makes a Series that keeps at most so many values, and half as many at least where so many came.
func New[T any](most int) Series[T] { return Series[T]{most: max(2, most+most%2), each: 1} }

// Add adds a value.
func (s *Series[T]) Add(v T) {
	s.added++
	s.last, s.loose = v, true
	if s.added%s.each != 0 {
		return
	}
	s.kept, s.loose = append(s.kept, v), false
	if len(s.kept) < s.most {
		return
	}
	s.each *= 2
	half := len(s.kept) / 2
	for i := range half {
		s.kept[i] = s.kept[2*i+1]
	}
	clear(s.kept[half:])
	s.kept = s.kept[:half]
}

// Len is how many values there are.
func (s *Series[T]) Len() int {
	if s.loose {
		return len(s.kept) + 1
	}
	return len(s.kept)
}

// At is the i-th of them.
func (s *Series[T]) At(i int) T {
	if i == len(s.kept) && s.loose {
		return s.last
	}
	return s.kept[i]
}

// Last is the value that was added last; the zero value where none was.
func (s *Series[T]) Last() T { return s.last }

// Each is how many were added for one that is there.
func (s *Series[T]) Each() int { return s.each }

// All are those that are there.
func (s *Series[T]) All() []T {
	all := make([]T, s.Len())
	for i := range all {
		all[i] = s.At(i)
	}
	return all
}
