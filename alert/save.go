package alert

import (
	"time"

	"rollcall/alert/incident"
	"rollcall/alert/outbox"
)

// rowsPerWrite keeps a write small enough to be held in memory, and the writes few: each waits for the disk.
const rowsPerWrite = 1000

// change is a row to be written, and what to do under the lock if that fails.
type change struct {
	write outbox.Write
	undo  func()
}

// save puts everything that changed on the disk. When that fails, memory stays the truth: messages leave all the same,
// and the changes wait for the next attempt.
func (e *engine) save(now time.Time) {
	if e.storeFails && now.Before(e.retryStore) {
		return
	}
	for more := true; more; {
		var changes []change
		if changes, more = e.collect(); len(changes) == 0 {
			break
		}
		writes := make([]outbox.Write, len(changes))
		for n, c := range changes {
			writes[n] = c.write
		}
		if err := e.store.Commit(writes); err != nil {
			e.notSaved(changes, writes, err, now)
			return
		}
	}
	if e.retryStore = now.Add(storeRetry); e.storeFails && !e.store.Broken() {
		e.storeFails = false
		e.options.Logger.Info("the alert store can be written again")
	}
}

// restore writes the store's file again when it was removed or replaced.
func (e *engine) restore() {
	removed, err := e.store.Restore()
	if !removed {
		return
	}
	e.mu.Lock()
	e.storeFailures++
	e.mu.Unlock()
	if err != nil {
		e.options.Logger.Error("the alert store's file was removed or replaced and cannot be written again; a restart now could lose or double mail", "err", err)
		return
	}
	e.options.Logger.Error("the alert store's file was removed or replaced while rollcall runs; all of it is written again", "file", outbox.StoreFile)
}

// collect takes what is to be written next; more is false when that is all. The messages come last, with or after what
// they say. All rows of a target are of the same instant: a tracker on disk that is ahead of its notifications would lose
// them, and one that is behind would send them twice.
func (e *engine) collect() (changes []change, more bool) {
	e.mu.Lock()
	for _, w := range e.dropped { // first: the same recipient may be configured again
		changes = append(changes, change{w, func() { e.dropped = append(e.dropped, w) }})
	}
	e.dropped = nil
	e.mu.Unlock()
	for len(changes) < rowsPerWrite {
		rows := e.collectPart()
		if len(rows) == 0 {
			return e.collectMessages(changes), false
		}
		changes = append(changes, encode(rows)...)
	}
	return changes, true
}

// row is a change whose value is yet to be encoded, which takes too long under the lock.
type row struct {
	key          incident.Key
	tracker      *incident.Tracker // a copy; nil: there is none any more
	of           *recipient        // nil: the row is the tracker's
	notification *outbox.Notification
	undo         func()
}

func encode(rows []row) []change {
	changes := make([]change, len(rows))
	for n, r := range rows {
		if changes[n].undo = r.undo; r.of == nil {
			changes[n].write = outbox.TargetRow(r.key, r.tracker)
		} else {
			changes[n].write = r.of.NotificationRow(r.key, r.notification)
		}
	}
	return changes
}

func (e *engine) collectPart() (rows []row) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(rows) < copies && len(e.dirty) > 0 {
		last := len(e.dirty) - 1
		key := e.dirty[last]
		e.dirty = e.dirty[:last]
		delete(e.isDirty, key)
		tracker := row{key: key, undo: func() { e.mark(key) }}
		if t := e.targets[key]; t != nil {
			c := t.Tracker
			tracker.tracker = &c
		}
		rows = append(rows, tracker)
		for _, r := range e.recipients {
			if n, dirty := r.TakeDirty(key); dirty {
				rows = append(rows, row{key: key, of: r, notification: n, undo: func() { r.MarkDirty(key) }})
			}
		}
	}
	return rows
}

// collectMessages adds the recipients' own rows, with the messages that are about to leave.
func (e *engine) collectMessages(changes []change) []change {
	var encode []func() outbox.Write
	var of []*recipient
	e.mu.Lock()
	for _, r := range e.recipients {
		if r.RowDirty {
			r.RowDirty = false
			encode, of = append(encode, r.Row()), append(of, r)
		}
	}
	e.mu.Unlock()
	for n, r := range of {
		changes = append(changes, change{encode[n](), func() { r.RowDirty = true }})
	}
	return changes
}

// notSaved has the changes written at the next attempt. Those that would take away what never came to the disk are
// forgotten: else, a disk that is full for weeks would have memory keep a mark of everything that came and went.
func (e *engine) notSaved(changes []change, writes []outbox.Write, err error, now time.Time) {
	needless := make(map[int]bool)
	places, reading := e.store.Needless(writes)
	for _, n := range places {
		needless[n] = true
	}
	e.mu.Lock()
	e.storeFailures++
	if !e.store.Broken() { // else nothing will ever be written
		for n, c := range changes {
			if !needless[n] {
				c.undo()
			}
		}
	}
	e.mu.Unlock()
	e.retryStore = now.Add(storeRetry)
	if !e.storeFails {
		e.options.Logger.Error("the alert store cannot be written; mail is still sent, but a restart now could lose or double some", "err", err)
	}
	e.storeFails = true
	if reading != nil && !e.store.Broken() {
		e.options.Logger.Error("the alert store cannot be read", "err", reading)
	}
}
