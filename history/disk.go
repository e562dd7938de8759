package history

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"go.etcd.io/bbolt"
)

const (
	tickEvery  = 5 * time.Second
	flushEvery = 20 * time.Second // what a kill -9 loses at most, and the time of a transaction
	retryEvery = time.Minute      // when the disk fails

	sealEvery = 2 * hour   // results stay this long in memory and in the journal
	sealDelay = 3 * minute // after the window ends, when its last probes have ended, too

	maxOpenBytes   = 32 << 20 // of open results in memory: a seal comes early; at twice as many they are dropped
	maxJournal     = 200_000  // entries in memory that cannot be written
	journalRow     = 5_000    // entries in a row
	maxSavedLater  = 20_000   // incidents that cannot be written; of evidence a tenth
	clockTolerance = time.Hour
)

// runDisk does everything that touches the file.
func (s *Store) runDisk(ctx context.Context) {
	d := &disk{Store: s}
	d.start()
	close(s.started)
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			d.tick(time.Now(), false)
		case <-s.work:
			d.install()
		case done := <-s.flushes:
			done <- d.flushAll()
		case <-ctx.Done():
			if err := d.flushAll(); err != nil {
				s.logger.Error("the last results could not be written to the history", "err", err)
			}
			if db := s.file.Swap(nil); db != nil {
				if err := guarded(db.Close); err != nil {
					s.logger.Error("closing the history", "err", err)
				}
			}
			return
		}
	}
}

// disk is the state of the disk goroutine.
type disk struct {
	*Store
	lastFlush time.Time
	retryAt   time.Time // after a failure; zero: at once
	window    int64     // number of the window that results are collected for
	looked    time.Time // when the clock was last looked at
	expired   time.Time // when a day was last deleted for its age
	closing   closing

	journalled map[uint64][]journalledFailure // by target; nil once the incidents have been taken over
}

// journalledFailure is a down result and the row of the journal that it was found in.
type journalledFailure struct {
	seq uint64
	at  int64
}

// start opens and reads the file.
func (d *disk) start() {
	now := time.Now()
	d.lastFlush, d.looked, d.expired = now, now, now
	d.window = now.UnixMilli() / sealEvery
	d.reopen(now)
	d.install()
	d.mu.Lock()
	d.loading = false
	d.mu.Unlock()
}

// reopen opens the file if it is not open and takes over what it has. A damaged one is set aside, and what is in memory
// goes into a new one.
func (d *disk) reopen(now time.Time) bool {
	aside := d.abandon()
	if d.file.Load() != nil {
		return true
	}
	if now.Before(d.retryAt) && aside == nil {
		return false
	}
	err := d.takeOver()
	if errors.Is(err, errDamaged) && d.damaged.Load() {
		if err = errors.Join(aside, d.abandon()); err == nil {
			err = d.takeOver()
		}
	}
	if err != nil {
		d.retryAt = now.Add(retryEvery)
		d.failed(err)
		return false
	}
	d.retryAt = time.Time{}
	d.succeeded()
	d.loadAll()
	d.measure()
	return true
}

func (d *disk) takeOver() error {
	if err := d.open(); err != nil {
		return err
	}
	return d.replay()
}

// tick does what is due.
func (d *disk) tick(now time.Time, flush bool) error {
	d.install()
	if !now.Before(d.retryAt) {
		if err := d.restore(); err != nil {
			d.retryAt = now.Add(retryEvery)
			d.failed(err)
		}
	}
	if !d.reopen(now) {
		d.shed()
		return d.reason()
	}
	if now.Before(d.retryAt) && !flush {
		d.shed()
		return d.reason()
	}
	if d.clockJumped(now) {
		d.loadAll()
	}
	var err error
	switch {
	case d.sealDue(now):
		err = d.seal(now)
	case flush || !now.Before(d.lastFlush.Add(flushEvery)):
		d.lastFlush = now
		err = d.flush()
	}
	if err == nil {
		err = d.closeDays(now)
	}
	if err == nil {
		err = d.retain(now)
	}
	if err != nil {
		d.retryAt = now.Add(retryEvery)
		d.failed(err)
		d.shed()
		return err
	}
	d.retryAt = time.Time{}
	d.measure()
	return nil
}

func (d *disk) flushAll() error {
	d.takeIn()
	return d.tick(time.Now(), true)
}

func (d *disk) reason() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.problem == nil {
		return errNoFile
	}
	return d.problem
}

// clockJumped reports whether the wall clock was set, or the machine slept, so that what the buckets in memory cover is
// no longer what an overview shows.
func (d *disk) clockJumped(now time.Time) bool {
	wall, run := now.Round(0).Sub(d.looked.Round(0)), now.Sub(d.looked)
	d.looked = now
	return (wall - run).Abs() > clockTolerance
}

// flush writes what came since the last one.
func (d *disk) flush() error {
	d.mu.Lock()
	batch := d.journal
	d.journal = nil
	save := d.beginSaving()
	d.mu.Unlock()
	if len(batch) == 0 && save.empty() {
		return nil
	}
	err := d.update(func(tx *bbolt.Tx) error {
		for rest := batch; len(rest) > 0; {
			n := min(len(rest), journalRow)
			if err := putJournal(tx, rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		return save.put(tx)
	})
	d.mu.Lock()
	if err != nil {
		d.journal = append(batch, d.journal...)
	}
	d.endSaving(save, err)
	d.mu.Unlock()
	if err == nil {
		d.succeeded()
	}
	return err
}

// shed keeps what cannot be written from filling the memory.
func (d *disk) shed() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.journal) > maxJournal {
		d.journal, d.mustSeal = nil, true // they are among the open results, too
	}
	if d.openBytes > 2*maxOpenBytes {
		lost := uint64(0)
		for _, l := range d.byID {
			lost += uint64(l.open.count)
			d.openBytes -= len(l.open.bytes)
			l.open = stream{}
		}
		d.journal = nil
		d.counters.dropped.Add(lost)
	}
	for id, incident := range d.changes.incidents {
		if len(d.changes.incidents) <= maxSavedLater {
			break
		}
		if !incident.To.IsZero() {
			delete(d.changes.incidents, id)
		}
	}
	for id := range d.changes.evidence {
		if len(d.changes.evidence) <= maxSavedLater/10 {
			break
		}
		delete(d.changes.evidence, id)
	}
}

func putJournal(tx *bbolt.Tx, entries []entry) error {
	b := tx.Bucket(bucketJournal)
	seq, err := b.NextSequence()
	if err != nil {
		return err
	}
	return b.Put(numbers(nil, seq), pack(encodeJournal(entries)))
}

func encodeJournal(entries []entry) []byte {
	var row []byte
	for i := range entries {
		row = binary.BigEndian.AppendUint64(row, entries[i].target)
		row = appendPoint(row, &point{}, &entries[i].point)
	}
	return row
}

func decodeJournal(packed []byte) ([]entry, error) {
	row, err := unpack(packed)
	if err != nil {
		return nil, err
	}
	var entries []entry
	r := reader{rest: row}
	for len(r.rest) > 0 {
		if len(r.rest) < 8 {
			return nil, errFormat
		}
		e := entry{target: binary.BigEndian.Uint64(r.rest)}
		r.rest = r.rest[8:]
		if r.readPoint(&e.point); r.bad {
			return nil, errFormat
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// replay takes over the journal: the results that are in no block. Those in memory that the file does not have come
// after them.
func (d *disk) replay() error {
	var entries []entry
	var sealed uint64
	d.journalled = make(map[uint64][]journalledFailure)
	err := d.view(func(tx *bbolt.Tx) error {
		if b := tx.Bucket(bucketFormat).Get(keySeal); len(b) == 8 {
			sealed = binary.BigEndian.Uint64(b)
		}
		return tx.Bucket(bucketJournal).ForEach(func(key, value []byte) error {
			row, err := decodeJournal(value)
			if err != nil {
				d.unreadable(err)
				return nil
			}
			for i := range row {
				if p := &row[i].point; p.state == down {
					d.journalled[row[i].target] = append(d.journalled[row[i].target], journalledFailure{keyNumber(key, 0), p.time})
				}
			}
			entries = append(entries, row...)
			return nil
		})
	})
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sealed = sealed
	later := make(map[uint64][]point)
	for id, l := range d.byID {
		points, err := readPoints(l.open.bytes)
		if err != nil {
			return errors.Join(errStopped, err)
		}
		later[id] = points
		d.openBytes -= len(l.open.bytes)
		l.open = stream{}
	}
	put := func(id uint64, p *point) {
		l := d.byID[id]
		if l == nil {
			l = &live{id: id, left: true}
			d.byID[id] = l
		}
		before := len(l.open.bytes)
		l.open.append(p)
		d.openBytes += len(l.open.bytes) - before
	}
	for i := range entries {
		put(entries[i].target, &entries[i].point)
	}
	for id, points := range later {
		d.mustSeal = d.mustSeal || len(points) > 0
		for i := range points {
			put(id, &points[i])
		}
	}
	return nil
}
