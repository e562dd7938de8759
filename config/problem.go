package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxProblems bounds a list of problems: nobody reads more, and a file may be arbitrarily wrong.
const maxProblems = 200

// Problem is one fault in a configuration file.
type Problem struct {
	File string
	Line int    // counted from 1; 0: the fault is the whole file's
	Path string // as "modules.web.http.fail_if_header_matches[2].header"; empty: the whole file
	Text string // what is wrong and what is accepted; never a secret
}

// Error is "file:line: path: what is wrong, what is accepted".
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if p.Path != "" {
		b.WriteString(": " + p.Path)
	}
	b.WriteString(": " + p.Text)
	return b.String()
}

// Problems is every fault of a file, in the order of its lines. As an error it has one line for each.
type Problems []Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// arranged sorts the problems by line, keeps one of several that say the same of one line (as a fault in an anchor
// that is used many times does), and cuts the list.
func (ps Problems) arranged() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	type key struct {
		line int
		text string
	}
	seen := make(map[key]bool, len(ps))
	kept := ps[:0]
	for _, p := range ps {
		k := key{p.Line, p.Text}
		if p.Line == 0 || !seen[k] {
			kept = append(kept, p)
		}
		seen[k] = true
	}
	if len(kept) > maxProblems {
		more := Problem{File: kept[0].File, Text: fmt.Sprintf("%d further problems are left out", len(kept)-maxProblems)}
		kept = append(kept[:maxProblems:maxProblems], more)
	}
	return kept
}

// place is where the decoder stands: a key or an index below its parent, and the line it is written at. The path
// is made only when there is something to report.
type place struct {
	parent *place
	key    string
	index  int // of an item of a list; -1: the key counts
	line   int
}

func (p *place) at(key string, line int) *place {
	return &place{parent: p, key: key, index: -1, line: line}
}

func (p *place) item(i, line int) *place { return &place{parent: p, index: i, line: line} }

func (p *place) String() string {
	if p == nil || p.parent == nil {
		return ""
	}
	above := p.parent.String()
	switch {
	case p.index >= 0:
		return above + "[" + strconv.Itoa(p.index) + "]"
	case !plainKey(p.key):
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

// plainKey tells whether a key can stand in a path as it is.
func plainKey(key string) bool {
	return key != "" && len(key) <= 64 && !strings.ContainsFunc(key, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-+/@", r))
	})
}

// quoted is text from the file for a message: on one line and of a bounded length.
func quoted(s string) string {
	const limit = 80
	if len(s) > limit {
		return strconv.Quote(s[:limit]) + "…"
	}
	return strconv.Quote(s)
}

// joined puts a path relative to a section below that section's own.
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

// within tells whether a path is section or lies below it.
func within(path, section string) bool {
	rest, ok := strings.CutPrefix(path, section)
	return ok && (section == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
}
