package store

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
)

// Unfit says why a partition that was leased under an earlier claim cannot be caught up under this one, as Lease would say of
// its folder; "" if it can. The partition is in no transaction.
func (p *Partition) Unfit(c *Claim) string {
	m := p.disk.meta
	m.at = p.disk.at
	return c.unfit(&m, p.disk.db.opts.Clock())
}

// Stored are the partitions of a store that have a folder, whatever is in it, in rising order.
func (db *DB) Stored(store string) ([]int32, error) {
	names, err := db.fs.List(filepath.Join(db.dir, store))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all []int32
	for _, name := range names {
		if n, err := strconv.ParseInt(name, 10, 32); err == nil && n >= 0 && strconv.FormatInt(n, 10) == name {
			all = append(all, int32(n))
		}
	}
	slices.Sort(all)
	return all, err
}
