package scans

import "github.com/cespare/xxhash/v2"

// skuPrefix is what the SKUs of a run start with.
func skuPrefix(run string) string {
	if run == "" {
		return "SKU"
	}
	return run + "-"
}

// runHash sets the numbers of runs apart; 0 where the run has no name.
func runHash(run string) uint64 {
	if run == "" {
		return 0
	}
	return xxhash.Sum64String(run)
}
