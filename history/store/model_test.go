package store

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"testing"
	"time"

	"rollcall/history"
	"rollcall/probe"
)

// model keeps turns as plainly as can be and counts by looking at each.
type model struct {
	turns []modelTurn

	all   []modelTurn // withMissing at a time
	allAt time.Time
}

type modelTurn struct {
	at       time.Time
	state    history.State
	duration time.Duration
	interval time.Duration
}

func (m *model) add(at time.Time, state history.State, duration, interval time.Duration) {
	m.turns = append(m.turns, modelTurn{at.Truncate(time.Millisecond), state, duration, interval})
}

// withMissing returns the turns with those that did not come until now, in the order of time.
func (m *model) withMissing(now time.Time) []modelTurn {
	if now.Equal(m.allAt) {
		return m.all
	}
	sorted := slices.Clone(m.turns)
	slices.SortStableFunc(sorted, func(a, b modelTurn) int { return a.at.Compare(b.at) })
	var all []modelTurn
	for i, turn := range sorted {
		all = append(all, turn)
		next := now
		if i+1 < len(sorted) {
			next = sorted[i+1].at
		}
		if next.Sub(turn.at) <= turn.interval*5/2 {
			continue
		}
		for at := turn.at.Add(turn.interval); at.Before(next.Add(-turn.interval / 2)); at = at.Add(turn.interval) {
			all = append(all, modelTurn{at, history.StateUnknown, 0, turn.interval})
		}
	}
	slices.SortStableFunc(all, func(a, b modelTurn) int { return a.at.Compare(b.at) })
	m.all, m.allAt = all, now
	return all
}

// between is what PromQL would see of [from, to): counts, and the durations in order.
func (m *model) between(from, to, now time.Time) (c history.Counts, durations []float64) {
	all := m.withMissing(now)
	first, _ := slices.BinarySearchFunc(all, from, func(turn modelTurn, at time.Time) int { return turn.at.Compare(at) })
	for _, turn := range all[first:] {
		if !turn.at.Before(to) {
			break
		}
		switch turn.state {
		case history.StateUp:
			c.Up++
		case history.StateDown:
			c.Down++
		default:
			c.Unknown++
			continue
		}
		durations = append(durations, turn.duration.Seconds())
	}
	slices.Sort(durations)
	return c, durations
}

// quantileOverTime is PromQL's.
func quantileOverTime(q float64, sorted []float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := q * float64(len(sorted)-1)
	low := int(rank)
	high := min(low+1, len(sorted)-1)
	weight := rank - float64(low)
	return sorted[low]*(1-weight) + sorted[high]*weight
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// near allows the documented rounding.
func near(got time.Duration, want, share float64) bool {
	return math.Abs(got.Seconds()-want) <= share*want+1e-6
}

const (
	roundDuration = 1.0/256 + 1e-9
	roundQuantile = 1.0/64 + 1e-9
)

func (m *model) comparePoint(t *testing.T, p history.Point, step time.Duration, now time.Time) {
	t.Helper()
	counts, durations := m.between(p.Time, p.Time.Add(step), now)
	if counts != p.Counts {
		t.Errorf("%v+%v: counts %+v, want %+v", p.Time, step, p.Counts, counts)
	}
	if len(durations) == 0 {
		if p.Min != 0 || p.Max != 0 || p.Mean != 0 || p.P50 != 0 || p.P95 != 0 {
			t.Errorf("%v: durations without a verdict: %+v", p.Time, p)
		}
		return
	}
	for _, c := range []struct {
		name  string
		got   time.Duration
		want  float64
		share float64
	}{
		{"min", p.Min, durations[0], roundDuration},
		{"max", p.Max, durations[len(durations)-1], roundDuration},
		{"mean", p.Mean, mean(durations), roundDuration},
		{"p50", p.P50, quantileOverTime(0.5, durations), roundQuantile},
		{"p95", p.P95, quantileOverTime(0.95, durations), roundQuantile},
	} {
		if !near(c.got, c.want, c.share) {
			t.Errorf("%v+%v: %s is %v, want %v s", p.Time, step, c.name, c.got, c.want)
		}
	}
}

func testRecord(target *probe.Target, at time.Time, state history.State, duration time.Duration) *probe.Record {
	r := &probe.Record{
		Module: target.Module, Prober: "http", Target: target.Target, Hostname: target.Hostname, Scheduled: true,
		Timeout: 10 * time.Second,
		Result: probe.Result{
			Start: at, Duration: duration,
			Phases: probe.Phases{Resolve: duration / 10, Connect: duration / 5, Processing: duration / 2},
			HTTP:   &probe.HTTPFacts{Hops: 1, StatusCode: 200, FinalURL: "http://example.com/"},
		},
	}
	if state == history.StateDown {
		r.Result.HTTP.StatusCode = 503
		r.Result.Failure = &probe.Failure{Stage: probe.StageCheck, Reason: probe.ReasonStatusCode, Err: errors.New("the status is 503")}
	}
	return r
}

// runStore runs a store until the returned function is called.
func runStore(t testing.TB, o Options) (s *Store, stop func()) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(testWriter{t}, nil))
	}
	s = New(o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	stopped := false
	return s, func() {
		if !stopped {
			stopped = true
			cancel()
			<-done
		}
	}
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) { w.t.Log(string(b)); return len(b), nil }

func flush(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Flush(t.Context()); err != nil {
		t.Fatalf("flushing: %v", err)
	}
}

func summaryOf(t *testing.T, s *Store, r history.Range, target *probe.Target) history.Summary {
	t.Helper()
	o, err := s.Overview(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(o.Targets, func(sum history.Summary) bool { return sum.ID == target.ID() })
	if i < 0 {
		t.Fatalf("the overview has no %v", target)
	}
	return o.Targets[i]
}
