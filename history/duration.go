package history

import (
	"math/bits"
	"slices"
	"time"
)

// A code is a duration as it is kept: whole microseconds up to 2^(precision+1), and after that the leading
// precision+1 bits and an exponent, as in an HDR histogram. Codes have the order of the durations, and the bins of a
// lower precision are unions of those of a higher one.
type code uint16

const (
	fine   = 7 // of single results: an error of at most 1/256
	coarse = 5 // of histograms: of at most 1/64
)

// maxMicros is the longest duration there is a code for, over an hour.
const maxMicros = 1<<32 - 1

func encodeMicros(us int64, precision uint) code {
	v := uint64(min(max(us, 0), maxMicros))
	if v < 2<<precision {
		return code(v)
	}
	e := uint(bits.Len64(v)) - precision - 1
	return code(uint64(e)<<precision + v>>e)
}

// micros is the middle of the code's bin.
func (c code) micros(precision uint) int64 {
	if c < 2<<precision {
		return int64(c)
	}
	e := min(uint(c)>>precision-1, 40) // more has only a damaged row
	low := (int64(c) - int64(e)<<precision) << e
	return min(low+1<<e/2, maxMicros)
}

func encodeDuration(d time.Duration, precision uint) code {
	return encodeMicros(d.Round(time.Microsecond).Microseconds(), precision)
}

func microseconds(us int64) time.Duration { return time.Duration(us) * time.Microsecond }

// histogram counts durations by coarse code, in the codes' order.
type histogram []bin

type bin struct {
	code code
	n    uint32
}

// add counts n durations of a fine code.
func (h *histogram) add(c code, n uint32) {
	h.addBin(bin{encodeMicros(c.micros(fine), coarse), n})
}

func (h *histogram) addBin(b bin) {
	at, found := slices.BinarySearchFunc(*h, b.code, func(e bin, c code) int { return int(e.code) - int(c) })
	if found {
		(*h)[at].n += b.n
		return
	}
	*h = slices.Insert(*h, at, b)
}

func (h *histogram) merge(o histogram) {
	if len(o) == 0 {
		return
	}
	a := *h
	merged := make(histogram, 0, len(a)+len(o))
	for len(a) > 0 && len(o) > 0 {
		switch {
		case a[0].code < o[0].code:
			merged, a = append(merged, a[0]), a[1:]
		case a[0].code > o[0].code:
			merged, o = append(merged, o[0]), o[1:]
		default:
			merged = append(merged, bin{a[0].code, a[0].n + o[0].n})
			a, o = a[1:], o[1:]
		}
	}
	*h = append(append(merged, a...), o...)
}

func (h histogram) count() (n uint64) {
	for _, b := range h {
		n += uint64(b.n)
	}
	return n
}

// quantile is PromQL's: of n values the one at rank q*(n-1), interpolated between its neighbours.
func (h histogram) quantile(q float64) time.Duration { return quantile(q, h, nil) }

// quantile is that of two histograms together.
func quantile(q float64, a, b histogram) time.Duration {
	n := a.count() + b.count()
	if n == 0 {
		return 0
	}
	rank := q * float64(n-1)
	low := uint64(rank)
	lower, upper := ranked(a, b, low, min(low+1, n-1))
	weight := rank - float64(low)
	return time.Duration((lower*(1-weight) + upper*weight) * float64(time.Microsecond))
}

// ranked returns the values at two ranks of which the second is the first or the next.
func ranked(a, b histogram, first, second uint64) (lower, upper float64) {
	var seen uint64
	found := false
	for i, j := 0, 0; i < len(a) || j < len(b); {
		var next bin
		if j == len(b) || i < len(a) && a[i].code <= b[j].code {
			next = a[i]
			i++
		} else {
			next = b[j]
			j++
		}
		seen += uint64(next.n)
		if !found && seen > first {
			lower, found = float64(next.code.micros(coarse)), true
		}
		if seen > second {
			return lower, float64(next.code.micros(coarse))
		}
	}
	return lower, lower
}
