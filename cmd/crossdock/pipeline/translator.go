package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strconv"

	"crossdock/avro/event"
	"crossdock/connectors"
	"crossdock/internal/config"
	"crossdock/processors"
	"crossdock/processors/translate"
)

// A translator lets the table of connectors translate for the translate stage: neither knows the other.
type translator struct {
	table    *connectors.Table
	settings map[string]connectors.Settings // by source
}

func newTranslator(table *connectors.Table, c *config.Config) (*translator, error) {
	settings, err := Settings(c)
	if err != nil {
		return nil, err
	}
	return &translator{table: table, settings: settings}, nil
}

// Settings are what the configuration says of each source's documents. The error names every problem.
func Settings(c *config.Config) (map[string]connectors.Settings, error) {
	all := map[string]connectors.Settings{}
	var wrong []error
	names := make([]string, 0, len(c.Sources))
	for name := range c.Sources {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		s := c.Sources[name]
		values := map[string]string{}
		for _, v := range []event.Pair{
			{Key: "system", Value: s.System}, {Key: "partner", Value: s.Partner}, {Key: "site", Value: s.Site}, {Key: "time_zone", Value: s.TimeZone},
			{Key: "charset", Value: s.Charset}, {Key: "ship_from", Value: s.ShipFrom}, {Key: "item_qualifiers", Value: s.ItemQualifiers},
		} {
			if v.Value != "" {
				values[v.Key] = v.Value
			}
		}
		values["accept_test"] = strconv.FormatBool(s.AcceptTest)
		parsed, err := connectors.ParseSettings(values)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("sources.%s.%w", name, err))
		}
		all[name] = parsed
	}
	return all, errors.Join(wrong...)
}

// Translate translates one raw document. Translating is pure and bounded by the document's size, so it is not cancelled
// in the middle.
func (t *translator) Translate(d *translate.Document, out translate.Sink) error {
	return t.table.Translate(context.Background(), &connectors.Document{
		Source: d.Source, ContentType: d.ContentType, DocType: d.DocType, Bytes: d.Bytes, RawRef: d.RawRef,
		RawPartition: d.RawPartition, RawOffset: d.RawOffset, ReceivedAt: d.ReceivedAt, Settings: t.settings[d.Source],
	}, sinkOf{out})
}

type sinkOf struct{ translate.Sink }

// Problem hands on a part that was refused, or a notice.
func (s sinkOf) Problem(p *connectors.Problem) error {
	return s.Sink.Problem(&translate.Problem{
		Notice: p.Level == connectors.Notice, Cause: processors.Cause(p.Cause), Detail: p.Detail, Position: p.Position.String(),
		Remedy: p.Remedy, DocType: p.DocType, DocID: p.DocID, Bytes: p.Bytes,
	})
}
