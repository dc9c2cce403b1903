package sink

import (
	"strings"

	"crossdock/avro/event"
	"crossdock/topology/topics"
)

// A table is filled from one topic.
type table struct {
	name  string
	topic topics.ID
	kind  event.Kind // the event of which each record of the topic is a row
	// rows makes an empty buffer of rows.
	rows func() rows
}

// tables are those that the sink fills.
func tables() []*table {
	return []*table{
		{"inventory_ledger", topics.Ledger, event.KindLedgerPosting, func() rows { return newLedgerRows() }},
		{"inventory_balances", topics.Balances, event.KindInventoryBalance, func() rows { return newBalanceRows() }},
		{"exceptions", topics.Exceptions, event.KindLogisticsException, func() rows { return newExceptionRows() }},
		{"dead_letters", topics.DeadLetters, event.KindDeadLetter, func() rows { return newDeadLetterRows() }},
	}
}

// rows are the columns of a table that come from its event.
type rows interface {
	// event is what the next record is decoded into.
	event() event.Record
	// add makes the decoded event a row, or returns an *unholdable and adds nothing. It returns the time of the event.
	add() (event.Micros, error)
	// columns are in the order in which they are inserted.
	columns() []namedColumn
}

// insertStatement names every column: one that a later migration adds is filled by its default.
func insertStatement(database, name string, columns []namedColumn) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	return "INSERT INTO " + quote(database) + "." + quote(name) + " (" + strings.Join(names, ", ") + ")"
}
