package catalog

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"crossdock/avro/event"
	"crossdock/connectors"
	"crossdock/connectors/canonical"
)

func open(t *testing.T) (*connectors.Table, *canonical.Codec) {
	t.Helper()
	table, codec, err := Table()
	if err != nil {
		t.Fatal(err)
	}
	return table, codec
}

// TestEverySampleIsDetectedAndTranslatedWhole holds for each connector what its declaration says: the sample is its own, and becomes
// the records that its document types name.
func TestEverySampleIsDetectedAndTranslatedWhole(t *testing.T) {
	table, codec := open(t)
	for _, c := range table.All() {
		t.Run(c.Name, func(t *testing.T) {
			d := &connectors.Document{Source: "s", RawRef: "raw.s/0/0", Bytes: []byte(c.Sample)}
			found, problem, err := table.Detect(d)
			if err != nil || problem != nil || found.Name != c.Name {
				t.Fatalf("detected as %v, %v, %v", found, problem, err)
			}
			var events, problems bytes.Buffer
			p := &canonical.Printer{Codec: codec, Events: &events, Problems: &problems}
			if err := table.Translate(context.Background(), d, p); err != nil {
				t.Fatal(err)
			}
			if p.EventCount == 0 || problems.Len() > 0 {
				t.Fatalf("%d events, %s", p.EventCount, problems.String())
			}
			makes := map[string]bool{}
			for _, dt := range c.DocTypes {
				for _, m := range dt.Makes {
					if _, ok := event.ParseKind(m); !ok {
						t.Errorf("%s makes %s, which is no event", dt.Name, m)
					}
					makes[m] = true
				}
			}
			for _, line := range strings.Split(strings.TrimSpace(events.String()), "\n") {
				e, err := codec.Read([]byte(line), d, 1)
				if err != nil || !makes[e.Kind().String()] {
					t.Errorf("%s: %v, declared are %v", line, err, makes)
				}
			}
		})
	}
}

func TestSamplesOfOtherFormatsAreNotMistaken(t *testing.T) {
	table, _ := open(t)
	all := table.All()
	for _, sample := range all {
		for _, c := range all {
			if got := c.Detect([]byte(sample.Sample)); (got == connectors.Certain) != (c.Name == sample.Name) {
				t.Errorf("%s says %d of the sample of %s", c.Name, got, sample.Name)
			}
		}
	}
}

// TestWhatIngestingCutsIsWhatTranslatingReads cuts each sample and translates the parts: nothing is lost.
func TestWhatIngestingCutsIsWhatTranslatingReads(t *testing.T) {
	table, codec := open(t)
	for _, c := range table.All() {
		if c.Split == nil {
			continue
		}
		count := func(b []byte) int {
			p := &canonical.Printer{Codec: codec, Events: io.Discard, Problems: io.Discard}
			if err := table.Translate(context.Background(), &connectors.Document{Source: "s", Bytes: b}, p); err != nil {
				t.Fatal(err)
			}
			if p.RefusedCount > 0 {
				t.Errorf("%s: a part is refused: %s", c.Name, b)
			}
			return p.EventCount
		}
		whole, parts := count([]byte(c.Sample)), 0
		err := c.Split(strings.NewReader(c.Sample), 900, func(part []byte) error {
			parts += count(bytes.Clone(part))
			return nil
		}, func(p *connectors.Problem) error { t.Errorf("%s: %v", c.Name, p); return nil })
		if err != nil || parts != whole {
			t.Errorf("%s: %d events in parts, %d in the whole, %v", c.Name, parts, whole, err)
		}
	}
}

// TestLargeDocumentOfNoKnownFormIsRefusedAtItsBeginning reads no more than the head of 200 MB.
func TestLargeDocumentOfNoKnownFormIsRefusedAtItsBeginning(t *testing.T) {
	table, codec := open(t)
	read := &counter{left: 200 << 20}
	p := &canonical.Printer{Codec: codec, Events: io.Discard, Problems: io.Discard}
	if err := table.Translate(context.Background(), &connectors.Document{Source: "s", Body: read}, p); err != nil {
		t.Fatal(err)
	}
	if p.RefusedCount != 1 || p.EventCount != 0 || read.read > 1<<20 {
		t.Fatalf("%d refused after %d bytes", p.RefusedCount, read.read)
	}
}

type counter struct{ left, read int }

func (c *counter) Read(b []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n := min(len(b), c.left)
	for i := range b[:n] {
		b[i] = 0xee
	}
	c.left -= n
	c.read += n
	return n, nil
}
