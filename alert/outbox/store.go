package outbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"rollcall/alert/incident"
	"rollcall/boltfile"
	"rollcall/probe"
)

// Store keeps the trackers and the queues over restarts: one bbolt file, every commit synced to the disk. It only
// mirrors what its owner holds in memory. Only one goroutine may use it.
type Store struct{ file *boltfile.File }

// StoreFile is the file's name in the storage directory.
const StoreFile = "alert.db"

// The buckets. Keys that are made of several words put a NUL between them.
var (
	bucketTargets       = []byte("targets")       // module NUL target NUL hostname → incident.Tracker
	bucketQueues        = []byte("queues")        // channel NUL name NUL → queueRow
	bucketNotifications = []byte("notifications") // channel NUL name NUL module NUL target NUL hostname → Notification
)

// Open opens or makes the store in dir, whose missing parts are made, too, and reads it. When a file was damaged, it is
// set aside under the name that aside gives, and an empty one takes its place: to be notified of an outage twice is better
// than an exporter that does not start after a power failure. damage says what was wrong with it.
func Open(dir string) (s *Store, l *Loaded, damage error, err error) {
	format := boltfile.Format{Version: "2", Buckets: [][]byte{bucketTargets, bucketQueues, bucketNotifications}}
	file, damage, err := boltfile.OpenOrReplace(filepath.Join(dir, StoreFile), format, func(f *boltfile.File) error {
		l, err = load(f)
		return err
	})
	if err != nil {
		return nil, nil, damage, fmt.Errorf("opening the alert store: %w", err)
	}
	return &Store{file}, l, damage, nil
}

// DamagedFile is the name under which a damaged store is set aside: one at most, whatever a dying disk does.
const DamagedFile = StoreFile + boltfile.DamagedSuffix

// Restore looks whether the file is still in its place, and when it was removed or replaced writes all of it there again.
// removed reports that it was; the error says why it is not there again.
func (s *Store) Restore() (removed bool, err error) {
	again, err := s.file.Restore()
	if err != nil {
		return true, fmt.Errorf("writing the alert store again: %w", err)
	}
	if again == nil {
		return false, nil
	}
	before := s.file
	s.file = again
	return true, before.Close()
}

// Close closes the file.
func (s *Store) Close() error { return s.file.Close() }

// Broken reports whether the store will never take a write again.
func (s *Store) Broken() bool { return s.file.Damage() != nil }

// Write is one change of the store. It is encoded when it is committed, not under the lock of the owner.
type Write struct {
	Undo func() // is the owner's, who calls it when the write failed and is needed

	bucket []byte
	key    string
	row    any  // as it is encoded; nil: it is taken away
	all    bool // every row is taken away whose key begins with key
}

// TargetRow is the row of a target as it is now; a nil tracker: none.
func TargetRow(key probe.Key, t *incident.Tracker) Write {
	w := Write{bucket: bucketTargets, key: rowKey(key.Module, key.Target, key.Hostname)}
	if t != nil {
		now := *t
		w.row = &now
	}
	return w
}

// NotificationRow is what the queue has of a target now.
func (q *Queue) NotificationRow(key probe.Key) Write {
	w := Write{bucket: bucketNotifications, key: rowKey(q.Channel, q.Name, key.Module, key.Target, key.Hostname)}
	if n := q.targets[key]; n != nil {
		w.row = n
	}
	return w
}

// Row is the queue's own row as it is now.
func (q *Queue) Row() Write {
	row := q.queueRow
	row.Sent = slices.Clone(row.Sent)
	if row.Message != nil && row.Message.ID == "" {
		row.Message = nil
	}
	return Write{bucket: bucketQueues, key: rowKey(q.Channel, q.Name, ""), row: row}
}

// Drop takes all rows of the queue away. Should its recipient be configured again, it begins anew.
func (q *Queue) Drop() []Write {
	key := rowKey(q.Channel, q.Name, "")
	return []Write{{bucket: bucketNotifications, key: key, all: true}, {bucket: bucketQueues, key: key}}
}

// Commit makes all writes at once and returns when they are on the disk.
func (s *Store) Commit(writes []Write) error {
	err := s.file.Update(func(tx *bbolt.Tx) error {
		for _, w := range writes {
			if err := w.do(tx.Bucket(w.bucket)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("writing the alert store: %w", err)
	}
	_ = s.file.Forget() // else all of it stays resident, with 100,000 targets 85 MB
	return nil
}

func (w Write) do(b *bbolt.Bucket) error {
	key := []byte(w.key)
	if w.row != nil {
		value, err := json.Marshal(w.row)
		if err != nil {
			return err
		}
		return b.Put(key, value)
	}
	if !w.all {
		return b.Delete(key)
	}
	c := b.Cursor()
	for k, _ := c.Seek(key); bytes.HasPrefix(k, key); k, _ = c.Seek(key) {
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil
}

// Needed returns the writes without those that would take away what is not there, and on an error all.
func (s *Store) Needed(writes []Write) (needed []Write, err error) {
	err = s.file.View(func(tx *bbolt.Tx) error {
		for _, w := range writes {
			key := []byte(w.key)
			k, _ := tx.Bucket(w.bucket).Cursor().Seek(key)
			if w.row != nil || bytes.HasPrefix(k, key) && (w.all || len(k) == len(key)) {
				needed = append(needed, w)
			}
		}
		return nil
	})
	if err != nil {
		return writes, err
	}
	return needed, nil
}

// rowKey joins the words of a row's key.
func rowKey(words ...string) string { return strings.Join(words, "\x00") }

// Loaded is everything the store holds.
type Loaded struct {
	Trackers []*incident.Tracker
	Queues   []*Queue
}

// load reads the store. A row that does not decode damages it as a whole: guessing could cost or double a mail.
func load(f *boltfile.File) (*Loaded, error) {
	l := new(Loaded)
	queues := make(map[string]*Queue)
	err := f.View(func(tx *bbolt.Tx) error {
		return errors.Join(
			tx.Bucket(bucketTargets).ForEach(func(_, v []byte) error {
				t := new(incident.Tracker)
				l.Trackers = append(l.Trackers, t)
				return json.Unmarshal(v, t)
			}),
			tx.Bucket(bucketQueues).ForEach(func(k, v []byte) error {
				q := l.queue(queues, k)
				err := json.Unmarshal(v, &q.queueRow)
				if q.Message != nil {
					q.Message.doubt = true
				}
				return err
			}),
			tx.Bucket(bucketNotifications).ForEach(func(k, v []byte) error {
				n := new(Notification)
				if err := json.Unmarshal(v, n); err != nil {
					return err
				}
				l.queue(queues, k).put(n)
				return nil
			}),
		)
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", boltfile.ErrDamaged, err)
	}
	return l, nil
}

// queue is the one whose channel and name the row's key begins with.
func (l *Loaded) queue(queues map[string]*Queue, k []byte) *Queue {
	channel, rest, _ := strings.Cut(string(k), "\x00")
	name, _, _ := strings.Cut(rest, "\x00")
	id := channel + "\x00" + name
	if queues[id] == nil {
		queues[id] = NewQueue(channel, name)
		l.Queues = append(l.Queues, queues[id])
	}
	return queues[id]
}
