// Package masterdata reads items and sites from files that people keep: CSV with a header row, or JSON. One row is one
// ItemMaster or SiteMaster.
//
// CSV columns are separated by comma, semicolon or tab, and named in the first row, in any order. Items have
//
//	sku, base_uom                 mandatory
//	description, description_xx   text; xx is a language (ISO 639-1), without it English
//	gtin                          of the base unit: 8, 12, 13 or 14 digits with a right check digit
//	units                         "CA=24;PAL=960;BAG=1/2@04006381333931": unit = base units in it, exactly; @ its GTIN
//	integral                      whether the base unit exists in whole numbers only; empty: yes, unless it measures mass, volume,
//	                              length or area
//	aliases                       "OLD-4711;erp:000000000000004711": other numbers, before the colon the system that uses it
//	lot_tracked, shelf_life_days, serial_profile, status, sites (separated by ;), version
//
// and sites have
//
//	site, time_zone               mandatory; an IANA zone
//	name, type, region            type: DC (default), STORE, THIRD_PARTY, VIRTUAL
//	aliases                       as for items: plant, GLN, partner id
//	negative_stock                ALLOW (default), BLOCK, CLAMP
//	owners                        "SHIP=wms;ORDER=erp": which system's word counts for a fact
//	version
//
// JSON is {"items": [...], "sites": [...]} with the same names, where units, aliases and owners are written as in CSV, or as
// arrays of such texts, and sites is an array of texts.
//
// A version is a whole number that only rises. Without one, the time at which the file was received is the version.
package masterdata

import (
	"bytes"
	"encoding/json"
	"strings"

	"crossdock/connectors"
)

const mappingVersion = 1

// Document types.
const (
	ItemsCSV = "masterdata/items"
	SitesCSV = "masterdata/sites"
	JSON     = "masterdata/json"
)

const sample = `sku,description,description_de,base_uom,units,gtin,aliases,lot_tracked
TEA-EARL-100,"Earl Grey, 100 bags","Earl Grey, 100 Beutel",EA,CA=12;PAL=960,4006381333931,erp:000000000000100234,false
MUG-BLUE,Mug blue,Becher blau,EA,CA=24,,,false
BEAN-ETH,Coffee beans Ethiopia,Kaffeebohnen Äthiopien,KG,BAG=1/2;SACK=30,,,true
`

// Connector declares the family.
func Connector() connectors.Connector {
	return connectors.Connector{
		Name: "masterdata",
		Doc:  "items and sites as CSV with a header row, or JSON",
		DocTypes: []connectors.DocType{
			{Name: ItemsCSV, Title: "Items as CSV", Makes: []string{"ItemMaster"}},
			{Name: SitesCSV, Title: "Sites as CSV", Makes: []string{"SiteMaster"}},
			{Name: JSON, Title: "Items and sites as JSON", Makes: []string{"ItemMaster", "SiteMaster"}},
		},
		Direction:      connectors.In,
		MappingVersion: mappingVersion,
		Sample:         sample,
		Detect:         detect,
		Translate:      translate,
		Split:          split,
	}
}

func trimStart(head []byte) []byte {
	return bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
}

func detect(head []byte) connectors.Confidence {
	head = trimStart(head)
	if isJSON(head) {
		return connectors.Certain
	}
	line, _, _ := bytes.Cut(head, []byte("\n"))
	delimiter := delimiterOf(line)
	var has [4]bool
	for _, c := range strings.Split(string(line), string(delimiter)) {
		for i, want := range [...]string{"sku", "base_uom", "site", "time_zone"} {
			if columnName(c) == want {
				has[i] = true
			}
		}
	}
	if has[0] && has[1] || has[2] && has[3] && !has[0] {
		return connectors.Certain
	}
	return connectors.No
}

// isJSON says whether an object begins whose first member is items or sites.
func isJSON(head []byte) bool {
	if len(head) == 0 || head[0] != '{' {
		return false
	}
	d := json.NewDecoder(bytes.NewReader(head))
	if _, err := d.Token(); err != nil {
		return false
	}
	first, err := d.Token()
	return err == nil && (first == "items" || first == "sites")
}

func columnName(c string) string { return strings.ToLower(strings.Trim(c, " \t\r\"")) }

// delimiterOf chooses what occurs most in the header row.
func delimiterOf(line []byte) rune {
	best := ','
	for _, d := range []rune{';', '\t'} {
		if bytes.Count(line, []byte(string(d))) > bytes.Count(line, []byte(string(best))) {
			best = d
		}
	}
	return best
}
