package server

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/alert"
	"rollcall/config"
	"rollcall/history"
	"rollcall/history/prometheus"
	"rollcall/history/store"
	"rollcall/probe"
)

// archive is the history of a process, a Source for pages: the server that the configuration names or else an embedded
// store, whose file is touched only when there are targets.
type archive struct {
	store  *store.Store
	logger *slog.Logger
	dir    string
	hook   *alert.Hook                       // has what pages note beside a target's state
	server atomic.Pointer[prometheus.Source] // nil: the store
	keeps  atomic.Bool                       // the store runs

	mu      sync.Mutex
	stop    context.CancelFunc // nil: the store does not run
	ended   chan struct{}
	stopped bool
}

func newArchive(o Options) *archive {
	return &archive{
		store: store.New(store.Options{
			Dir: o.StoragePath, RetentionTime: o.RetentionTime, RetentionSize: o.RetentionSize, Logger: o.Logger,
		}),
		logger: o.Logger, dir: o.StoragePath,
	}
}

// apply follows a configuration and the targets that it schedules here. The first one that wants the store opens it; from
// then on it stays open.
func (a *archive) apply(c *config.Config, selected selection) {
	targets := configured(selected.targets)
	server := c.History()
	a.server.Store(server)
	if server != nil {
		server.Apply(targets)
		targets = nil // the store keeps what it has
	}
	if selected.all || server != nil {
		a.store.Apply(targets)
	} else {
		a.store.ApplyPart(targets)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(targets) == 0 || a.stop != nil || a.stopped {
		return
	}
	ctx, stop := context.WithCancel(context.Background()) // ends with close: the last probes end after the process's own
	a.stop, a.ended = stop, make(chan struct{})
	a.keeps.Store(true)
	go func() {
		defer close(a.ended)
		a.store.Run(ctx)
	}()
	a.logger.Info("results of the configured targets are kept", "directory", a.dir)
}

// close writes what is left, unless the disk hangs longer than patience.
func (a *archive) close() {
	a.mu.Lock()
	stop := a.stop
	a.stopped = true
	a.mu.Unlock()
	if stop == nil {
		return
	}
	stop()
	select {
	case <-a.ended:
	case <-time.After(historyPatience):
		a.logger.Error("the history is not closed; its last results may be lost", "waited", historyPatience)
	}
}

// historyPatience is how long a disk that hangs delays the end of the process.
const historyPatience = 10 * time.Second

// Observe keeps a scheduled Record, and before it the second opinion on the open incident, which the hook forgets with the
// incident. It implements probe.Observer.
func (a *archive) Observe(r probe.Record) {
	if !a.keeps.Load() || !r.Scheduled { // the queue of a store that does not run would fill up
		return
	}
	if opinion := a.hook.Opinion(r.Key()); opinion != "" {
		a.store.ObserveOpinion(r.Key(), opinion)
	}
	a.store.Observe(r)
}

// noVerdict keeps a turn without one.
func (a *archive) noVerdict(t *probe.Target, at time.Time) {
	if a.keeps.Load() {
		a.store.ObserveUnknown(t.Key(), at)
	}
}

// source is what pages read now; nil: there is nothing.
func (a *archive) source() history.Source {
	if server := a.server.Load(); server != nil {
		return server
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stop == nil {
		return nil
	}
	return a.store
}

// Overview implements history.Source, as the following methods do.
func (a *archive) Overview(ctx context.Context, r history.Range) (history.Overview, error) {
	s := a.source()
	if s == nil {
		return history.Overview{Range: r}, nil
	}
	o, err := s.Overview(ctx, r)
	note := a.noter()
	for i := range o.Targets {
		note(&o.Targets[i])
	}
	return o, err
}

func (a *archive) Target(ctx context.Context, id string, r history.Range) (history.Summary, error) {
	s := a.source()
	if s == nil {
		return history.Summary{}, history.ErrNotFound
	}
	sum, err := s.Target(ctx, id, r)
	a.noter()(&sum)
	return sum, err
}

func (a *archive) Series(ctx context.Context, id string, from, to time.Time, step time.Duration) (history.Series, error) {
	if s := a.source(); s != nil {
		return s.Series(ctx, id, from, to, step)
	}
	return history.Series{}, history.ErrNotFound
}

func (a *archive) Results(ctx context.Context, id string, from, to time.Time, limit int) ([]history.Result, error) {
	if s := a.source(); s != nil {
		return s.Results(ctx, id, from, to, limit)
	}
	return nil, history.ErrNotFound
}

func (a *archive) Incidents(ctx context.Context, filter history.IncidentFilter, from, to time.Time, limit int) ([]history.Incident, error) {
	if s := a.source(); s != nil {
		return s.Incidents(ctx, filter, from, to, limit)
	}
	return nil, nil
}

func (a *archive) Incident(ctx context.Context, id string) (history.Incident, error) {
	s := a.source()
	if s == nil {
		return history.Incident{}, history.ErrNotFound
	}
	i, err := s.Incident(ctx, id)
	if err == nil && i.To.IsZero() {
		i.Opinion = cmp.Or(a.hook.Opinion(i.Target.Key()), i.Opinion)
	}
	return i, err
}

func (a *archive) Status() history.Status {
	if s := a.source(); s != nil {
		return s.Status()
	}
	return history.Status{Kind: "embedded"}
}

// noter returns what adds the alert hook's notes to a summary: whether its target is under maintenance, and the second
// opinion on its open incident.
func (a *archive) noter() func(*history.Summary) {
	maintained := a.hook.Maintenance(time.Now())
	return func(s *history.Summary) {
		t := s.Target
		s.Maintenance = maintained != nil && maintained(t.Key())
		if s.Incident != "" {
			s.Opinion = a.hook.Opinion(t.Key())
		}
	}
}
