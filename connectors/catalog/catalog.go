// Package catalog puts the connectors of this program into one table. It is the only place that knows all families.
package catalog

import (
	"crossdock/connectors"
	"crossdock/connectors/canonical"
	"crossdock/connectors/masterdata"
	"crossdock/connectors/x12"
)

// Table returns the table of all connectors, and the codec of canonical JSON lines that one of them reads.
func Table() (*connectors.Table, *canonical.Codec, error) {
	codec, err := canonical.New()
	if err != nil {
		return nil, nil, err
	}
	table, err := connectors.NewTable(x12.Connector(), canonical.Connector(codec), masterdata.Connector())
	return table, codec, err
}
