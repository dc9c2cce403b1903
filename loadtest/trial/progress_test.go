package trial

import (
	"testing"
	"time"

	"crossdock/loadtest/send"
)

func TestACourseTellsSlicesBetweenItsLooks(t *testing.T) {
	var c course
	if got := c.at(time.Second); got != (pulse{}) {
		t.Errorf("before the first look: %+v", got)
	}
	for _, p := range []send.Progress{
		{Elapsed: 200 * time.Millisecond, Made: 20, Acknowledged: 10},
		{Elapsed: time.Second, Made: 100, Acknowledged: 90},
		{Elapsed: time.Second, Made: 100, Acknowledged: 95}, // no time has passed: nothing new can be told by slice
		{Elapsed: 3 * time.Second, Made: 500, Acknowledged: 490},
	} {
		c.note(p)
	}
	for at, want := range map[time.Duration]pulse{
		0:                      {},
		100 * time.Millisecond: {100 * time.Millisecond, 10, 5},
		time.Second:            {time.Second, 100, 90},
		2 * time.Second:        {2 * time.Second, 300, 290},
		3 * time.Second:        {3 * time.Second, 500, 490},
		9 * time.Second:        {9 * time.Second, 500, 490},
	} {
		if got := c.at(at); got != want {
			t.Errorf("at %v: %+v, want %+v", at, got, want)
		}
	}
	if got := c.recently(2 * time.Second); got != 200 {
		t.Errorf("%v a second lately, want 200", got)
	}
}
