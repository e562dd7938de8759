package block

import (
	"cmp"
	"encoding/binary"
	"slices"

	"rollcall/probe"
)

// MaxPoints bounds the results of a block: those of a day at one a second, and some.
const MaxPoints = 1 << 20

// Block is the results of a target and a day, in the order of time, with the turn before the first.
type Block struct {
	Before Turn
	Points []Point

	row []byte // memory for Decode
}

const blockVersion = 1

// SortPoints puts points in the order of time; the clock may have been set back between them.
func SortPoints(points []Point) {
	byTime := func(a, b Point) int { return cmp.Compare(a.Time, b.Time) }
	if !slices.IsSortedFunc(points, byTime) {
		slices.SortStableFunc(points, byTime)
	}
}

// Join adds points of the same day, of which the first came after the turn before.
func (bl *Block) Join(before Turn, points []Point) {
	if len(bl.Points) == 0 || before.Time != 0 && before.Time < bl.Before.Time {
		bl.Before = before
	}
	bl.Points = append(bl.Points, points...)
	SortPoints(bl.Points)
	bl.Points = bl.Points[:min(len(bl.Points), MaxPoints)]
}

// Encode writes the columns of the block one after the other, each as numbers that are small when the target is as
// usual, and packs them.
func (bl *Block) Encode() []byte {
	p := bl.Points
	b := make([]byte, 0, 16+10*len(p))
	b = append(b, blockVersion)
	b = binary.AppendVarint(b, bl.Before.Time)
	b = binary.AppendVarint(b, bl.Before.Interval)
	b = binary.AppendUvarint(b, uint64(len(p)))
	b = appendRuns(b, p, func(p *Point) int64 { return p.Interval })
	b = appendRuns(b, p, func(p *Point) int64 { return int64(p.State) })
	b = appendRuns(b, p, func(p *Point) int64 { return int64(p.Status) })
	b = appendRuns(b, p, func(p *Point) int64 { return p.Expiry })
	b = appendFailures(b, p)
	at := int64(0)
	for i := range p {
		b = binary.AppendVarint(b, p[i].Time-at)
		at = p[i].Time + p[i].Interval
	}
	b = appendCodes(b, p, func(p *Point) *Code { return &p.Duration })
	for phase := range phaseCount {
		b = appendCodes(b, p, func(p *Point) *Code { return &p.Phases[phase] })
	}
	return Pack(b)
}

// Decode reads what Encode wrote. It uses the memory of bl again.
func (bl *Block) Decode(packed []byte) (err error) {
	if bl.row, err = Unpack(packed, bl.row); err != nil {
		return err
	}
	return bl.read(bl.row)
}

func (bl *Block) read(row []byte) error {
	r := reader{rest: row}
	if r.byte() != blockVersion {
		return ErrFormat
	}
	bl.Before = Turn{r.varint(), r.interval()}
	n := r.count(min(MaxPoints, len(r.rest)))
	p := slices.Grow(bl.Points[:0], n)[:n]
	clear(p)
	bl.Points = p
	r.readRuns(p, func(p *Point, v int64) bool { p.Interval = v; return v >= 0 })
	r.readRuns(p, func(p *Point, v int64) bool { p.State = State(v); return v >= 0 && v <= int64(Down) })
	r.readRuns(p, func(p *Point, v int64) bool { p.Status = uint16(v); return v >= 0 && v < 1<<16 })
	r.readRuns(p, func(p *Point, v int64) bool { p.Expiry = v; return true })
	r.readFailures(p)
	at := int64(0)
	for i := range p {
		p[i].Time = at + r.varint()
		at = p[i].Time + p[i].Interval
	}
	r.readCodes(p, func(p *Point) *Code { return &p.Duration })
	for phase := range phaseCount {
		r.readCodes(p, func(p *Point) *Code { return &p.Phases[phase] })
	}
	if r.bad || len(r.rest) > 0 {
		return ErrFormat
	}
	return nil
}

// appendRuns writes a column that seldom changes: each value and how often it comes in a row.
func appendRuns(b []byte, points []Point, column func(*Point) int64) []byte {
	for i := 0; i < len(points); {
		v, n := column(&points[i]), 1
		for i+n < len(points) && column(&points[i+n]) == v {
			n++
		}
		b = binary.AppendVarint(b, v)
		b = binary.AppendUvarint(b, uint64(n))
		i += n
	}
	return b
}

func (r *reader) readRuns(points []Point, set func(*Point, int64) bool) {
	for i := 0; i < len(points) && !r.bad; {
		v := r.varint()
		n := r.count(len(points) - i)
		if n == 0 {
			r.fail()
		}
		for range n {
			if !set(&points[i], v) {
				r.fail()
				return
			}
			i++
		}
	}
}

// appendFailures writes the distinct failures and then, in runs, which each point has.
func appendFailures(b []byte, points []Point) []byte {
	list := []Failure{{}}
	place := map[Failure]int64{{}: 0}
	for i := range points {
		cause := points[i].Cause()
		if _, known := place[cause]; !known {
			place[cause] = int64(len(list))
			list = append(list, cause)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(list)-1))
	for _, f := range list[1:] {
		b = appendString(b, string(f.Stage))
		b = appendString(b, string(f.Reason))
	}
	return appendRuns(b, points, func(p *Point) int64 { return place[p.Cause()] })
}

func (r *reader) readFailures(points []Point) {
	list := make([]Failure, 1+r.count(min(len(points), len(r.rest))))
	for i := range list[1:] {
		list[i+1] = Failure{probe.Stage(r.string()), probe.Reason(r.string())}
	}
	r.readRuns(points, func(p *Point, v int64) bool {
		if v < 0 || v >= int64(len(list)) {
			return false
		}
		if v > 0 {
			p.Failure = &list[v]
		}
		return true
	})
}

// appendCodes writes a column of durations as differences from its median, of the points with a verdict. A column of
// zeros is one byte.
func appendCodes(b []byte, points []Point, column func(*Point) *Code) []byte {
	codes := make([]Code, 0, len(points))
	for i := range points {
		if points[i].State != Unknown {
			codes = append(codes, *column(&points[i]))
		}
	}
	sorted := slices.Clone(codes)
	slices.Sort(sorted)
	if len(sorted) == 0 || sorted[len(sorted)-1] == 0 {
		return append(b, 0)
	}
	median := sorted[len(sorted)/2]
	b = append(b, 1)
	b = binary.AppendUvarint(b, uint64(median))
	for _, c := range codes {
		b = binary.AppendVarint(b, int64(c)-int64(median))
	}
	return b
}

func (r *reader) readCodes(points []Point, column func(*Point) *Code) {
	switch r.byte() {
	case 0:
		return
	case 1:
	default:
		r.fail()
		return
	}
	median := int64(r.code())
	for i := range points {
		if points[i].State == Unknown {
			continue
		}
		v := median + r.varint()
		if v < 0 || v > 1<<16-1 {
			r.fail()
			return
		}
		*column(&points[i]) = Code(v)
	}
}
