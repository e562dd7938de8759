package store

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"rollcall/boltfile"
	"rollcall/history/block"
)

const (
	tickEvery  = 5 * time.Second
	flushEvery = 20 * time.Second // what a kill -9 loses at most, and the time of a transaction
	retryEvery = time.Minute      // when the disk fails

	maxOpenBytes  = 32 << 20 // of open results in memory: they are sealed early; twice as many are dropped
	maxJournal    = 4 << 20  // bytes of the journal in memory that cannot be written
	maxSavedLater = 20_000   // incidents that cannot be written; of evidence a tenth
)

// runDisk does everything that touches the file.
func (s *Store) runDisk(ctx context.Context) {
	now := time.Now()
	d := &disk{Store: s, lastFlush: now, expired: now}
	d.reopen(now)
	d.install(now)
	close(s.started)
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			_ = d.tick(time.Now(), false) // it is reported
		case <-s.work:
			d.install(time.Now())
		case done := <-s.flushes:
			done <- d.flushAll()
		case <-ctx.Done():
			if err := d.flushAll(); err != nil {
				s.logger.Error("the last results could not be written to the history", "err", err)
			}
			if f := s.file.Swap(nil); f != nil {
				if err := f.Close(); err != nil {
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
	all       bool // all configured targets are known
	applied   bool // targets were configured once, with the file open
	lastFlush time.Time
	retryAt   time.Time    // after a failure; zero: at once
	expired   time.Time    // when a day was last deleted for its age
	plan      []*live      // to be sealed, in this order,
	early     bool         // before their time
	hand      uint64       // the key after that of the target that was sealed last
	day       block.Block  // memory for putDay
	cells     []block.Cell // the same
	needed    uint64       // the first row of the journal with a result that was in no block when the plan was made
}

// reopen opens the file if it is not open and takes over what it has. A damaged one is set aside, and what is in memory
// goes into a new one.
func (d *disk) reopen(now time.Time) bool {
	if f := d.file.Load(); f != nil {
		if f.Damage() == nil {
			return true
		}
		d.file.Store(nil)
		d.setAside(f.Damage(), boltfile.SetAside(d.path()))
	} else if now.Before(d.retryAt) {
		return false
	}
	var found *content
	f, damage, err := boltfile.OpenOrReplace(d.path(), d.format(), func(f *boltfile.File) (err error) {
		found, err = d.readContent(f)
		return err
	})
	if damage != nil {
		d.setAside(damage, nil)
	}
	if err != nil {
		d.retryAt = now.Add(retryEvery)
		d.failed(fmt.Errorf("opening the history: %w", err))
		return false
	}
	d.retryAt = time.Time{}
	d.file.Store(f)
	d.succeeded()
	d.takeOver(found)
	d.measure()
	return true
}

func (d *disk) setAside(damage, err error) {
	if err != nil {
		d.logger.Error("the damaged history cannot be set aside", "err", err)
	}
	d.logger.Error("the history was damaged and is set aside; it begins anew", "err", damage, "aside", d.path()+boltfile.DamagedSuffix)
}

// tick does what is due.
func (d *disk) tick(now time.Time, flush bool) error {
	if f := d.file.Load(); f != nil && !now.Before(d.retryAt) {
		if err := d.restore(f); err != nil {
			d.retryAt = now.Add(retryEvery)
			d.failed(err)
		}
	}
	if !d.reopen(now) || now.Before(d.retryAt) && !flush {
		d.install(now)
		d.shed()
		return d.reason()
	}
	d.install(now)
	d.countAnew(now)
	var err error
	if flush || len(d.plan) > 0 || !now.Before(d.lastFlush.Add(flushEvery)) {
		d.lastFlush = now
		err = d.flush(now, flush)
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

// restore writes the file again when it was removed or replaced.
func (d *disk) restore(f *boltfile.File) error {
	again, err := f.Restore()
	if err != nil {
		return fmt.Errorf("writing the history again, whose file was removed or replaced: %w", err)
	}
	if again == nil {
		return nil
	}
	d.file.Store(again)
	d.counters.failures.Add(1)
	d.logger.Error("the history's file was removed or replaced while rollcall runs; all of it is written again", "file", d.path())
	return f.Close() // when those who read it have ended
}

func (d *disk) flushAll() error {
	d.takeIn()
	return d.tick(time.Now(), true)
}

func (d *disk) reason() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return cmp.Or(d.problem, errNoFile)
}

// shed keeps what cannot be written from filling the memory.
func (d *disk) shed() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.journal) > maxJournal {
		d.dropJournal() // its results are among the open ones, too
	}
	if d.openBytes > 2*maxOpenBytes {
		lost := 0
		for _, l := range d.byID {
			lost += len(d.pointsOf(l.open))
			l.open, l.openSince = block.Stream{}, 0
		}
		d.openBytes = 0
		d.dropJournal()
		d.counters.dropped.Add(uint64(lost))
	}
	for id, c := range d.changes {
		if len(d.changes) <= maxSavedLater {
			break
		}
		if !c.incident.To.IsZero() {
			delete(d.changes, id)
		}
	}
	evidence := 0
	for _, c := range d.changes {
		if c.evidence == nil {
			continue
		}
		if evidence++; evidence > maxSavedLater/10 {
			c.evidence = nil
		}
	}
}

// dropJournal gives up what the file's journal does not have: then all is to be sealed. s.mu is held.
func (s *Store) dropJournal() {
	s.journal, s.pending = nil, 0
	s.sealAll()
}

// sealAll has the next flush seal every target. s.mu is held.
func (s *Store) sealAll() {
	s.urgent = true
	for _, l := range s.byID {
		l.save = true
	}
}
