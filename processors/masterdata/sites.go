package masterdata

import (
	"strings"

	"crossdock/avro/event"
)

// A Site is a view of one site. Its strings are shared; it may be kept.
type Site struct {
	Name     string // canonical
	Version  int64
	TimeZone string // IANA
	owners   []owner
}

type owner struct{ fact, system string }

// Owner names the system whose word counts for a fact at the site (N11), "" where nobody's does more than another's.
func (s Site) Owner(fact string) string {
	for i := range s.owners {
		if s.owners[i].fact == fact {
			return s.owners[i].system
		}
	}
	return ""
}

type siteAlias struct {
	site *Site
	// system is the one that uses the code; "" is any.
	system string
}

// Sites are few, thousands at most: plain maps do.
type siteTable struct {
	byName  map[string]*Site
	byAlias map[string][]siteAlias
	codes   map[string][]string // alias codes of a site, to take them out again
}

func (t *siteTable) apply(e *event.SiteMaster) bool {
	if t.byName == nil {
		t.byName = make(map[string]*Site)
		t.byAlias = make(map[string][]siteAlias)
		t.codes = make(map[string][]string)
	}
	if old := t.byName[e.Site]; old != nil && e.Version < old.Version {
		return false
	}
	t.remove(e.Site)
	// The event's strings may lie in a buffer that is used again.
	s := &Site{Name: strings.Clone(e.Site), Version: e.Version, TimeZone: strings.Clone(e.TimeZone)}
	for i := range e.Owners {
		s.owners = append(s.owners, owner{strings.Clone(e.Owners[i].Fact), strings.Clone(e.Owners[i].System)})
	}
	t.byName[s.Name] = s
	for i := range e.Aliases {
		code := strings.Clone(e.Aliases[i].Code)
		t.byAlias[code] = append(t.byAlias[code], siteAlias{s, strings.Clone(e.Aliases[i].System.Or(""))})
		t.codes[s.Name] = append(t.codes[s.Name], code)
	}
	return true
}

func (t *siteTable) remove(site string) bool {
	s := t.byName[site]
	if s == nil {
		return false
	}
	for _, code := range t.codes[site] {
		kept := t.byAlias[code][:0]
		for _, a := range t.byAlias[code] {
			if a.site != s {
				kept = append(kept, a)
			}
		}
		if len(kept) == 0 {
			delete(t.byAlias, code)
		} else {
			t.byAlias[code] = kept
		}
	}
	delete(t.codes, site)
	delete(t.byName, site)
	return true
}

func (t *siteTable) find(system, code string) (Site, Finding) {
	own, anyone := t.byName[code], (*Site)(nil)
	twoOwn, twoAny := false, false
	for _, a := range t.byAlias[code] {
		switch a.system {
		case "":
			twoAny = twoAny || anyone != nil && anyone != a.site
			anyone = a.site
		case system:
			twoOwn = twoOwn || own != nil && own != a.site
			own = a.site
		}
	}
	switch {
	case twoOwn:
		return Site{}, Ambiguous
	case own != nil:
		return *own, Found
	case twoAny:
		return Site{}, Ambiguous
	case anyone != nil:
		return *anyone, Found
	}
	return Site{}, Unknown
}
