package history

import (
	"bytes"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// appendFill is how full pages get to which rows are only added at the end.
const appendFill = 0.95

// row is one to be put.
type row struct{ key, value []byte }

// sealDue reports whether the results in memory are to become blocks.
func (d *disk) sealDue(now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mustSeal || d.openBytes > maxOpenBytes || now.UnixMilli()-sealDelay >= (d.window+1)*sealEvery ||
		now.UnixMilli() < d.window*sealEvery // the clock was set back
}

// seal writes all results in memory as blocks and empties the journal, in one transaction.
func (d *disk) seal(now time.Time) error {
	d.mu.Lock()
	batch := d.journal
	d.journal = nil
	number := d.sealed + 1
	var sealing []*live
	var states []row
	for _, l := range d.byID {
		if l.loaded {
			states = append(states, row{numbers(nil, l.id), l.encodeState(number)})
		}
		if l.incident != nil {
			d.changes.incidents[l.incident.ID] = l.incident // its number of failures, which the journal had
		}
		if len(l.open.bytes) > 0 {
			l.sealing, l.open = l.open, stream{}
			sealing = append(sealing, l)
		}
	}
	save := d.beginSaving()
	d.mu.Unlock()
	slices.SortFunc(states, func(a, b row) int { return bytes.Compare(a.key, b.key) })

	rows, err := headRows(sealing, number)
	if err == nil {
		err = d.update(func(tx *bbolt.Tx) error { return putSeal(tx, rows, states, number, save) })
	}

	d.mu.Lock()
	for _, l := range sealing {
		if err != nil {
			d.unseal(l)
			continue
		}
		d.openBytes -= len(l.sealing.bytes)
		l.sealing = stream{}
		if l.left && len(l.open.bytes) == 0 {
			delete(d.byID, l.id)
		}
	}
	if err != nil {
		d.journal = append(batch, d.journal...)
	} else {
		d.sealed, d.mustSeal = number, false
	}
	d.endSaving(save, err)
	d.mu.Unlock()
	if err != nil {
		return err
	}
	d.lastFlush, d.window = now, (now.UnixMilli()-sealDelay)/sealEvery
	d.succeeded()
	return nil
}

// unseal puts results back that could not be written. s.mu is held.
func (d *disk) unseal(l *live) {
	later, err := readPoints(l.open.bytes)
	if err != nil {
		d.unreadable(err)
	}
	d.openBytes -= len(l.open.bytes) + len(l.sealing.bytes)
	l.open, l.sealing = l.sealing, stream{}
	for i := range later {
		l.open.append(&later[i])
	}
	d.openBytes += len(l.open.bytes)
}

func putSeal(tx *bbolt.Tx, rows, states []row, number uint64, save *saving) error {
	b := tx.Bucket(bucketHead)
	b.FillPercent = appendFill
	for _, r := range rows {
		if err := b.Put(r.key, r.value); err != nil {
			return err
		}
	}
	if err := tx.DeleteBucket(bucketJournal); err != nil {
		return err
	}
	if _, err := tx.CreateBucket(bucketJournal); err != nil {
		return err
	}
	if err := tx.Bucket(bucketFormat).Put(keySeal, numbers(nil, number)); err != nil {
		return err
	}
	if err := putStates(tx, states); err != nil {
		return err
	}
	return save.put(tx)
}

// headRows makes the blocks of a seal, in the order of their keys.
func headRows(sealing []*live, number uint64) ([]row, error) {
	var rows []row
	for _, l := range sealing {
		points, err := readPoints(l.sealing.bytes)
		if err != nil {
			return nil, err
		}
		sortPoints(points)
		bl := block{before: l.sealing.before, beforeInterval: l.sealing.beforeInterval}
		for len(points) > 0 {
			d := dayOf(points[0].time)
			n := 1
			for n < len(points) && n < maxPoints && dayOf(points[n].time) == d {
				n++
			}
			bl.points = points[:n]
			rows = append(rows, row{numbers(dayKey(d), number, l.id), bl.encode()})
			bl.before, bl.beforeInterval = points[n-1].time, points[n-1].interval
			points = points[n:]
		}
	}
	slices.SortFunc(rows, func(a, b row) int { return bytes.Compare(a.key, b.key) })
	return rows, nil
}

// sealRef names the blocks of a seal and a day.
type sealRef struct {
	day    int64
	number uint64
}

// seals lists what is in the head, in the order of the keys.
func seals(tx *bbolt.Tx) []sealRef {
	var refs []sealRef
	c := tx.Bucket(bucketHead).Cursor()
	for k, _ := c.First(); k != nil; {
		ref := sealRef{keyDay(k), keyNumber(k, 4)}
		refs = append(refs, ref)
		k, _ = c.Seek(numbers(dayKey(ref.day), ref.number+1))
	}
	return refs
}

// targetsPerClose is how many targets of a day are closed in a transaction.
const targetsPerClose = 250

// closing is the day that is being closed.
type closing struct {
	day     int64
	seals   []sealRef
	targets []uint64 // that are left
}

// closeDays merges the blocks of a day that is over to one for each target, and rolls it up, some targets at a time. A
// day that gets results afterwards, because the clock was set back, is closed again.
func (d *disk) closeDays(now time.Time) error {
	c := &d.closing
	if len(c.targets) == 0 {
		if err := d.view(func(tx *bbolt.Tx) error { c.find(tx, now.UnixMilli()); return nil }); err != nil {
			return err
		}
		if len(c.targets) == 0 {
			return nil
		}
	}
	targets := c.targets[:min(len(c.targets), targetsPerClose)]
	err := d.update(func(tx *bbolt.Tx) error {
		for _, id := range targets {
			if err := d.closeDay(tx, c, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		c.targets = nil
		return err
	}
	c.targets = c.targets[len(targets):]
	return d.loadTargets(targets)
}

// find looks for a day that is over.
func (c *closing) find(tx *bbolt.Tx, now int64) {
	refs := seals(tx)
	if len(refs) == 0 || now < (refs[0].day+1)*day+2*sealDelay {
		return
	}
	c.day, c.seals = refs[0].day, nil
	seen := make(map[uint64]bool)
	for _, ref := range refs {
		if ref.day != c.day {
			break
		}
		c.seals = append(c.seals, ref)
		cursor := tx.Bucket(bucketHead).Cursor()
		prefix := numbers(dayKey(ref.day), ref.number)
		for k, _ := cursor.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = cursor.Next() {
			seen[keyNumber(k, 12)] = true
		}
	}
	c.targets = make([]uint64, 0, len(seen))
	for id := range seen {
		c.targets = append(c.targets, id)
	}
	slices.Sort(c.targets)
}

func (d *disk) closeDay(tx *bbolt.Tx, c *closing, id uint64) error {
	bl := d.readHead(tx, c.seals, id)
	for _, ref := range c.seals {
		if err := tx.Bucket(bucketHead).Delete(numbers(dayKey(ref.day), ref.number, id)); err != nil {
			return err
		}
	}
	if bl == nil {
		return nil
	}
	key := dayTargetKey(c.day, id)
	results := tx.Bucket(bucketResults)
	results.FillPercent = appendFill
	before := tx.Bucket(bucketDays).Get(key)
	old := d.readBlock(results, key)
	if old != nil {
		bl = joinBlocks(old, bl)
	}
	packed := bl.encode()
	if err := results.Put(key, packed); err != nil {
		return err
	}
	onlyRollups := before != nil && old == nil
	for _, level := range levels {
		b := tx.Bucket(level.bucket)
		b.FillPercent = appendFill
		ch := newChunk(bl, c.day, level.step)
		if onlyRollups {
			if there := d.readChunk(b, c.day, id); there != nil {
				there.merge(ch)
				ch = there
			}
		}
		rollups := ch.encode()
		if level.step < hour && !onlyRollups && len(rollups)*worthRollingUp > len(packed) {
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

// joinBlocks merges two blocks of a day.
func joinBlocks(a, b *block) *block {
	joined := &block{before: a.before, beforeInterval: a.beforeInterval, points: append(slices.Clone(a.points), b.points...)}
	if b.before != 0 && (a.before == 0 || b.before < a.before) {
		joined.before, joined.beforeInterval = b.before, b.beforeInterval
	}
	sortPoints(joined.points)
	joined.points = joined.points[:min(len(joined.points), maxPoints)]
	return joined
}

// readHead joins a target's blocks of some seals; nil when there are none.
func (s *Store) readHead(tx *bbolt.Tx, refs []sealRef, id uint64) *block {
	var bl *block
	b := tx.Bucket(bucketHead)
	for _, ref := range refs {
		part := s.readBlock(b, numbers(dayKey(ref.day), ref.number, id))
		switch {
		case part == nil:
		case bl == nil:
			bl = part
		default:
			bl.points = append(bl.points, part.points...)
		}
	}
	if bl != nil {
		sortPoints(bl.points)
	}
	return bl
}

// readBlock returns a block; nil when it is not there or damaged.
func (s *Store) readBlock(b *bbolt.Bucket, key []byte) *block {
	value := b.Get(key)
	if value == nil {
		return nil
	}
	bl, err := decodeBlock(value)
	if err != nil {
		s.unreadable(err)
		return nil
	}
	return bl
}

// readChunk returns the rollups of a day; nil when they are not there or damaged.
func (s *Store) readChunk(b *bbolt.Bucket, d int64, id uint64) *chunk {
	value := b.Get(dayTargetKey(d, id))
	if value == nil {
		return nil
	}
	ch, err := decodeChunk(value, d)
	if err != nil {
		s.unreadable(err)
		return nil
	}
	return ch
}
