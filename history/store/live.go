package store

import (
	"maps"
	"time"

	"rollcall/history"
	"rollcall/history/block"
	"rollcall/probe"
	"rollcall/redact"
)

// live is what is kept in memory of a target.
type live struct {
	state
	id   uint64
	info history.Target // without userinfo
	left int64          // when it left the configuration; 0: it has not

	open      block.Stream // the turns that are in no block
	openSince uint64       // the first row of the journal that may have one of them
	sealing   int          // bytes of open that a transaction is writing to a block
	sealed    uint64       // the last row of the journal whose turns are in blocks
	window    int64        // of the last seal; see windowOf
	good      probe.Record // last good one since the start; zero: none

	loaded  bool // what the file has was taken over
	save    bool // it is to be sealed soon: the file does not have info or left as they are, or a row of the journal was lost
	recount bool // the clock was set back: the buckets are to be counted anew
}

// state is what the turns made of a target. It stands in the target's row.
type state struct {
	First   int64       // the first turn ever; 0: none
	Last    block.Point // the last turn; zero: none
	Verdict block.Point // the last with a verdict
	Since   int64       // of the verdicts equal to it

	HalfHours, ThreeHours, Days ring

	// The durations of a day and of the day before it, of which Typical is the median.
	Day              int64
	Today, Yesterday block.Histogram

	Incident   *history.Incident // open
	EvidenceAt int64             // when evidence was last kept,
	EvidenceOf string            // and of which incident
}

func newState() state {
	return state{HalfHours: newRing(48, 30*block.Minute), ThreeHours: newRing(56, 3*block.Hour), Days: newRing(90, block.Day)}
}

func (l *state) rings() []*ring { return []*ring{&l.HalfHours, &l.ThreeHours, &l.Days} }

// configure takes over what the configuration says.
func (l *live) configure(t history.Target) {
	t.Target = redact.Target(t.Target)
	if t.Interval < time.Millisecond {
		t.Interval = time.Minute
	}
	l.save = l.save || l.left != 0 || !sameTarget(l.info, t)
	l.info, l.left = t, 0
}

func sameTarget(a, b history.Target) bool {
	return a.Module == b.Module && a.Target == b.Target && a.Hostname == b.Hostname && a.Name == b.Name &&
		a.Group == b.Group && a.Interval == b.Interval && maps.Equal(a.Labels, b.Labels)
}

// clockTolerance is how far back a turn may lie before the last without the buckets being counted anew.
const clockTolerance = block.Hour

// count takes a turn into everything but the open stream.
func (l *live) count(p *block.Point) {
	if l.First == 0 {
		l.First, l.save = p.Time, true
	}
	l.recount = l.recount || p.Time < l.Last.Time-clockTolerance
	l.countBuckets(&l.Last, p)
	l.Last = *p
	if p.State == block.Unknown {
		return
	}
	if l.Verdict.State != p.State {
		l.Since = p.Time
	}
	l.Verdict = *p
}

func (l *live) countBuckets(last, p *block.Point) {
	for _, r := range l.rings() {
		r.addGap(last, p.Time)
		r.addPoint(p)
	}
	if p.State == block.Unknown {
		return
	}
	switch d := block.DayOf(p.Time); {
	case d == l.Day+1:
		l.Yesterday, l.Today, l.Day = l.Today, nil, d
	case d > l.Day:
		l.Yesterday, l.Today, l.Day = nil, nil, d
	}
	l.Today.Add(p.Duration)
}

// ring is the last buckets of an overview.
type ring struct {
	Newest  int64 // number of the last bucket, counted from the epoch
	Buckets []history.Counts
	width   int64
}

func newRing(n int, width int64) ring { return ring{width: width, Buckets: make([]history.Counts, n)} }

// bucket returns the one with a number, which becomes the newest when it is newer; nil when it is too old.
func (r *ring) bucket(number int64) *history.Counts {
	n := int64(len(r.Buckets))
	switch {
	case number < 0 || number <= r.Newest-n:
		return nil
	case number >= r.Newest+n:
		clear(r.Buckets)
		r.Newest = number
	}
	for r.Newest < number {
		r.Newest++
		r.Buckets[r.Newest%n] = history.Counts{}
	}
	return &r.Buckets[number%n]
}

func (r *ring) addPoint(p *block.Point) {
	b := r.bucket(p.Time / r.width)
	if b == nil {
		return
	}
	switch p.State {
	case block.Up:
		b.Up++
	case block.Down:
		b.Down++
	default:
		b.Unknown++
	}
}

// addGap counts the turns that did not come until next.
func (r *ring) addGap(last *block.Point, next int64) {
	n := len(r.Buckets)
	newest := next / r.width
	oldest := newest - int64(n) + 1
	block.EachMissing(last.Time, next, last.Interval, oldest*r.width, r.width, n, func(i int, missing uint32) {
		if b := r.bucket(oldest + int64(i)); b != nil {
			b.Unknown += missing
		}
	})
}

// read copies the last buckets up to the one with a number; those that there are not stay zero.
func (r *ring) read(into []history.Counts, newest int64) {
	n := int64(len(r.Buckets))
	for i := range into {
		number := newest - int64(len(into)-1-i)
		if number >= 0 && number <= r.Newest && number > r.Newest-n {
			into[i] = r.Buckets[number%n]
		}
	}
}

// grid is a grid that ends in the bucket of an instant, to count anew.
func (r *ring) grid(now int64) *block.Grid {
	n := int64(len(r.Buckets))
	return &block.Grid{From: (now/r.width - n + 1) * r.width, Step: r.width, Cells: make([]block.Cell, n)}
}

// set replaces what was counted.
func (r *ring) set(g *block.Grid) {
	clear(r.Buckets)
	r.Newest = 0
	for i := range g.Cells {
		if b := r.bucket(g.From/r.width + int64(i)); b != nil {
			*b = g.Cells[i].Counts
		}
	}
}
