package pipeline

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"crossdock/processors/inventory"
	"crossdock/processors/parking"
	"crossdock/processors/translate"
)

// counters are what the stages count of their own rules, beside the runtime's metrics.
type counters struct {
	translate translate.Counters
	parking   parking.Counters
	inventory inventory.Counters
}

func newCounters(registerer prometheus.Registerer) *counters {
	c := &counters{}
	for _, m := range []struct {
		name, help string
		value      *atomic.Uint64
	}{
		{"crossdock_translate_documents_total", "Native documents translated.", &c.translate.Documents},
		{"crossdock_translate_events_total", "Canonical events that went on.", &c.translate.Events},
		{"crossdock_translate_refused_total", "Parts of documents that became dead letters.", &c.translate.Refused},
		{"crossdock_translate_notices_total", "Notices about documents of which nothing was lost.", &c.translate.Notices},
		{"crossdock_parking_parked_total", "Events that began to wait for master data.", &c.parking.Parked},
		{"crossdock_parking_passed_total", "Events whose reference was known by the time they arrived.", &c.parking.Passed},
		{"crossdock_parking_released_total", "Events that went on after waiting.", &c.parking.Released},
		{"crossdock_parking_overdue_total", "Events that were given up, since their reference did not come within parking.limit.", &c.parking.Overdue},
		{"crossdock_inventory_duplicates_total", "Movements that were known already.", &c.inventory.Duplicates},
		{"crossdock_inventory_zero_movements_total", "Movements of nothing.", &c.inventory.ZeroMovements},
		{"crossdock_inventory_old_policies_total", "Policies whose version was known, or older.", &c.inventory.OldPolicies},
		{"crossdock_inventory_passed_over_total", "Snapshots and reservations, whose rules come later.", &c.inventory.PassedOver},
	} {
		registerer.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: m.name, Help: m.help}, func() float64 { return float64(m.value.Load()) }))
	}
	return c
}
