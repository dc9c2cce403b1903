package inventory

import "crossdock/avro/event"

// ReadBalance reads what the stage's store has for a key as the balance that the stage tells of it on topic balances,
// without the event that caused it, which the state does not keep. SKU and Site of the balance may lie in key. The error
// is state that does not read.
func ReadBalance(key, value []byte, b *event.InventoryBalance) error {
	var s state
	if err := s.open(value); err != nil {
		return corrupt(key, err)
	}
	s.balance(key, b)
	return nil
}

// balance makes the balance of a key.
func (s *state) balance(key []byte, b *event.InventoryBalance) {
	*b = event.InventoryBalance{
		Version:      s.postings,
		AsOf:         s.asOf,
		PostedAt:     s.postedAt,
		Available:    s.bucket[event.BucketAvailable],
		Allocated:    s.bucket[event.BucketAllocated],
		Picked:       s.bucket[event.BucketPicked],
		Staged:       s.bucket[event.BucketStaged],
		QC:           s.bucket[event.BucketQC],
		Damaged:      s.bucket[event.BucketDamaged],
		Hold:         s.bucket[event.BucketHold],
		Returned:     s.bucket[event.BucketReturned],
		InTransitIn:  s.bucket[event.BucketInTransitIn],
		InTransitOut: s.bucket[event.BucketInTransitOut],
		Clearing:     s.bucket[event.BucketClearing],
		OnHand:       s.onHand(),
		SafetyStock:  s.safetyStock,
		ATS:          s.availableToSell(),
		Negative:     s.negative(),
	}
	b.SKU, b.Site = splitKey(key)
}
