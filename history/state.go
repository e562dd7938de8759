package history

import (
	"encoding/binary"

	"go.etcd.io/bbolt"
)

// What a live target has in memory is written with each seal, so that a start with 10,000 targets need not count their
// 90 days anew. It is valid as long as no later seal is in the file.

const stateVersion = 1

// encodeState writes what the results up to a seal have made of the target. s.mu is held.
func (l *live) encodeState(seal uint64) []byte {
	b := []byte{stateVersion}
	b = binary.AppendUvarint(b, seal)
	b = binary.AppendVarint(b, l.first)
	b = appendPoint(b, &point{}, &l.last)
	b = appendPoint(b, &point{}, &l.verdict)
	b = binary.AppendVarint(b, l.since)
	b = binary.AppendVarint(b, l.day)
	b = l.today.append(b)
	for i := range l.typical {
		b = l.typical[i].append(b)
	}
	for _, r := range l.rings() {
		b = r.append(b)
	}
	return b
}

// readState takes over what encodeState wrote for a seal; ok is false when it is for another.
func (l *live) readState(packed []byte, seal uint64) (ok bool, err error) {
	row, err := unpack(packed)
	if err != nil {
		return false, err
	}
	r := reader{rest: row}
	if r.byte() != stateVersion {
		return false, errFormat
	}
	if r.uvarint() != seal {
		return false, nil
	}
	fresh := newLive(l.info)
	fresh.first = r.varint()
	r.readPoint(&fresh.last)
	r.readPoint(&fresh.verdict)
	fresh.since, fresh.day = r.varint(), r.varint()
	fresh.today = r.histogram()
	for i := range fresh.typical {
		fresh.typical[i] = r.histogram()
	}
	for _, ring := range fresh.rings() {
		r.readRing(ring)
	}
	if r.bad || len(r.rest) > 0 {
		return false, errFormat
	}
	l.first, l.last, l.verdict, l.since, l.day = fresh.first, fresh.last, fresh.verdict, fresh.since, fresh.day
	l.today, l.typical = fresh.today, fresh.typical
	l.halfHours, l.threeHours, l.days = fresh.halfHours, fresh.threeHours, fresh.days
	return true, nil
}

func (l *live) rings() []*ring { return []*ring{&l.halfHours, &l.threeHours, &l.days} }

// append writes the buckets in runs of equal ones.
func (r *ring) append(b []byte) []byte {
	n := int64(len(r.counts))
	b = binary.AppendVarint(b, r.newest)
	for i := int64(0); i < n; {
		c, run := r.counts[(r.newest+1+i)%n], int64(1)
		for i+run < n && r.counts[(r.newest+1+i+run)%n] == c {
			run++
		}
		for _, v := range []uint32{uint32(run), c.Up, c.Down, c.Unknown} {
			b = binary.AppendUvarint(b, uint64(v))
		}
		i += run
	}
	return b
}

func (r *reader) readRing(ring *ring) {
	n := int64(len(ring.counts))
	if ring.newest = r.interval(); ring.newest > 1<<40 {
		r.fail()
	}
	for i := int64(0); i < n && !r.bad; {
		run := int64(r.count(int(n - i)))
		c := Counts{uint32(r.count(1<<31 - 1)), uint32(r.count(1<<31 - 1)), uint32(r.count(1<<31 - 1))}
		if run == 0 {
			r.fail()
		}
		for ; run > 0; run-- {
			ring.counts[(ring.newest+1+i)%n] = c
			i++
		}
	}
}

func (h histogram) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(h)))
	before := code(0)
	for _, bin := range h {
		b = binary.AppendUvarint(b, uint64(bin.code-before))
		b = binary.AppendUvarint(b, uint64(bin.n))
		before = bin.code
	}
	return b
}

func (r *reader) histogram() histogram {
	n := r.count(len(r.rest) / 2)
	if n == 0 {
		return nil
	}
	h := make(histogram, 0, n)
	before := code(0)
	for range n {
		next := before + r.code()
		if len(h) > 0 && next <= before {
			r.fail()
			return nil
		}
		h = append(h, bin{next, uint32(r.number(1<<32 - 1))})
		before = next
	}
	return h
}

// putStates writes the states of a seal.
func putStates(tx *bbolt.Tx, states []row) error {
	b := tx.Bucket(bucketStates)
	for _, r := range states {
		if err := b.Put(r.key, pack(r.value)); err != nil {
			return err
		}
	}
	return nil
}

// resumeState takes over the state of the last seal and the results since. It reports whether there was one.
func (d *disk) resumeState(tx *bbolt.Tx, l *live, open map[uint64][]byte) bool {
	if l.loaded || l.last.time != 0 {
		return false // results have come before the file could be read
	}
	value := tx.Bucket(bucketStates).Get(numbers(nil, l.id))
	if value == nil {
		return false
	}
	ok, err := l.readState(value, d.sealed)
	if err != nil {
		d.unreadable(err)
	}
	if !ok {
		return false
	}
	l.open.before, l.open.beforeInterval = l.last.time, l.last.interval
	points, err := readPoints(l.open.bytes)
	if err != nil {
		d.unreadable(err)
	}
	for i := range points {
		l.count(&points[i])
	}
	p := new(past)
	p.target, _ = readTarget(tx, l.id)
	p.lastIncident(tx, l.id, open)
	l.loaded = true
	d.loadState(l, p, points)
	return true
}
