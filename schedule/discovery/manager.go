package discovery

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/targetgroup"
)

// emptyFor is for how long a source must have no targets before that is believed, also after a start, before which it may
// have had some: a file that is being written, or a server whose own source is broken, looks the same for a moment.
const emptyFor = 5 * time.Minute

// closePatience is how long a source that hangs delays Close.
const closePatience = 2 * time.Second

// Manager runs the sources of a configuration, each on its own goroutines, and has what each found last. Its fields are
// set before the first Apply and not changed afterwards.
type Manager struct {
	Logger *slog.Logger
	// Changed is called when a source has found something else, on its goroutine. It must not block.
	Changed func()

	mu       sync.Mutex
	sources  []*source
	failures map[string]uint64 // of sources that are no more, by mechanism
	running  sync.WaitGroup
}

// Stats is how the sources of one mechanism are.
type Stats struct {
	Sources  int
	Failing  int    // now: they keep what they found last
	Pending  int    // have not said anything yet
	Failures uint64 // refreshes that failed
	Targets  int    // before relabelling
}

// source is a running source.
type source struct {
	Source
	cancel context.CancelFunc
	logger *slog.Logger

	failures atomic.Uint64
	failing  atomic.Bool

	mu       sync.Mutex
	heard    bool    // it has said something, if only that there is nothing
	believed bool    // groups are what it has
	groups   []Group // what it found last
}

// Apply starts the sources that are new, until ctx ends, and stops those that are not in all. The others go on.
func (m *Manager) Apply(ctx context.Context, all []Source) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var next []*source
	var failed error
	for _, wanted := range all {
		if find(next, wanted) != nil {
			continue
		}
		s := find(m.sources, wanted)
		if s == nil {
			var err error
			if s, err = m.start(ctx, wanted); err != nil {
				failed = fmt.Errorf("starting the discovery by %s: %w", wanted.Mechanism(), err)
				continue
			}
		}
		next = append(next, s)
	}
	for _, s := range m.sources {
		if find(next, s.Source) == nil {
			s.cancel()
			if m.failures == nil {
				m.failures = map[string]uint64{}
			}
			m.failures[s.Mechanism()] += s.failures.Load()
		}
	}
	m.sources = next
	return failed
}

func find(sources []*source, wanted Source) *source {
	for _, s := range sources {
		if reflect.DeepEqual(s.config, wanted.config) {
			return s
		}
	}
	return nil
}

// start runs a source. Its library's own metrics go nowhere: Stats has what there is to say.
func (m *Manager) start(ctx context.Context, wanted Source) (*source, error) {
	nowhere := prometheus.NewRegistry()
	metrics := wanted.config.NewDiscovererMetrics(nowhere, discovery.NewRefreshMetrics(nowhere))
	s := &source{Source: wanted, logger: m.Logger}
	discoverer, err := wanted.config.NewDiscoverer(discovery.DiscovererOptions{
		Logger: slog.New(&failureLog{source: s}), Metrics: metrics, SetName: "targets", HTTPClientOptions: clientOptions(),
	})
	if err != nil {
		return nil, err
	}
	ctx, s.cancel = context.WithCancel(ctx)
	updates := make(chan []*targetgroup.Group)
	m.running.Go(func() { discoverer.Run(ctx, updates) })
	m.running.Go(func() { s.collect(ctx, updates, m.Changed) })
	return s, nil
}

// collect keeps what a source finds until ctx ends.
func (s *source) collect(ctx context.Context, updates <-chan []*targetgroup.Group, changed func()) {
	var groups []Group
	var believe <-chan time.Time // when to believe that there are no targets; nil: nothing waits for that
	failuresBefore := uint64(0)
	take := func() {
		switch {
		case len(groups) > 0, s.answered() && len(s.last()) == 0:
			believe = nil
			groups = s.publish(groups, changed)
		case believe == nil:
			believe = time.After(emptyFor)
			s.logger.Warn("a source of targets has none; if it had some before, they are kept for a while",
				"mechanism", s.Mechanism(), "from", s.String(), "for", emptyFor)
			s.hear(changed)
		}
	}
	if s.matchesNothing() {
		take()
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-believe:
			believe = nil
			groups = s.publish(groups, changed)
		case update := <-updates:
			groups = merged(groups, update)
			failures := s.failures.Load()
			if failures == failuresBefore && s.failing.Swap(false) {
				s.logger.Info("a source of targets works again", "mechanism", s.Mechanism(), "from", s.String())
			}
			failuresBefore = failures
			take()
		}
	}
}

// publish makes groups what the source found last. It returns what it had before when that is the same.
func (s *source) publish(groups []Group, changed func()) []Group {
	s.mu.Lock()
	same := s.believed && slices.EqualFunc(s.groups, groups, Group.equal)
	if same {
		groups = s.groups
	}
	s.heard, s.believed, s.groups = true, true, groups
	s.mu.Unlock()
	if !same {
		changed()
	}
	return groups
}

// hear notes that the source has said something, which is not believed yet.
func (s *source) hear(changed func()) {
	s.mu.Lock()
	first := !s.heard
	s.heard = true
	s.mu.Unlock()
	if first {
		changed()
	}
}

func (s *source) last() []Group {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.groups
}

func (s *source) answered() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.believed
}

// Found returns what a source found last; nil when it does not run or has not answered. The groups must not be changed.
func (m *Manager) Found(wanted Source) []Group {
	m.mu.Lock()
	s := find(m.sources, wanted)
	m.mu.Unlock()
	if s == nil {
		return nil
	}
	return s.last()
}

// Answered reports whether every one of the sources runs and has answered, so that no target of theirs is missing. That a
// source has none is no answer for the first minutes.
func (m *Manager) Answered(all []Source) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, wanted := range all {
		if s := find(m.sources, wanted); s == nil || !s.answered() {
			return false
		}
	}
	return true
}

// Stats returns the present numbers by mechanism.
func (m *Manager) Stats() map[string]Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[string]Stats{}
	for mechanism, failures := range m.failures {
		all[mechanism] = Stats{Failures: failures}
	}
	for _, s := range m.sources {
		stats := all[s.Mechanism()]
		stats.Sources++
		stats.Failures += s.failures.Load()
		if s.failing.Load() {
			stats.Failing++
		}
		s.mu.Lock()
		if !s.heard {
			stats.Pending++
		}
		for _, group := range s.groups {
			stats.Targets += len(group.Targets)
		}
		s.mu.Unlock()
		all[s.Mechanism()] = stats
	}
	return all
}

// Close ends all sources, and waits for them unless one hangs.
func (m *Manager) Close() {
	m.mu.Lock()
	for _, s := range m.sources {
		s.cancel()
	}
	m.mu.Unlock()
	done := make(chan struct{})
	go func() {
		m.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(closePatience):
	}
}

// failureLog is what the libraries log to. An error is a failed refresh: it is counted each time, and logged when the
// source begins to fail.
type failureLog struct{ source *source }

func (f *failureLog) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelError
}

func (f *failureLog) Handle(ctx context.Context, r slog.Record) error {
	if ctx.Err() != nil {
		return nil
	}
	s := f.source
	s.failures.Add(1)
	if s.failing.Swap(true) {
		return nil
	}
	args := []any{"mechanism", s.Mechanism(), "from", s.String()}
	r.Attrs(func(a slog.Attr) bool {
		args = append(args, slog.String(a.Key, s.redact(a.Value.String())))
		return true
	})
	s.logger.Error("a source of targets fails; what it found last stays: "+r.Message, args...)
	return nil
}

func (f *failureLog) WithAttrs([]slog.Attr) slog.Handler { return f }

func (f *failureLog) WithGroup(string) slog.Handler { return f }
