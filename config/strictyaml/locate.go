package strictyaml

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Section is a part of a document: the whole, or an entry of a mapping.
type Section struct {
	Name string
	doc  *Document
	node *yaml.Node
	at   *place
}

// Path is where the section is.
func (s Section) Path() string { return s.at.String() }

// Root is the whole document.
func (d *Document) Root() Section { return Section{doc: d, node: d.root, at: d.top()} }

// Sections returns the entries of the mapping under a key of the section, in the order of the file; none when there is
// no such mapping.
func (s Section) Sections(key string) (below []Section) {
	at, n, missing := s.doc.follow(s.node, s.at, key)
	if n = resolved(n); missing != "" || n.Kind != yaml.MappingNode {
		return nil
	}
	for _, e := range s.doc.entriesOf(n) {
		below = append(below, Section{e.name, s.doc, e.value, at.at(e.name, e.node())})
	}
	return below
}

// Empty reports whether there is nothing in the section.
func (s Section) Empty() bool {
	node := resolved(s.node)
	return isNull(node) || node.Kind == yaml.MappingNode && len(node.Content) == 0
}

// Has reports whether the file has the key in the section.
func (s Section) Has(key string) bool {
	_, _, missing := s.doc.follow(s.node, s.at, key)
	return missing == ""
}

// Locate gives each of the errors that err joins the line of its option. An error says by a method Option() (path
// string, err error) which that is, with a path below the one in the section that is given; an error without the method
// is about what is there. Errors about a value that Decode did not accept are dropped.
func (s Section) Locate(path string, err error) (located Errors) {
	for _, e := range split(err) {
		below, e := option(e)
		located = append(located, s.doc.locate(s.node, s.at, joined(path, below), e)...)
	}
	return located
}

// locate returns one error where its path leads to from n, or none if that is at or below a void value.
func (d *Document) locate(n *yaml.Node, at *place, path string, err error) Errors {
	at, _, missing := d.follow(n, at, path)
	e := d.errorAt(at, missing, err)
	if slices.ContainsFunc(d.void, func(void string) bool { return within(e.Path, void) }) {
		return nil
	}
	return Errors{e}
}

// errorAt is an error at a place, or at what it lacks.
func (d *Document) errorAt(at *place, missing string, err error) *Error {
	return &Error{File: d.name, Line: at.node.Line, Path: joined(at.String(), missing), Err: err, node: at.node, missing: missing}
}

// split takes joined errors apart.
func split(err error) []error {
	if err == nil {
		return nil
	}
	several, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range several.Unwrap() {
		all = append(all, split(e)...)
	}
	return all
}

// option returns the path of an error's option, and what is wrong there.
func option(err error) (string, error) {
	var o optionError
	if errors.As(err, &o) {
		return o.Option()
	}
	return "", err
}

// follow goes down path from n, which is at, as far as the file goes. It returns the place, the node there and the rest
// of path.
func (d *Document) follow(n *yaml.Node, at *place, path string) (*place, *yaml.Node, string) {
	for path != "" {
		switch n = resolved(n); n.Kind {
		case yaml.SequenceNode:
			i := fileIndex(n, path)
			if i < 0 {
				return at, n, path
			}
			n = n.Content[i]
			_, path, _ = strings.Cut(path, "]")
			at = at.item(i, n)
		case yaml.MappingNode:
			e := entryOn(d.entriesOf(n), path)
			if e.value == nil {
				return at, n, path
			}
			n, path = e.value, path[len(e.name):]
			at = at.at(e.name, e.node())
		default:
			return at, n, path
		}
		path = strings.TrimPrefix(path, ".")
	}
	return at, n, ""
}

// fileIndex is the index in the file of the item that path begins with, e.g. "[2].header", which counts without the
// empty items; -1 when there is none.
func fileIndex(n *yaml.Node, path string) int {
	index, _, _ := strings.Cut(strings.TrimPrefix(path, "["), "]")
	want, err := strconv.Atoi(index)
	if err != nil {
		return -1
	}
	for i, item := range n.Content {
		if isNull(resolved(item)) {
			continue
		}
		if want == 0 {
			return i
		}
		want--
	}
	return -1
}

// entryOn returns the entry that path begins with, none with a nil value. Names may hold dots, so the longest counts.
func entryOn(entries []entry, path string) (found entry) {
	for _, e := range entries {
		if within(path, e.name) && (found.value == nil || len(e.name) > len(found.name)) {
			found = e
		}
	}
	return found
}

// Each calls f with every single value that is written in the document and the key that it, or its list, stands under.
func (d *Document) Each(f func(key, value string)) { each(d.root, "", f) }

func each(n *yaml.Node, key string, f func(key, value string)) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			each(n.Content[i+1], resolved(n.Content[i]).Value, f)
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			each(item, key, f)
		}
	case yaml.ScalarNode:
		f(key, n.Value)
	case yaml.AliasNode:
		if n.Alias.Kind == yaml.ScalarNode { // another key may mean something else by it
			f(key, n.Alias.Value)
		}
	}
}
