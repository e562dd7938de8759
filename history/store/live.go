package store

import (
	"bytes"
	"encoding/binary"
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

	Incident       *history.Incident // open
	EvidenceAt     int64             // when evidence was last kept,
	EvidenceOf     string            // of which incident,
	EvidenceReason probe.Reason      // and its reason
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

// ring is the last buckets of an overview. All but the newest are packed: they seldom change, and unpacked those of 10,000
// targets would take more memory than everything else.
type ring struct {
	Number int64 // of the newest bucket, counted from the epoch
	Newest history.Counts
	Older  []byte // the buckets before it as varints, the oldest first
	n      int    // how many there are with the newest
	width  int64
}

func newRing(n int, width int64) ring {
	r := ring{n: n, width: width}
	r.set(make([]history.Counts, n))
	return r
}

// each calls visit with every bucket, the oldest first.
func (r *ring) each(visit func(i int, c history.Counts)) {
	rest := r.Older
	for i := range r.n - 1 {
		var c history.Counts
		for _, number := range []*uint32{&c.Up, &c.Down, &c.Unknown} {
			v, length := binary.Uvarint(rest)
			*number, rest = uint32(v), rest[max(length, 0):] // a damaged row has zeros
		}
		visit(i, c)
	}
	visit(r.n-1, r.Newest)
}

func (r *ring) buckets() []history.Counts {
	all := make([]history.Counts, r.n)
	r.each(func(i int, c history.Counts) { all[i] = c })
	return all
}

func (r *ring) set(all []history.Counts) {
	packed := make([]byte, 0, 1<<10)
	for _, c := range all[:r.n-1] {
		for _, v := range []uint32{c.Up, c.Down, c.Unknown} {
			packed = binary.AppendUvarint(packed, uint64(v))
		}
	}
	r.Newest, r.Older = all[r.n-1], bytes.Clone(packed)
}

// add counts in the bucket with a number, which becomes the newest when it is newer. What is too old is not counted.
func (r *ring) add(number int64, c history.Counts) {
	switch later := number - r.Number; {
	case later == 0:
		r.Newest.Add(c)
	case later <= -int64(r.n):
	case later < 0:
		all := r.buckets()
		all[int64(r.n)-1+later].Add(c)
		r.set(all)
	default:
		all := make([]history.Counts, r.n)
		if later < int64(r.n) {
			copy(all, r.buckets()[later:])
		}
		all[r.n-1] = c
		r.Number = number
		r.set(all)
	}
}

func (r *ring) addPoint(p *block.Point) {
	var c history.Counts
	switch p.State {
	case block.Up:
		c.Up = 1
	case block.Down:
		c.Down = 1
	default:
		c.Unknown = 1
	}
	r.add(p.Time/r.width, c)
}

// addGap counts the turns that did not come until next.
func (r *ring) addGap(last *block.Point, next int64) {
	oldest := next/r.width - int64(r.n) + 1
	block.EachMissing(last.Time, next, last.Interval, oldest*r.width, r.width, r.n, func(i int, missing uint32) {
		r.add(oldest+int64(i), history.Counts{Unknown: missing})
	})
}

// read copies the last buckets up to the one with a number; those that there are not stay zero.
func (r *ring) read(into []history.Counts, newest int64) {
	first := len(into) - r.n + int(r.Number-newest) // the place of the oldest
	r.each(func(i int, c history.Counts) {
		if place := first + i; place >= 0 && place < len(into) {
			into[place] = c
		}
	})
}

// grid is a grid that ends in the bucket of an instant, to count anew.
func (r *ring) grid(now int64) *block.Grid {
	return &block.Grid{From: (now/r.width - int64(r.n) + 1) * r.width, Step: r.width, Cells: make([]block.Cell, r.n)}
}

// replace takes over what was counted anew.
func (r *ring) replace(g *block.Grid) {
	all := make([]history.Counts, r.n)
	for i := range all {
		all[i] = g.Cells[i].Counts
	}
	r.Number = g.From/r.width + int64(r.n) - 1
	r.set(all)
}
