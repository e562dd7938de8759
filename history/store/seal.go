package store

import (
	"cmp"
	"maps"
	"math/bits"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"rollcall/history/block"
)

const (
	sealEvery     = 2 * block.Hour // results stay this long in memory and in the journal
	sealsPerFlush = 250            // targets in a transaction
)

// windowOf numbers the times between two seals of a target. They are spread, so that thousands of targets are not sealed
// at once, in the order of the keys: those that are sealed together are neighbours in the file, and share its pages.
func windowOf(id uint64, now time.Time) int64 {
	place, _ := bits.Mul64(id, uint64(sealEvery)) // id/2^64 of the time
	return (now.UnixMilli() - int64(place)) / sealEvery
}

// batch is what one transaction writes.
type batch struct {
	row     uint64 // of the journal
	journal []byte
	pending int
	oldest  uint64 // rows of the journal before this one are not needed any more
	changes map[string]*change
	seals   []seal
}

// seal is a target whose open results become part of the blocks.
type seal struct {
	live *live
	open block.Stream // the part of live.open that is sealed
	end  block.Point  // its last point
	row  []byte       // the target's new row
}

// flush writes what came since the last one and seals what is due: all of it, or what fits into a transaction, and the rest at
// the next ticks. Thousands of new targets are no hurry, since their results are in the journal.
func (d *disk) flush(now time.Time, all bool) error {
	d.mu.Lock()
	all, d.urgent = all || d.urgent, false
	d.mu.Unlock()
	if all || len(d.plan) == 0 {
		d.planSeals(now)
	}
	for {
		b := d.newBatch(now)
		if len(b.journal) == 0 && len(b.changes) == 0 && len(b.seals) == 0 {
			return nil
		}
		err := d.update(func(tx *bbolt.Tx) error { return d.put(tx, b) })
		d.finish(b, now, err)
		if err != nil {
			d.mu.Lock()
			d.urgent = all
			d.mu.Unlock()
			return err
		}
		d.succeeded()
		full := d.full()
		if d.early && !full && !all {
			d.plan = nil
		}
		if len(d.plan) == 0 || !full && !all {
			d.forget()
			return nil
		}
	}
}

// forget gives back the memory of what writing and the web pages have read of the file.
func (d *disk) forget() {
	if f := d.file.Load(); f != nil {
		if err := f.Forget(); err != nil {
			d.logger.Debug("the pages of the history's file stay in memory", "err", err)
		}
	}
}

// full reports whether the open results take so much memory that targets are sealed early.
func (d *disk) full() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.openBytes > maxOpenBytes
}

// planSeals makes the list of the targets that are to be sealed, in the order of their keys. When memory is short that is
// all of them, beginning where the last plan ended. What is in no block by now is still needed in the journal.
func (d *disk) planSeals(now time.Time) {
	d.plan, d.early = nil, d.full()
	d.mu.Lock()
	d.needed = d.row + 1
	for _, l := range d.byID {
		if l.openSince != 0 {
			d.needed = min(d.needed, l.openSince)
		}
		if l.save || l.openSince != 0 && (d.early || l.window != windowOf(l.id, now)) {
			d.plan = append(d.plan, l)
		}
	}
	d.mu.Unlock()
	slices.SortFunc(d.plan, func(a, b *live) int { return cmp.Compare(a.id-d.hand, b.id-d.hand) })
}

// newBatch takes what is to be written. Until finish, pages find it in memory as before.
func (d *disk) newBatch(now time.Time) *batch {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.row++
	b := &batch{row: d.row, journal: d.journal, pending: d.pending, oldest: d.needed, changes: maps.Clone(d.changes)}
	d.journal = nil
	for _, c := range b.changes {
		c.saved = *c.incident
	}
	for len(d.plan) > 0 && len(b.seals) < sealsPerFlush {
		l := d.plan[0]
		d.plan = d.plan[1:]
		if !l.save && l.openSince == 0 {
			continue // it was sealed meanwhile
		}
		l.sealing, l.save = int32(len(l.open.Bytes)), false
		row := targetRow{sealed: b.row, left: l.left, Target: *l.info, State: l.state}
		b.seals = append(b.seals, seal{l, l.open, l.Last, row.encode()})
		d.hand = l.id + 1
	}
	return b
}

// finish drops from memory what has been written, or puts it back.
func (d *disk) finish(b *batch, now time.Time, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, seal := range b.seals {
		l := seal.live
		n := int(l.sealing)
		if l.sealing = 0; err != nil {
			l.save = true
			continue
		}
		d.openBytes -= n
		l.open.Cut(n, seal.end)
		l.sealed, l.window, l.openSince = b.row, windowOf(l.id, now), 0
		if len(l.open.Bytes) > 0 {
			l.openSince = b.row + 1
		} else if l.left != 0 && !l.save {
			delete(d.byID, l.id)
		}
	}
	if err != nil {
		d.journal = append(b.journal, d.journal...)
		return
	}
	d.pending -= b.pending
	for id, c := range b.changes {
		if d.changes[id] == c {
			delete(d.changes, id)
		}
	}
}

func (d *disk) put(tx *bbolt.Tx, b *batch) error {
	journal := tx.Bucket(bucketJournal)
	if err := journal.SetSequence(b.row); err != nil {
		return err
	}
	if len(b.journal) > 0 {
		if err := journal.Put(numbers(nil, b.row), block.Pack(b.journal)); err != nil {
			return err
		}
	}
	c := journal.Cursor()
	for k, _ := c.First(); k != nil && keyNumber(k, 0) < b.oldest; k, _ = c.First() {
		if err := c.Delete(); err != nil {
			return err
		}
	}
	for i := range b.seals {
		if err := d.putSeal(tx, &b.seals[i]); err != nil {
			return err
		}
	}
	return putChanges(tx, b.changes)
}

func (d *disk) putSeal(tx *bbolt.Tx, s *seal) error {
	points := d.pointsOf(s.open)
	block.SortPoints(points)
	before := s.open.Before.Turn
	for len(points) > 0 {
		day := block.DayOf(points[0].Time)
		n := 1
		for n < len(points) && block.DayOf(points[n].Time) == day {
			n++
		}
		if err := d.putDay(tx, s.live.id, day, before, points[:n]); err != nil {
			return err
		}
		before = points[n-1].Turn
		points = points[n:]
	}
	return tx.Bucket(bucketTargets).Put(numbers(nil, s.live.id), packRow(s.row))
}

// putDay adds results to those of their day, and rolls the day up.
func (d *disk) putDay(tx *bbolt.Tx, id uint64, day int64, before block.Turn, points []block.Point) error {
	key := dayTargetKey(day, id)
	bl := &d.day
	bl.Points = bl.Points[:0]
	known := d.readBlock(tx, day, id, bl)
	bl.Join(before, points)
	packed := bl.Encode()
	if err := tx.Bucket(bucketResults).Put(key, packed); err != nil {
		return err
	}
	onlyRollups := !known && tx.Bucket(bucketDays).Get(key) != nil // the results of before are deleted
	for _, level := range levels[1:] {
		b := tx.Bucket(level.bucket)
		ch := block.NewChunk(bl, day, level.step, d.cells)
		d.cells = ch.Cells
		if onlyRollups {
			if there := d.readChunk(b, day, id); there != nil {
				there.Merge(ch)
				ch = there
			}
		}
		rollups := ch.Encode()
		if level.step < block.Hour && !onlyRollups && len(rollups)*worthRollingUp > len(packed) {
			if err := b.Delete(key); err != nil {
				return err
			}
			continue
		}
		if err := b.Put(key, rollups); err != nil {
			return err
		}
	}
	return nil
}

// worthRollingUp is how many times shorter than the results the rollups of 5 minutes have to be to be kept beside
// them. They are with an interval of some seconds; with one of a minute they would take as much as what they save.
const worthRollingUp = 2
