package strictyaml

import (
	"errors"
	"fmt"
	"reflect"

	"go.yaml.in/yaml/v3"
)

const (
	maxDepth = 64 // levels of the file
	// maxVisits and maxExpansion bound the work: ten lines of aliases can stand for a billion values.
	maxVisits    = 1_000_000
	maxExpansion = 100 // values for each that is written down
)

// decoder fills structs from a node tree. Other than the YAML library's own it goes on after an error, knows the path,
// decodes structs that have an UnmarshalYAML method by their fields, too, and reports every error.
type decoder struct {
	*Document
	errs    Errors
	visits  int                 // left
	stopped bool                // the file is refused as a whole
	open    map[*yaml.Node]bool // the anchors that are being decoded, to find one that contains itself
	within  []reflect.Type      // the structs around what is being decoded
	schemas map[reflect.Type]*schema
}

// defaulter is a type that puts in what a section says when it does not mention an option.
type defaulter interface{ SetDefaults() }

// validator is a type that judges its options together.
type validator interface{ Validate() error }

// optionError is an error that names an option by its path below the struct that judged it.
type optionError interface {
	Option() (path string, err error)
}

// unmarshaler is how the structs of prometheus/common take part in decoding.
type unmarshaler interface {
	UnmarshalYAML(unmarshal func(any) error) error
}

// Decode fills out, a pointer to a struct, and returns every error and warning, not yet arranged. Before a struct is
// filled its SetDefaults is called, afterwards its Validate. complete is false when the document is too deep, too large
// or too wrong to be decoded whole: nothing may be concluded from out then.
func (d *Document) Decode(out any) (errs Errors, complete bool) {
	dec := newDecoder(d, min(1000+maxExpansion*count(d.root), maxVisits))
	if d.ignored > 0 {
		dec.errs = Errors{{File: d.name, Line: d.ignored, Err: warning{errors.New("only the first document is read")}}}
	}
	dec.decode(d.root, d.top(), reflect.ValueOf(out).Elem())
	return dec.errs, !dec.stopped
}

func newDecoder(d *Document, visits int) *decoder {
	return &decoder{Document: d, visits: visits, open: map[*yaml.Node]bool{}, schemas: map[reflect.Type]*schema{}}
}

func (d *Document) top() *place { return &place{index: -1, node: d.root} }

// count is the number of nodes that are written down.
func count(n *yaml.Node) int {
	total := 1
	for _, below := range n.Content {
		total += count(below)
	}
	return total
}

func (d *decoder) schema(t reflect.Type) *schema {
	s := d.schemas[t]
	if s == nil {
		s = schemaOf(t)
		d.schemas[t] = s
	}
	return s
}

// report adds an error at a place whose value is then void: nothing may be concluded from it.
func (d *decoder) report(at *place, format string, args ...any) {
	d.void = append(d.void, at.String())
	d.remark(at, fmt.Errorf(format, args...))
}

// remark adds an error that leaves the value as the file has it.
func (d *decoder) remark(at *place, err error) {
	d.errs = append(d.errs, d.errorAt(at, "", err))
	if len(d.errs) > 10*maxErrors {
		d.stopped = true
	}
}

// enter counts a visit and follows an alias. It returns nil when n must not be looked at.
func (d *decoder) enter(n *yaml.Node, at *place) (target *yaml.Node, leave func()) {
	if d.stopped {
		return nil, nil
	}
	if d.visits--; d.visits < 0 {
		d.stopped = true
		d.report(at, "the file expands to too many values; use fewer aliases")
		return nil, nil
	}
	if at.depth() > maxDepth {
		d.report(at, "is nested more than %d levels deep", maxDepth)
		return nil, nil
	}
	if n.Kind != yaml.AliasNode {
		return n, func() {}
	}
	if d.open[n.Alias] {
		d.report(at, "the anchor %s contains itself", quoted(n.Value))
		return nil, nil
	}
	d.open[n.Alias] = true
	return n.Alias, func() { delete(d.open, n.Alias) }
}

// decode fills out, which is addressable, from n.
func (d *decoder) decode(n *yaml.Node, at *place, out reflect.Value) {
	n, leave := d.enter(n, at)
	if n == nil {
		return
	}
	defer leave()
	if isNull(n) {
		switch out.Kind() {
		case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface:
			out.SetZero()
		}
		return // others keep their default
	}
	if out.Kind() == reflect.Pointer {
		out.Set(reflect.New(out.Type().Elem()))
		out = out.Elem()
	}
	if d.decodeText(n, at, out) {
		return
	}
	switch out.Kind() {
	case reflect.Struct:
		d.decodeStruct(n, at, out)
	case reflect.Map:
		d.decodeMap(n, at, out)
	case reflect.Slice:
		d.decodeSlice(n, at, out)
	case reflect.Interface:
		if v := d.decodeAny(n, at); v != nil {
			out.Set(reflect.ValueOf(v))
		}
	default:
		d.decodeBasic(n, at, out)
	}
}

func (d *decoder) decodeStruct(n *yaml.Node, at *place, out reflect.Value) {
	s := d.schema(out.Type())
	if n.Kind != yaml.MappingNode {
		d.report(at, "is %s; accepted: a mapping with the keys %s", describe(n), s.list())
		return
	}
	s.setDefaults(out)
	d.within = append(d.within, out.Type())
	defer func() { d.within = d.within[:len(d.within)-1] }()
	for _, e := range d.entries(n, at) {
		below := at.at(e.name, e.node())
		if f, ok := s.field(e.name); ok {
			d.decode(e.value, below, out.FieldByIndex(f.index))
		} else if s.inlineMap != nil {
			d.decodeEntry(e, below, out.FieldByIndex(s.inlineMap))
		} else {
			below.node = e.key
			d.unknownKey(e.name, below, s)
		}
	}
	for _, index := range s.parts {
		part := reflect.New(out.FieldByIndex(index).Type()) // a copy: some types of prometheus/common change what they judge
		part.Elem().Set(out.FieldByIndex(index))
		if v, ok := part.Interface().(validator); ok {
			d.judge(n, at, v.Validate())
		}
	}
}

// judge reports what a struct says of itself. An error without the path of an option is about the struct as a whole.
func (d *decoder) judge(n *yaml.Node, at *place, verdict error) {
	for _, err := range split(verdict) {
		path, err := option(err)
		for _, e := range d.locate(n, at, path, err) {
			e.verdict = path == ""
			d.errs = append(d.errs, e)
		}
	}
}

// setDefaults fills a struct as its type says: our types by SetDefaults, those of prometheus/common by an
// UnmarshalYAML that is given nothing to read.
func (s *schema) setDefaults(out reflect.Value) {
	for _, index := range s.parts {
		switch v := out.FieldByIndex(index).Addr().Interface().(type) {
		case defaulter:
			v.SetDefaults()
		case unmarshaler:
			// The error is about the empty section, which is not in the file.
			_ = v.UnmarshalYAML(func(any) error { return nil })
		}
	}
}

func (d *decoder) decodeMap(n *yaml.Node, at *place, out reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.report(at, "is %s; accepted: a mapping", describe(n))
		return
	}
	out.Set(reflect.MakeMap(out.Type()))
	for _, e := range d.entries(n, at) {
		d.decodeEntry(e, at.at(e.name, e.node()), out)
	}
}

func (d *decoder) decodeEntry(e entry, at *place, out reflect.Value) {
	if out.IsNil() {
		out.Set(reflect.MakeMap(out.Type()))
	}
	value := reflect.New(out.Type().Elem()).Elem()
	d.decode(e.value, at, value)
	out.SetMapIndex(reflect.ValueOf(e.name).Convert(out.Type().Key()), value)
}

// decodeSlice keeps the place of items that are void, so that the index of a later error is the file's.
func (d *decoder) decodeSlice(n *yaml.Node, at *place, out reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.report(at, "is %s; accepted: a list", describe(n))
		return
	}
	out.Set(reflect.MakeSlice(out.Type(), len(n.Content), len(n.Content)))
	kept := 0
	for i, item := range n.Content {
		below := at.item(i, item)
		if isNull(resolved(item)) {
			d.remark(below, warning{errors.New("is empty and ignored")}) // as by the YAML library
			continue
		}
		d.decode(item, below, out.Index(kept))
		kept++
	}
	out.Set(out.Slice(0, kept))
}

// decodeAny makes of a node what JSON would: maps by text, lists, single values.
func (d *decoder) decodeAny(n *yaml.Node, at *place) any {
	n, leave := d.enter(n, at)
	if n == nil {
		return nil
	}
	defer leave()
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for _, e := range d.entries(n, at) {
			m[e.name] = d.decodeAny(e.value, at.at(e.name, e.node()))
		}
		return m
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, item := range n.Content {
			list[i] = d.decodeAny(item, at.item(i, item))
		}
		return list
	}
	var v any
	if err := n.Decode(&v); err != nil {
		d.report(at, "is not what its tag %s says", quoted(n.Tag))
	}
	return v
}
