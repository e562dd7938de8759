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

// archive is the history of a process: the server that the configuration names or else an embedded store, whose file is
// touched only when there are targets.
type archive struct {
	store  *store.Store
	logger *slog.Logger
	dir    string
	hook   *alert.Hook                       // has what pages note beside a target's state
	server atomic.Pointer[prometheus.Source] // nil: the store
	keeps  atomic.Bool                       // the store runs

	start sync.Once
	stop  context.CancelFunc // of start; nil: the store does not run
	ended chan struct{}
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
	if len(targets) > 0 {
		a.start.Do(a.run)
	}
}

func (a *archive) run() {
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
	a.start.Do(func() {}) // no longer
	if a.stop == nil {
		return
	}
	a.stop()
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
func (a *archive) Observe(r *probe.Record) {
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

// source is what pages read now.
func (a *archive) source() history.Source {
	if server := a.server.Load(); server != nil {
		return noted{server, a.hook}
	}
	if a.keeps.Load() {
		return noted{a.store, a.hook}
	}
	return nothing{}
}

// noted is a history with what the alert hook knows beside it: whether a target is under maintenance, and the second
// opinion on its open incident.
type noted struct {
	history.Source
	hook *alert.Hook
}

func (n noted) Overview(ctx context.Context, r history.Range) (history.Overview, error) {
	o, err := n.Source.Overview(ctx, r)
	n.note(o.Targets)
	return o, err
}

func (n noted) Target(ctx context.Context, id string, r history.Range) (history.Summary, error) {
	sum, err := n.Source.Target(ctx, id, r)
	one := []history.Summary{sum}
	n.note(one)
	return one[0], err
}

func (n noted) note(all []history.Summary) {
	maintained := n.hook.Maintenance(time.Now())
	for i := range all {
		s := &all[i]
		s.Maintenance = maintained != nil && maintained(s.Target.Key())
		if s.Incident != "" {
			s.Opinion = n.hook.Opinion(s.Target.Key())
		}
	}
}

func (n noted) Incident(ctx context.Context, id string) (history.Incident, error) {
	i, err := n.Source.Incident(ctx, id)
	if err == nil && i.To.IsZero() {
		i.Opinion = cmp.Or(n.hook.Opinion(i.Target.Key()), i.Opinion)
	}
	return i, err
}

// nothing is the history of a process that has never had a target.
type nothing struct{}

func (nothing) Overview(_ context.Context, r history.Range) (history.Overview, error) {
	return history.Overview{Range: r}, nil
}

func (nothing) Target(context.Context, string, history.Range) (history.Summary, error) {
	return history.Summary{}, history.ErrNotFound
}

func (nothing) Series(context.Context, string, time.Time, time.Time, time.Duration) (history.Series, error) {
	return history.Series{}, history.ErrNotFound
}

func (nothing) Results(context.Context, string, time.Time, time.Time, int) ([]history.Result, error) {
	return nil, history.ErrNotFound
}

func (nothing) Incidents(context.Context, history.IncidentFilter, time.Time, time.Time, int) ([]history.Incident, error) {
	return nil, nil
}

func (nothing) Incident(context.Context, string) (history.Incident, error) {
	return history.Incident{}, history.ErrNotFound
}

func (nothing) Status() history.Status { return history.Status{Kind: "embedded"} }
