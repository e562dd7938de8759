package strictyaml

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// unknownKey reports a key that a struct does not have, with what was probably meant: a similar key, one that
// belongs a level down or up, or any of the accepted ones.
func (d *decoder) unknownKey(name string, at *place, s *schema) {
	if slices.Contains(s.names(), name+"s") { // a plural is nearer than the same word elsewhere: module, modules
		d.misspelt(name+"s", at)
		return
	}
	for _, f := range s.fields {
		if t := structOf(f.kind); t != nil {
			if _, ok := d.schema(t).field(name); ok {
				d.remark(at, fmt.Errorf("unknown key here; it belongs under %q", f.name))
				return
			}
		}
	}
	if len(d.within) > 1 {
		if _, ok := d.schema(d.within[len(d.within)-2]).field(name); ok {
			d.remark(at, errors.New("unknown key here; it belongs one level up"))
			return
		}
	}
	if meant := nearest(name, s.names()); meant != "" {
		d.misspelt(meant, at)
		return
	}
	d.remark(at, fmt.Errorf("unknown key; accepted: %s", s.list()))
}

func (d *decoder) misspelt(meant string, at *place) {
	d.void = append(d.void, at.parent.at(meant, at.node).String()) // do not also say that it is missing
	d.report(at, "unknown key; did you mean %q?", meant)
}

// nearest returns the name that was probably meant, empty when none is close.
func nearest(wrong string, names []string) string {
	normal := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }
	if len(wrong) > 64 {
		return ""
	}
	best, bestDistance := "", 1+min(max(1, len(wrong)/3), 3)
	for _, name := range names {
		if d := distance(normal(wrong), normal(name)); d < bestDistance {
			best, bestDistance = name, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete, replace or swap with a neighbour to make b of a.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
