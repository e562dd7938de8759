package history

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// fileName is the store's in its directory.
const fileName = "history.db"

// The buckets. Numbers in keys are big-endian; a day is 4 bytes, everything else 8. Days come first, so that rows are
// added at the end, and what is too old is taken away at the beginning, a day at a time.
var (
	bucketFormat   = []byte("format")              // "version" → formatVersion, "seal" → number of the last seal
	bucketTargets  = []byte("targets")             // target → targetRow
	bucketJournal  = []byte("journal")             // sequence → results that came since the last seal
	bucketHead     = []byte("head")                // day, seal, target → block, of days that are not closed
	bucketResults  = []byte("results")             // day, target → block
	bucketMinutes  = []byte("5m")                  // day, target → chunk
	bucketHours    = []byte("1h")                  // day, target → chunk
	bucketDays     = []byte("1d")                  // day, target → chunk
	bucketIncident = []byte("incidents")           // start, incident → end (0: open), journal sequence, Incident
	bucketByTarget = []byte("incidents_by_target") // target, start, incident → nothing
	bucketByID     = []byte("incidents_by_id")     // incident → start
	bucketOpen     = []byte("open_incidents")      // start, incident → target
	bucketEvidence = []byte("evidence")            // start, incident → evidenceRow
	bucketStates   = []byte("states")              // target → live.encodeState
)

var (
	keyVersion = []byte("version")
	keySeal    = []byte("seal")
)

const formatVersion = "1"

// levels are the rollups, the finest first.
var levels = []struct {
	bucket []byte
	step   int64
}{{bucketMinutes, 5 * minute}, {bucketHours, hour}, {bucketDays, day}}

var (
	errDamaged = errors.New("the file is damaged")
	errNoFile  = errors.New("the history is not open")
)

// openFile opens or makes the file in dir, whose missing parts are made, too.
func openFile(dir string, sizeLimit int64) (*bbolt.DB, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, fileName)
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType})
	errno := syscall.Errno(0)
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("%s is in use by another rollcall; give each its own --storage.path", path)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return nil, fmt.Errorf("%w; --storage.path is to name a directory that rollcall may write to", err)
	case err != nil && !errors.As(err, &errno):
		return nil, fmt.Errorf("%s: %w: %w", path, errDamaged, err)
	case err != nil:
		return nil, err
	}
	if sizeLimit > 0 {
		db.AllocSize = int(min(max(sizeLimit/32, 64<<10), 16<<20)) // by how much the file grows at once
	}
	if err := prepareFile(db); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), db.Close())
	}
	return db, nil
}

// prepareFile makes the buckets of a new file. One that is complete is not written to.
func prepareFile(db *bbolt.DB) error {
	version := ""
	err := db.View(func(tx *bbolt.Tx) error {
		if b := tx.Bucket(bucketFormat); b != nil {
			version = string(b.Get(keyVersion))
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case version == formatVersion:
		return nil
	case version != "":
		return fmt.Errorf("it has format %q and this rollcall knows %q; run the rollcall that wrote it, or move it away", version, formatVersion)
	}
	return db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{
			bucketFormat, bucketTargets, bucketJournal, bucketHead, bucketResults, bucketMinutes, bucketHours, bucketDays,
			bucketIncident, bucketByTarget, bucketByID, bucketOpen, bucketEvidence, bucketStates,
		} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return tx.Bucket(bucketFormat).Put(keyVersion, []byte(formatVersion))
	})
}

// guarded calls f, which works on a mapped file: bbolt panics over pages that make no sense, and reading what the disk
// does not give is a memory error.
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errDamaged, p)
		}
	}()
	return f()
}

// open opens the file. A damaged one is set aside, and an empty one takes its place.
func (s *Store) open() error {
	var db *bbolt.DB
	try := func() error {
		return guarded(func() (err error) {
			db, err = openFile(s.options.Dir, s.options.RetentionSize)
			return err
		})
	}
	err := try()
	if errors.Is(err, errDamaged) {
		if err = errors.Join(err, s.setAside(err)); s.file.Load() == nil {
			err = try()
		}
	}
	if err != nil {
		return fmt.Errorf("opening the history: %w", err)
	}
	s.file.Store(db)
	return nil
}

// setAside renames the damaged file, of which there is one at most.
func (s *Store) setAside(cause error) error {
	path := filepath.Join(s.options.Dir, fileName)
	if err := os.Rename(path, path+".damaged"); err != nil {
		return fmt.Errorf("setting the damaged history aside: %w", err)
	}
	s.logger.Error("the history was damaged and is set aside; it begins anew", "err", cause, "aside", path+".damaged")
	return nil
}

// update runs a transaction that is on the disk when it returns.
func (s *Store) update(f func(*bbolt.Tx) error) error {
	db := s.file.Load()
	if db == nil {
		return errNoFile
	}
	start := time.Now()
	err := guarded(func() error { return db.Update(f) })
	s.counters.writing.Add(int64(time.Since(start)))
	if errors.Is(err, errDamaged) {
		s.damaged.Store(true)
	}
	return err
}

// abandon sets a file aside that turned out to be damaged while it was open. It stays open: bbolt may hold its locks.
func (s *Store) abandon() error {
	if !s.damaged.CompareAndSwap(true, false) {
		return nil
	}
	s.file.Store(nil)
	return s.setAside(errDamaged)
}

// restore looks whether the file is still in its place, and when it was removed writes all of it there again: until then it
// goes on without a name, and would be gone with the process.
func (s *Store) restore() error {
	db := s.file.Load()
	if db == nil || s.damaged.Load() {
		return nil
	}
	path := db.Path()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	err := guarded(func() error {
		if err := os.MkdirAll(s.options.Dir, 0o700); err != nil {
			return err
		}
		if err := db.View(func(tx *bbolt.Tx) error { return tx.CopyFile(path+".new", 0o600) }); err != nil {
			return err
		}
		if err := os.Rename(path+".new", path); err != nil {
			return err
		}
		again, err := openFile(s.options.Dir, s.options.RetentionSize)
		if err != nil {
			return err
		}
		s.file.Store(again)
		return db.Close() // when those who read it have ended
	})
	if err != nil {
		return fmt.Errorf("writing the history again, whose file was removed: %w", err)
	}
	s.counters.failures.Add(1)
	s.logger.Error("the history's file was removed while rollcall runs; all of it is written again", "file", path)
	return nil
}

// view runs a reading transaction.
func (s *Store) view(f func(*bbolt.Tx) error) error {
	db := s.file.Load()
	if db == nil {
		return errNoFile
	}
	err := guarded(func() error { return db.View(f) })
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return errNoFile
	}
	if errors.Is(err, errDamaged) {
		s.damaged.Store(true) // the disk goroutine will see to it
	}
	if err != nil {
		return fmt.Errorf("reading the history: %w", err)
	}
	return nil
}

// numbers makes a key.
func numbers(b []byte, values ...uint64) []byte {
	for _, v := range values {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return b
}

func dayKey(d int64) []byte { return binary.BigEndian.AppendUint32(nil, uint32(max(d, 0))) }

func dayTargetKey(d int64, target uint64) []byte { return numbers(dayKey(d), target) }

func keyDay(key []byte) int64 { return int64(binary.BigEndian.Uint32(key)) }

func keyNumber(key []byte, at int) uint64 { return binary.BigEndian.Uint64(key[at:]) }

// rowID is an ID as it stands in keys: its first 16 hex digits. A target's ID has no more, an incident's has 24, and its
// row has it whole. An ID that is none is 0, which no row has.
func rowID(id string) uint64 {
	if len(id) != 16 && len(id) != 24 {
		return 0
	}
	n, err := strconv.ParseUint(id[:16], 16, 64)
	if err != nil {
		return 0
	}
	return n
}

// encodeJSON is v as a row's value. The types here always encode; one that does not is a bug.
func encodeJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("history: encoding a row: %v", err))
	}
	return b
}

// targetRow is what the file has of a target.
type targetRow struct {
	Target Target
	First  int64 // its first turn
	Left   int64 `json:",omitempty"` // when it left the configuration; 0: it has not
}

func readTarget(tx *bbolt.Tx, id uint64) (row targetRow, found bool) {
	value := tx.Bucket(bucketTargets).Get(numbers(nil, id))
	if value == nil || json.Unmarshal(value, &row) != nil {
		return row, false
	}
	return row, true
}
