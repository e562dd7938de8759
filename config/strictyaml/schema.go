package strictyaml

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// field is one option of a struct: where it is, and what it is called in the file.
type field struct {
	name      string
	index     []int // for reflect.Value.FieldByIndex; longer than one for an inlined struct's
	kind      reflect.Type
	omitEmpty bool
}

// schema is what the file may say in one struct, by its yaml tags, which mean what they mean to the YAML library.
type schema struct {
	fields    []field // in the order of the struct
	inlineMap []int   // the map that takes all other keys; nil: there is none
	parts     [][]int // the inlined structs, inner ones first, and last the struct itself (nil)
}

// schemaOf reads the tags of t. It panics on a struct that the file cannot fill, which is a mistake in the program.
func schemaOf(t reflect.Type) *schema {
	s := new(schema)
	s.add(t, nil)
	s.parts = append(s.parts, nil)
	return s
}

func (s *schema) add(t reflect.Type, above []int) {
	for f := range t.Fields() {
		tag := f.Tag.Get("yaml")
		if !f.IsExported() || tag == "-" {
			continue
		}
		parts := strings.Split(tag, ",")
		name, options := cmp.Or(parts[0], strings.ToLower(f.Name)), parts[1:]
		index := slices.Concat(above, f.Index)
		inline, kind := slices.Contains(options, "inline"), f.Type.Kind()
		switch {
		case !inline:
			s.fields = append(s.fields, field{name, index, f.Type, slices.Contains(options, "omitempty")})
		case kind == reflect.Struct:
			s.add(f.Type, index)
			s.parts = append(s.parts, index)
		case kind == reflect.Map:
			s.inlineMap = index
		default:
			panic(fmt.Sprintf("%s.%s: only structs and maps can be inlined", t, f.Name))
		}
	}
}

func (s *schema) field(name string) (field, bool) {
	for _, f := range s.fields {
		if f.name == name {
			return f, true
		}
	}
	return field{}, false
}

func (s *schema) names() []string {
	names := make([]string, len(s.fields))
	for i, f := range s.fields {
		names[i] = f.name
	}
	return names
}

// list is the names for a message.
func (s *schema) list() string { return strings.Join(s.names(), ", ") }

// structOf returns the struct that an option of type t is, or is a list of, in the file; nil when there is none.
func structOf(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || !hasKeys(t) {
		return nil
	}
	return t
}

// hasKeys reports whether a struct has keys in the file. One that reads itself from text and has keys may be written
// in both ways.
func hasKeys(t reflect.Type) bool {
	for f := range t.Fields() {
		if _, ok := f.Tag.Lookup("yaml"); ok {
			return true
		}
	}
	return false
}
