package history

import (
	"bytes"
	"encoding/json"
	"time"

	"go.etcd.io/bbolt"
)

// install takes the targets over that Apply was called with.
func (d *disk) install() {
	now := time.Now()
	d.mu.Lock()
	if !d.changed {
		d.mu.Unlock()
		return
	}
	d.changed = false
	first := !d.applied
	d.applied = true
	old := d.order
	d.order, d.byKey = make([]*live, 0, len(d.wanted)), make(map[key]*live, len(d.wanted))
	var fresh []*live
	kept := make(map[*live]bool, len(d.wanted))
	for _, t := range d.wanted {
		id := rowID(t.ID())
		l := d.byID[id]
		switch {
		case l == nil:
			l = newLive(t)
			d.byID[id] = l
		case l.left:
			l.comeBack(t)
		case kept[l]:
			continue // it is there twice
		default:
			l.configure(t)
		}
		if !l.loaded {
			fresh = append(fresh, l)
		}
		kept[l] = true
		d.order = append(d.order, l)
		d.byKey[key{t.Module, t.Target, t.Hostname}] = l
	}
	var left []row
	for _, l := range old {
		if !kept[l] {
			left = append(left, d.leave(l, now))
		}
	}
	d.mu.Unlock()
	d.loadLives(fresh)
	if first {
		d.endOthers(now)
		d.journalled = nil
	}
	if len(left) > 0 {
		err := d.update(func(tx *bbolt.Tx) error {
			for _, r := range left {
				if err := tx.Bucket(bucketTargets).Put(r.key, r.value); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			d.failed(err) // they are found at the next start
		}
	}
}

// comeBack makes a target of one of which only open results were left.
func (l *live) comeBack(t Target) {
	open := l.open
	*l = *newLive(t)
	l.open = open
}

// leave ends what is known of a target that is no longer configured. s.mu is held.
func (d *disk) leave(l *live, now time.Time) row {
	if l.incident != nil {
		l.incident.Left = true
		l.incident.end(l.incident.Last)
		d.changedIncident(l.incident)
		l.incident = nil
	}
	l.left, l.loaded = true, false
	if len(l.open.bytes) == 0 {
		delete(d.byID, l.id)
	}
	return row{numbers(nil, l.id), encodeJSON(targetRow{Target: l.info, First: l.first, Left: now.UnixMilli()})}
}

// endOthers ends the incidents of targets that left the configuration while rollcall was stopped.
func (d *disk) endOthers(now time.Time) {
	d.mu.Lock()
	configured := make(map[uint64]bool, len(d.order))
	for _, l := range d.order {
		configured[l.id] = true
	}
	d.mu.Unlock()
	err := d.update(func(tx *bbolt.Tx) error {
		var ended []Incident
		err := tx.Bucket(bucketOpen).ForEach(func(k, _ []byte) error {
			i, err := decodeIncident(tx.Bucket(bucketIncident).Get(k))
			if err == nil && !configured[rowID(i.TargetID)] {
				ended = append(ended, i)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for n := range ended {
			i := &ended[n]
			i.Left = true
			i.end(i.Last)
			if err := putIncident(tx, i, incidentRow(i)); err != nil {
				return err
			}
		}
		return noteLeft(tx, configured, now)
	})
	if err != nil && d.file.Load() != nil {
		d.failed(err)
	}
}

func noteLeft(tx *bbolt.Tx, configured map[uint64]bool, now time.Time) error {
	b := tx.Bucket(bucketTargets)
	var rows []row
	err := b.ForEach(func(k, value []byte) error {
		var t targetRow
		if !configured[keyNumber(k, 0)] && json.Unmarshal(value, &t) == nil && t.Left == 0 {
			t.Left = now.UnixMilli()
			rows = append(rows, row{bytes.Clone(k), encodeJSON(t)})
		}
		return nil
	})
	for _, r := range rows {
		if err == nil {
			err = b.Put(r.key, r.value)
		}
	}
	return err
}
