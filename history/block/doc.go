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

// IsGap reports whether so much time lies between two turns that some of them did not come: more than 2.5 intervals. last is
// 0 when there was no turn before.
func IsGap(last, next, interval int64) bool {
	return interval > 0 && last != 0 && (next-last)*2 > interval*5
}

// missing counts the turns that did not come between the turns at last and next and would have been in [from, to).
func missing(last, next, interval, from, to int64) uint32 {
	first := max(1, ceilDiv(from-last, interval))
	end := ceilDiv(min(to, next-interval/2)-last, interval) // the first that is not in it
	return uint32(max(0, end-first))
}

func ceilDiv(a, b int64) int64 {
	q := a / b
	if a%b > 0 {
		q++
	}
	return q
}

// EachMissing calls add with how many turns that did not come between last and next fall into each of the n spans of
// length width that begin at from.
func EachMissing(last, next, interval, from, width int64, n int, add func(i int, missing uint32)) {
	if !IsGap(last, next, interval) {
		return
	}
	begin, end := last+interval, next-interval/2 // of what is missing
	if end < from {
		return
	}
	for i := max((begin-from)/width, 0); i <= min((end-from)/width, int64(n)-1); i++ {
		start := from + i*width
		add(int(i), missing(last, next, interval, start, start+width))
	}
}
