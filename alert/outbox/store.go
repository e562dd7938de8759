package outbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"rollcall/alert/incident"
)

// Store keeps the trackers and the queues over restarts: one bbolt file, every commit synced to the disk. It only
// mirrors what its owner holds in memory. Only one goroutine may use it.
type Store struct {
	db     *bbolt.DB
	broken error // bbolt lost its way in the middle of a write and may hold its lock: nothing more is asked of it
}

// StoreFile is the file's name in the storage directory.
const StoreFile = "alert.db"

// The buckets. Keys that are made of several words put a NUL between them.
var (
	bucketFormat        = []byte("format")        // "version" → formatVersion
	bucketTargets       = []byte("targets")       // module NUL target NUL hostname → incident.Tracker
	bucketQueues        = []byte("queues")        // channel NUL name NUL → queueRow
	bucketNotifications = []byte("notifications") // channel NUL name NUL module NUL target NUL hostname → Notification
)

const formatVersion = "2"

// queueRow is what is kept of a queue beside its notifications.
type queueRow struct {
	Message  *Message    `json:"message,omitempty"`
	Sent     []time.Time `json:"sent,omitempty"`
	Overflow int         `json:"overflow,omitempty"`
}

// errDamaged is wrapped by errors that judge the store's content, and not the disk, the permissions or another process.
var errDamaged = errors.New("the file is damaged")

// Open opens or makes the store in dir, whose missing parts are made, too, and reads it. When a file was damaged, it is
// set aside under the name that aside gives, and an empty one takes its place: to be notified of an outage twice is better
// than an exporter that does not start after a power failure. damage says what was wrong with it.
func Open(dir string) (s *Store, l *Loaded, damage error, err error) {
	s, l, err = open(dir)
	if !errors.Is(err, errDamaged) {
		return s, l, nil, err
	}
	damage = err
	if err = os.Rename(filepath.Join(dir, StoreFile), filepath.Join(dir, DamagedFile)); err != nil {
		return nil, nil, damage, errors.Join(damage, fmt.Errorf("setting the damaged alert store aside: %w", err))
	}
	s, l, err = open(dir)
	return s, l, damage, err
}

// DamagedFile is the name under which a damaged store is set aside: one at most, whatever a dying disk does.
const DamagedFile = StoreFile + ".damaged"

func open(dir string) (s *Store, l *Loaded, err error) {
	err = guarded(func() (err error) {
		if s, err = openFile(dir); err == nil {
			l, err = s.load()
		}
		return err
	})
	if err != nil && s != nil {
		return nil, nil, errors.Join(err, s.Close())
	}
	return s, l, err
}

// guarded calls f, which works on a mapped file: bbolt panics over pages that make no sense, and reading what the disk
// does not give is a fault of the memory.
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errDamaged, p)
		}
	}()
	return f()
}

func openFile(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the alert store: %w; --storage.path is to name a directory that rollcall may write to", err)
	}
	path := filepath.Join(dir, StoreFile)
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("opening the alert store: %s is in use by another rollcall; give each its own --storage.path", path)
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return nil, fmt.Errorf("opening the alert store: %w; --storage.path is to name a directory that rollcall may write to", err)
	}
	if errno := syscall.Errno(0); err != nil && !errors.As(err, &errno) {
		return nil, fmt.Errorf("opening the alert store: %s: %w: %w", path, errDamaged, err)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the alert store: %s: %w", path, err)
	}
	s := &Store{db: db}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the alert store: %s: %w", path, err), db.Close())
	}
	return s, nil
}

// prepare makes the buckets of a new file; one that is complete is not written to, so that it opens on a full disk.
func (s *Store) prepare() error {
	var version string
	err := s.db.View(func(tx *bbolt.Tx) error {
		if b := tx.Bucket(bucketFormat); b != nil {
			version = string(b.Get([]byte("version")))
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case version == formatVersion:
		return nil
	case version != "":
		return fmt.Errorf("it has format %q, and this rollcall knows %q; run the rollcall that wrote it, or move it away to begin anew", version, formatVersion)
	}
	return s.db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketFormat, bucketTargets, bucketQueues, bucketNotifications} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return tx.Bucket(bucketFormat).Put([]byte("version"), []byte(formatVersion))
	})
}

// Restore looks whether the file is still in its place, and when it was removed writes all of it there again: until then
// it goes on without a name, and would be gone with the process. removed reports that it was; the error says why it is not
// there again.
func (s *Store) Restore() (removed bool, err error) {
	path := s.db.Path()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) || s.broken != nil {
		return false, nil
	}
	err = guarded(func() error {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := s.db.View(func(tx *bbolt.Tx) error { return tx.CopyFile(path+".new", 0o600) }); err != nil {
			return err
		}
		if err := os.Rename(path+".new", path); err != nil {
			return err
		}
		again, err := openFile(filepath.Dir(path))
		if err != nil {
			return err
		}
		before := s.db
		s.db = again.db
		return before.Close()
	})
	if err != nil {
		return true, fmt.Errorf("writing the alert store again: %w", err)
	}
	return true, nil
}

// Close closes the file.
func (s *Store) Close() error {
	if s.broken != nil {
		return nil // it would wait for the lock
	}
	return s.db.Close()
}

// Broken reports whether the store will never take a write again.
func (s *Store) Broken() bool { return s.broken != nil }

// Write is one change of the store. A nil Value takes the row away; with all, every row whose key begins with Key.
type Write struct {
	bucket, key, value []byte
	all                bool
}

// TargetRow is the row of a target; a nil tracker: none.
func TargetRow(key incident.Key, t *incident.Tracker) Write {
	w := Write{bucket: bucketTargets, key: rowKey(key.Module, key.Target, key.Hostname)}
	if t != nil {
		w.value = encode(t)
	}
	return w
}

// NotificationRow is what a queue has of a target; a nil notification: nothing.
func (q *Queue) NotificationRow(key incident.Key, n *Notification) Write {
	w := Write{bucket: bucketNotifications, key: rowKey(q.Channel, q.Name, key.Module, key.Target, key.Hostname)}
	if n != nil {
		w.value = encode(n)
	}
	return w
}

// Row returns a function that makes the queue's own row as it is now: a large message takes too long to be encoded under
// the owner's lock.
func (q *Queue) Row() func() Write {
	row := queueRow{Sent: slices.Clone(q.sent), Overflow: q.overflow}
	if q.message != nil && q.message.ID != "" {
		row.Message = q.message
	}
	return func() Write {
		return Write{bucket: bucketQueues, key: rowKey(q.Channel, q.Name, ""), value: encode(row)}
	}
}

// Drop takes all rows of the queue away. Should its recipient be configured again, it begins anew.
func (q *Queue) Drop() []Write {
	key := rowKey(q.Channel, q.Name, "")
	return []Write{{bucket: bucketNotifications, key: key, all: true}, {bucket: bucketQueues, key: key}}
}

// Commit makes all writes at once and returns when they are on the disk.
func (s *Store) Commit(writes []Write) error {
	if s.broken != nil {
		return s.broken
	}
	err := guarded(func() error {
		return s.db.Update(func(tx *bbolt.Tx) error {
			for _, w := range writes {
				if err := w.do(tx.Bucket(w.bucket)); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		err = fmt.Errorf("writing the alert store: %w", err)
	}
	if errors.Is(err, errDamaged) {
		s.broken = err
	}
	return err
}

func (w Write) do(b *bbolt.Bucket) error {
	if w.value != nil {
		return b.Put(w.key, w.value)
	}
	if !w.all {
		return b.Delete(w.key)
	}
	c := b.Cursor()
	for k, _ := c.Seek(w.key); bytes.HasPrefix(k, w.key); k, _ = c.Seek(w.key) {
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil
}

// Needless returns the writes that would take away what is not there, by their places.
func (s *Store) Needless(writes []Write) (places []int, err error) {
	if s.broken != nil {
		return nil, s.broken
	}
	err = guarded(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			for n, w := range writes {
				k, _ := tx.Bucket(w.bucket).Cursor().Seek(w.key)
				if w.value == nil && (!bytes.HasPrefix(k, w.key) || !w.all && len(k) > len(w.key)) {
					places = append(places, n)
				}
			}
			return nil
		})
	})
	return places, err
}

// rowKey joins the words of a row's key.
func rowKey(words ...string) []byte { return []byte(strings.Join(words, "\x00")) }

// encode makes a row. What is kept here can always be encoded.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("alert: encoding a row: %v", err))
	}
	return b
}

// Loaded is everything the store holds.
type Loaded struct {
	Trackers []*incident.Tracker
	Queues   []*Queue
}

// load reads the store. A row that does not decode damages it as a whole: guessing could cost or double a mail.
func (s *Store) load() (*Loaded, error) {
	l := new(Loaded)
	queues := make(map[string]*Queue)
	err := s.db.View(func(tx *bbolt.Tx) error {
		return errors.Join(
			tx.Bucket(bucketTargets).ForEach(func(_, v []byte) error {
				t := new(incident.Tracker)
				l.Trackers = append(l.Trackers, t)
				return json.Unmarshal(v, t)
			}),
			tx.Bucket(bucketQueues).ForEach(func(k, v []byte) error {
				var row queueRow
				if err := json.Unmarshal(v, &row); err != nil {
					return err
				}
				q := l.queue(queues, k)
				if q.message, q.sent, q.overflow = row.Message, row.Sent, row.Overflow; q.message != nil {
					q.message.doubt = true
				}
				return nil
			}),
			tx.Bucket(bucketNotifications).ForEach(func(k, v []byte) error {
				n := new(Notification)
				if err := json.Unmarshal(v, n); err != nil {
					return err
				}
				q := l.queue(queues, k)
				q.put(n.Key, n)
				delete(q.dirty, n.Key)
				return nil
			}),
		)
	})
	if err != nil {
		return nil, fmt.Errorf("reading the alert store: %w: %w", errDamaged, err)
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
