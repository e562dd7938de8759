package alert

import (
	"slices"
	"time"
)

// rowsPerWrite keeps a write small enough to be held in memory, and the writes few: each waits for the disk.
const rowsPerWrite = 1000

// save puts everything that changed on the disk in one transaction. When that fails, memory stays the truth: mail is
// sent all the same, and the changes wait for the next attempt.
func (k *keeper) save(now time.Time) {
	if k.storeBroken && now.Before(k.retryStore) {
		return
	}
	ws := slices.Clone(k.abandoned) // first: the same destination may be configured again
	for at, value := range k.rows {
		ws = append(ws, write{bucketWatches, rowKey(at.module, at.target), value})
	}
	for _, d := range k.destinations {
		ws = append(ws, d.writes()...)
	}
	if len(ws) == 0 {
		k.storeBroken = k.store.broken != nil // what could not be written is no longer wanted
		k.retryStore = now.Add(storeRetry)
		return
	}
	if err := k.store.commit(ws); err != nil {
		k.failures++
		k.retryStore = now.Add(storeRetry)
		if !k.storeBroken {
			k.logger.Error("the alert store cannot be written; mail is still sent, but a restart now could lose or double some", "err", err)
		}
		k.storeBroken = true
		k.shed()
		return
	}
	if k.storeBroken {
		k.storeBroken = false
		k.logger.Info("the alert store can be written again")
	}
	k.saved()
}

// saved clears the changes.
func (k *keeper) saved() {
	k.abandoned = nil
	clear(k.rows)
	for _, d := range k.destinations {
		clear(d.changedItems)
		clear(d.changedTold)
		d.changed = false
	}
}

// shed forgets what need not be written: to take away what never came to the disk. Without it, a disk that is full for
// weeks would have memory keep a mark of everything that came and went.
func (k *keeper) shed() {
	if k.store.broken != nil {
		k.saved() // nothing will ever be written
		return
	}
	err := k.store.view(func(has func(bucket, key []byte) bool) {
		for at, value := range k.rows {
			if value == nil && !has(bucketWatches, rowKey(at.module, at.target)) {
				delete(k.rows, at)
			}
		}
		k.abandoned = slices.DeleteFunc(k.abandoned, func(w write) bool { return !has(w.bucket, w.key) })
		for _, d := range k.destinations {
			for seq := range d.changedItems {
				if _, ok := d.find(seq); !ok && !has(bucketItems, itemKey(d, seq)) {
					delete(d.changedItems, seq)
				}
			}
			for id := range d.changedTold {
				if _, ok := d.told[id]; !ok && !has(bucketTold, rowKey(d.channel, d.name, id)) {
					delete(d.changedTold, id)
				}
			}
		}
	})
	if err != nil {
		k.logger.Error("the alert store cannot be read", "err", err)
	}
}

// writes is what a destination has changed since changes were last cleared.
func (d *destination) writes() []write {
	var ws []write
	for seq := range d.changedItems {
		w := write{bucket: bucketItems, key: itemKey(d, seq)}
		if n, ok := d.find(seq); ok {
			w.value = encodeRow(d.items[n])
		}
		ws = append(ws, w)
	}
	for id := range d.changedTold {
		w := write{bucket: bucketTold, key: rowKey(d.channel, d.name, id)}
		if messageID, ok := d.told[id]; ok {
			w.value = []byte(messageID)
		}
		ws = append(ws, w)
	}
	if d.changed {
		row := destinationRow{Sent: d.sent, Excess: d.excess}
		if d.parcel != nil && d.parcel.Data != nil {
			row.Parcel = d.parcel
		}
		ws = append(ws, write{bucketDestinations, rowKey(d.channel, d.name), encodeRow(row)})
	}
	return ws
}
