package collector

import (
	"math"
	"slices"

	"rollcall/probe"
)

// The results that are counted.
const (
	resultUp = iota
	resultDown
	resultUnknown // the exporter failed, or the target was refused
	resultCount
)

var resultNames = [resultCount]string{"up", "down", "unknown"}

// classicBounds are the upper bounds of the classic histogram's buckets, in seconds: Prometheus's own defaults.
var classicBounds = [...]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

const (
	// finestSchema is the resolution at which a native histogram begins: eight buckets for each power of two.
	finestSchema = 3
	// maxNativeBuckets bounds what a target may take: above it, two neighbouring buckets become one.
	maxNativeBuckets = 40
	// zeroThreshold is Prometheus's default: what is at most this long is in the bucket of zero.
	zeroThreshold = 2.938735877055719e-39
)

// tally is what is counted of a target since start. It never changes, so that replies share it.
type tally struct {
	start   int64 // Unix nanoseconds
	results [resultCount]uint64
	sum     float64 // seconds of all that were up
	classic [len(classicBounds)]uint32
	zero    uint32
	schema  int8
	up      bool           // the last verdict
	native  []nativeBucket // by index

	// The exemplar of the results that are down. An outage that was there before the first result that was up has none:
	// when it began is not known here, and without it its incident.
	incident string // probe.IncidentID of the last outage; empty: none
	downAt   int64  // start of its last result, in Unix nanoseconds
}

// nativeBucket counts durations up to 2^(index/2^schema) seconds.
type nativeBucket struct {
	index int16
	count uint32
}

// add returns the tally with one result more; seconds counts for one that is up.
func (t *tally) add(result int, seconds float64) *tally {
	next := *t
	next.results[result]++
	if result != resultUp {
		return &next
	}
	next.sum += seconds
	if i := slices.IndexFunc(classicBounds[:], func(bound float64) bool { return seconds <= bound }); i >= 0 {
		next.classic[i]++
	}
	if seconds <= zeroThreshold {
		next.zero++
		return &next
	}
	index := int16(math.Ceil(math.Ldexp(math.Log2(seconds), int(next.schema))))
	at, found := slices.BinarySearchFunc(next.native, index, func(b nativeBucket, index int16) int { return int(b.index) - int(index) })
	if found {
		next.native = slices.Clone(next.native)
		next.native[at].count++
		return &next
	}
	next.native = slices.Concat(next.native[:at], []nativeBucket{{index, 1}}, next.native[at:])
	for len(next.native) > maxNativeBuckets {
		next.coarsen()
	}
	return &next
}

// follow keeps the incident that a verdict belongs to. The tally is not shared yet.
func (t *tally) follow(r *probe.Record) {
	began := t.up
	if t.up = r.Result.Up(); t.up {
		return
	}
	if began {
		t.incident = r.Key().IncidentID(r.Result.Start)
	}
	t.downAt = r.Result.Start.UnixNano()
}

// coarsen halves the resolution. The buckets are the tally's own.
func (t *tally) coarsen() {
	t.schema--
	kept := t.native[:0]
	for _, b := range t.native {
		b.index = (b.index + 1) >> 1 // the bucket with the next upper bound
		if n := len(kept); n > 0 && kept[n-1].index == b.index {
			kept[n-1].count += b.count
		} else {
			kept = append(kept, b)
		}
	}
	t.native = kept
}
