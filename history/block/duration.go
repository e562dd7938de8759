package block

import (
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"slices"
	"time"
)

// Code is a duration as it is kept: whole microseconds up to 2^(precision+1), and after that the leading
// precision+1 bits and an exponent, as in an HDR histogram. Codes have the order of the durations, and the bins of a
// lower precision are unions of those of a higher one.
type Code uint16

// The precisions.
const (
	Fine   = 7 // of single results: an error of at most 1/256
	Coarse = 5 // of histograms: of at most 1/64
)

// maxMicros is the longest duration there is a code for, over an hour.
const maxMicros = 1<<32 - 1

func encodeMicros(us int64, precision uint) Code {
	v := uint64(min(max(us, 0), maxMicros))
	if v < 2<<precision {
		return Code(v)
	}
	e := uint(bits.Len64(v)) - precision - 1
	return Code(uint64(e)<<precision + v>>e)
}

// micros is the middle of the code's bin.
func (c Code) micros(precision uint) int64 {
	if c < 2<<precision {
		return int64(c)
	}
	e := min(uint(c)>>precision-1, 40) // more has only a damaged row
	low := (int64(c) - int64(e)<<precision) << e
	return min(low+1<<e/2, maxMicros)
}

// EncodeDuration is the code of a duration; one below zero is 0.
func EncodeDuration(d time.Duration, precision uint) Code {
	return encodeMicros(d.Round(time.Microsecond).Microseconds(), precision)
}

func microseconds(us int64) time.Duration { return time.Duration(us) * time.Microsecond }

// Histogram counts durations by coarse code, in the codes' order.
type Histogram []Bin

// Bin is how many durations have a code.
type Bin struct {
	Code Code
	N    uint32
}

// Add counts a duration of a fine code.
func (h *Histogram) Add(c Code) {
	c = encodeMicros(c.micros(Fine), Coarse)
	at, found := slices.BinarySearchFunc(*h, c, func(e Bin, c Code) int { return int(e.Code) - int(c) })
	if !found {
		*h = slices.Insert(*h, at, Bin{Code: c})
	}
	(*h)[at].N++
}

// append writes the histogram as readHistogram reads it.
func (h Histogram) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(h)))
	before := Code(0)
	for _, bin := range h {
		b = binary.AppendUvarint(b, uint64(bin.Code-before))
		b = binary.AppendUvarint(b, uint64(bin.N))
		before = bin.Code
	}
	return b
}

// readHistogram reads what append wrote into the memory of another histogram, which may be nil.
func (r *reader) readHistogram(memory Histogram) Histogram {
	n := r.count(len(r.rest) / 2)
	h := slices.Grow(memory[:0], n)[:n]
	before := Code(0)
	for i := range h {
		next := before + r.code()
		if i > 0 && next <= before {
			r.fail()
		}
		h[i] = Bin{next, uint32(r.number(1<<32 - 1))}
		before = next
	}
	return h
}

// PackedHistogram is a Histogram as the file has it: it takes a quarter of the memory, where many are kept for a day.
type PackedHistogram []byte

// Pack packs the histogram.
func (h Histogram) Pack() PackedHistogram { return h.append(nil) }

// Add counts a duration of a fine code.
func (p *PackedHistogram) Add(c Code) {
	var memory [64]Bin
	h := p.unpack(memory[:0])
	h.Add(c)
	var packed [256]byte
	*p = append((*p)[:0], h.append(packed[:0])...)
}

// Histogram unpacks it.
func (p PackedHistogram) Histogram() Histogram { return p.unpack(nil) }

func (p PackedHistogram) unpack(memory Histogram) Histogram {
	r := reader{rest: p}
	if len(p) == 0 {
		return memory[:0]
	}
	return r.readHistogram(memory)
}

// MarshalJSON implements json.Marshaler: it is the same as of the Histogram.
func (p PackedHistogram) MarshalJSON() ([]byte, error) { return json.Marshal(p.Histogram()) }

// UnmarshalJSON implements json.Unmarshaler.
func (p *PackedHistogram) UnmarshalJSON(text []byte) error {
	var h Histogram
	if err := json.Unmarshal(text, &h); err != nil {
		return err
	}
	for i := range h[:max(len(h)-1, 0)] {
		if h[i].Code >= h[i+1].Code {
			return ErrFormat
		}
	}
	*p = h.Pack()
	return nil
}

// Merge adds what another histogram counts.
func (h *Histogram) Merge(o Histogram) {
	if len(o) == 0 {
		return
	}
	a := *h
	merged := make(Histogram, 0, len(a)+len(o))
	for len(a) > 0 && len(o) > 0 {
		switch {
		case a[0].Code < o[0].Code:
			merged, a = append(merged, a[0]), a[1:]
		case a[0].Code > o[0].Code:
			merged, o = append(merged, o[0]), o[1:]
		default:
			merged = append(merged, Bin{a[0].Code, a[0].N + o[0].N})
			a, o = a[1:], o[1:]
		}
	}
	*h = append(append(merged, a...), o...)
}

func (h Histogram) count() (n uint64) {
	for _, b := range h {
		n += uint64(b.N)
	}
	return n
}

// Quantile is PromQL's: of n values the one at rank q*(n-1), interpolated between its neighbours; 0 when there is none.
func (h Histogram) Quantile(q float64) time.Duration {
	n := h.count()
	if n == 0 {
		return 0
	}
	rank := q * float64(n-1)
	low := uint64(rank)
	weight := rank - float64(low)
	return time.Duration((h.ranked(low)*(1-weight) + h.ranked(min(low+1, n-1))*weight) * float64(time.Microsecond))
}

// ranked is the value at a rank below count, in microseconds.
func (h Histogram) ranked(rank uint64) float64 {
	for _, b := range h {
		if rank < uint64(b.N) {
			return float64(b.Code.micros(Coarse))
		}
		rank -= uint64(b.N)
	}
	return 0
}
