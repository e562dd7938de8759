package chart

import (
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"

	"rollcall/history"
	"rollcall/probe"
)

// The drawing's own units; the page stretches it to its width.
const (
	width  = 1000.0
	height = 200.0
)

// Plot is a drawing with its axes. They are not in the drawing, so that their text is not stretched with it.
type Plot struct {
	SVG  template.HTML
	Top  time.Duration // of the vertical axis; 0: there is nothing to draw
	Axis template.HTML // the horizontal one: another SVG, as wide as the drawing
}

// Response draws the median and up to the 95th percentile of the durations. Spans with failures and those without a
// verdict are shaded.
func Response(s history.Series) Plot {
	p := newPlot(s)
	for i := range s.Points {
		p.Top = max(p.Top, s.Points[i].P95)
	}
	p.Top = nice(p.Top)
	var b strings.Builder
	begin(&b, fmt.Sprintf("Response time from %s to %s UTC: median %v, 95th percentile %v",
		s.From.UTC().Format(time.DateTime), s.To.UTC().Format(time.DateTime), s.P50.Round(time.Microsecond), s.P95.Round(time.Microsecond)))
	shade(&b, s)
	if p.Top > 0 {
		grid(&b, s)
		eachRun(s, func(first, last int) {
			var band, line strings.Builder
			for i := first; i <= last; i++ {
				fmt.Fprintf(&band, "%s%s ", letter(i == first), place(s, i, s.Points[i].P95, p.Top))
				fmt.Fprintf(&line, "%s%s ", letter(i == first), place(s, i, s.Points[i].P50, p.Top))
			}
			for i := last; i >= first; i-- {
				fmt.Fprintf(&band, "L%s ", place(s, i, s.Points[i].P50, p.Top))
			}
			if first == last { // a point alone is a short line
				fmt.Fprintf(&line, "h%.1f", width/float64(len(s.Points)))
			}
			fmt.Fprintf(&b, `<path class="band" d="%sZ"/><path class="line" d="%s"/>`, band.String(), line.String())
		})
	}
	b.WriteString("</svg>")
	p.SVG = template.HTML(b.String())
	return p
}

// Phases draws the mean of each phase, stacked.
func Phases(s history.Series) Plot {
	p := newPlot(s)
	for i := range s.Points {
		p.Top = max(p.Top, sum(s.Points[i].Phases))
	}
	p.Top = nice(p.Top)
	var b strings.Builder
	begin(&b, "Mean time of each phase, stacked")
	if p.Top > 0 {
		grid(&b, s)
		eachRun(s, func(first, last int) {
			for phase := range phaseCount {
				var area strings.Builder
				if first == last { // a point alone is a bar
					from, to := place(s, first, below(s.Points[first].Phases, phase), p.Top), place(s, first, below(s.Points[first].Phases, phase+1), p.Top)
					_, y, _ := strings.Cut(to, " ")
					step := width / float64(len(s.Points))
					fmt.Fprintf(&b, `<path class="phase%d" d="M%s h%.1f V%s h-%.1fZ"/>`, phase, from, step, y, step)
					continue
				}
				for i := first; i <= last; i++ {
					fmt.Fprintf(&area, "%s%s ", letter(i == first), place(s, i, below(s.Points[i].Phases, phase+1), p.Top))
				}
				for i := last; i >= first; i-- {
					fmt.Fprintf(&area, "L%s ", place(s, i, below(s.Points[i].Phases, phase), p.Top))
				}
				fmt.Fprintf(&b, `<path class="phase%d" d="%sZ"/>`, phase, area.String())
			}
		})
	}
	b.WriteString("</svg>")
	p.SVG = template.HTML(b.String())
	return p
}

// PhaseBar draws the phases of one probe beside each other.
func PhaseBar(p probe.Phases) template.HTML {
	total := float64(sum(p))
	if total <= 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="phasebar" viewBox="0 0 %g 10" preserveAspectRatio="none" aria-hidden="true">`, width)
	for phase := range phaseCount {
		from, to := float64(below(p, phase))/total*width, float64(below(p, phase+1))/total*width
		if to > from {
			fmt.Fprintf(&b, `<path class="phase%d" d="M%.1f 0H%.1fV10H%.1fZ"/>`, phase, from, to, from)
		}
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

const phaseCount = 5

// below is how long the first n phases took together.
func below(p probe.Phases, n int) (d time.Duration) {
	phases := [phaseCount]time.Duration{p.Resolve, p.Connect, p.TLS, p.Processing, p.Transfer}
	for _, phase := range phases[:n] {
		d += phase
	}
	return d
}

func sum(p probe.Phases) time.Duration { return below(p, phaseCount) }

// eachTick calls visit with the round times of a series, in UTC, and how far they are along the axis, from 0 to 1. Those at the
// ends are left out: their labels would be cut.
func eachTick(s history.Series, visit func(at time.Time, place float64)) {
	span, step := s.To.Sub(s.From), 15*24*time.Hour
	switch {
	case span <= 30*time.Hour:
		step = 6 * time.Hour
	case span <= 10*24*time.Hour:
		step = 24 * time.Hour
	case span <= 40*24*time.Hour:
		step = 5 * 24 * time.Hour
	}
	for at := s.From.UTC().Truncate(step).Add(step); at.Before(s.To); at = at.Add(step) {
		if place := float64(at.Sub(s.From)) / float64(span); place > 0.04 && place < 0.96 {
			visit(at, place)
		}
	}
}

func newPlot(s history.Series) Plot {
	var b strings.Builder
	b.WriteString(`<svg class="x" aria-hidden="true">`)
	eachTick(s, func(at time.Time, place float64) {
		layout := "Jan 2"
		if at.Hour() > 0 {
			layout = "15:04"
		}
		fmt.Fprintf(&b, `<text x="%.1f%%" y="1em">%s</text>`, place*100, at.Format(layout))
	})
	b.WriteString("</svg>")
	return Plot{Axis: template.HTML(b.String())}
}

func begin(b *strings.Builder, label string) {
	fmt.Fprintf(b, `<svg class="plot" viewBox="0 0 %g %g" preserveAspectRatio="none" role="img" aria-label="%s">`, width, height, label)
}

func grid(b *strings.Builder, s history.Series) {
	fmt.Fprintf(b, `<path class="grid" d="M0 %g H%g M0 %g H%g M0 %g H%g`, height/2, width, height-0.5, width, 0.5, width)
	eachTick(s, func(_ time.Time, place float64) { fmt.Fprintf(b, " M%.1f 0 V%g", place*width, height) })
	b.WriteString(`"/>`)
}

// shade marks the steps with failures and those of which nothing is known.
func shade(b *strings.Builder, s history.Series) {
	step := width / float64(max(len(s.Points), 1))
	for i := 0; i < len(s.Points); {
		kind, first := kindOf(s.Points[i].Counts), i
		for i < len(s.Points) && kindOf(s.Points[i].Counts) == kind {
			i++
		}
		if name := map[int]string{unknown: "q", some: "s", down: "d"}[kind]; name != "" {
			fmt.Fprintf(b, `<path class="span-%s" d="M%.1f 0h%.1fV%gh-%.1fZ"/>`, name, float64(first)*step, float64(i-first)*step, height, float64(i-first)*step)
		}
	}
}

// eachRun calls draw with each run of points that have a duration.
func eachRun(s history.Series, draw func(first, last int)) {
	for i := 0; i < len(s.Points); i++ {
		first := i
		for i < len(s.Points) && s.Points[i].Counts.Known() > 0 {
			i++
		}
		if i > first {
			draw(first, i-1)
		}
	}
}

func letter(first bool) string {
	if first {
		return "M"
	}
	return "L"
}

// place is where a duration of a step stands.
func place(s history.Series, i int, d, top time.Duration) string {
	x := (float64(i) + 0.5) * width / float64(len(s.Points))
	return fmt.Sprintf("%.1f %.1f", x, height-float64(d)/float64(top)*height)
}

// nice rounds up to 1, 1.5, 2, 3, 4, 5, 6 or 8 of a power of ten, so that half of it reads well, too.
func nice(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	power := math.Pow(10, math.Floor(math.Log10(float64(d))))
	for _, step := range []float64{1, 1.5, 2, 3, 4, 5, 6, 8} {
		if float64(d) <= step*power {
			return time.Duration(step * power)
		}
	}
	return time.Duration(10 * power)
}
