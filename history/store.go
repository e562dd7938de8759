package history

import (
	"context"
	"log/slog"
	"time"

	"rollcall/probe"
)

// Options are a Store's; they are not changed after New.
type Options struct {
	Dir           string        // holds history.db; made when missing
	RetentionTime time.Duration // 0: 90 days
	RetentionSize int64         // bytes on disk; 0: no limit
	Logger        *slog.Logger  // nil: nothing is logged
}

// Store is the embedded history: an observer of the Runner and a Source.
type Store struct {
	options Options
}

var (
	_ Source         = (*Store)(nil)
	_ probe.Observer = (*Store)(nil)
)

// New returns a store that touches no file before Run.
func New(o Options) *Store { return &Store{options: o} }

// Run opens the file, writes until ctx ends, then writes what is left and returns. It is called once.
func (s *Store) Run(ctx context.Context) { <-ctx.Done() }

// Apply replaces the configured targets. One that was there before keeps its state; what is kept of one that left stays
// until it is too old. Observe ignores targets that are not configured. It may be called before and during Run.
func (s *Store) Apply([]Target) {}

// Observe queues a scheduled Record. It never blocks; when Run cannot keep up, the record is dropped and counted.
func (s *Store) Observe(probe.Record) {}

// ObserveUnknown queues a turn that came to no verdict: the exporter's own error, or a refused target.
func (s *Store) ObserveUnknown(module, target, hostname string, at time.Time) {}

// Flush writes what was observed before the call, and returns when it is on the disk.
func (s *Store) Flush(context.Context) error { return nil }

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
	Oldest        time.Time // first time of which anything is known
}

// Stats returns the numbers; it never blocks.
func (s *Store) Stats() Stats { return Stats{} }

// Overview implements Source.
func (s *Store) Overview(ctx context.Context, r Range) (Overview, error) { return Overview{}, nil }

// Target implements Source.
func (s *Store) Target(ctx context.Context, id string, r Range) (Summary, error) {
	return Summary{}, ErrNotFound
}

// Series implements Source.
func (s *Store) Series(ctx context.Context, id string, from, to time.Time, step time.Duration) (Series, error) {
	return Series{}, ErrNotFound
}

// Results implements Source.
func (s *Store) Results(ctx context.Context, id string, from, to time.Time, limit int) ([]Result, error) {
	return nil, ErrNotFound
}

// Incidents implements Source.
func (s *Store) Incidents(ctx context.Context, filter IncidentFilter, from, to time.Time, limit int) ([]Incident, error) {
	return nil, nil
}

// Incident implements Source.
func (s *Store) Incident(ctx context.Context, id string) (Incident, error) {
	return Incident{}, ErrNotFound
}

// Status implements Source.
func (s *Store) Status() Status { return Status{Kind: "embedded"} }
