// Package eventtest makes events for tests: of every kind, with every field filled at random, by reflection over the
// generated structs, so that a new field of a schema is covered without a change here.
package eventtest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"crossdock/avro/event"

	"pgregory.net/rapid"
)

// Events generates events of a kind. Their values are those that a reader of any language can hold: quantities of 18
// digits, moments between the years 1 and 9999, symbols of their enums, and no map with a key twice.
func Events(k event.Kind) *rapid.Generator[event.Record] {
	return rapid.Custom(func(t *rapid.T) event.Record {
		e := event.New(k)
		fill(t, reflect.ValueOf(e).Elem())
		return e
	})
}

// Kinds generates one of the kinds.
func Kinds() *rapid.Generator[event.Kind] { return rapid.SampledFrom(event.Kinds()) }

const (
	minMicros = -62_135_596_800_000_000 // 0001-01-01T00:00:00Z
	maxMicros = 253_402_300_799_999_999 // 9999-12-31T23:59:59.999999Z
	minDate   = -719_162                // 0001-01-01
	maxDate   = 2_932_896               // 9999-12-31
	maxItems  = 4
)

// fill sets a value and all that it holds.
func fill(t *rapid.T, v reflect.Value) {
	label := v.Type().Name()
	switch v.Interface().(type) {
	case event.Quantity:
		v.SetInt(rapid.OneOf(rapid.Int64Range(-int64(event.MaxQuantity), int64(event.MaxQuantity)), rapid.Int64Range(-5, 5)).Draw(t, label))
		return
	case event.Micros:
		v.SetInt(rapid.Int64Range(minMicros, maxMicros).Draw(t, label))
		return
	case event.Date:
		v.SetInt(rapid.Int64Range(minDate, maxDate).Draw(t, label))
		return
	case []event.Pair:
		pairs := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) event.Pair {
			return event.Pair{Key: texts().Draw(t, "key"), Value: texts().Draw(t, "value")}
		}), 0, maxItems, func(p event.Pair) string { return p.Key }).Draw(t, "pairs")
		v.Set(reflect.ValueOf(pairs))
		return
	case []byte:
		v.SetBytes(rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "bytes"))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		if isOptional(v) && !rapid.Bool().Draw(t, "valid") {
			return
		}
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
		if isOptional(v) {
			v.FieldByName("Valid").SetBool(true)
		}
	case reflect.Slice:
		items := reflect.MakeSlice(v.Type(), rapid.IntRange(0, maxItems).Draw(t, "items"), maxItems)
		for i := range items.Len() {
			fill(t, items.Index(i))
		}
		v.Set(items)
	case reflect.Uint8: // an enum
		v.SetUint(rapid.Uint64Range(0, uint64(symbols(v))-1).Draw(t, label))
	case reflect.String:
		v.SetString(texts().Draw(t, "text"))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Int32:
		v.SetInt(int64(rapid.Int32().Draw(t, "int")))
	case reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, "long"))
	default:
		panic(fmt.Sprintf("eventtest: a field has the type %s, which no schema makes", v.Type()))
	}
}

// texts are short and long ones: a length of 64 takes a second byte.
func texts() *rapid.Generator[string] {
	return rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z0-9/|-]{60,70}`))
}

func isOptional(v reflect.Value) bool { return strings.HasPrefix(v.Type().Name(), "Optional[") }

// symbols counts an enum's: the first value without a symbol prints as Name(N).
func symbols(v reflect.Value) int {
	e := reflect.New(v.Type()).Elem()
	for n := 1; ; n++ {
		e.SetUint(uint64(n))
		if strings.HasPrefix(fmt.Sprint(e.Interface()), v.Type().Name()+"(") {
			return n
		}
	}
}

// Sorted sorts the entries of every map of an event, for comparing with a reader that does not keep their order.
func Sorted(e event.Record) event.Record {
	sortPairs(reflect.ValueOf(e).Elem())
	return e
}

func sortPairs(v reflect.Value) {
	if pairs, ok := v.Interface().([]event.Pair); ok {
		slices.SortFunc(pairs, func(a, b event.Pair) int { return strings.Compare(a.Key, b.Key) })
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			sortPairs(v.Field(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			sortPairs(v.Index(i))
		}
	}
}
