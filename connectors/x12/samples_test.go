package x12_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"crossdock/avro/event"
	"crossdock/connectors"
	"crossdock/connectors/x12"
)

// samplesDir holds real documents of public projects. They are not part of this project.
const samplesDir = "../../../shared/samples/x12"

func samples(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(samplesDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skip("the folder ../shared/samples beside the repository is absent: real documents are not tested")
	}
	return files
}

// summary is "2 OrderRelease; X12_SE01_COUNT; notice X12_ISA16_EMPTY": what a document became.
func summary(r *recorder) string {
	counts := map[event.Kind]int{}
	for _, e := range r.events {
		counts[e.Kind()]++
	}
	var parts []string
	for k, n := range counts {
		parts = append(parts, fmt.Sprintf("%d %s", n, k))
	}
	sort.Strings(parts)
	for _, p := range r.problems {
		text := string(p.Cause)
		if p.DocType != "" && p.Cause == connectors.NotYetMapped {
			text += " " + p.DocType
		}
		if p.Level == connectors.Notice {
			text = "notice " + text
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

// TestEveryRealWarehouseDocument translates or refuses every 940 and 945 of the samples, by name.
func TestEveryRealWarehouseDocument(t *testing.T) {
	want := map[string]string{
		// 940 that are whole.
		"apimeister_test_940_1.edi":                   "1 OrderRelease; X12_GE02_CONTROL_NUMBER; X12_IEA02_CONTROL_NUMBER",
		"apimeister_test_940_3.edi":                   "1 OrderRelease",
		"apimeister_test_940_4.edi":                   "1 OrderRelease; notice X12_ISA16_EMPTY",
		"ediengine_940.OK.edi":                        "1 OrderRelease",
		"ediengine_MultipleInterchangesAndGroups.edi": "6 OrderRelease",
		"ediengine_AckTest.edi":                       "2 OrderRelease; MISSING_VALUE",
		// 940 that ask for nothing or whose counts are wrong.
		"ediengine_940.W05.Only.edi":                                        "NO_LINES",
		"ediengine_940_Failed_SE01.edi":                                     "X12_SE01_COUNT",
		"ediengine_ControlNumbersMismatch.edi":                              "X12_SE02_CONTROL_NUMBER; X12_GE02_CONTROL_NUMBER; X12_IEA02_CONTROL_NUMBER",
		"apimeister_test_940_edge_cases_valid.edi":                          "X12_SE01_COUNT",
		"apimeister_test_940_segment_terminator_as_component_separator.edi": "notice X12_ISA16_EMPTY; X12_SE01_COUNT",
		"apimeister_test_940_usage_indicator_in_existing_tests.edi":         "notice X12_ISA16_EMPTY; X12_SE01_COUNT",
		"apimeister_test_940_whitespace_handling.edi":                       "notice X12_ISA16_EMPTY; X12_SE01_COUNT",
		// 940 whose ISA cannot be read.
		"apimeister_test_940_boundary_conditions.edi":                   "X12_BAD_ISA",
		"apimeister_test_940_invalid_isa_missing_fields.edi":            "X12_BAD_ISA",
		"apimeister_test_940_invalid_isa_no_segment_terminator.edi":     "X12_BAD_ISA",
		"apimeister_test_940_invalid_isa_wrong_element_separator.edi":   "X12_BAD_ISA",
		"apimeister_test_940_invalid_unicode_characters_validation.edi": "X12_BAD_SEPARATOR",
		"apimeister_test_940_isa_too_many_fields.edi":                   "X12_SEPARATORS_NOT_UNIQUE",
		"apimeister_test_940_malformed_document_structure.edi":          "X12_TRUNCATED",
		"apimeister_test_940_multiple_component_separators.edi":         "X12_SEPARATORS_NOT_UNIQUE",
		"apimeister_test_940_same_component_and_segment_separator.edi":  "X12_SEPARATORS_NOT_UNIQUE",
		"apimeister_test_940_special_characters_as_separators.edi":      "X12_BAD_SEGMENT; X12_TRUNCATED",
		"apimeister_test_940_unicode_component_separator.edi":           "X12_BAD_SEGMENT; X12_TRUNCATED",
		"apimeister_test_940_usage_indicator_enum_valid_values.edi":     "X12_BAD_ISA",
		"apimeister_test_940_usage_indicator_invalid_value.edi":         "X12_BAD_ISA",
		"apimeister_test_940_validation_failures.edi":                   "X12_BAD_ISA",
		// 945.
		"apimeister_test_945_parse_1.edi": "notice X12_ISA_NOT_FIXED_WIDTH; X12_SE01_COUNT",
	}
	seen := 0
	for _, path := range samples(t) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(path)
		warehouse := strings.Contains(name, "940") || strings.Contains(name, "945") || strings.Contains(string(b), "ST*940*") || strings.Contains(string(b), "ST*945*")
		if !warehouse {
			continue
		}
		seen++
		t.Run(name, func(t *testing.T) {
			r := translate(t, document(b))
			if got := summary(r); got != want[name] {
				t.Errorf("it became %q, want %q", got, want[name])
			}
			complete(t, r)
		})
	}
	if seen != len(want) {
		t.Errorf("%d documents were looked at, %d are expected", seen, len(want))
	}
}

// complete holds that every problem names its cause, place and remedy, and has the bytes of the part.
func complete(t *testing.T, r *recorder) {
	t.Helper()
	for _, p := range r.problems {
		if p.Cause == "" || p.Detail == "" || p.Remedy == "" || p.Position.String() == "" || len(p.Bytes) == 0 {
			t.Errorf("the problem is not complete: %+v", p)
		}
	}
}

// TestOtherRealSetsAreNamed holds that whatever else is X12 is recognised by set and title, whole or broken.
func TestOtherRealSetsAreNamed(t *testing.T) {
	titles := map[string]string{}
	for _, d := range x12.Connector().DocTypes {
		titles[d.Name] = d.Title
	}
	whole := 0
	for _, path := range samples(t) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		if strings.Contains(text, "ST*940*") || strings.Contains(text, "ST*945*") || !strings.Contains(text, "ISA*") || strings.HasSuffix(path, ".json") ||
			!strings.Contains(text, "ST*") || strings.Contains(path, "test_940_") {
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			r := translate(t, document(b))
			complete(t, r)
			if len(r.events) > 0 {
				t.Errorf("it became %s", summary(r))
			}
			named := 0
			for _, p := range r.problems {
				if p.DocType == "" {
					continue
				}
				named++
				if title := titles[p.DocType]; title == "" || !strings.Contains(p.Detail, title) {
					t.Errorf("%s is not named: %s", p.DocType, p.Detail)
				}
				if p.Cause == connectors.NotYetMapped {
					whole++
				}
				if ack := p.DocType == "X12/997"; ack != (p.Level == connectors.Notice && p.Cause == connectors.NotYetMapped) && p.Cause == connectors.NotYetMapped {
					t.Errorf("%s has level %s", p.DocType, p.Level)
				}
			}
			if sets := strings.Count(text, "ST*") - strings.Count(text, "*ST*") - strings.Count(text, "LST*"); named < 1 {
				t.Errorf("none of about %d sets is named: %s", sets, summary(r))
			}
		})
	}
	if whole < 25 {
		t.Errorf("only %d whole sets were named as not yet mapped", whole)
	}
}
