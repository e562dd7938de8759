// Package badge draws the small pictures that a README or a wiki shows: a label and a value beside each other.
package badge

import (
	"fmt"
	"html"
	"unicode/utf8"
)

// The colours of values. White text on each has a contrast of at least 4.5.
const (
	Good    = "#23724f"
	Middle  = "#8a5a00"
	Bad     = "#b3261e"
	Unknown = "#5f6a66"
)

// SVG returns the picture. Label and value are cut after 60 characters.
func SVG(label, value, colour string) []byte {
	label, value = cut(label), cut(value)
	left, right := textWidth(label), textWidth(value)
	whole := left + right
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="20" role="img" aria-label="%s: %s">`+
		`<title>%s: %s</title><clipPath id="r"><rect width="%d" height="20" rx="4"/></clipPath>`+
		`<g clip-path="url(#r)"><rect width="%d" height="20" fill="#3c4643"/><rect x="%d" width="%d" height="20" fill="%s"/></g>`+
		`<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">`+
		`<text x="%d" y="14" textLength="%d">%s</text><text x="%d" y="14" textLength="%d">%s</text></g></svg>`+"\n",
		whole, html.EscapeString(label), html.EscapeString(value), html.EscapeString(label), html.EscapeString(value), whole,
		left, left, right, html.EscapeString(colour),
		left/2, left-padding, html.EscapeString(label), left+right/2, right-padding, html.EscapeString(value))
}

const padding = 12

// textWidth is about how wide text is in that font, with its padding.
func textWidth(text string) int { return utf8.RuneCountInString(text)*13/2 + padding }

func cut(text string) string {
	if utf8.RuneCountInString(text) <= 60 {
		return text
	}
	return string([]rune(text)[:59]) + "…"
}
