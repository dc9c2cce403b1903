package x12

import (
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"crossdock/avro/event"
	"crossdock/connectors"
	"crossdock/connectors/x12/syntax"
	"crossdock/topology/topics"
	"github.com/cespare/xxhash/v2"
)

// A mapper turns one transaction set into events. It keeps the first thing that is wrong, with the number of the others:
// a set becomes all of its events or none.
type mapper struct {
	doc     *connectors.Document
	set     *syntax.Set
	ordinal int // of the set in the document, from 1
	docType string
	docID   string
	problem *connectors.Problem
	others  int
	events  []event.Record
}

// fail records that an element is wrong; element 0 is the segment.
func (m *mapper) fail(cause connectors.Cause, s *syntax.Segment, element int, remedy, format string, args ...any) {
	if m.problem != nil {
		m.others++
		return
	}
	m.problem = &connectors.Problem{Cause: cause, Detail: fmt.Sprintf(format, args...), Remedy: remedy, Position: position(s.At(element))}
}

func position(p syntax.Position) connectors.Position {
	return connectors.Position{Segment: p.Segment, Name: p.ID, Element: p.Element, Byte: p.Byte}
}

// name is "W05-02".
func name(s *syntax.Segment, element int) string {
	return fmt.Sprintf("%s-%02d", s.ID(), element)
}

// text reads an element of at most limit characters, the length that the standard gives it in its newest version.
func (m *mapper) text(s *syntax.Segment, element, limit int) string {
	b := s.Element(element)
	if len(b) == 0 {
		return ""
	}
	t, ok := m.doc.Settings.Decode(b)
	if !ok {
		m.fail(connectors.BadText, s, element, "ask the sender for UTF-8, or set the source's charset to iso-8859-1", "%s is not text", name(s, element))
	}
	if len(t) > limit && utf8.RuneCountInString(t) > limit {
		m.fail(connectors.TooLong, s, element, "ask the sender to keep to the standard's length: a value cut short would name something else",
			"%s has %d characters, the standard allows %d", name(s, element), utf8.RuneCountInString(t), limit)
	}
	return t
}

// must is text that has to be there.
func (m *mapper) must(s *syntax.Segment, element, limit int, what string) string {
	t := m.text(s, element, limit)
	if t == "" {
		m.fail(connectors.MissingValue, s, element, "ask the sender for it", "%s, the %s, is missing", name(s, element), what)
	}
	return t
}

// optional is text as an optional field.
func (m *mapper) optional(s *syntax.Segment, element, limit int) event.Optional[string] {
	return some(m.text(s, element, limit))
}

func some(t string) event.Optional[string] {
	if t == "" {
		return event.Optional[string]{}
	}
	return event.Some(t)
}

// quantity reads an exact quantity that is not negative; ok is false where the element is empty.
func (m *mapper) quantity(s *syntax.Segment, element int) (q event.Quantity, ok bool) {
	b := s.Element(element)
	if len(b) == 0 {
		return 0, false
	}
	q, err := event.ParseQuantity(string(b))
	switch {
	case err != nil:
		m.fail(connectors.BadQuantity, s, element, "ask the sender for a decimal of at most 12 digits before and 6 after the point", "%s is %q: %s", name(s, element), clip(b, 40), plainly(err))
	case q < 0:
		m.fail(connectors.BadQuantity, s, element, "ask the sender what a negative quantity means", "%s is %q: negative", name(s, element), clip(b, 40))
	}
	return q, true
}

// plainly is the reason of a quantity's error, without what it repeats.
func plainly(err error) string {
	var q *event.QuantityError
	if errors.As(err, &q) {
		return q.Problem
	}
	return err.Error()
}

func (m *mapper) mustQuantity(s *syntax.Segment, element int, what string) event.Quantity {
	q, ok := m.quantity(s, element)
	if !ok {
		m.fail(connectors.MissingValue, s, element, "ask the sender for it", "%s, the %s, is missing", name(s, element), what)
	}
	return q
}

// when reads a date (CCYYMMDD, or YYMMDD as in versions before 4010) with a time where there is one (HHMM to HHMMSSDD). A
// date alone is that day's end where endOfDay says so (a deadline), else its beginning. timed says whether a time was given.
func (m *mapper) when(s *syntax.Segment, date, clock, zone int, endOfDay bool) (at event.Micros, timed, ok bool) {
	d := s.Text(date)
	if d == "" {
		return 0, false, false
	}
	t, timed, err := parseTime(d, s.Text(clock), m.zone(s.Text(zone)))
	if err != nil {
		element := date
		if len(d) == 8 || len(d) == 6 {
			if _, _, dateErr := parseTime(d, "", time.UTC); dateErr == nil {
				element = clock
			}
		}
		m.fail(connectors.BadDate, s, element, "ask the sender for CCYYMMDD and HHMM", "%s is %q: no date or time", name(s, element), clip(s.Element(element), 20))
		return 0, false, false
	}
	if !timed && endOfDay {
		t = t.AddDate(0, 0, 1).Add(-time.Second)
	}
	return event.MicrosOf(t), timed, true
}

func parseTime(date, clock string, zone *time.Location) (t time.Time, timed bool, err error) {
	layout := "20060102"
	if len(date) == 6 {
		layout = "060102"
	}
	switch len(clock) {
	case 0:
	case 4:
		layout, date, timed = layout+"1504", date+clock, true
	case 6, 7, 8:
		layout, date, timed = layout+"150405", date+clock[:6], true
	default:
		return t, false, fmt.Errorf("no time")
	}
	t, err = time.ParseInLocation(layout, date, zone)
	return t, timed, err
}

// zone reads X12 element 623 (Time Code). LT, no code and codes that are not clear mean the source's zone.
func (m *mapper) zone(code string) *time.Location {
	fixed := func(hours int) *time.Location { return time.FixedZone(code, hours*3600) }
	named := func(name string) *time.Location {
		if l, err := time.LoadLocation(name); err == nil {
			return l
		}
		return m.doc.Settings.Location()
	}
	switch code {
	case "UT", "GM":
		return time.UTC
	case "ED":
		return fixed(-4)
	case "ES", "CD":
		return fixed(-5)
	case "CS", "MD":
		return fixed(-6)
	case "MS", "PD":
		return fixed(-7)
	case "PS":
		return fixed(-8)
	case "ET":
		return named("America/New_York")
	case "CT":
		return named("America/Chicago")
	case "MT":
		return named("America/Denver")
	case "PT":
		return named("America/Los_Angeles")
	}
	return m.doc.Settings.Location()
}

// groupTime is when the group was written: GS04, GS05, else the interchange's date and time.
func (m *mapper) groupTime() event.Micros {
	zone := m.doc.Settings.Location()
	if t, _, err := parseTime(m.set.Group.Date, m.set.Group.Time, zone); err == nil {
		return event.MicrosOf(t)
	}
	if t, _, err := parseTime(m.set.Interchange.Date, m.set.Interchange.Time, zone); err == nil {
		return event.MicrosOf(t)
	}
	return m.doc.ReceivedAt
}

// partner is whose document it is: the interchange's sender, the same in whatever envelope it is sent again.
func (m *mapper) partner() string {
	if m.doc.Settings.Partner != "" {
		return m.doc.Settings.Partner
	}
	return m.set.Interchange.SenderQualifier + ":" + m.set.Interchange.Sender
}

// site is the location as the source names it: the source's own setting, else the first code of the parties in the order of roles, else
// the partner.
func (m *mapper) site(parties []event.Party, fallback string, roles ...string) string {
	if m.doc.Settings.Site != "" {
		return m.doc.Settings.Site
	}
	for _, role := range roles {
		for i := range parties {
			if parties[i].Role == role && parties[i].ID.Or("") != "" {
				return parties[i].ID.Value
			}
		}
	}
	return fallback
}

// header makes the header of an event that a segment becomes. place tells events of one segment apart.
func (m *mapper) header(s *syntax.Segment, place string, dedupe ...string) event.EventHeader {
	id := strconv.Itoa(s.Num)
	if place != "" {
		id += "/" + place
	}
	key := append(append(make([]string, 0, 8), m.doc.System(), m.partner(), m.docType), dedupe...)
	return event.EventHeader{
		EventID:       m.doc.EventID(id),
		DedupeKey:     string(topics.Key(nil, key...)),
		SourceSystem:  m.doc.System(),
		SourceDocType: m.docType,
		SourceDocID:   m.docID,
		IngestTime:    m.doc.ReceivedAt,
		RawRef:        some(m.doc.RawRef),
		Ext: []event.Pair{
			{Key: "x12.control", Value: m.set.Interchange.Control + "/" + m.set.Group.Control + "/" + m.set.Control},
			{Key: "mapping", Value: mappingName},
		},
	}
}

// party reads an N1 segment (X12 elements 98, 93, 66, 67).
func (m *mapper) party(s *syntax.Segment) event.Party {
	return event.Party{
		Role:        m.must(s, 1, 3, "entity identifier code"),
		Name:        m.optional(s, 2, 60),
		IDQualifier: m.optional(s, 3, 2),
		ID:          m.optional(s, 4, 80),
	}
}

// reference reads an N9 segment: qualifier (X12 element 128) and value (127, else the free text 369).
func (m *mapper) reference(s *syntax.Segment) (qualifier, value string) {
	qualifier = m.must(s, 1, 3, "reference qualifier")
	value = m.text(s, 2, 80)
	if value == "" {
		value = m.text(s, 3, 80)
	}
	return qualifier, value
}

// item chooses the number that names the item among a case code and pairs of qualifier and number, and returns the others.
// pairs are the elements where qualifiers stand; their numbers stand behind them.
func (m *mapper) item(s *syntax.Segment, caseCode int, pairs ...int) (sku string, others []event.Pair) {
	type number struct{ qualifier, id string }
	found := make([]number, 0, 4)
	for _, at := range pairs {
		q, id := m.text(s, at, 2), m.text(s, at+1, 80)
		switch {
		case q != "" && id != "":
			found = append(found, number{q, id})
		case q != "" || id != "":
			m.fail(connectors.MissingValue, s, at, "ask the sender for both", "%s and %s go together, one is missing", name(s, at), name(s, at+1))
		}
	}
	if upc := m.text(s, caseCode, 12); upc != "" {
		found = append(found, number{"UPC", upc})
	}
	best := -1
	choose := func(want string) {
		for i, n := range found {
			if best < 0 && n.qualifier == want {
				best = i
			}
		}
	}
	for _, want := range m.doc.Settings.ItemQualifiers {
		choose(want)
	}
	for _, want := range itemQualifiers() {
		choose(want)
	}
	if best < 0 && len(found) > 0 {
		best = len(found) - 1 // the case code, else whatever is there
	}
	if best < 0 {
		m.fail(connectors.MissingValue, s, caseCode, "ask the sender for an item number", "the line names no item: %s and the product numbers are empty", name(s, caseCode))
		return "", nil
	}
	for i, n := range found {
		if i != best {
			others = note(others, "x12.item."+n.qualifier, n.id)
		}
	}
	return found[best].id, others
}

// digest names the content of the set whatever its envelope, separators and line wraps: its segments between ST and SE.
func (m *mapper) digest() string {
	d := xxhash.New()
	for i := 1; i < len(m.set.Segments)-1; i++ {
		s := &m.set.Segments[i]
		last := s.Len()
		for last > 0 && len(s.Element(last)) == 0 {
			last--
		}
		_, _ = d.Write(s.ID())
		for e := 1; e <= last; e++ {
			_, _ = d.Write([]byte{0x1d})
			_, _ = d.Write(s.Element(e))
		}
		_, _ = d.Write([]byte{0x1e})
	}
	return fmt.Sprintf("%016x", d.Sum64())
}

func clip(b []byte, n int) []byte { return b[:min(len(b), n)] }

// lineNames counts the lines that share an LX number, so that each has a name of its own.
type lineNames map[string]int

func (l lineNames) next(lx string) string {
	l[lx]++
	if n := l[lx]; n > 1 {
		return lx + "." + strconv.Itoa(n)
	}
	return lx
}

// sscc takes the application identifier off an SSCC-18 that was sent with it (GS1 General Specifications 3.2.1).
func sscc(code string) string {
	if len(code) == 20 && code[:2] == "00" {
		return code[2:]
	}
	return code
}

// note adds what the source said beyond the model. Keys of ext are unique: several values of one stand in one text.
func note(ext []event.Pair, key, value string) []event.Pair {
	for i := range ext {
		if ext[i].Key == key {
			ext[i].Value += ", " + value
			return ext
		}
	}
	return append(ext, event.Pair{Key: key, Value: value})
}
