package runtime

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
)

// A mark is read as it was written, those of versions before too; what another program committed is none.
func TestMarkIsReadAsItWasWritten(t *testing.T) {
	whole := mark{number: 17, logs: []logMark{{topic: 0xfedcba9876543210, span: span{3, 1 << 40}}, {topic: 0, span: span{0, 0}}}}
	text := *whole.metadata()
	if text != "crossdock:2:17:fedcba9876543210@3+1099511627773:0@0+0" {
		t.Errorf("it is %s", text)
	}
	for given, want := range map[string]mark{
		text: whole, "crossdock:2:5": {number: 5}, "crossdock:1:8": {number: 8},
		"": {}, "crossdock:3:8": {}, "crossdock:1:": {}, "crossdock:2:x": {}, "crossdock:2:5:": {}, "crossdock:2:5:1@2": {}, "crossdock:2:5:1@-2+1": {}, "another": {},
	} {
		if diff := cmp.Diff(want, readMark(&given), cmp.AllowUnexported(mark{}, logMark{}, span{})); diff != "" {
			t.Errorf("%q: %s", given, diff)
		}
	}
	if m := readMark(nil); m.number != 0 || m.logs != nil {
		t.Errorf("nothing is %+v", m)
	}
}

// A changelog that has lost what the group has committed stops the application by name, instead of looking like that of one which has
// just begun. What the operator decides then is what the remedy says.
func TestChangelogThatLostWhatWasCommittedStopsByName(t *testing.T) {
	for _, lost := range []struct {
		name string
		lose func(r *rig, adm *kadm.Client) error
	}{
		{"made anew", func(r *rig, adm *kadm.Client) error {
			if _, err := adm.DeleteTopic(r.t.Context(), r.changelog()); err != nil {
				return err
			}
			_, err := adm.CreateTopic(r.t.Context(), 1, 1, r.topicConfig(r.changelog()), r.changelog())
			return err
		}},
		{"emptied", func(r *rig, adm *kadm.Client) error {
			ends, err := adm.ListEndOffsets(r.t.Context(), r.changelog())
			if err != nil {
				return err
			}
			deleted, err := adm.DeleteRecords(r.t.Context(), ends.Offsets())
			if err != nil {
				return err
			}
			return deleted.Error()
		}},
	} {
		for _, remedy := range []string{"--to-earliest", "--to-current"} {
			t.Run(lost.name+" "+remedy, func(t *testing.T) {
				c := fake(t)
				r := newRig(t, c.ListenAddrs(), countingStage(nil), 1)
				adm := kadm.NewClient(r.client)
				r.send(200, 10)
				p := r.start(r.config("a"))
				r.drained()
				p.close(t)
				if err := lost.lose(r, adm); err != nil {
					t.Fatal(err)
				}
				log := &logged{}
				if reason := r.start(r.config("b"), log.to).exitReason(t); reason != ChangelogLost {
					t.Fatalf("it stopped as %s", reason)
				}
				// The remedy, as kafka-consumer-groups.sh does it: an offset without metadata.
				committed, err := adm.FetchOffsets(t.Context(), r.app)
				if err != nil {
					t.Fatal(err)
				}
				var offsets kadm.Offsets
				committed.Each(func(o kadm.OffsetResponse) {
					if o.Metadata = ""; remedy == "--to-earliest" {
						o.At = 0
					}
					offsets.Add(o.Offset)
				})
				until(t, "the members have left", func() bool {
					done, err := adm.CommitOffsets(t.Context(), r.app, offsets)
					return err == nil && done.Error() == nil
				})
				r.send(10, 10)
				p = r.start(r.config("b"))
				r.drained()
				p.close(t)
			})
		}
	}
}

// A changelog of an application that has lost nothing is whole, however often it starts.
func TestMarkOfAWholeChangelogStopsNobody(t *testing.T) {
	m := mark{number: 3, logs: []logMark{{topic: 1, span: span{2, 10}}}}
	id := [16]byte{7: 1}
	for _, c := range []struct {
		store int
		id    [16]byte
		now   span
		whole bool
	}{
		{0, id, span{2, 10}, true}, {0, id, span{2, 99}, true}, {0, id, span{0, 10}, true}, {0, [16]byte{}, span{2, 10}, true}, {1, id, span{0, 0}, true},
		{0, id, span{2, 9}, false}, {0, id, span{3, 10}, false}, {0, [16]byte{7: 2}, span{2, 10}, false},
	} {
		if why := m.lost(c.store, c.id, c.now); (why == "") != c.whole {
			t.Errorf("%+v: %q", c, why)
		}
	}
}
