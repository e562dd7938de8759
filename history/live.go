package history

import (
	"maps"
	"time"

	"rollcall/probe"
	"rollcall/redact"
)

// live is what is kept in memory of a configured target: how it is, the buckets of an overview, and the results that
// are not in a block yet.
type live struct {
	id       uint64
	info     Target // without userinfo
	interval int64

	first   int64 // the first turn ever; 0: none
	last    point // the last turn; zero: none
	verdict point // the last with a verdict
	since   int64 // of the verdicts equal to it

	halfHours, threeHours, days ring

	today   histogram // of the verdicts of the day below
	day     int64
	typical [len(typicalDays)]histogram // of the days before, for each range

	// The results that are in no block: a stream (appendPoint), and the turn before its first. Those being written to
	// one stand apart, before the others.
	open, sealing stream

	incident   *Incident    // open
	evidenceAt int64        // when evidence was last kept,
	evidenceOf string       // and of which incident
	good       probe.Record // last good one since the start; zero: none

	unsaved bool // the file does not have info and first as they are
	loaded  bool // what the file has was taken over
	left    bool // the configuration: it is here for its open results
}

// typicalDays is how many whole days before today each range touches, in the order of Ranges.
var typicalDays = [...]int64{1, 7, 29, 89}

// stream is a number of points as appendPoint writes them.
type stream struct {
	bytes          []byte
	before         int64 // the turn before the first; 0: none
	beforeInterval int64
	end            point // the last point
	count          int
}

func (s *stream) append(p *point) {
	s.bytes, s.end = appendPoint(s.bytes, &s.end, p), *p
	s.count++
}

func newLive(t Target) *live {
	l := &live{
		halfHours:  newRing(48, 30*minute),
		threeHours: newRing(56, 3*hour),
		days:       newRing(90, day),
	}
	l.configure(t)
	return l
}

// configure takes over what the configuration says.
func (l *live) configure(t Target) {
	t.Target = redact.Target(t.Target)
	if t.Interval < time.Millisecond {
		t.Interval = time.Minute
	}
	l.unsaved = l.unsaved || !sameTarget(l.info, t)
	l.id, l.info, l.interval = rowID(t.ID()), t, t.Interval.Milliseconds()
}

func sameTarget(a, b Target) bool {
	return a.Module == b.Module && a.Target == b.Target && a.Hostname == b.Hostname && a.Name == b.Name &&
		a.Group == b.Group && a.Interval == b.Interval && maps.Equal(a.Labels, b.Labels)
}

// turn takes in what came last. It reports how many bytes the open stream has grown.
func (l *live) turn(p *point) int {
	before := len(l.open.bytes)
	if before == 0 {
		l.open = stream{bytes: l.open.bytes, before: l.last.time, beforeInterval: l.last.interval}
	}
	l.open.append(p)
	l.count(p)
	return len(l.open.bytes) - before
}

// count takes a turn into everything but the open stream.
func (l *live) count(p *point) {
	if l.first == 0 {
		l.first, l.unsaved = p.time, true
	}
	for _, r := range l.rings() {
		r.addGap(l.last.time, p.time, l.last.interval)
		r.addPoint(p)
	}
	l.last = *p
	if p.state == unknown {
		return
	}
	if l.verdict.state != p.state {
		l.since = p.time
	}
	l.verdict = *p
	l.addTypical(p)
}

func (l *live) addTypical(p *point) {
	if d := dayOf(p.time); d != l.day {
		for i := range l.typical {
			l.typical[i].merge(l.today) // until the days are counted anew
		}
		l.today, l.day = nil, d
	}
	l.today.add(p.duration, 1)
}

// ring is the last buckets of an overview.
type ring struct {
	width  int64
	newest int64 // number of the last bucket, counted from the epoch
	counts []Counts
}

func newRing(n int, width int64) ring { return ring{width: width, counts: make([]Counts, n)} }

// bucket returns the one with a number, which becomes the newest when it is newer; nil when it is too old.
func (r *ring) bucket(number int64) *Counts {
	n := int64(len(r.counts))
	switch {
	case number < 0 || number <= r.newest-n:
		return nil
	case number >= r.newest+n:
		clear(r.counts)
		r.newest = number
	}
	for r.newest < number {
		r.newest++
		r.counts[r.newest%n] = Counts{}
	}
	return &r.counts[number%n]
}

func (r *ring) addPoint(p *point) {
	b := r.bucket(p.time / r.width)
	if b == nil {
		return
	}
	switch p.state {
	case up:
		b.Up++
	case down:
		b.Down++
	default:
		b.Unknown++
	}
}

func (r *ring) addGap(last, next, interval int64) {
	if !isGap(last, next, interval) {
		return
	}
	from, to := missingSpan(last, next, interval)
	n := int64(len(r.counts))
	for number := max(from/r.width, to/r.width-n+1); number <= to/r.width; number++ {
		if b := r.bucket(number); b != nil {
			b.Unknown += missing(last, next, interval, number*r.width, (number+1)*r.width)
		}
	}
}

// read copies the last buckets up to the one with a number; those that there are not stay zero.
func (r *ring) read(into []Counts, newest int64) {
	n := int64(len(r.counts))
	for i := range into {
		number := newest - int64(len(into)-1-i)
		if number >= 0 && number <= r.newest && number > r.newest-n {
			into[i] = r.counts[number%n]
		}
	}
}

// grid is a grid that ends in the bucket of an instant, to count anew.
func (r *ring) grid(now int64) *grid {
	n := int64(len(r.counts))
	return &grid{from: (now/r.width - n + 1) * r.width, step: r.width, cells: make([]cell, n)}
}

// set replaces what was counted.
func (r *ring) set(g *grid) {
	clear(r.counts)
	r.newest = 0
	for i := range g.cells {
		if b := r.bucket(g.from/r.width + int64(i)); b != nil {
			*b = g.cells[i].Counts
		}
	}
}
