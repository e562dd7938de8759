package store

import (
	"bytes"
	"encoding/binary"
	"maps"
	"time"

	"go.etcd.io/bbolt"

	"rollcall/boltfile"
	"rollcall/history/block"
	"rollcall/probe"
)

// content is what a file has when it is opened.
type content struct {
	row       uint64 // number of the journal's last row
	journal   []journalRow
	journaled map[uint64]bool       // the targets in it
	targets   map[uint64]*targetRow // of those in memory and in the journal; nil: no row, or a damaged one
}

// journalRow stays packed: unpacked, the results of two hours would take many times as much memory as all else.
type journalRow struct {
	number uint64
	packed []byte
}

func (d *disk) readContent(f *boltfile.File) (*content, error) {
	found := &content{journaled: make(map[uint64]bool), targets: make(map[uint64]*targetRow)}
	d.mu.Lock()
	for id := range d.byID {
		found.targets[id] = nil
	}
	d.mu.Unlock()
	err := f.View(func(tx *bbolt.Tx) error {
		journal := tx.Bucket(bucketJournal)
		found.row = journal.Sequence()
		err := journal.ForEach(func(key, value []byte) error {
			found.journal = append(found.journal, journalRow{keyNumber(key, 0), bytes.Clone(value)})
			if err := eachEntry(value, func(id uint64, _ *block.Point) { found.journaled[id] = true }); err != nil {
				d.unreadable(err)
			}
			return nil
		})
		for id := range found.journaled {
			found.targets[id] = nil
		}
		for id := range found.targets {
			found.targets[id] = d.readTarget(tx, id)
		}
		return err
	})
	return found, err
}

// eachEntry calls visit with what a row of the journal has; when it is damaged, with what comes before the damage. visit copies
// what it keeps of a point.
func eachEntry(packed []byte, visit func(id uint64, p *block.Point)) error {
	row, err := block.Unpack(packed, nil)
	var p block.Point
	for err == nil && len(row) > 0 {
		if len(row) <= 8 {
			return block.ErrFormat
		}
		id := binary.BigEndian.Uint64(row)
		p = block.Point{}
		if row, err = block.ReadPoint(row[8:], &p); err == nil {
			visit(id, &p)
		}
	}
	return err
}

// takeOver counts what a file has. Results that have come before it could be opened come after those of the file.
func (d *disk) takeOver(found *content) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.row = max(d.row, found.row)
	changes := d.changes
	d.changes = make(map[string]*change, len(changes))
	taken := make(map[uint64][]block.Point) // targets of which the file knows, with what came before it could be opened
	for id, row := range found.targets {
		l := d.byID[id]
		if l == nil {
			if l = newLive(id); row == nil {
				l.left = time.Now().UnixMilli()
			}
			d.byID[id] = l
		}
		if l.loaded || row == nil && !found.journaled[id] {
			l.loaded, l.save, l.sealed = true, true, 0 // the file does not know it
			d.urgent = d.urgent || len(l.open.Bytes) > 0
			continue
		}
		taken[id] = d.pointsOf(l.open)
		d.openBytes -= len(l.open.Bytes)
		l.restore(row)
	}
	for _, row := range found.journal {
		_ = eachEntry(row.packed, func(id uint64, p *block.Point) { // readContent has counted a damaged one
			l := d.byID[id]
			if _, known := taken[id]; known && row.number > l.sealed {
				d.count(l, p, nil, row.number)
			}
		})
	}
	for id, points := range taken {
		for i := range points {
			d.count(d.byID[id], &points[i], nil, d.row+1)
		}
	}
	for id, c := range changes {
		if again := d.changes[id]; again != nil {
			again.evidence = c.evidence
		} else if _, known := taken[rowID(c.incident.TargetID)]; !known {
			d.changes[id] = c
		}
	}
}

func newLive(id uint64) *live {
	return &live{id: id, state: newState(), window: windowOf(id, time.Now())}
}

// restore takes over what the file has of a target, in place of what is in memory; nil: nothing.
func (l *live) restore(row *targetRow) {
	l.open, l.openSince, l.recount, l.loaded = block.Stream{}, 0, false, true
	l.window = windowOf(l.id, time.Now()) // as at the start, or all would be sealed at once when the file comes late
	if row == nil {
		l.state, l.sealed, l.save = newState(), 0, true
		if l.info == nil {
			l.info = new(probe.Target) // the file has results of it, and a crash came before its row
		}
		return
	}
	l.state, l.sealed = row.State, row.sealed
	if l.info == nil {
		info := row.Target // without the rest of the row
		l.info, l.left = &info, row.left
		return
	}
	l.save = l.save || row.left != 0 || !sameTarget(&row.Target, l.info)
}

// install takes over the targets that Apply was called with. The others leave then, and those in a file once it is open: at
// first they are also those that only the file knows, because rollcall was stopped when the configuration changed.
func (d *disk) install(now time.Time) {
	d.mu.Lock()
	wanted := d.wanted
	d.wanted = nil
	d.mu.Unlock()
	added := make(map[uint64]*live)
	if wanted != nil {
		d.all = wanted.all
		d.loadNew(added, wanted.targets)
	}
	leave := d.all && (wanted != nil || !d.applied && d.file.Load() != nil)
	if leave && !d.applied {
		d.loadOthers(added)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.Copy(d.byID, added)
	if wanted != nil {
		d.configure(wanted)
	}
	if leave { // under the same lock: an open incident is always in one list
		d.leaveOthers(now)
	}
}

// loadNew adds those of targets that are not in memory, with what the file has of them.
func (d *disk) loadNew(added map[uint64]*live, targets []*probe.Target) {
	d.mu.Lock()
	for _, t := range targets {
		if id := t.Key().Number(); d.byID[id] == nil {
			added[id] = newLive(id)
		}
	}
	d.mu.Unlock()
	err := d.view(func(tx *bbolt.Tx) error {
		for id, l := range added {
			l.restore(d.readTarget(tx, id))
		}
		return nil
	})
	if err != nil && d.file.Load() != nil {
		d.failed(err)
	}
}

// loadOthers adds the targets that did not leave, as the file has it, and are not in memory.
func (d *disk) loadOthers(added map[uint64]*live) {
	others := make(map[uint64]*live)
	find := func(tx *bbolt.Tx) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		return tx.Bucket(bucketTargets).ForEach(func(key, value []byte) error {
			id := keyNumber(key, 0)
			if _, left := rowNumbers(value); left == 0 && d.byID[id] == nil && added[id] == nil {
				others[id] = newLive(id)
			}
			return nil
		})
	}
	err := d.view(func(tx *bbolt.Tx) error {
		err := find(tx)
		for id, l := range others {
			l.restore(d.readTarget(tx, id))
		}
		return err
	})
	if err != nil {
		return // the file is not open, or the next transaction says it
	}
	d.applied = true
	maps.Copy(added, others)
}

// configure takes over what is configured about targets in memory, and their order. s.mu is held.
func (d *disk) configure(wanted *configuration) {
	order := make([]*live, 0, len(wanted.targets))
	kept := make(map[*live]bool, len(wanted.targets))
	for _, t := range wanted.targets {
		l := d.byID[t.Key().Number()]
		if kept[l] {
			continue // it is there twice
		}
		l.configure(t)
		kept[l] = true
		order = append(order, l)
	}
	if !wanted.all {
		for _, l := range d.order {
			if !kept[l] {
				order = append(order, l)
			}
		}
	}
	d.order = order
}

// leaveOthers has the targets leave that are not configured. s.mu is held.
func (d *disk) leaveOthers(now time.Time) {
	configured := make(map[*live]bool, len(d.order))
	for _, l := range d.order {
		configured[l] = true
	}
	for _, l := range d.byID {
		if l.left == 0 && !configured[l] {
			d.leave(l, now)
		}
	}
}

// leave ends what is known of a target that is no longer configured. s.mu is held.
func (d *disk) leave(l *live, now time.Time) {
	if i := l.Incident; i != nil {
		i.Left, l.Incident = true, nil
		end(i, i.Last)
		d.change(i, nil)
	}
	l.left, l.save = now.UnixMilli(), true
}

// countAnew counts the buckets of targets anew for which the clock was set back: a clock that was ahead for a moment has
// emptied them.
func (d *disk) countAnew(now time.Time) {
	var confused []*live
	d.mu.Lock()
	for _, l := range d.order {
		if l.recount && len(confused) < sealsPerFlush {
			confused = append(confused, l)
		}
	}
	d.mu.Unlock()
	for _, l := range confused {
		d.mu.Lock()
		last := l.Last
		d.mu.Unlock()
		grids, err := d.bucketsOf(l, now.UnixMilli())
		d.mu.Lock()
		if err == nil && l.Last == last { // no turn came meanwhile
			l.setBuckets(grids)
			l.recount = false
		}
		d.mu.Unlock()
	}
}

// bucketsOf counts a target's buckets from what the file and the open results have.
func (d *disk) bucketsOf(l *live, now int64) (grids []*block.Grid, err error) {
	err = d.read(func(tx *bbolt.Tx) error {
		grids = nil
		for i, r := range l.rings() {
			g := r.grid(now)
			if err := d.fill(tx, l.id, i+1, g, func() error { return nil }); err != nil {
				return err
			}
			grids = append(grids, g)
		}
		return nil
	})
	return grids, err
}

// setBuckets replaces what was counted.
func (l *live) setBuckets(grids []*block.Grid) {
	for i, r := range l.rings() {
		r.replace(grids[i])
	}
	days := grids[2].Cells
	l.Day = block.DayOf(grids[2].From) + int64(len(days)) - 1
	l.Today, l.Yesterday = days[len(days)-1].Durations.Pack(), days[len(days)-2].Durations.Pack()
}
