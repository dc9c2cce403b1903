package series

import (
	"testing"

	"pgregory.net/rapid"
)

// However many values come: there are few, evenly spread, in their order, and the last one is there.
func TestASeriesIsBoundedEvenAndEndsWithTheLast(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		most, n := rapid.IntRange(1, 50).Draw(rt, "most"), rapid.IntRange(0, 5000).Draw(rt, "n")
		s := New[int](most)
		for i := range n {
			s.Add(i + 1)
			if s.Len() > most+2 {
				rt.Fatalf("%d values, at most %d", s.Len(), most)
			}
			if s.Last() != i+1 || s.At(s.Len()-1) != i+1 {
				rt.Fatalf("after %d the last is %d, and %d at the end", i+1, s.Last(), s.At(s.Len()-1))
			}
		}
		all := s.All()
		if len(all) < min(n, max(1, most/2)) {
			rt.Fatalf("%d of %d values, %d may be kept", len(all), n, most)
		}
		for i := 1; i < len(all); i++ {
			apart := all[i] - all[i-1]
			if apart != s.Each() && (i < len(all)-1 || apart <= 0 || apart > s.Each()) {
				rt.Fatalf("%v: %d apart, not %d", all, apart, s.Each())
			}
		}
	})
}

func TestWhatFitsIsKeptWhole(t *testing.T) {
	s := New[int](8)
	for i := range 7 {
		s.Add(i)
	}
	if s.Len() != 7 || s.Each() != 1 || s.At(3) != 3 {
		t.Error(s.All())
	}
}
