package history

import (
	"bytes"
	"cmp"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sync"

	"rollcall/probe"
)

// maxRow bounds what a row is unpacked to: a damaged one must not fill the memory.
const maxRow = 64 << 20

// maxDeflation is more than how much shorter than its content a compressed row can be.
const maxDeflation = 1100

// maxPoints bounds the results of a block: those of a day at one a second, and some.
const maxPoints = 1 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var packers = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, flate.BestCompression)
	if err != nil {
		panic(fmt.Sprintf("history: %v", err)) // only for a level that does not exist
	}
	return w
}}

// How a row is written, in the byte after the checksum.
const (
	stored byte = iota
	deflated
)

// worthDeflating is the length from which compressing a row pays for reading it.
const worthDeflating = 200

// pack adds a checksum to a row, since bbolt has none for its pages, and compresses it if it is long.
func pack(row []byte) []byte {
	packed := bytes.NewBuffer(make([]byte, 5, 5+len(row)))
	if len(row) < worthDeflating {
		packed.Write(row)
	} else {
		packed.Bytes()[4] = deflated
		packed.Write(binary.AppendUvarint(nil, uint64(len(row))))
		w := packers.Get().(*flate.Writer)
		defer packers.Put(w)
		w.Reset(packed)
		_, err := w.Write(row)
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			panic(fmt.Sprintf("history: writing to memory: %v", err))
		}
	}
	b := packed.Bytes()
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	return b
}

// unpack returns the row; it may be a part of b.
func unpack(b []byte) ([]byte, error) {
	if len(b) < 5 || binary.LittleEndian.Uint32(b) != crc32.Checksum(b[4:], castagnoli) {
		return nil, errFormat
	}
	switch b[4] {
	case stored:
		return b[5:], nil
	case deflated:
		return inflate(b[5:])
	}
	return nil, errFormat
}

var unpackers = sync.Pool{New: func() any { return flate.NewReader(bytes.NewReader(nil)) }}

// inflate reads a length and that many bytes in compressed form.
func inflate(b []byte) ([]byte, error) {
	n, used := binary.Uvarint(b)
	if used <= 0 || n > maxRow || n > maxDeflation*uint64(len(b)) {
		return nil, errFormat
	}
	b = b[used:]
	r := unpackers.Get().(io.ReadCloser)
	defer unpackers.Put(r)
	if err := r.(flate.Resetter).Reset(bytes.NewReader(b), nil); err != nil {
		return nil, err
	}
	row := make([]byte, n)
	if _, err := io.ReadFull(r, row); err != nil {
		return nil, errFormat
	}
	return row, nil
}

// block is the results of a target, in the order of time, with the turn before the first.
type block struct {
	before         int64 // its time; 0: there is none
	beforeInterval int64
	points         []point
}

const blockVersion = 1

// sortPoints puts points in the order of time; the clock may have been set back between them.
func sortPoints(points []point) {
	slices.SortStableFunc(points, func(a, b point) int { return cmp.Compare(a.time, b.time) })
}

// encode writes the columns of the block one after the other, each as numbers that are small when the target is as
// usual, and compresses them.
func (bl *block) encode() []byte {
	p := bl.points
	b := make([]byte, 0, 16+8*len(p))
	b = append(b, blockVersion)
	b = binary.AppendVarint(b, bl.before)
	b = binary.AppendVarint(b, bl.beforeInterval)
	b = binary.AppendUvarint(b, uint64(len(p)))
	b = appendRuns(b, p, func(p *point) int64 { return p.interval })
	b = appendRuns(b, p, func(p *point) int64 { return int64(p.state) })
	b = appendRuns(b, p, func(p *point) int64 { return int64(p.status) })
	b = appendRuns(b, p, func(p *point) int64 { return p.expiry })
	b = appendFailures(b, p)
	at := int64(0)
	for i := range p {
		b = binary.AppendVarint(b, p[i].time-at)
		at = p[i].time + p[i].interval
	}
	b = appendCodes(b, p, func(p *point) *code { return &p.duration })
	for phase := range phaseCount {
		b = appendCodes(b, p, func(p *point) *code { return &p.phases[phase] })
	}
	return pack(b)
}

func decodeBlock(packed []byte) (*block, error) {
	row, err := unpack(packed)
	if err != nil {
		return nil, err
	}
	return readBlock(row)
}

func readBlock(row []byte) (*block, error) {
	r := reader{rest: row}
	if r.byte() != blockVersion {
		return nil, errFormat
	}
	bl := &block{before: r.varint(), beforeInterval: r.interval()}
	bl.points = make([]point, r.count(min(maxPoints, len(r.rest))))
	p := bl.points
	r.readRuns(p, func(p *point, v int64) bool { p.interval = v; return v >= 0 })
	r.readRuns(p, func(p *point, v int64) bool { p.state = state(v); return v >= 0 && v <= int64(down) })
	r.readRuns(p, func(p *point, v int64) bool { p.status = uint16(v); return v >= 0 && v < 1<<16 })
	r.readRuns(p, func(p *point, v int64) bool { p.expiry = v; return true })
	r.readFailures(p)
	at := int64(0)
	for i := range p {
		p[i].time = at + r.varint()
		at = p[i].time + p[i].interval
	}
	r.readCodes(p, func(p *point) *code { return &p.duration })
	for phase := range phaseCount {
		r.readCodes(p, func(p *point) *code { return &p.phases[phase] })
	}
	if r.bad || len(r.rest) > 0 {
		return nil, errFormat
	}
	return bl, nil
}

// appendRuns writes a column that seldom changes: each value and how often it comes in a row.
func appendRuns(b []byte, points []point, column func(*point) int64) []byte {
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

func (r *reader) readRuns(points []point, set func(*point, int64) bool) {
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
func appendFailures(b []byte, points []point) []byte {
	list := []failure{{}}
	place := map[failure]int64{{}: 0}
	for i := range points {
		if _, known := place[points[i].failure]; !known {
			place[points[i].failure] = int64(len(list))
			list = append(list, points[i].failure)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(list)-1))
	for _, f := range list[1:] {
		b = appendString(b, string(f.stage))
		b = appendString(b, string(f.reason))
	}
	return appendRuns(b, points, func(p *point) int64 { return place[p.failure] })
}

func (r *reader) readFailures(points []point) {
	list := make([]failure, 1+r.count(min(len(points), len(r.rest))))
	for i := range list[1:] {
		list[i+1] = failure{probe.Stage(r.string()), probe.Reason(r.string())}
	}
	r.readRuns(points, func(p *point, v int64) bool {
		if v < 0 || v >= int64(len(list)) {
			return false
		}
		p.failure = list[v]
		return true
	})
}

// appendCodes writes a column of durations as differences from its median, of the points with a verdict. A column of
// zeros is one byte.
func appendCodes(b []byte, points []point, column func(*point) *code) []byte {
	codes := make([]code, 0, len(points))
	for i := range points {
		if points[i].state != unknown {
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

func (r *reader) readCodes(points []point, column func(*point) *code) {
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
		if points[i].state == unknown {
			continue
		}
		v := median + r.varint()
		if v < 0 || v > 1<<16-1 {
			r.fail()
			return
		}
		*column(&points[i]) = code(v)
	}
}
