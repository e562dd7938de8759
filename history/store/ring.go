package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"

	"rollcall/history"
	"rollcall/history/block"
)

// ring is the last buckets of an overview. Those before the newest are packed in runs of equal ones: they seldom change, a
// steady target's are all the same, and unpacked those of 10,000 targets would take more memory than everything else.
type ring struct {
	Number int64 // of the newest bucket, counted from the epoch
	Newest history.Counts
	kind   ringKind
	// Runs are the buckets before the newest, the oldest first: how many in a row, and what each of them counts, as varints.
	// Those that are not there count nothing.
	Runs []byte
}

// ringKind is which buckets a ring has.
type ringKind uint8

const (
	halfHours ringKind = iota
	threeHours
	days
)

// n is how many buckets there are, with the newest, and width how long each is.
func (r *ring) n() int       { return [...]int{48, 56, 90}[r.kind] }
func (r *ring) width() int64 { return [...]int64{30 * block.Minute, 3 * block.Hour, block.Day}[r.kind] }

// maxBuckets is the largest n.
const maxBuckets = 90

// varints reads numbers; after the last, as in a damaged row, there are zeros.
type varints struct{ rest []byte }

func (v *varints) next() uint32 {
	n, length := binary.Uvarint(v.rest)
	v.rest = v.rest[max(length, 0):]
	return uint32(n)
}

func (v *varints) counts() history.Counts {
	return history.Counts{Up: v.next(), Down: v.next(), Unknown: v.next()}
}

// unpack writes all buckets into memory, the oldest first.
func (r *ring) unpack(memory *[maxBuckets]history.Counts) []history.Counts {
	all := memory[:r.n()]
	runs := varints{r.Runs}
	var run uint32
	var c history.Counts
	for i := range len(all) - 1 {
		if run == 0 {
			run, c = runs.next(), runs.counts()
		}
		run--
		all[i] = c
	}
	all[len(all)-1] = r.Newest
	return all
}

func (r *ring) set(all []history.Counts) {
	last := r.n() - 1
	var memory [128]byte
	packed := memory[:0]
	for i := 0; i < last; {
		run := 1
		for i+run < last && all[i+run] == all[i] {
			run++
		}
		for _, v := range []uint32{uint32(run), all[i].Up, all[i].Down, all[i].Unknown} {
			packed = binary.AppendUvarint(packed, uint64(v))
		}
		i += run
	}
	r.Newest, r.Runs = all[last], bytes.Clone(packed)
}

// UnmarshalJSON also takes what former versions wrote, which packed each bucket for itself.
func (r *ring) UnmarshalJSON(text []byte) error {
	var row struct {
		Number      int64
		Newest      history.Counts
		Runs, Older []byte
	}
	if err := json.Unmarshal(text, &row); err != nil {
		return err
	}
	r.Number, r.Newest, r.Runs = row.Number, row.Newest, row.Runs
	if row.Older != nil {
		all, older := make([]history.Counts, r.n()), varints{row.Older}
		for i := range r.n() - 1 {
			all[i] = older.counts()
		}
		all[r.n()-1] = row.Newest
		r.set(all)
	}
	return nil
}

// add counts in the bucket with a number, which becomes the newest when it is newer. What is too old is not counted.
func (r *ring) add(number int64, c history.Counts) {
	last := int64(r.n() - 1)
	later := number - r.Number
	if later == 0 {
		r.Newest.Add(c)
		return
	}
	if later < -last {
		return
	}
	var memory [maxBuckets]history.Counts
	all := r.unpack(&memory)
	if later > 0 {
		kept := copy(all, all[min(later, last+1):])
		clear(all[kept:])
		r.Number, later = number, 0
	}
	all[last+later].Add(c)
	r.set(all)
}

// addGap counts the turns that did not come until next.
func (r *ring) addGap(last block.Turn, next int64) {
	from := r.start(next)
	last.EachMissing(next, from, r.width(), r.n(), func(i int, missing uint32) {
		r.add(from/r.width()+int64(i), history.Counts{Unknown: missing})
	})
}

// read copies the last buckets up to the one with a number; those that there are not stay zero.
func (r *ring) read(into []history.Counts, newest int64) {
	var memory [maxBuckets]history.Counts
	all := r.unpack(&memory)
	first := len(into) - len(all) + int(r.Number-newest) // the place of the oldest
	for i, c := range all {
		if place := first + i; place >= 0 && place < len(into) {
			into[place] = c
		}
	}
}

// start is when the oldest bucket begins if that of an instant is the newest.
func (r *ring) start(newest int64) int64 { return (newest/r.width() - int64(r.n()) + 1) * r.width() }

// grid is a grid that ends in the bucket of an instant, to count anew.
func (r *ring) grid(now int64) *block.Grid {
	return &block.Grid{From: r.start(now), Step: r.width(), Cells: make([]block.Cell, r.n())}
}

// replace takes over what was counted anew.
func (r *ring) replace(g *block.Grid) {
	all := make([]history.Counts, r.n())
	for i := range all {
		all[i] = g.Cells[i].Counts
	}
	r.Number = g.From/r.width() + int64(r.n()) - 1
	r.set(all)
}
