package alert

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// store keeps the watches and the outboxes over restarts: one bbolt file, every commit synced to the disk. It only
// mirrors what the keeper holds in memory.
type store struct {
	db     *bbolt.DB
	broken error // bbolt lost its way in the middle of a write and may hold its lock: nothing more is asked of it
}

// storeFile is its name in the storage directory.
const storeFile = "alert.db"

// The buckets. Keys that are made of several words put a NUL between them; no word holds one.
var (
	bucketFormat       = []byte("format")       // "version" → formatVersion
	bucketWatches      = []byte("watches")      // module NUL target → watch
	bucketDestinations = []byte("destinations") // channel NUL name → destinationRow
	bucketItems        = []byte("items")        // channel NUL name NUL sequence (8 bytes, big-endian) → item
	bucketTold         = []byte("told")         // channel NUL name NUL incident → Message-ID
)

const formatVersion = "1"

// destinationRow is what is kept of a destination beside its items.
type destinationRow struct {
	Parcel *parcel     `json:"parcel,omitempty"`
	Sent   []time.Time `json:"sent,omitempty"`
	Excess excess      `json:"excess,omitzero"`
}

// openStore opens or makes the file in dir, whose missing parts are made, too.
func openStore(dir string) (*store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the alert store: %w; --storage.path is to name a directory that rollcall may write to", err)
	}
	path := filepath.Join(dir, storeFile)
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
	s := &store{db: db}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the alert store: %s: %w", path, err), db.Close())
	}
	return s, nil
}

// prepare makes the buckets of a new file; one that is complete is not written to, so that it opens on a full disk.
func (s *store) prepare() error {
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
		for _, name := range [][]byte{bucketFormat, bucketWatches, bucketDestinations, bucketItems, bucketTold} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return tx.Bucket(bucketFormat).Put([]byte("version"), []byte(formatVersion))
	})
}

func (s *store) close() error {
	if s.broken != nil {
		return nil // it would wait for the lock
	}
	return s.db.Close()
}

// write is one row to be; a nil value takes it away.
type write struct {
	bucket, key, value []byte
}

// commit makes all writes at once and returns when they are on the disk.
func (s *store) commit(writes []write) error {
	if s.broken != nil {
		return s.broken
	}
	put := func(tx *bbolt.Tx) error {
		for _, w := range writes {
			b := tx.Bucket(w.bucket)
			if w.value == nil {
				if err := b.Delete(w.key); err != nil {
					return err
				}
				continue
			}
			if err := b.Put(w.key, w.value); err != nil {
				return err
			}
		}
		return nil
	}
	err := guarded(func() error { return s.db.Update(put) })
	if err != nil {
		err = fmt.Errorf("writing the alert store: %w", err)
	}
	if errors.Is(err, errDamaged) {
		s.broken = err
	}
	return err
}

// view calls f with a way to ask whether a row is on the disk.
func (s *store) view(f func(has func(bucket, key []byte) bool)) error {
	return guarded(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			f(func(bucket, key []byte) bool { return tx.Bucket(bucket).Get(key) != nil })
			return nil
		})
	})
}

// rowKey joins words.
func rowKey(words ...string) []byte { return []byte(strings.Join(words, "\x00")) }

func itemKey(d *destination, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(rowKey(d.channel, d.name, ""), seq)
}

// encodeRow is v as a row's value. The types here always encode; one that does not is a bug that must not pass for a
// deletion.
func encodeRow(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("alert: encoding a row: %v", err))
	}
	return b
}

// loaded is everything the store holds.
type loaded struct {
	watches      []*watch
	destinations map[string]*destination // by channel NUL name
}

// load reads the store. A row that does not decode damages it as a whole: guessing could cost or double
// a mail.
func (s *store) load() (*loaded, error) {
	l := &loaded{destinations: make(map[string]*destination)}
	err := s.db.View(func(tx *bbolt.Tx) error {
		return errors.Join(
			tx.Bucket(bucketWatches).ForEach(func(_, v []byte) error {
				w := new(watch)
				if err := json.Unmarshal(v, w); err != nil {
					return err
				}
				w.Next %= recentResults
				l.watches = append(l.watches, w)
				return nil
			}),
			tx.Bucket(bucketDestinations).ForEach(func(k, v []byte) error {
				var row destinationRow
				if err := json.Unmarshal(v, &row); err != nil {
					return err
				}
				d, _ := l.destination(k)
				if d.parcel, d.sent, d.excess = row.Parcel, row.Sent, row.Excess; d.parcel != nil {
					d.parcel.doubt = true
				}
				return nil
			}),
			tx.Bucket(bucketItems).ForEach(func(k, v []byte) error {
				it := new(item)
				if err := json.Unmarshal(v, it); err != nil {
					return err
				}
				d, _ := l.destination(k)
				d.restore(it)
				return nil
			}),
			tx.Bucket(bucketTold).ForEach(func(k, v []byte) error {
				d, id := l.destination(k)
				d.told[id] = string(v)
				return nil
			}),
		)
	})
	if err != nil {
		return nil, fmt.Errorf("reading the alert store: %w: %w", errDamaged, err)
	}
	return l, nil
}

// destination is the one whose channel and name k begins with, and the rest of k.
func (l *loaded) destination(k []byte) (d *destination, rest string) {
	channel, tail, _ := strings.Cut(string(k), "\x00")
	name, rest, _ := strings.Cut(tail, "\x00")
	id := channel + "\x00" + name
	if d = l.destinations[id]; d == nil {
		d = newDestination(channel, name)
		l.destinations[id] = d
	}
	return d, rest
}

// restore puts an item back. The items come in their order, after the parcel.
func (d *destination) restore(it *item) {
	d.put(it)
	d.nextSeq = max(d.nextSeq, it.Seq+1)
	if it.whole() {
		d.end(it)
	}
	if it.sealed = d.parcel != nil && d.parcel.holds(it.Seq); it.sealed {
		d.underWay[it.Incident.ID] = true
	} else {
		d.waiting[it.Incident.ID] = it
	}
}
