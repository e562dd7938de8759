package config

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"rollcall/probe"
)

// locate reports the faults that err joins, each at the line its path leads to from n, unless it follows from one
// that is reported already.
func (d *decoder) locate(n *yaml.Node, at *place, err error) {
	if err == nil {
		return
	}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range several.Unwrap() {
			d.locate(n, at, e)
		}
		return
	}
	path, line, cause := at.String(), at.line, err
	if option := (*probe.OptionError)(nil); errors.As(err, &option) {
		path = joined(path, option.Path)
		line = d.lineAt(n, option.Path, line)
		cause = option.Err
	}
	p := Problem{File: d.file, Line: line, Path: path, Text: cause.Error()}
	if !d.follows(p) {
		d.problems = append(d.problems, p)
	}
}

// follows tells whether p repeats a problem or is about a value that is not what the file says: one at or below a
// void place, or one of a whole section that names an option of it that is void.
func (d *decoder) follows(p Problem) bool {
	for _, void := range d.void {
		path := void.String()
		if within(p.Path, path) || within(path, p.Path) && strings.Contains(p.Text, void.option()) {
			return true
		}
	}
	// A section and one inside it may judge alike.
	return slices.ContainsFunc(d.problems, func(q Problem) bool {
		return q.Text == p.Text && (within(p.Path, q.Path) || within(q.Path, p.Path))
	})
}

// lineAt follows path down from n and returns the line of the deepest entry that exists.
func (d *decoder) lineAt(n *yaml.Node, path string, line int) int {
	for range maxDepth {
		var next *yaml.Node
		switch n = resolved(n); n.Kind {
		case yaml.SequenceNode:
			next, path = itemOn(n, path)
			if next != nil {
				line = next.Line
			}
		case yaml.MappingNode:
			var e entry
			e, path = entryOn(d.quietEntries(n), path)
			if next = e.value; next != nil {
				line = e.line()
			}
		}
		if next == nil || path == "" {
			return line
		}
		n = next
	}
	return line
}

// itemOn returns the item of a list that path begins with, as "[2].header", and the rest of path; nil when there
// is none.
func itemOn(n *yaml.Node, path string) (item *yaml.Node, rest string) {
	index, rest, _ := strings.Cut(strings.TrimPrefix(path, "["), "]")
	items := slices.DeleteFunc(slices.Clone(n.Content), func(n *yaml.Node) bool { return isNull(resolved(n)) })
	i, err := strconv.Atoi(index)
	if err != nil || i < 0 || i >= len(items) {
		return nil, path
	}
	return items[i], strings.TrimPrefix(rest, ".")
}

// entryOn returns the entry that path begins with and the rest of path. Names may hold dots, so the longest counts.
func entryOn(entries []entry, path string) (found entry, rest string) {
	for _, e := range entries {
		if within(path, e.name) && (found.value == nil || len(e.name) > len(found.name)) {
			found = e
		}
	}
	return found, strings.TrimPrefix(path[len(found.name):], ".")
}
