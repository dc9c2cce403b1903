package scans

import (
	"crossdock/avro/event"
	"crossdock/avro/serde"
)

type names struct{}

func (n *names) itemMaster(i int) *event.ItemMaster { return nil }
func (n *names) siteMaster(i int) *event.SiteMaster { return nil }

type retailer struct {
	names *names
	scan  Scan
}

func newRetailer(load Load) *Generator                          { return &Generator{load: load, retail: &retailer{}} }
func (r *retailer) again() *retailer                            { return r }
func (r *retailer) next() *Scan                                 { return &r.scan }
func (r *retailer) record() event.Record                        { return &r.scan.Movement }
func (r *retailer) appendKey(b []byte) []byte                   { return b }
func (r *retailer) appendValue(b []byte, s *serde.Serde) []byte { return s.Append(b, r.record()) }
func (r *retailer) eventID() string                             { return "" }
func (r *retailer) canonical() (sku, site string)               { return "", "" }
