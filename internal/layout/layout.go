// Package layout holds the project to its own map: which part may know which. The rules are data; the test reads the
// imports of every file.
package layout

import "strings"

// A Rule says what the packages below a folder may import of the module.
type Rule struct {
	Folder string   // "processors"; the longest folder that matches a package counts
	May    []string // folders of the module; "x" covers x and all below it, "x." covers x alone
	Tests  []string // what its tests may import besides
	Why    string
}

// Rules is the map, as docs/architecture.md shows it.
var rules = []Rule{
	{Folder: "avro", May: []string{"avro"}, Why: "avro knows nothing"},
	{Folder: "topology/topics", May: []string{"avro", "topology/topics"}, Why: "the table of topics is read by everybody and knows avro only"},
	{Folder: "processors", May: []string{"avro", "topology/topics", "processors."}, Why: "the contract of business logic knows no runner"},
	{Folder: "processors/masterdata", May: []string{"avro", "topology/topics", "processors.", "processors/masterdata"}, Why: "tables are data, no stage"},
	{Folder: "processors/enrich", May: []string{"avro", "topology/topics", "processors.", "processors/masterdata", "processors/enrich"}, Tests: []string{"topology", "processors/internal"}, Why: "stages never import each other"},
	{Folder: "processors/translate", May: []string{"avro", "topology/topics", "processors.", "processors/masterdata", "processors/translate"}, Tests: []string{"topology", "processors/internal"}, Why: "stages never import each other"},
	{Folder: "processors/parking", May: []string{"avro", "topology/topics", "processors.", "processors/masterdata", "processors/parking"}, Tests: []string{"topology", "processors/internal", "processors/enrich"}, Why: "stages never import each other"},
	{Folder: "processors/inventory", May: []string{"avro", "topology/topics", "processors.", "processors/inventory"}, Tests: []string{"topology", "processors/internal"}, Why: "stages never import each other"},
	{Folder: "processors/internal", May: []string{"avro", "topology/topics", "processors"}, Why: "what the stages' tests share"},
	{Folder: "topology", May: []string{"avro", "processors", "topology"}, Tests: []string{"internal"}, Why: "topology runs processors and knows no format, no sink"},
	{Folder: "connectors", May: []string{"avro", "topology/topics", "connectors"}, Tests: []string{"internal/testservices"}, Why: "a connector knows canonical events and topics, never what becomes of them"},
	{Folder: "sink", May: []string{"avro", "topology/topics", "sink"}, Tests: []string{"internal"}, Why: "analytics is apart from the operational path"},
	{Folder: "loadtest", May: []string{"avro", "topology/topics", "loadtest", "internal/spelling"}, Tests: []string{"internal"}, Why: "an oracle that shares code with what it checks proves nothing"},
	{Folder: "internal", May: []string{"internal"}, Why: "internal packages serve every part and know none"},
	{Folder: "deploy", Tests: []string{"internal"}, Why: "what is deployed is files; its tests hold them to the code"},
	{Folder: "cmd", May: []string{"avro", "topology", "processors", "connectors", "sink", "loadtest", "internal", "cmd"}, Why: "cmd knits"},
}

// Lookup finds the rule of a package, given by its path within the module.
func Lookup(pkg string) (Rule, bool) {
	var best Rule
	found := false
	for _, r := range rules {
		if within(r.Folder, pkg) && len(r.Folder) >= len(best.Folder) {
			best, found = r, true
		}
	}
	return best, found
}

// Allows says whether the rule lets a package import another; test says whether a test file does.
func (r Rule) Allows(imported string, test bool) bool {
	lists := [][]string{r.May}
	if test {
		lists = append(lists, r.Tests, []string{"internal/testservices"})
	}
	for _, list := range lists {
		for _, folder := range list {
			if alone, only := strings.CutSuffix(folder, "."); only && imported == alone || within(folder, imported) {
				return true
			}
		}
	}
	return false
}

func within(folder, pkg string) bool { return pkg == folder || strings.HasPrefix(pkg, folder+"/") }
