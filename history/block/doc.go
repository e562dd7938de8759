// Package block is how results are packed, and how they are counted: points in streams and blocks, and rollups of them. It
// reads and writes bytes and knows no file.
//
// Times are Unix milliseconds, instants and intervals alike, and days are counted from the epoch, in UTC.
//
// A duration is kept with an error of at most 0.4 % (exact below 256 µs). Quantiles come from a histogram with 32 bins for
// each doubling and have an error of at most 1.6 % of the value that has this rank.
package block

import "time"

// Lengths of time in milliseconds.
const (
	Second = int64(1000)
	Minute = 60 * Second
	Hour   = 60 * Minute
	Day    = 24 * Hour
)

// DayOf is the UTC day of an instant.
func DayOf(at int64) int64 {
	d := at / Day
	if at%Day < 0 {
		d--
	}
	return d
}

// TimeOf is an instant as a time.Time in UTC.
func TimeOf(at int64) time.Time { return time.UnixMilli(at).UTC() }

// Turn is when a target's turn came, and the target's interval at this time. Its zero value is none.
type Turn struct{ Time, Interval int64 }

// IsGap reports whether so much time lies between two turns that some of them did not come: more than 2.5 intervals.
func (t Turn) IsGap(next int64) bool {
	return t.Interval > 0 && t.Time != 0 && (next-t.Time)*2 > t.Interval*5
}

// EachMissing calls add with how many turns that did not come between t and next fall into each of the n spans of length
// width that begin at from.
func (t Turn) EachMissing(next, from, width int64, n int, add func(i int, missing uint32)) {
	begin, end := t.Time+t.Interval, next-t.Interval/2 // of what is missing
	if !t.IsGap(next) || end < from {
		return
	}
	for i := max((begin-from)/width, 0); i <= min((end-from)/width, int64(n)-1); i++ {
		start := from + i*width
		first := max(1, ceilDiv(start-t.Time, t.Interval))
		after := ceilDiv(min(start+width, end)-t.Time, t.Interval)
		add(int(i), uint32(max(0, after-first)))
	}
}

func ceilDiv(a, b int64) int64 {
	q := a / b
	if a%b > 0 {
		q++
	}
	return q
}
