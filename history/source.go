package history

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrNotFound is returned for a target or incident that the history does not know.
var ErrNotFound = errors.New("not in the history")

// Source is what pages read. Its methods may be called by many goroutines at once; what they return is the caller's. An
// error that is not ErrNotFound or ctx's says why the history cannot be read now.
type Source interface {
	// Overview returns all configured targets, at once also for 10,000.
	Overview(ctx context.Context, r Range) (Overview, error)
	// Target returns one target's summary. It knows targets that left the configuration, too, as long as anything is
	// kept of them; their State is unknown.
	Target(ctx context.Context, id string, r Range) (Summary, error)
	// Series returns a target's results from from (inclusive) to to (exclusive) in steps; at most MaxPoints of them. A
	// step below a second is an error. From is rounded down and to up to a multiple of step, in UTC.
	Series(ctx context.Context, id string, from, to time.Time, step time.Duration) (Series, error)
	// Results returns a target's turns in [from, to), the newest first. Turns that never came are not among them. A
	// limit of 0 means 1,000.
	Results(ctx context.Context, id string, from, to time.Time, limit int) ([]Result, error)
	// Incidents returns those that have a part in [from, to), the latest From first; a zero time is no limit. A limit
	// of 0 means 1,000.
	Incidents(ctx context.Context, filter IncidentFilter, from, to time.Time, limit int) ([]Incident, error)
	// Incident returns one with its evidence.
	Incident(ctx context.Context, id string) (Incident, error)
	// Status tells how the history is; it never blocks.
	Status() Status
}

// MaxPoints is how many points a series has at most.
const MaxPoints = 5000

// DefaultLimit is what a limit of 0 means.
const DefaultLimit = 1000

// NewSeries returns a series as Source.Series makes it, without its target and with nothing in its points.
func NewSeries(from, to time.Time, step time.Duration) (Series, error) {
	s := Series{From: from.UTC().Truncate(step), To: to.UTC().Truncate(step), Step: step}
	if s.To.Before(to) {
		s.To = s.To.Add(step)
	}
	n := s.To.Sub(s.From) / step
	if n < 1 || n > MaxPoints {
		return Series{}, fmt.Errorf("%d steps of %v; accepted: 1 to %d", n, step, MaxPoints)
	}
	s.Points = make([]Point, n)
	return s, nil
}
