package history

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"rollcall/probe"
)

// Options are a Store's; they are not changed after New.
type Options struct {
	Dir           string        // holds history.db; made when missing
	RetentionTime time.Duration // 0: 90 days
	RetentionSize int64         // bytes on disk; 0: no limit
	Logger        *slog.Logger  // nil: nothing is logged
}

// DefaultRetention is how long history is kept when the options do not say.
const DefaultRetention = 90 * 24 * time.Hour

// Store is the embedded history: an observer of the Runner and a Source. Records go through three hands: Observe queues
// them, an intake goroutine keeps them in memory, where pages find them at once, and a disk goroutine writes them. A
// disk that hangs stops only the last.
type Store struct {
	options  Options
	logger   *slog.Logger
	counters counters
	file     atomic.Pointer[bbolt.DB] // nil: not open
	damaged  atomic.Bool              // the open file

	queueLock      sync.Mutex
	waiting, spare []queued
	arrived        chan struct{} // capacity 1: waiting is not empty

	intake sync.Mutex // held while the queue is worked through

	work    chan struct{}   // capacity 1: the disk goroutine is to look at wanted
	flushes chan chan error // each gets what came of it
	started chan struct{}   // closed when Run has read the file, or could not

	mu        sync.Mutex
	wanted    []Target // of Apply; installed by the disk goroutine
	changed   bool     // wanted is not installed yet
	applied   bool     // targets were configured once
	order     []*live  // configured
	byKey     map[key]*live
	byID      map[uint64]*live // also those that left and have open results
	journal   []entry          // not in the file's journal yet
	openBytes int              // of all open streams
	sealed    uint64           // number of the last seal
	mustSeal  bool             // the file's journal is not complete
	changes   changes          // not in the file yet
	saving    changes          // being written
	loading   bool
	problem   error // why history cannot be kept now
	since     time.Time
	lastWrite time.Time
	oldest    extent
}

// changes are incidents and their evidence by ID.
type changes struct {
	incidents map[string]*Incident
	evidence  map[string]evidenceOf
}

// evidenceOf is evidence and the start of its incident.
type evidenceOf struct {
	from time.Time
	row  *evidenceRow
}

func newChanges() changes {
	return changes{make(map[string]*Incident), make(map[string]evidenceOf)}
}

// entry is a point of the journal.
type entry struct {
	target uint64
	point  point
}

// counters can be read without the lock.
type counters struct {
	results, dropped, failures, damaged atomic.Uint64
	writing                             atomic.Int64 // nanoseconds
}

var (
	_ Source         = (*Store)(nil)
	_ probe.Observer = (*Store)(nil)
)

// New returns a store that touches no file before Run.
func New(o Options) *Store {
	if o.RetentionTime <= 0 {
		o.RetentionTime = DefaultRetention
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Store{
		options: o, logger: o.Logger, loading: true,
		arrived: make(chan struct{}, 1), work: make(chan struct{}, 1), flushes: make(chan chan error), started: make(chan struct{}),
		byKey: make(map[key]*live), byID: make(map[uint64]*live), changes: newChanges(), saving: newChanges(),
	}
}

// Run opens the file, writes until ctx ends, then writes what is left and returns. It is called once.
func (s *Store) Run(ctx context.Context) {
	var disk sync.WaitGroup
	defer disk.Wait()
	disk.Go(func() { s.runDisk(ctx) })
	select {
	case <-s.started: // until then results wait, so that they come after those of the file
	case <-ctx.Done():
		return
	}
	for {
		select {
		case <-s.arrived:
			s.takeIn()
		case <-ctx.Done():
			return
		}
	}
}

// Apply replaces the configured targets. One that was there before keeps its state; what is kept of one that left stays
// until it is too old. Observe ignores targets that are not configured. It may be called before and during Run, and
// takes effect soon after; Flush waits for it.
func (s *Store) Apply(targets []Target) {
	s.mu.Lock()
	s.wanted, s.changed = targets, true
	s.mu.Unlock()
	select {
	case s.work <- struct{}{}:
	default:
	}
}

// Flush writes what was observed before the call, and returns when it is on the disk. It needs Run.
func (s *Store) Flush(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case s.flushes <- done:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stats are the store's numbers, for the exporter's own metrics. Those that count begin at 0 with the process.
type Stats struct {
	Results       uint64        // taken in, also unknown ones
	Dropped       uint64        // lost: the queue or the memory for what cannot be written was full
	WriteFailures uint64        // failed transactions and openings
	Damaged       uint64        // rows that could not be read
	Writable      bool          // the last write succeeded
	Bytes         int64         // of the file
	UsedBytes     int64         // of the file, without free pages
	Pending       int           // results that are not on the disk yet
	LastWrite     time.Time     // zero: none yet
	WriteDuration time.Duration // all transactions together
	Targets       int           // configured
	OpenIncidents int
	Oldest        time.Time // first time of which anything is known; zero: nothing yet
}

// Stats returns the numbers. It does not wait for the disk.
func (s *Store) Stats() Stats {
	s.queueLock.Lock()
	waiting := len(s.waiting)
	s.queueLock.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := Stats{
		Results: s.counters.results.Load(), Dropped: s.counters.dropped.Load(),
		WriteFailures: s.counters.failures.Load(), Damaged: s.counters.damaged.Load(),
		Writable: s.problem == nil, Bytes: s.oldest.bytes, UsedBytes: s.oldest.used,
		Pending: waiting + len(s.journal), LastWrite: s.lastWrite, WriteDuration: time.Duration(s.counters.writing.Load()),
		Targets: len(s.order), Oldest: s.oldest.any,
	}
	for _, l := range s.order {
		if l.incident != nil {
			stats.OpenIncidents++
		}
	}
	return stats
}

// Status implements Source.
func (s *Store) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := Status{Kind: "embedded", Loading: s.loading, Oldest: s.oldest.any, Results: s.oldest.results, Bytes: s.oldest.bytes}
	if s.problem != nil {
		status.Problem, status.Since = s.problem.Error(), s.since
	}
	return status
}

// failed notes that history cannot be kept now; the log has it once.
func (s *Store) failed(err error) {
	s.counters.failures.Add(1)
	s.mu.Lock()
	first := s.problem == nil
	if first {
		s.since = time.Now()
	}
	s.problem = err
	s.mu.Unlock()
	if first {
		s.logger.Error("history cannot be kept; probing and alerting go on", "err", err)
	}
}

// succeeded notes that it can.
func (s *Store) succeeded() {
	s.mu.Lock()
	again := s.problem != nil
	s.problem, s.lastWrite = nil, time.Now()
	s.mu.Unlock()
	if again {
		s.logger.Info("history is kept again")
	}
}

// unreadable counts a row that makes no sense; it is as if it were not there.
func (s *Store) unreadable(err error) {
	if s.counters.damaged.Add(1) == 1 {
		s.logger.Error("a row of the history is damaged and is left out; rollcall counts further ones", "err", err)
	}
}

var errStopped = errors.New("the history has stopped")
