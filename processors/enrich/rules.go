package enrich

import "crossdock/avro/event"

// A move says between which buckets a type of movement moves stock where the source names none.
type move struct {
	from, to event.Bucket
	known    bool // false: the source must say
	// within: the move stays inside the site, so a place that is null is the default one, never the world outside.
	within bool
}

// The defaults, for sources that say what happened and not between which buckets. A source that reports allocations, or
// ships what it never staged, names the buckets itself.
//
//	RECEIPT       outside       -> AVAILABLE
//	PUTAWAY       AVAILABLE     -> AVAILABLE       a move between bins
//	ALLOCATE      AVAILABLE     -> ALLOCATED
//	DEALLOCATE    ALLOCATED     -> AVAILABLE
//	PICK          AVAILABLE     -> PICKED
//	PACK          PICKED        -> STAGED          a packed carton stands ready
//	STAGE         STAGED        -> STAGED          a move to the dock door
//	SHIP          STAGED        -> outside
//	TRANSFER_OUT  AVAILABLE     -> IN_TRANSIT_OUT  or CLEARING where pair_id names the other half (N1)
//	TRANSFER_IN   IN_TRANSIT_IN -> AVAILABLE       or from CLEARING where pair_id names the other half
//	ADJUST, COUNT, RECONCILE    outside -> AVAILABLE, a negative quantity the other way
//	RETURN        outside       -> RETURNED
//	SCRAP         DAMAGED       -> outside
//	STATUS_CHANGE, REVERSAL, OTHER   the source must say
//
// Where the source names one place of two: a move within the site (PUTAWAY to STAGE, TRANSFER_OUT, TRANSFER_IN) takes the
// other from this table; for the rest the other is the world outside, as the schema says.
func defaultMove(t event.MovementType, paired bool) move {
	const (
		outside   = event.BucketExternal
		available = event.BucketAvailable
	)
	switch t {
	case event.MovementTypeReceipt, event.MovementTypeAdjust, event.MovementTypeCount, event.MovementTypeReconcile:
		return move{outside, available, true, false}
	case event.MovementTypePutaway:
		return move{available, available, true, true}
	case event.MovementTypeAllocate:
		return move{available, event.BucketAllocated, true, true}
	case event.MovementTypeDeallocate:
		return move{event.BucketAllocated, available, true, true}
	case event.MovementTypePick:
		return move{available, event.BucketPicked, true, true}
	case event.MovementTypePack:
		return move{event.BucketPicked, event.BucketStaged, true, true}
	case event.MovementTypeStage:
		return move{event.BucketStaged, event.BucketStaged, true, true}
	case event.MovementTypeShip:
		return move{event.BucketStaged, outside, true, false}
	case event.MovementTypeTransferOut:
		if paired {
			return move{available, event.BucketClearing, true, true}
		}
		return move{available, event.BucketInTransitOut, true, true}
	case event.MovementTypeTransferIn:
		if paired {
			return move{event.BucketClearing, available, true, true}
		}
		return move{event.BucketInTransitIn, available, true, true}
	case event.MovementTypeReturn:
		return move{outside, event.BucketReturned, true, false}
	case event.MovementTypeScrap:
		return move{event.BucketDamaged, outside, true, false}
	default:
		return move{}
	}
}

// place fills the places that the source left out. ok is false where it named none and the type has no default.
func place(m *event.InventoryMovement) (ok bool) {
	if m.From.Valid && m.To.Valid {
		return true
	}
	d := defaultMove(m.Type, m.PairID.Valid)
	if !m.From.Valid && !m.To.Valid && !d.known {
		return false
	}
	neither := !m.From.Valid && !m.To.Valid
	if !m.From.Valid && (d.within || neither) && d.from != event.BucketExternal {
		m.From = event.Some(event.Place{Bucket: d.from})
	}
	if !m.To.Valid && (d.within || neither) && d.to != event.BucketExternal {
		m.To = event.Some(event.Place{Bucket: d.to})
	}
	return true
}

// fact names the fact that a type of movement reports, for the table of owners in SiteMaster (N11); "" is a fact that
// nobody owns.
func fact(t event.MovementType) string {
	switch t {
	case event.MovementTypeAllocate, event.MovementTypeDeallocate, event.MovementTypePick, event.MovementTypePack, event.MovementTypeStage:
		return "PICK"
	case event.MovementTypeShip, event.MovementTypeTransferOut:
		return "SHIP"
	case event.MovementTypeReceipt, event.MovementTypePutaway, event.MovementTypeTransferIn, event.MovementTypeReturn:
		return "RECEIPT"
	case event.MovementTypeAdjust, event.MovementTypeStatusChange, event.MovementTypeScrap:
		return "ADJUST"
	case event.MovementTypeCount:
		return "COUNT"
	default:
		return ""
	}
}
