package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"go.etcd.io/bbolt"

	"rollcall/boltfile"
	"rollcall/history/block"
	"rollcall/probe"
)

// fileName is the store's in its directory.
const fileName = "history.db"

// The buckets. Numbers in keys are big-endian; a day is 4 bytes, everything else 8. Days come first, so that what is too
// old is taken away at the beginning, a day at a time.
var (
	bucketTargets  = []byte("targets")             // target → targetRow
	bucketJournal  = []byte("journal")             // sequence → entries: target and point
	bucketResults  = []byte("results")             // day, target → Block
	bucketMinutes  = []byte("5m")                  // day, target → Chunk
	bucketHours    = []byte("1h")                  // day, target → Chunk
	bucketDays     = []byte("1d")                  // day, target → Chunk
	bucketIncident = []byte("incidents")           // incident → history.Incident
	bucketEvidence = []byte("evidence")            // incident → evidenceRow
	bucketByTime   = []byte("incidents_by_time")   // start, incident → end; 0: open
	bucketByTarget = []byte("incidents_by_target") // target, start, incident → end; 0: open
)

// levels are what there is of each day, the finest first: single results, whose step is 0, and rollups.
var levels = [...]struct {
	bucket []byte
	step   int64
}{{bucketResults, 0}, {bucketMinutes, 5 * block.Minute}, {bucketHours, block.Hour}, {bucketDays, block.Day}}

// errNoFile is returned while the file is not open.
var errNoFile = errors.New("the history is not open")

func (s *Store) path() string { return filepath.Join(s.options.Dir, fileName) }

func (s *Store) format() boltfile.Format {
	f := boltfile.Format{Version: "2", Buckets: [][]byte{
		bucketTargets, bucketJournal, bucketResults, bucketMinutes, bucketHours, bucketDays,
		bucketIncident, bucketEvidence, bucketByTime, bucketByTarget,
	}}
	if limit := s.options.RetentionSize; limit > 0 {
		f.AllocSize = int(min(max(limit/32, 64<<10), 16<<20))
	}
	return f
}

// update runs a transaction that is on the disk when it returns.
func (s *Store) update(do func(*bbolt.Tx) error) error {
	f := s.file.Load()
	if f == nil {
		return errNoFile
	}
	start := time.Now()
	err := f.Update(do)
	s.counters.writing.Add(int64(time.Since(start)))
	return err
}

// view runs a reading transaction.
func (s *Store) view(do func(*bbolt.Tx) error) error {
	f := s.file.Load()
	if f == nil {
		return errNoFile
	}
	switch err := f.View(do); {
	case errors.Is(err, boltfile.ErrClosed):
		return errNoFile
	case err != nil:
		return fmt.Errorf("reading the history: %w", err)
	}
	return nil
}

// openPatience is how long a reader waits for a file that is being opened, after a start: with 100,000 targets it takes seconds.
const openPatience = 5 * time.Second

// errSealed says that a target was sealed after a transaction began, so that another has to be used.
var errSealed = errors.New("a seal came in between")

// read is view for those who ask from outside, also just after a start. It begins anew if do returns errSealed; do's other
// errors are returned as they are.
func (s *Store) read(do func(*bbolt.Tx) error) error {
	select {
	case <-s.started:
	case <-time.After(openPatience):
	}
	for {
		var failed error
		err := s.view(func(tx *bbolt.Tx) error { failed = do(tx); return nil })
		if err != nil {
			return err
		}
		if !errors.Is(failed, errSealed) {
			return failed
		}
	}
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

// targetRow is what the file has of a target. Sealed and left stand before the rest, so that they can be read alone.
type targetRow struct {
	sealed uint64 // the last row of the journal that the rest has counted
	left   int64  // when the target left the configuration; 0: it has not
	Target probe.Target
	State  state
}

const rowHead = 16

func (r *targetRow) encode() []byte {
	return append(numbers(nil, r.sealed, uint64(r.left)), encodeJSON(r)...)
}

// packRow packs what encode made.
func packRow(row []byte) []byte { return append(row[:rowHead:rowHead], block.Pack(row[rowHead:])...) }

// rowNumbers reads the beginning of a target's row; it is 0 for one that is not there.
func rowNumbers(value []byte) (sealed uint64, left int64) {
	if len(value) < rowHead {
		return 0, 0
	}
	return keyNumber(value, 0), int64(keyNumber(value, 8))
}

// readTarget returns a target's row; nil when it is not there or damaged.
func (s *Store) readTarget(tx *bbolt.Tx, id uint64) *targetRow {
	value := tx.Bucket(bucketTargets).Get(numbers(nil, id))
	if value == nil {
		return nil
	}
	row, err := decodeTarget(value)
	if err != nil {
		s.unreadable(err)
		return nil
	}
	return row
}

func decodeTarget(value []byte) (*targetRow, error) {
	if len(value) < rowHead {
		return nil, block.ErrFormat
	}
	text, err := block.Unpack(value[rowHead:], nil)
	if err != nil {
		return nil, err
	}
	row := &targetRow{State: newState()}
	if err := json.Unmarshal(text, row); err != nil {
		return nil, err
	}
	row.sealed, row.left = rowNumbers(value)
	for _, r := range row.State.rings() {
		if r.Number < 0 || r.Number > 1<<40 {
			return nil, block.ErrFormat
		}
	}
	return row, nil
}

// readBlock adds the results of a day to bl's memory, and reports whether there are any.
func (s *Store) readBlock(tx *bbolt.Tx, d int64, id uint64, bl *block.Block) bool {
	value := tx.Bucket(bucketResults).Get(dayTargetKey(d, id))
	if value == nil {
		return false
	}
	if err := bl.Decode(value); err != nil {
		bl.Points = bl.Points[:0]
		s.unreadable(err)
		return false
	}
	return len(bl.Points) > 0
}

// readChunk returns the rollups of a day; nil when they are not there or damaged.
func (s *Store) readChunk(b *bbolt.Bucket, d int64, id uint64) *block.Chunk {
	value := b.Get(dayTargetKey(d, id))
	if value == nil {
		return nil
	}
	ch, err := block.DecodeChunk(value, d)
	if err != nil {
		s.unreadable(err)
		return nil
	}
	return ch
}
