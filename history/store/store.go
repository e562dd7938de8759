package store

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/boltfile"
	"rollcall/history"
	"rollcall/history/block"
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

// Store is the embedded history: an observer of the Runner and a Source.
type Store struct {
	options  Options
	logger   *slog.Logger
	counters counters
	file     atomic.Pointer[boltfile.File] // nil: not open

	queueLock      sync.Mutex
	waiting, spare []queued
	arrived        chan struct{} // capacity 1: waiting is not empty

	intake sync.Mutex // held while the queue is worked through

	work    chan struct{}   // capacity 1: the disk goroutine is to look at wanted
	flushes chan chan error // each gets what came of it
	started chan struct{}   // closed when the file has been read, or could not be

	mu        sync.Mutex
	wanted    *configuration     // of Apply, until the disk goroutine installs it; nil: it has
	order     []*live            // configured
	byID      map[uint64]*live   // also those that left and are not saved yet
	journal   []byte             // entries that are in no row of the file's journal
	pending   int                // how many
	row       uint64             // number of the last row that was taken to be written
	openBytes int                // of all open streams
	urgent    bool               // some of them are in no journal: what is to be sealed is sealed at once
	changes   map[string]*change // of incidents by ID, not in the file yet
	problem   error              // why history cannot be kept now
	since     time.Time
	lastWrite time.Time
	oldest    extent
}

// configuration is what Apply was called with.
type configuration struct {
	targets []*probe.Target
	all     bool // there are no other configured targets
}

// counters can be read without the lock.
type counters struct {
	results, dropped, failures, damaged atomic.Uint64
	writing                             atomic.Int64 // nanoseconds
}

var (
	_ history.Source = (*Store)(nil)
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
		options: o, logger: o.Logger,
		arrived: make(chan struct{}, 1), work: make(chan struct{}, 1), flushes: make(chan chan error), started: make(chan struct{}),
		byID: make(map[uint64]*live), changes: make(map[string]*change),
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
func (s *Store) Apply(targets []*probe.Target) { s.want(&configuration{targets, true}) }

// ApplyPart is Apply while not all configured targets are known, because a source of targets has not answered yet: none
// leaves by it.
func (s *Store) ApplyPart(targets []*probe.Target) { s.want(&configuration{targets, false}) }

func (s *Store) want(c *configuration) {
	s.mu.Lock()
	s.wanted = c
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

// Each calls put for every number, with its name, as the exporter of metrics wants them.
func (s Stats) Each(put func(name string, value float64, labels ...string)) {
	put("results", float64(s.Results))
	put("dropped", float64(s.Dropped))
	put("write_failures", float64(s.WriteFailures))
	put("damaged", float64(s.Damaged))
	put("writable", map[bool]float64{true: 1}[s.Writable])
	put("bytes", float64(s.Bytes))
	put("used_bytes", float64(s.UsedBytes))
	put("pending", float64(s.Pending))
	put("write_duration", s.WriteDuration.Seconds())
	put("targets", float64(s.Targets))
	put("incidents", float64(s.OpenIncidents))
	for name, at := range map[string]time.Time{"last_write": s.LastWrite, "oldest": s.Oldest} {
		if !at.IsZero() {
			put(name, float64(at.UnixNano())/1e9)
		}
	}
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
		Pending: waiting + s.pending, LastWrite: s.lastWrite, WriteDuration: time.Duration(s.counters.writing.Load()),
		Targets: len(s.order), Oldest: s.oldest.any,
	}
	for _, l := range s.order {
		if l.Incident != nil {
			stats.OpenIncidents++
		}
	}
	return stats
}

// Status implements history.Source.
func (s *Store) Status() history.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := history.Status{Kind: "embedded", Oldest: s.oldest.any, Results: s.oldest.begins[0], Bytes: s.oldest.bytes}
	select {
	case <-s.started:
	default:
		status.Loading = true
	}
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

// pointsOf unpacks a stream in memory; that it is damaged would be a bug.
func (s *Store) pointsOf(stream block.Stream) []block.Point {
	points, _, err := stream.Points(0)
	if err != nil {
		s.unreadable(err)
	}
	return points
}
