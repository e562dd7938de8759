package alert

import (
	"time"

	"rollcall/alert/incident"
	"rollcall/alert/outbox"
	"rollcall/probe"
)

// rowsPerWrite keeps a write small enough to be held in memory, and the writes few: each waits for the disk.
const rowsPerWrite = 1000

// save puts everything that changed on the disk. When that fails, memory stays the truth: messages leave all the same,
// and the changes wait for the next attempt.
func (e *engine) save(now time.Time) {
	if e.storeFails && now.Before(e.retryStore) {
		return
	}
	for more := true; more; {
		var writes []outbox.Write
		for more && len(writes) < rowsPerWrite {
			writes, more = e.collect(writes)
		}
		if len(writes) == 0 {
			break
		}
		if err := e.store.Commit(writes); err != nil {
			e.notSaved(writes, err, now)
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

// collect adds a part of what is to be written; more is false when that is all. The messages come last, with or after
// what they say. All rows of a target are of the same instant: a tracker on disk that is ahead of its notifications would
// lose them, and one that is behind would send them twice.
func (e *engine) collect(writes []outbox.Write) (_ []outbox.Write, more bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	add := func(w outbox.Write, undo func()) {
		w.Undo = undo
		writes = append(writes, w)
	}
	for _, w := range e.dropped { // first: the same recipient may be configured again
		add(w, func() { e.dropped = append(e.dropped, w) })
	}
	e.dropped = nil
	for range min(copies, len(e.order)) {
		key := e.order[0]
		of := e.dirty[key]
		delete(e.dirty, key)
		e.order = e.order[1:]
		var tracker *incident.Tracker
		if t := e.targets[key]; t != nil {
			tracker = &t.Tracker
		}
		add(outbox.TargetRow(key, tracker), func() { e.mark(key, nil) })
		for _, r := range of {
			if !r.removed {
				add(r.NotificationRow(key), func() { e.mark(key, r) })
			}
		}
	}
	if len(e.order) > 0 {
		return writes, true
	}
	e.dirty, e.order = make(map[probe.Key][]*recipient), nil // after a start with 100,000 targets they would keep 17 MB
	for _, r := range e.recipients {
		if r.RowDirty {
			r.RowDirty = false
			add(r.Row(), func() { r.RowDirty = true })
		}
	}
	return writes, false
}

// notSaved has the writes made at the next attempt. Those that would take away what never came to the disk are
// forgotten: else, a disk that is full for weeks would have memory keep a mark of everything that came and went.
func (e *engine) notSaved(writes []outbox.Write, err error, now time.Time) {
	needed, reading := e.store.Needed(writes)
	e.mu.Lock()
	e.storeFailures++
	if !e.store.Broken() { // else nothing will ever be written
		for _, w := range needed {
			w.Undo()
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
