package store

import (
	"bytes"
	"time"

	"go.etcd.io/bbolt"

	"rollcall/history/block"
)

const (
	rowsPerDelete = 20_000           // in a transaction
	expireEvery   = 10 * time.Minute // a day: a clock that is wrong for some minutes must not cost the history
)

// extent is what the file covers.
type extent struct {
	any         time.Time              // first time of which anything is known; zero: nothing
	begins      [len(levels)]time.Time // the same of each level
	bytes, used int64
}

// measure looks at what the file covers.
func (d *disk) measure() {
	var e extent
	err := d.view(func(tx *bbolt.Tx) error {
		e.bytes, e.used = usage(tx)
		for i, level := range levels {
			if k, _ := tx.Bucket(level.bucket).Cursor().First(); k != nil {
				e.begins[i] = block.TimeOf(keyDay(k) * block.Day)
			}
		}
		if oldest, found := oldestDay(tx); found {
			e.any = block.TimeOf(oldest * block.Day)
		}
		return nil
	})
	if err != nil {
		return // the next write says it
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.order {
		if e.begins[0].IsZero() && l.First != 0 {
			e.begins[0] = block.TimeOf(l.First)
		}
	}
	if e.any.IsZero() {
		e.any = e.begins[0]
	}
	d.oldest = e
}

// usage is the size of the file, and of what is in use of it.
func usage(tx *bbolt.Tx) (size, used int64) {
	stats := tx.DB().Stats()
	size = tx.Size()
	return size, size - int64(stats.FreePageN+stats.PendingPageN)*int64(tx.DB().Info().PageSize)
}

// retain deletes what is too old or too much.
func (d *disk) retain(now time.Time) error {
	if now.Sub(d.expired).Abs() >= expireEvery {
		done, err := d.expire(now)
		if err != nil {
			return err
		}
		if done {
			d.expired = now
		}
	}
	return d.shrink()
}

// expire deletes the oldest day if it is too old, and incidents of that time. It reports whether nothing of it is left.
func (d *disk) expire(now time.Time) (done bool, err error) {
	keep := block.DayOf(now.Add(-d.options.RetentionTime).UnixMilli())
	done = true
	err = d.update(func(tx *bbolt.Tx) error {
		oldest, found := oldestDay(tx)
		if !found || oldest > keep {
			oldest = keep
		}
		left := rowsPerDelete
		if oldest < keep {
			for _, level := range levels {
				n, err := deleteDay(tx.Bucket(level.bucket), oldest, left)
				if err != nil {
					return err
				}
				left -= n
			}
		}
		n, err := deleteIncidents(tx, min((oldest+1)*block.Day, keep*block.Day), left)
		if err != nil {
			return err
		}
		done = n < left
		return deleteTargets(tx, keep*block.Day)
	})
	return done, err
}

// oldestDay is the first of which there is a row.
func oldestDay(tx *bbolt.Tx) (oldest int64, found bool) {
	for _, level := range levels {
		if k, _ := tx.Bucket(level.bucket).Cursor().First(); k != nil && (!found || keyDay(k) < oldest) {
			oldest, found = keyDay(k), true
		}
	}
	return oldest, found
}

// deleteDay deletes up to limit rows of a day and returns how many.
func deleteDay(b *bbolt.Bucket, d int64, limit int) (n int, err error) {
	prefix := dayKey(d)
	c := b.Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix) && n < limit; k, _ = c.Seek(prefix) {
		if err := c.Delete(); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// shrinkTo is what is left of the size limit after something was deleted.
const shrinkTo = 0.95

// shrink deletes the oldest day of what takes most and is missed least until the rest fits.
func (d *disk) shrink() error {
	limit := d.options.RetentionSize
	if limit <= 0 {
		return nil
	}
	limit -= min(limit/4, 64<<20) // for what is written until the next look
	bound := limit
	for {
		var used int64
		if err := d.view(func(tx *bbolt.Tx) error { _, used = usage(tx); return nil }); err != nil {
			return err
		}
		if used <= bound {
			return nil
		}
		bound = int64(float64(limit) * shrinkTo)
		deleted := 0
		err := d.update(func(tx *bbolt.Tx) (err error) {
			deleted, err = deleteLeastMissed(tx)
			return err
		})
		if err != nil || deleted == 0 {
			return err
		}
	}
}

// expendable is in which order to delete, and how many days to keep for the time being: single results, rollups of 5
// minutes and incidents that are older than two days, then the newer ones, and the long rollups only when all else is
// gone.
var expendable = []struct {
	bucket []byte
	keep   int64
}{
	{bucketResults, 2}, {bucketMinutes, 2}, {bucketByTime, 2}, {bucketResults, 0}, {bucketMinutes, 0}, {bucketByTime, 0},
	{bucketHours, 0}, {bucketDays, 0},
}

// deleteLeastMissed deletes rows of the oldest day of what is most expendable.
func deleteLeastMissed(tx *bbolt.Tx) (n int, err error) {
	for _, e := range expendable {
		b := tx.Bucket(e.bucket)
		first, _ := b.Cursor().First()
		if first == nil {
			continue
		}
		last, _ := b.Cursor().Last()
		if bytes.Equal(e.bucket, bucketByTime) {
			oldest, newest := int64(keyNumber(first, 0)), int64(keyNumber(last, 0))
			if newest-oldest >= e.keep*block.Day {
				n, err = deleteIncidents(tx, oldest+block.Day, rowsPerDelete)
			}
		} else if keyDay(last)-keyDay(first) >= e.keep {
			n, err = deleteDay(b, keyDay(first), rowsPerDelete)
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, nil
}

// deleteTargets forgets the targets that left the configuration before an instant.
func deleteTargets(tx *bbolt.Tx, before int64) error {
	b := tx.Bucket(bucketTargets)
	var gone [][]byte
	err := b.ForEach(func(k, value []byte) error {
		if _, left := rowNumbers(value); left != 0 && left < before {
			gone = append(gone, bytes.Clone(k))
		}
		return nil
	})
	for _, k := range gone {
		if err == nil {
			err = b.Delete(k)
		}
	}
	return err
}
