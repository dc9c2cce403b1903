package oracle

import "crossdock/avro/event"

// A usual says what a type of movement means where the source names no bucket: the buckets that it moves between, whether
// both lie within the site, and which fact it reports.
type usual struct {
	from, to event.Bucket
	said     bool // the source must say: the type alone does not tell
	within   bool // a place that is missing is the usual one, not the world outside
	fact     string
}

func usualOf(t event.MovementType) usual {
	const (
		outside   = event.BucketExternal
		available = event.BucketAvailable
		must      = true
		within    = true
	)
	switch t {
	case event.MovementTypeReceipt:
		return usual{outside, available, false, false, "RECEIPT"}
	case event.MovementTypePutaway:
		return usual{available, available, false, within, "RECEIPT"}
	case event.MovementTypeAllocate:
		return usual{available, event.BucketAllocated, false, within, "PICK"}
	case event.MovementTypeDeallocate:
		return usual{event.BucketAllocated, available, false, within, "PICK"}
	case event.MovementTypePick:
		return usual{available, event.BucketPicked, false, within, "PICK"}
	case event.MovementTypePack:
		return usual{event.BucketPicked, event.BucketStaged, false, within, "PICK"}
	case event.MovementTypeStage:
		return usual{event.BucketStaged, event.BucketStaged, false, within, "PICK"}
	case event.MovementTypeShip:
		return usual{event.BucketStaged, outside, false, false, "SHIP"}
	case event.MovementTypeTransferOut:
		return usual{available, event.BucketInTransitOut, false, within, "SHIP"}
	case event.MovementTypeTransferIn:
		return usual{event.BucketInTransitIn, available, false, within, "RECEIPT"}
	case event.MovementTypeReturn:
		return usual{outside, event.BucketReturned, false, false, "RECEIPT"}
	case event.MovementTypeAdjust:
		return usual{outside, available, false, false, "ADJUST"}
	case event.MovementTypeCount:
		return usual{outside, available, false, false, "COUNT"}
	case event.MovementTypeReconcile:
		return usual{outside, available, false, false, ""}
	case event.MovementTypeScrap:
		return usual{event.BucketDamaged, outside, false, false, "ADJUST"}
	case event.MovementTypeStatusChange:
		return usual{said: must, fact: "ADJUST"}
	}
	return usual{said: must}
}

func factOf(t event.MovementType) string { return usualOf(t).fact }

// placesOf are the buckets that a movement moves between, as its source named them or as is usual. ok is false where
// neither tells.
func placesOf(m *event.InventoryMovement) (from, to event.Bucket, ok bool) {
	u := usualOf(m.Type)
	if m.PairID.Valid { // the other half is at another key: it waits in CLEARING, not on the way
		if m.Type == event.MovementTypeTransferOut {
			u.to = event.BucketClearing
		}
		if m.Type == event.MovementTypeTransferIn {
			u.from = event.BucketClearing
		}
	}
	from, to = BucketOf(m.From), BucketOf(m.To)
	nothing := !m.From.Valid && !m.To.Valid
	if nothing && u.said {
		return from, to, false
	}
	if !m.From.Valid && (nothing || u.within) {
		from = u.from
	}
	if !m.To.Valid && (nothing || u.within) {
		to = u.to
	}
	return from, to, true
}
