// Package chart draws history as SVG: markup to be put into a page, with classes for the style sheet and no text but
// numbers and the titles that it makes itself. Nothing of what a target sends gets here.
package chart

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"

	"rollcall/history"
)

// The kinds of a bucket. Each has a height of its own, so that a bar can be read without colours.
const (
	none    = iota // no turn: a pale mark
	unknown        // most turns are without a verdict: a thin line
	up             // no failure
	some           // failures, but fewer than half
	down
)

var kinds = [...]string{none: "n", unknown: "q", up: "u", some: "s", down: "d"}

func kindOf(c history.Counts) int {
	switch known := c.Known(); {
	case known == 0 && c.Unknown == 0:
		return none
	case known == 0 || c.Down == 0 && int(c.Unknown) > known:
		return unknown
	case c.Down == 0:
		return up
	case int(c.Down)*2 < known:
		return some
	default:
		return down
	}
}

// A beat of the bar is beatWidth wide including the gap to the next one; the style sheet's dashes follow that.
const (
	beatWidth = 6
	barHeight = 20
)

// Beats is a bar with a mark for each bucket. Runs of one kind share a line, whose dashes make the marks, so that a
// target that is always up takes a hundred bytes.
func Beats(buckets []history.Counts) template.HTML {
	var lines [len(kinds)]strings.Builder
	for i := 0; i < len(buckets); {
		kind, first := kindOf(buckets[i]), i
		for i < len(buckets) && kindOf(buckets[i]) == kind {
			i++
		}
		fmt.Fprintf(&lines[kind], "M%d 10h%d", first*beatWidth, (i-first)*beatWidth)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="beats" viewBox="0 0 %d %d" preserveAspectRatio="none" role="img" aria-label="%s">`,
		max(len(buckets), 1)*beatWidth, barHeight, Describe(buckets))
	for kind, name := range kinds {
		if lines[kind].Len() > 0 {
			fmt.Fprintf(&b, `<path class="%s" d="%s"/>`, name, lines[kind].String())
		}
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

// Describe says in words what the bar shows.
func Describe(buckets []history.Counts) string {
	var n [len(kinds)]int
	for _, c := range buckets {
		n[kindOf(c)]++
	}
	if n[none] == len(buckets) {
		return "no results yet"
	}
	text := ""
	for _, part := range []struct {
		n    int
		what string
	}{{n[up], "up"}, {n[some], "with failures"}, {n[down], "down"}, {n[unknown], "unknown"}} {
		if part.n > 0 {
			text += ", " + strconv.Itoa(part.n) + " " + part.what
		}
	}
	return "periods" + strings.Replace(text, ",", ":", 1)
}

// BigBeats is the same bar with a title for each bucket.
func BigBeats(buckets []history.Counts, from time.Time, step time.Duration) template.HTML {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="beats big" viewBox="0 0 %d %d" preserveAspectRatio="none" role="img" aria-label="%s">`,
		max(len(buckets), 1)*beatWidth, barHeight, Describe(buckets))
	layout := "Jan 2, 15:04"
	if step >= 24*time.Hour {
		layout = "Jan 2"
	}
	for i, c := range buckets {
		fmt.Fprintf(&b, `<path class="%s" d="M%d 10h%d"><title>%s UTC: %d up, %d down, %d unknown</title></path>`,
			kinds[kindOf(c)], i*beatWidth, beatWidth, from.Add(time.Duration(i)*step).UTC().Format(layout), c.Up, c.Down, c.Unknown)
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}
