package serde

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"crossdock/avro/event"
	"crossdock/avro/event/eventtest"
	"crossdock/avro/wire"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/linkedin/goavro/v2"
	"github.com/twmb/franz-go/pkg/sr"
	"pgregory.net/rapid"
)

// goavroOf compiles a schema without logical types (goavro cannot write a decimal of 0 in a fixed type).
func goavroOf(t testing.TB, text string) *goavro.Codec {
	t.Helper()
	codec, err := goavro.NewCodec(strings.ReplaceAll(text, `"logicalType"`, `"logical"`))
	if err != nil {
		t.Fatal(err)
	}
	return codec
}

// A variant is an older writer's schema: it lacks one field that has a default, and has one that has been dropped since.
type variant struct {
	field     int // of the current record
	name      string
	byDefault any
	id        int
	codec     *goavro.Codec
}

// variants registers and learns every variant of a kind.
func variants(t *testing.T, f *fakeRegistry, s *Serde, k event.Kind) []variant {
	t.Helper()
	var tree map[string]any
	if err := json.Unmarshal([]byte(fullText(t, k.String())), &tree); err != nil {
		t.Fatal(err)
	}
	var all []variant
	fields := tree["fields"].([]any)
	for i, field := range fields {
		attributes := field.(map[string]any)
		byDefault, ok := attributes["default"]
		if !ok || definesATypeThatOthersUse(t, fields, i) {
			continue
		}
		v := variant{field: i, name: attributes["name"].(string), byDefault: byDefault}
		older := append([]any{map[string]any{"name": "gone", "type": "string", "default": ""}}, fields[:i]...)
		tree["fields"] = append(older, fields[i+1:]...)
		text, err := json.Marshal(tree)
		if err != nil {
			t.Fatal(err)
		}
		made, err := f.CreateSchema(t.Context(), "older-"+k.String()+"-"+v.name, sr.Schema{Schema: string(text)})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Learn(t.Context(), made.ID); err != nil {
			t.Fatal(err)
		}
		v.id, v.codec = made.ID, goavroOf(t, string(text))
		all = append(all, v)
	}
	return all
}

func TestWhatAnOlderWriterLacksGetsItsDefault(t *testing.T) {
	f := newRegistry(t)
	s := register1(t, f)
	for _, k := range event.Kinds() {
		current := goavroOf(t, fullText(t, k.String()))
		all := variants(t, f, s, k)
		if len(all) == 0 {
			continue // no field of it has a default
		}
		rapid.Check(t, func(rt *rapid.T) {
			v := rapid.SampledFrom(all).Draw(rt, "variant")
			e := eventtest.Events(k).Draw(rt, "event")
			native, _, err := current.NativeFromBinary(e.AppendAvro(nil))
			if err != nil {
				rt.Fatal(err)
			}
			record := native.(map[string]any)
			delete(record, v.name)
			record["gone"] = "something"
			value, err := v.codec.BinaryFromNative(wire.Append(nil, v.id), record)
			if err != nil {
				rt.Fatal(err)
			}
			got := event.New(k)
			if err := s.Decode(value, got); err != nil {
				rt.Fatal(err)
			}
			setDefault(t, reflect.ValueOf(e).Elem().Field(v.field), v.byDefault)
			if d := cmp.Diff(eventtest.Sorted(e), eventtest.Sorted(got), cmpopts.EquateEmpty()); d != "" {
				rt.Fatalf("%s without %s: %s", k, v.name, d)
			}
		})
	}
}

// definesATypeThatOthersUse tells whether the text of the i-th field is where a type is defined that a later one names.
func definesATypeThatOthersUse(t *testing.T, fields []any, i int) bool {
	t.Helper()
	text, err := json.Marshal(fields[i])
	if err != nil {
		t.Fatal(err)
	}
	rest, err := json.Marshal(fields[i+1:])
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split(string(text), `"name":"`)[1:] {
		name, _, _ := strings.Cut(part, `"`)
		if strings.Contains(string(rest), `"crossdock.v1.`+name+`"`) {
			return true
		}
	}
	return false
}

// setDefault makes a field what its schema says by default.
func setDefault(t *testing.T, v reflect.Value, byDefault any) {
	t.Helper()
	text, isText := byDefault.(string)
	switch {
	case !isText:
		v.SetZero()
	case v.Kind() == reflect.String:
		v.SetString(text)
	case text == "ALLOW": // NegativeStock
		v.SetZero()
	default:
		t.Fatalf("the test does not know the default %q of a %s", text, v.Type())
	}
}

func TestWiderNumbersNewSymbolsAndRenamedFieldsAreResolved(t *testing.T) {
	f := newRegistry(t)
	s := register1(t, f)
	policy := fullText(t, "InventoryPolicy")
	text := strings.Replace(policy, `"name":"version","type":"long"`, `"name":"version","type":"int"`, 1)
	text = strings.Replace(text, `"CLAMP"`, `"CLAMP","FREEZE"`, 1)
	made, err := f.CreateSchema(t.Context(), "older", sr.Schema{Schema: text})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Learn(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	sent := event.InventoryPolicy{SKU: "A", Version: 7, SafetyStock: -1, NegativeStock: event.Some(event.NegativeStockClamp)}
	b := sent.AppendAvro(wire.Append(nil, made.ID)) // an int has the form of a long
	b[len(b)-1] = 3 << 1                            // FREEZE
	var got event.InventoryPolicy
	if err := s.Decode(b, &got); err != nil {
		t.Fatal(err)
	}
	sent.NegativeStock = event.Some(event.NegativeStockAllow) // the enum's default
	if d := cmp.Diff(sent, got, cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
	line, err := s.JSON(b)
	if err != nil || !strings.Contains(string(line), `"version":7,"safety_stock":"-0.000001","negative_stock":"ALLOW"`) {
		t.Errorf("%s, %v", line, err)
	}
	var resolve *ResolveError
	if err := s.Decode(b[:len(b)-3], &got); !errors.As(err, &resolve) || resolve.ID != made.ID {
		t.Errorf("a cut record of an older writer: %v", err)
	}
	if err := s.Decode(append(b, 0), &got); !errors.As(err, &resolve) {
		t.Errorf("a byte too many of an older writer: %v", err)
	}
}

// Another producer's tool may register our schema without docs and with its attributes in another order: the bytes are
// the same, so nothing is converted.
func TestTheSameSchemaInOtherWordsNeedsNoResolution(t *testing.T) {
	f := newRegistry(t)
	s := register1(t, f)
	var tree any
	if err := json.Unmarshal([]byte(fullText(t, "OrderRelease")), &tree); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(tree) // sorts the attributes
	if err != nil {
		t.Fatal(err)
	}
	made, err := f.CreateSchema(t.Context(), "theirs", sr.Schema{Schema: string(text)})
	if err != nil {
		t.Fatal(err)
	}
	if made.ID == s.ID(event.KindOrderRelease) {
		t.Fatal("the registry takes both texts for one: the test shows nothing")
	}
	if err := s.Learn(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	if sc := s.known.Load().find(made.ID); sc.writer != nil {
		t.Error("its records are converted")
	}
}

func TestASchemaThatRefersToOthersIsLearned(t *testing.T) {
	f := newRegistry(t)
	s := register1(t, f)
	ctx := t.Context()
	header := fullText(t, "EventHeader")
	if _, err := f.CreateSchema(ctx, "header", sr.Schema{Schema: header}); err != nil {
		t.Fatal(err)
	}
	made, err := f.CreateSchema(ctx, "reservation", sr.Schema{
		Schema:     strings.Replace(fullText(t, "Reservation"), `"type":`+header, `"type":"crossdock.v1.EventHeader"`, 1),
		References: []sr.SchemaReference{{Name: "crossdock.v1.EventHeader", Subject: "header", Version: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Learn(ctx, made.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(ctx, f.Client, sr.Schema{Schema: `"int"`, References: []sr.SchemaReference{{Name: "x", Subject: "gone", Version: 1}}}); !errors.As(err, new(*SchemaTextError)) {
		t.Errorf("a reference to nothing: %v", err)
	}
	r := event.Reservation{SKU: "A", Delta: 5}
	var got event.Reservation
	if err := s.Decode(r.AppendAvro(wire.Append(nil, made.ID)), &got); err != nil || got.SKU != "A" || got.Delta != 5 {
		t.Errorf("%+v, %v", got, err)
	}
}
