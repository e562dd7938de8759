package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"os"
	"strings"
)

// The size of a cell of Grafana's grid (24 columns) in the picture, and the gap between panels.
const (
	cellWidth, cellHeight = 40, 20
	gap                   = 4
)

type panel struct {
	Type, Title string
	GridPos     struct{ X, Y, W, H int }
}

// drawDashboard returns an SVG with the dashboard's panels, their titles and their kinds, each at its place in the grid.
func drawDashboard(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var board struct{ Panels []panel }
	if err := json.Unmarshal(text, &board); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(board.Panels) == 0 {
		return nil, fmt.Errorf("%s has no panel", path)
	}
	bottom := 0
	for _, p := range board.Panels {
		bottom = max(bottom, p.GridPos.Y+p.GridPos.H)
	}
	var b bytes.Buffer
	width, height := 24*cellWidth+gap, bottom*cellHeight+gap
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\">\n", width, height, width, height)
	b.WriteString(`<style>
.board { fill: #f4f5f5 } .panel { fill: #ffffff; stroke: #d0d3d6 } text { fill: #24292e } .kind { fill: #6e7781 }
@media (prefers-color-scheme: dark) {
.board { fill: #111217 } .panel { fill: #181b1f; stroke: #33373d } text { fill: #d8d9da } .kind { fill: #8e9299 }
}
</style>
`)
	fmt.Fprintf(&b, "<rect class=\"board\" width=\"%d\" height=\"%d\"/>\n", width, height)
	for _, p := range board.Panels {
		draw(&b, p)
	}
	b.WriteString("</svg>\n")
	return b.Bytes(), nil
}

// draw writes one panel: a frame with title and kind, or for a row its title alone.
func draw(b *bytes.Buffer, p panel) {
	x, y := p.GridPos.X*cellWidth+gap, p.GridPos.Y*cellHeight+gap
	width, height := p.GridPos.W*cellWidth-gap, p.GridPos.H*cellHeight-gap
	if p.Type == "row" {
		fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" font-size=\"14\" font-weight=\"bold\">%s</text>\n", x+4, y+13, html.EscapeString(p.Title))
		return
	}
	fmt.Fprintf(b, "<rect class=\"panel\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"2\"/>\n", x, y, width, height)
	for i, line := range wrap(p.Title, (width-12)/7) {
		fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" font-size=\"12\">%s</text>\n", x+6, y+16+14*i, html.EscapeString(line))
	}
	fmt.Fprintf(b, "<text class=\"kind\" x=\"%d\" y=\"%d\" font-size=\"11\">%s</text>\n", x+6, y+height-7, html.EscapeString(p.Type))
}

// wrap breaks text into lines of at most width characters; a longer word has a line of its own.
func wrap(text string, width int) (lines []string) {
	for _, word := range strings.Fields(text) {
		if last := len(lines) - 1; last >= 0 && len(lines[last])+1+len(word) <= width {
			lines[last] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}
