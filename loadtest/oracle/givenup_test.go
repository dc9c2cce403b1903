package oracle

import (
	"strings"
	"testing"

	"crossdock/avro/event"
	"crossdock/avro/serde"
)

// Where parking has a time limit, what waits in vain comes out as a dead letter and an exception besides, once each.
func TestWhatWaitsInVainComesOutOnceMoreInEachPlace(t *testing.T) {
	for name, c := range map[string]struct {
		wrong func(h *honest)
		says  string
	}{
		"all of it":                {func(*honest) {}, "verified: 7 events, 0 lost, 0 duplicated"},
		"one is given up twice":    {func(h *honest) { h.letters = append(h.letters, h.letters[1]) }, "duplicated"},
		"one exception is lost":    {func(h *honest) { h.exceptions = h.exceptions[:len(h.exceptions)-1] }, "exceptions MASTER_DATA_MISSING was expected"},
		"a dead letter is lost":    {func(h *honest) { h.letters = h.letters[:2] }, "dead letters MASTER_DATA_MISSING was expected"},
		"one has another's reason": {func(h *honest) { h.letters[1].Cause = "PANIC" }, "dead letters PANIC, dead letters MASTER_DATA_MISSING was expected"},
	} {
		t.Run(name, func(t *testing.T) {
			o, h := spoilt(t)
			o.options.GivenUp = true
			for _, p := range h.parked {
				h.letters = append(h.letters, &event.DeadLetter{Cause: "MASTER_DATA_MISSING", Topic: "parking-inbox", Value: event.Some(serde.Local().Append(nil, p))})
				x := &event.LogisticsException{Class: "MASTER_DATA_MISSING", Reference: p.Code}
				x.Header.CausationID = event.Some(p.EventID)
				h.exceptions = append(h.exceptions, x)
			}
			c.wrong(&h)
			v := judge(o, h)
			said := v.String()
			for _, f := range v.Findings {
				for _, d := range f.Differences {
					said += "\n" + d.String()
				}
			}
			if !strings.Contains(said, c.says) {
				t.Errorf("%s", said)
			}
		})
	}
}
