package config

import (
	"reflect"
	"strings"
	"time"

	"crossdock/internal/spelling"
)

// A Key is one setting: its dotted name, where "*" stands for the name of a source, its type and what it means.
type Key struct {
	Name    string
	Doc     string
	Secret  bool
	Default any
	kind    reflect.Type
}

// Keys lists every setting in the order of the struct.
func Keys() []Key {
	var keys []Key
	walk(reflect.ValueOf(Default()), "", &keys)
	return keys
}

func walk(v reflect.Value, prefix string, keys *[]Key) {
	t := v.Type()
	for i := range t.NumField() {
		f, fv := t.Field(i), v.Field(i)
		name := prefix + f.Tag.Get("mapstructure")
		switch {
		case f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[Secret]():
			walk(fv, name+".", keys)
		case f.Type.Kind() == reflect.Map:
			walk(reflect.New(f.Type.Elem()).Elem(), name+".*.", keys)
		default:
			*keys = append(*keys, Key{Name: name, Doc: f.Tag.Get("doc"), Secret: f.Type == reflect.TypeFor[Secret](), Default: fv.Interface(), kind: f.Type})
		}
	}
}

// known finds the setting that a concrete dotted name belongs to.
func known(keys []Key, name string) (Key, bool) {
	for _, k := range keys {
		if matches(k.Name, name) {
			return k, true
		}
	}
	return Key{}, false
}

// section reports whether settings lie below a concrete dotted name.
func section(keys []Key, name string) bool {
	for _, k := range keys {
		p, depth := strings.Split(k.Name, "."), strings.Count(name, ".")+1
		if len(p) > depth && matches(strings.Join(p[:depth], "."), name) {
			return true
		}
	}
	return false
}

func matches(pattern, name string) bool {
	p, n := strings.Split(pattern, "."), strings.Split(name, ".")
	if len(p) != len(n) {
		return false
	}
	for i := range p {
		if p[i] != "*" && p[i] != n[i] {
			return false
		}
	}
	return true
}

// nearest is the setting or section that someone meant, or "".
func nearest(keys []Key, name string) string {
	return spelling.Nearest(func(yield func(string) bool) {
		for _, k := range keys {
			if !yield(k.Name) {
				return
			}
		}
	}, name)
}

func isDuration(t reflect.Type) bool { return t == reflect.TypeFor[time.Duration]() }
