package config

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"rollcall/probe"
	"rollcall/probe/option"
)

// verdict is what a struct said of itself when it was decoded.
type verdict struct {
	node *yaml.Node
	at   *place
	err  error
}

// locate reports the faults that err joins, each where its path, below that of a section, leads to from n, unless
// it is known already.
func (d *decoder) locate(n *yaml.Node, at *place, section string, err error) {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range several.Unwrap() {
			d.locate(n, at, section, e)
		}
		return
	}
	if err == nil || errors.Is(err, probe.ErrUnsupportedProber) { // the latter is no fault of the file
		return
	}
	path := section
	if at := (*option.Error)(nil); errors.As(err, &at) {
		path, err = joined(section, at.Path), at.Err
	}
	at, missing := d.follow(n, at, path)
	p := Problem{File: d.file, Line: at.line, Path: joined(at.String(), missing), Text: err.Error()}
	if !d.known(p) {
		d.problems = append(d.problems, p)
	}
}

// known tells whether p only repeats another problem in other words, or is about a value that is not what the file
// says: one at or below a void option, or a text that names a void or faulty option of the same section.
func (d *decoder) known(p Problem) bool {
	own := optionAt(p.Path)
	for _, void := range d.void {
		beside := void.section == p.Path || void.section == own.section
		if within(p.Path, void.path) || beside && names(p.Text, void.key) {
			return true
		}
	}
	return slices.ContainsFunc(d.problems, func(q Problem) bool {
		return within(q.Path, p.Path) && (q.Text == p.Text || q.Path != p.Path && names(p.Text, optionAt(q.Path).key))
	})
}

// option is a path taken apart; the indexes at its end count to neither section nor key.
type locatedOption struct{ path, section, key string }

func optionAt(path string) locatedOption {
	o := locatedOption{path: path}
	for strings.HasSuffix(path, "]") {
		path = path[:strings.LastIndexByte(path, '[')]
	}
	i := strings.LastIndexByte(path, '.')
	o.section, o.key = path[:max(i, 0)], path[i+1:]
	return o
}

// names tells whether a text has an option's key as a word.
func names(text, key string) bool {
	gap := func(r rune) bool { return !plainKey(string(r)) }
	return key != "" && slices.Contains(strings.FieldsFunc(text, gap), key)
}

// follow walks path down from n, which is at, as far as the file goes. It returns the place and the rest of path.
func (d *decoder) follow(n *yaml.Node, at *place, path string) (*place, string) {
	for path != "" {
		switch n = resolved(n); n.Kind {
		case yaml.SequenceNode:
			i := fileIndex(n, path)
			if i < 0 {
				return at, path
			}
			n = n.Content[i]
			_, path, _ = strings.Cut(path, "]")
			at = at.item(i, n.Line)
		case yaml.MappingNode:
			e := entryOn(d.quietEntries(n), path)
			if e.value == nil {
				return at, path
			}
			n, path = e.value, path[len(e.name):]
			at = at.at(e.name, e.line())
		default:
			return at, path
		}
		path = strings.TrimPrefix(path, ".")
	}
	return at, ""
}

// fileIndex is the index in the file of the item that path begins with, as "[2].header", which counts without the
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
