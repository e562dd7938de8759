package server

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"rollcall/collector"
	"rollcall/config"
	"rollcall/history"
)

// archive is the embedded history of a process: a store whose file is touched only when there are targets.
type archive struct {
	*history.Store
	logger *slog.Logger
	dir    string

	mu      sync.Mutex
	stop    context.CancelFunc // nil: the store does not run
	ended   chan struct{}
	stopped bool
}

func newArchive(o Options) *archive {
	return &archive{
		Store: history.New(history.Options{
			Dir: o.StoragePath, RetentionTime: o.RetentionTime, RetentionSize: o.RetentionSize, Logger: o.Logger,
		}),
		logger: o.Logger, dir: o.StoragePath,
	}
}

// apply follows a configuration. The first one with targets opens the store; from then on it stays open.
func (a *archive) apply(c *config.Config) {
	targets := kept(c)
	a.Store.Apply(targets)
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(targets) == 0 || a.stop != nil || a.stopped {
		return
	}
	ctx, stop := context.WithCancel(context.Background()) // ends with close: the last probes end after the process's own
	a.stop, a.ended = stop, make(chan struct{})
	go func() {
		defer close(a.ended)
		a.Store.Run(ctx)
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

// noVerdict keeps a turn without one.
func (a *archive) noVerdict(module, target string, at time.Time) {
	a.ObserveUnknown(module, target, "", at)
}

// kept are the file's targets as history knows them.
func kept(c *config.Config) []history.Target {
	targets := make([]history.Target, len(c.Targets()))
	for i, t := range c.Targets() {
		targets[i] = history.Target{
			Module: t.ModuleName(), Target: t.Target, Name: t.Labels["name"], Group: t.Labels["group"],
			Interval: time.Duration(t.Interval), Labels: t.Labels,
		}
	}
	return targets
}

// historyStats passes the store's numbers to collector: neither package imports the other.
func historyStats(store *history.Store) func() collector.HistoryStats {
	return func() collector.HistoryStats {
		s := store.Stats()
		return collector.HistoryStats{
			Results: s.Results, Dropped: s.Dropped, WriteFailures: s.WriteFailures, Damaged: s.Damaged, Writable: s.Writable,
			Bytes: s.Bytes, UsedBytes: s.UsedBytes, Pending: s.Pending, LastWrite: s.LastWrite, WriteDuration: s.WriteDuration,
			Targets: s.Targets, OpenIncidents: s.OpenIncidents, Oldest: s.Oldest,
		}
	}
}
