package history

// Times within the package are Unix milliseconds (instants and intervals alike), days are counted from the epoch.

const (
	second = int64(1000)
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour
)

// dayOf is the UTC day of an instant.
func dayOf(at int64) int64 {
	d := at / day
	if at%day < 0 {
		d--
	}
	return d
}

// isGap reports whether so much time lies between two turns that some of them did not come.
func isGap(last, next, interval int64) bool {
	return interval > 0 && last != 0 && (next-last)*2 > interval*5
}

// missing counts the turns that did not come between the turns at last and next and would have been in [from, to).
func missing(last, next, interval, from, to int64) uint32 {
	if !isGap(last, next, interval) {
		return 0
	}
	first := max(1, ceilDiv(from-last, interval))
	end := ceilDiv(min(to, next-interval/2)-last, interval) // the first that is not in it
	return uint32(max(0, end-first))
}

// missingSpan is the span in which missing counts: from the first turn that did not come to just after the last.
func missingSpan(last, next, interval int64) (from, to int64) {
	return last + interval, next - interval/2
}

func ceilDiv(a, b int64) int64 {
	q := a / b
	if a%b > 0 {
		q++
	}
	return q
}
