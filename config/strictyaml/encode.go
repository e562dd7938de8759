package strictyaml

import (
	"bytes"
	"cmp"
	"encoding"
	"fmt"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Hidden stands where a secret was.
const Hidden = "<secret>"

// Encoder writes structs as YAML that Decode reads again, with secrets masked: those that a Scalar hides, and texts
// that Hide and Redact are about.
type Encoder struct {
	Scalars Scalars
	// Hide reports whether a key of a map with values of a type, e.g. of headers, names a secret: all below it is hidden.
	Hide func(key string, values reflect.Type) bool
	// HideOption reports whether all of an option of a struct is secret; nil: none is.
	HideOption func(option string) bool
	// Shorten is what is shown of the text of an option of a struct, or of each text in its list; nil: all of it.
	Shorten func(option, text string) string
	// Reveal reports whether an option, though below a hidden key, is none, e.g. the name of a file.
	Reveal func(key string) bool
	// Redact takes secrets out of a text.
	Redact func(text string) string
	// Order is the order of the keys of the map under a top key; keys it does not name are sorted.
	Order map[string][]string
}

// Encode writes v, a struct. It panics on a value that YAML cannot hold, which is a mistake in the program.
func (e *Encoder) Encode(v any) []byte {
	root := e.node(reflect.ValueOf(v), false)
	for i := 0; i+1 < len(root.Content); i += 2 {
		if names, ok := e.Order[root.Content[i].Value]; ok {
			orderBy(root.Content[i+1], names)
		}
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		panic(fmt.Sprintf("encoding a %T: %v", v, err))
	}
	return b.Bytes()
}

// orderBy arranges the entries of a mapping by their names' order in names.
func orderBy(m *yaml.Node, names []string) {
	pairs := slices.Collect(slices.Chunk(m.Content, 2))
	slices.SortStableFunc(pairs, func(a, b []*yaml.Node) int {
		return cmp.Compare(slices.Index(names, a[0].Value), slices.Index(names, b[0].Value))
	})
	m.Content = slices.Concat(pairs...)
}

// node makes the tree of a value. hidden says that it stands below a hidden key.
func (e *Encoder) node(v reflect.Value, hidden bool) *yaml.Node {
	if scalar, ok := e.Scalars[v.Type()]; ok {
		return plain(e.mask(scalar.write(v.Interface()), hidden))
	}
	if value, ok := v.Interface().(encoding.TextMarshaler); ok && (v.Kind() != reflect.Pointer || !v.IsNil()) {
		text, err := value.MarshalText()
		if err != nil {
			panic(fmt.Sprintf("encoding a %s: %v", v.Type(), err))
		}
		return plain(e.mask(string(text), hidden))
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
		}
		return e.node(v.Elem(), hidden)
	case reflect.Struct:
		return e.structNode(v, hidden)
	case reflect.Map:
		return e.mapNode(v, hidden)
	case reflect.Slice:
		list := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for i := range v.Len() {
			list.Content = append(list.Content, e.node(v.Index(i), hidden))
		}
		return list
	case reflect.String:
		return plain(e.mask(v.String(), hidden))
	}
	if hidden && v.Kind() != reflect.Bool {
		return plain(Hidden)
	}
	var n yaml.Node
	if err := n.Encode(v.Interface()); err != nil {
		panic(fmt.Sprintf("encoding a %s: %v", v.Type(), err))
	}
	return &n
}

func (e *Encoder) structNode(v reflect.Value, hidden bool) *yaml.Node {
	m := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	s := schemaOf(v.Type())
	for _, f := range s.fields {
		value := v.FieldByIndex(f.index)
		if f.omitEmpty && value.IsZero() { // an empty list is not nil, and may mean something
			continue
		}
		hide := (hidden || e.HideOption != nil && e.HideOption(f.name)) && !e.Reveal(f.name)
		node := e.node(value, hide)
		if e.Shorten != nil && value.Kind() == reflect.String {
			e.shorten(f.name, node)
		}
		if _, ok := value.Interface().([]string); ok && e.Shorten != nil {
			for _, item := range node.Content {
				e.shorten(f.name, item)
			}
		}
		m.Content = append(m.Content, plain(f.name), node)
	}
	if s.inlineMap != nil {
		m.Content = append(m.Content, e.mapNode(v.FieldByIndex(s.inlineMap), hidden).Content...)
	}
	return m
}

func (e *Encoder) shorten(option string, text *yaml.Node) {
	if short := e.Shorten(option, text.Value); short != text.Value {
		*text = *plain(short)
	}
}

func (e *Encoder) mapNode(v reflect.Value, hidden bool) *yaml.Node {
	m := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) })
	for _, key := range keys {
		name := key.String()
		hide := (hidden || e.Hide(name, v.Type().Elem())) && !e.Reveal(name)
		m.Content = append(m.Content, plain(name), e.node(v.MapIndex(key), hide))
	}
	return m
}

// mask is text without its secrets, or nothing of it when it is hidden. An empty text hides nothing.
func (e *Encoder) mask(text string, hidden bool) string {
	if hidden && text != "" {
		return Hidden
	}
	return e.Redact(text)
}

func plain(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	return n
}
