package connectors

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"crossdock/avro/event"
)

// Charset is how bytes beyond ASCII are to be understood, in formats that do not say.
type Charset string

// The charsets.
const (
	UTF8   Charset = "utf-8"
	Latin1 Charset = "iso-8859-1"
)

// Settings are what a source's documents do not say themselves. The zero value is the default of each.
type Settings struct {
	System         string         // name that events carry as their source system; default: the source's name
	Site           string         // the site that the source speaks for, whatever its documents say; default: what they say
	Partner        string         // code of the partner in dedupe keys; default: the document's sender
	Zone           *time.Location // of times without a zone; default: UTC
	Charset        Charset        // default: UTF-8
	ShipFrom       event.Bucket   // the bucket that a shipping confirmation takes stock from: AVAILABLE (default), PICKED or STAGED
	ItemQualifiers []string       // which of several item numbers is the item, in X12 element 235's codes, best first
	AcceptTest     bool           // whether documents that are marked as tests are translated
}

// SettingKeys are the keys that ParseSettings knows, with what they mean.
func SettingKeys() []event.Pair {
	return []event.Pair{
		{Key: "system", Value: "name that events carry as their source system (default: the source's name)"},
		{Key: "site", Value: "site that the source speaks for, whatever its documents say"},
		{Key: "partner", Value: "code of the partner in dedupe keys (default: the document's sender)"},
		{Key: "time_zone", Value: "IANA zone of times that name none (default: UTC)"},
		{Key: "charset", Value: "utf-8 (default) or iso-8859-1, for formats that do not say"},
		{Key: "ship_from", Value: "bucket that a shipping confirmation takes stock from: AVAILABLE (default), PICKED or STAGED"},
		{Key: "item_qualifiers", Value: "X12 element 235 codes, comma separated: which item number counts, best first"},
		{Key: "accept_test", Value: "true: documents that are marked as tests are translated (default: false)"},
	}
}

// ParseSettings reads settings from configuration. The error names every problem.
func ParseSettings(values map[string]string) (Settings, error) {
	var s Settings
	var wrong []error
	for key, value := range values {
		var err error
		switch key {
		case "system":
			s.System = value
		case "site":
			s.Site = value
		case "partner":
			s.Partner = value
		case "time_zone":
			s.Zone, err = time.LoadLocation(value)
		case "charset":
			s.Charset = Charset(strings.ToLower(value))
		case "ship_from":
			bucket, ok := event.ParseBucket(value)
			if !ok {
				err = fmt.Errorf("%q is no bucket: write AVAILABLE, PICKED or STAGED", value)
			}
			s.ShipFrom = bucket
		case "item_qualifiers":
			for _, q := range strings.Split(value, ",") {
				s.ItemQualifiers = append(s.ItemQualifiers, strings.TrimSpace(q))
			}
		case "accept_test":
			switch value {
			case "true":
				s.AcceptTest = true
			case "false":
			default:
				err = fmt.Errorf("%q: write true or false", value)
			}
		default:
			var known []string
			for _, k := range SettingKeys() {
				known = append(known, k.Key)
			}
			err = fmt.Errorf("unknown setting: known are %s", strings.Join(known, ", "))
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", key, err))
		}
	}
	slices.SortFunc(wrong, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return s, errors.Join(append(wrong, s.Validate())...)
}

// Validate reports every problem.
func (s *Settings) Validate() error {
	var wrong []error
	switch s.Charset {
	case "", UTF8, Latin1:
	default:
		wrong = append(wrong, fmt.Errorf("charset: %q is unknown: write %s or %s", s.Charset, UTF8, Latin1))
	}
	switch s.ShipFrom {
	case event.BucketExternal, event.BucketAvailable, event.BucketPicked, event.BucketStaged:
	default:
		wrong = append(wrong, fmt.Errorf("ship_from: stock does not ship from %s: write AVAILABLE, PICKED or STAGED", s.ShipFrom))
	}
	for _, q := range s.ItemQualifiers {
		if len(q) != 2 {
			wrong = append(wrong, fmt.Errorf("item_qualifiers: %q is no code of X12 element 235 (two characters)", q))
		}
	}
	return errors.Join(wrong...)
}

// Decode reads text in the source's charset; ok is false for bytes that are none. Windows-1252 stands for ISO 8859-1: it has
// all of it, and printable signs where that has control characters.
func (s *Settings) Decode(b []byte) (text string, ok bool) {
	if s.Charset != Latin1 {
		return string(b), utf8.Valid(b)
	}
	for _, c := range b {
		if c >= utf8.RuneSelf {
			decoded, err := charmap.Windows1252.NewDecoder().Bytes(b)
			return string(decoded), err == nil
		}
	}
	return string(b), true
}

// Location is the zone of times that name none.
func (s *Settings) Location() *time.Location {
	if s.Zone == nil {
		return time.UTC
	}
	return s.Zone
}
