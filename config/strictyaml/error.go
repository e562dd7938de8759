package strictyaml

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxErrors bounds a list of errors: a file may be arbitrarily wrong.
const maxErrors = 200

// Error is one error in a document, or a warning.
type Error struct {
	File string
	Line int    // counted from 1; 0: the error is about the whole file
	Path string // e.g. "modules.web.http.fail_if_header_matches[2].header"; empty: the whole file
	Err  error  // what is wrong and what is accepted

	node    *yaml.Node // that Line is the line of; nil: none
	missing string     // the end of Path that the file does not have
	verdict bool       // a struct's about itself as a whole: what is wrong below it says more
}

// Error is "file:line: path: what is wrong".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	if e.Path != "" {
		b.WriteString(": " + e.Path)
	}
	b.WriteString(": " + e.Err.Error())
	return b.String()
}

// Unwrap returns what is wrong.
func (e *Error) Unwrap() error { return e.Err }

// warning is an error about a value that is accepted all the same.
type warning struct{ error }

func (warning) Warning() bool { return true }

// Warning reports whether the value is accepted all the same: Err, or an error that it wraps, has a method
// Warning() bool that says so.
func (e *Error) Warning() bool {
	var w interface{ Warning() bool }
	return errors.As(e.Err, &w) && w.Warning()
}

// Errors is a list of errors. As an error it has one line for each.
type Errors []*Error

func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the errors.
func (es Errors) Unwrap() []error {
	all := make([]error, len(es))
	for i, e := range es {
		all[i] = e
	}
	return all
}

// Below returns those of the errors that are about path or an option below it.
func (es Errors) Below(path string) Errors {
	return slices.DeleteFunc(slices.Clone(es), func(e *Error) bool { return !within(e.Path, path) })
}

// Arrange sorts the errors by line and drops what is said twice: the verdict of a struct about itself where there is
// an error at or below it, and errors of one type in an anchor that several paths lead to, but for the first. A list
// that is too long to read is cut.
func (es Errors) Arrange() Errors {
	type place struct {
		node    *yaml.Node
		missing string
		kind    reflect.Type
	}
	first := map[place]*Error{} // by path, what is there
	var kept Errors
	sorted := slices.Clone(es)
	slices.SortStableFunc(sorted, func(a, b *Error) int { return cmp.Compare(a.Line, b.Line) })
	for _, e := range sorted {
		at := place{e.node, e.missing, reflect.TypeOf(e.Err)}
		if before := first[at]; e.node != nil && before != nil && before.Path != e.Path {
			continue
		}
		if first[at] == nil {
			first[at] = e
		}
		if !e.verdict || !slices.ContainsFunc(es, func(other *Error) bool { return !other.verdict && within(other.Path, e.Path) }) {
			kept = append(kept, e)
		}
	}
	if len(kept) > maxErrors {
		more := &Error{File: kept[0].File, Err: fmt.Errorf("%d further errors are left out", len(kept)-maxErrors)}
		kept = append(kept[:maxErrors:maxErrors], more)
	}
	return kept
}

// place is where the decoder stands: a key or an index below its parent, and the node there. The path is made only
// when there is something to report.
type place struct {
	parent *place
	key    string
	index  int        // of an item of a list; -1: the key counts
	node   *yaml.Node // that has the line; nil: the root
}

func (p *place) at(key string, node *yaml.Node) *place {
	return &place{parent: p, key: key, index: -1, node: node}
}

func (p *place) item(i int, node *yaml.Node) *place { return &place{parent: p, index: i, node: node} }

func (p *place) String() string {
	if p == nil || p.parent == nil {
		return ""
	}
	above := p.parent.String()
	switch {
	case p.index >= 0:
		return above + "[" + strconv.Itoa(p.index) + "]"
	case !plainKey.MatchString(p.key):
		return above + "[" + quoted(p.key) + "]"
	case above == "":
		return p.key
	default:
		return above + "." + p.key
	}
}

// depth is the number of places above p.
func (p *place) depth() int {
	n := 0
	for ; p != nil; p = p.parent {
		n++
	}
	return n
}

// plainKey matches a key that can stand in a path as it is.
var plainKey = regexp.MustCompile(`^[A-Za-z0-9_+/@-]{1,64}$`)

// quoted is text from the file for a message: on one line and of a bounded length.
func quoted(s string) string {
	const limit = 80
	if len(s) > limit {
		return strconv.Quote(s[:limit]) + "…"
	}
	return strconv.Quote(s)
}

// joined puts a path relative to a section below the section's own.
func joined(section, path string) string {
	switch {
	case path == "":
		return section
	case section == "" || strings.HasPrefix(path, "["):
		return section + path
	default:
		return section + "." + path
	}
}

// within reports whether a path is section or lies below it.
func within(path, section string) bool {
	rest, ok := strings.CutPrefix(path, section)
	return ok && (section == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
}
