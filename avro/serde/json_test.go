package serde

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"crossdock/avro/event"
	"crossdock/avro/event/eventtest"

	"pgregory.net/rapid"
)

// The printer reads with goavro and writes times and decimals with math/big and package time; the structs print theirs
// with code of our own. The two must say the same.
func TestJSONSaysWhatTheStructsSay(t *testing.T) {
	s := Local()
	for _, k := range event.Kinds() {
		t.Run(k.String(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				e := eventtest.Events(k).Draw(t, "event")
				line, err := s.JSON(s.Append(nil, e))
				if err != nil {
					t.Fatal(err)
				}
				if bytes.ContainsAny(line, "\n\r") || !json.Valid(line) {
					t.Fatalf("not one line of JSON: %s", line)
				}
				dec := json.NewDecoder(bytes.NewReader(line))
				dec.UseNumber()
				if err := walk(dec, reflect.ValueOf(eventtest.Sorted(e)).Elem()); err != nil {
					t.Fatalf("%v\n%s", err, line)
				}
			})
		})
	}
}

// walk compares the next JSON value with a Go value. Fields are compared by their order, which is the schema's.
func walk(dec *json.Decoder, v reflect.Value) error {
	if strings.HasPrefix(v.Type().Name(), "Optional[") {
		if !v.FieldByName("Valid").Bool() {
			return next(dec, nil)
		}
		return walk(dec, v.FieldByName("Value"))
	}
	switch x := v.Interface().(type) {
	case fmt.Stringer: // Quantity, Micros, Date, enums
		return next(dec, x.String())
	case []byte:
		return next(dec, base64.StdEncoding.EncodeToString(x))
	case []event.Pair:
		if err := next(dec, json.Delim('{')); err != nil {
			return err
		}
		for _, p := range x {
			if err := next(dec, valid(p.Key)); err != nil {
				return err
			}
			if err := next(dec, valid(p.Value)); err != nil {
				return err
			}
		}
		return next(dec, json.Delim('}'))
	}
	switch v.Kind() {
	case reflect.Struct:
		if err := next(dec, json.Delim('{')); err != nil {
			return err
		}
		for i := range v.NumField() {
			name, err := dec.Token()
			if err != nil {
				return err
			}
			goName := v.Type().Field(i).Name
			if !strings.EqualFold(strings.ReplaceAll(name.(string), "_", ""), goName) {
				return fmt.Errorf("field %v where %s should be", name, goName)
			}
			if err := walk(dec, v.Field(i)); err != nil {
				return fmt.Errorf("%v: %w", name, err)
			}
		}
		return next(dec, json.Delim('}'))
	case reflect.Slice:
		if err := next(dec, json.Delim('[')); err != nil {
			return err
		}
		for i := range v.Len() {
			if err := walk(dec, v.Index(i)); err != nil {
				return err
			}
		}
		return next(dec, json.Delim(']'))
	case reflect.String:
		return next(dec, valid(v.String()))
	case reflect.Bool:
		return next(dec, v.Bool())
	default:
		return next(dec, json.Number(fmt.Sprint(v.Int())))
	}
}

// valid is a text as JSON can say it.
func valid(s string) string { return strings.ToValidUTF8(s, "\ufffd") }

func next(dec *json.Decoder, want json.Token) error {
	got, err := dec.Token()
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%v (%T), want %v (%T)", got, got, want, want)
	}
	return nil
}
