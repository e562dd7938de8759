package strictyaml

import (
	"encoding"
	"fmt"
	"math"
	"reflect"

	"go.yaml.in/yaml/v3"
)

// Scalars says how types are read and written that are a single value in the file and are not the program's own, so
// that they cannot have the methods of encoding.TextUnmarshaler and TextMarshaler.
type Scalars map[reflect.Type]Scalar

// Scalar is a type in Scalars, made by ScalarOf.
type Scalar struct {
	read  func(text string, out reflect.Value) error
	write func(value any) string
}

// ScalarOf is the scalar of type T. An error of read that is a warning comes with a value.
func ScalarOf[T any](read func(text string) (T, error), write func(T) string) Scalar {
	return Scalar{
		read: func(text string, out reflect.Value) error {
			v, err := read(text)
			out.Set(reflect.ValueOf(v))
			return err
		},
		write: func(value any) string { return write(value.(T)) },
	}
}

// decodeText fills a type that is read from text whatever its kind in Go; it returns false for other types.
func (d *decoder) decodeText(n *yaml.Node, at *place, out reflect.Value) bool {
	var read func(text string) error
	if scalar, ok := d.scalars[out.Type()]; ok {
		read = func(text string) error { return scalar.read(text, out) }
	} else if p, ok := out.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if n.Kind == yaml.MappingNode && structOf(out.Type()) != nil {
			return false
		}
		if v, ok := p.(defaulter); ok {
			v.SetDefaults()
		}
		read = func(text string) error { return p.UnmarshalText([]byte(text)) }
	} else {
		return false
	}
	s, ok := text(n)
	if !ok {
		d.report(at, "is %s; accepted: a single value", describe(n))
		return true
	}
	for _, err := range split(read(s)) {
		e := d.errorAt(at, "", err)
		if !e.Warning() {
			d.void = append(d.void, e.Path)
		}
		d.remark(at, err)
	}
	return true
}

// decodeBasic fills a value of a basic kind as the YAML library does, with its YAML 1.1 booleans. It warns where the
// library cuts off a fraction to make an integer.
func (d *decoder) decodeBasic(n *yaml.Node, at *place, out reflect.Value) {
	accepted := map[reflect.Kind]string{reflect.String: "text", reflect.Bool: "true or false", reflect.Float64: "a number"}[out.Kind()]
	if accepted == "" {
		accepted = "a whole number"
	}
	if n.Kind != yaml.ScalarNode {
		d.report(at, "is %s; accepted: %s", describe(n), accepted)
		return
	}
	if n.Decode(out.Addr().Interface()) != nil {
		d.report(at, "%s is %s; accepted: %s", quoted(n.Value), describe(n), accepted)
		return
	}
	var number float64
	if (out.CanInt() || out.CanUint()) && n.Decode(&number) == nil && number != math.Trunc(number) {
		d.remark(at, warning{fmt.Errorf("%s is cut off to %v; accepted: %s", quoted(n.Value), out, accepted)})
	}
}

// text is a scalar's value as text, by the YAML library's rules: numbers and booleans as they are written.
func text(n *yaml.Node) (string, bool) {
	var s string
	if n.Kind != yaml.ScalarNode || n.Decode(&s) != nil {
		return "", false
	}
	return s, true
}

// describe names a node's kind for a message, without its value.
func describe(n *yaml.Node) string {
	switch n = resolved(n); n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "empty"
	case "!!bool":
		return "a boolean"
	case "!!int", "!!float":
		return "a number"
	default:
		return "text"
	}
}
