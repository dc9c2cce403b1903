package masterdata

import (
	"fmt"

	"crossdock/avro/event"
	"crossdock/topology/topics"
)

// A Feed applies the records of the topics items and sites to tables, as whoever reads the topics hands them over. It is for
// one goroutine.
type Feed struct {
	tables *Tables
	decode func(value []byte, e event.Record) error
	item   event.ItemMaster
	site   event.SiteMaster
}

// NewFeed makes a Feed; decode reads a framed value into an event, in place.
func NewFeed(tables *Tables, decode func(value []byte, e event.Record) error) *Feed {
	return &Feed{tables: tables, decode: decode}
}

// ApplyTable applies one record; a nil value is a tombstone. An error names what of the record was left out.
func (f *Feed) ApplyTable(topic topics.ID, key, value []byte) error {
	parts := topics.SplitKey(key)
	switch topic {
	case topics.Items:
		if value == nil {
			f.tables.DeleteItem(parts[0])
			return nil
		}
		if err := f.decode(value, &f.item); err != nil {
			return fmt.Errorf("item %s: %w", parts[0], err)
		}
		_, err := f.tables.ApplyItem(&f.item)
		return err
	case topics.Sites:
		if value == nil {
			f.tables.DeleteSite(parts[0])
			return nil
		}
		if err := f.decode(value, &f.site); err != nil {
			return fmt.Errorf("site %s: %w", parts[0], err)
		}
		_, err := f.tables.ApplySite(&f.site)
		return err
	default:
		return fmt.Errorf("topic %s is no table of master data", topic)
	}
}
