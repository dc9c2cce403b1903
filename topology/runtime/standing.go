package runtime

// standing makes a function that says whether a restore has not moved since the function was last called: a transaction that
// was left open in a changelog holds back its readers, and nothing else tells.
func (i *Instance) standing() func() bool {
	last := map[*restore]int64{}
	return func() bool {
		now := map[*restore]int64{}
		stands := false
		for _, j := range i.homes.restoring() {
			at := j.position.Load()
			now[j] = at
			before, known := last[j]
			stands = stands || known && before == at
		}
		last = now
		return stands
	}
}

// restoring are the restores that are not over.
func (h *homes) restoring() []*restore {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var all []*restore
	for _, home := range h.of {
		if home.running.Load() {
			continue
		}
		for _, j := range home.restores {
			if over, _ := j.finished(); !over {
				all = append(all, j)
			}
		}
	}
	return all
}
