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
		n = resolved(n)
		var next *yaml.Node
		if n.Kind == yaml.SequenceNode {
			index, rest, _ := strings.Cut(strings.TrimPrefix(path, "["), "]")
			items := slices.DeleteFunc(slices.Clone(n.Content), func(n *yaml.Node) bool { return isNull(resolved(n)) })
			i, err := strconv.Atoi(index)
			if err != nil || i < 0 || i >= len(items) {
				return line
			}
			next, path, line = items[i], strings.TrimPrefix(rest, "."), items[i].Line
		} else if n.Kind == yaml.MappingNode {
			longest := -1
			for _, e := range d.quietEntries(n) {
				if rest, ok := strings.CutPrefix(path, e.name); ok && len(e.name) > longest && (rest == "" || rest[0] == '.' || rest[0] == '[') {
					longest, next, line = len(e.name), e.value, e.line()
				}
			}
			if next == nil {
				return line
			}
			path = strings.TrimPrefix(path[longest:], ".")
		}
		if next == nil || path == "" {
			return line
		}
		n = next
	}
	return line
}
