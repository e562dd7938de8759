package server

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/config"
	"rollcall/schedule"
	"rollcall/schedule/discovery"
)

// targetsEvery is the shortest time between two changes by discovery: a source that changes file by file would have all
// lists made anew each time.
const targetsEvery = time.Second

// watchlist is which targets this process probes: those of the configuration and of discovery that fall to its shard.
type watchlist struct {
	shard   schedule.Shard
	manager *discovery.Manager
	logger  *slog.Logger
	changed chan struct{} // capacity 1: a source found something else
	refused atomic.Int64

	mu     sync.Mutex
	logged string // refusals
}

func newWatchlist(shard schedule.Shard, logger *slog.Logger) *watchlist {
	w := &watchlist{shard: shard, logger: logger, changed: make(chan struct{}, 1)}
	w.manager = &discovery.Manager{Logger: logger, Changed: func() {
		select {
		case w.changed <- struct{}{}:
		default:
		}
	}}
	return w
}

// selection is the targets that this process probes.
type selection struct {
	targets []schedule.Entry
	all     bool // none is missing because its source has not answered yet
}

// of returns the targets of a configuration with what its sources found last, and logs what is refused when that is new.
func (w *watchlist) of(c *config.Config) selection {
	answered := w.manager.Answered(c.Sources()) // asked first: what a source finds meanwhile may be missing below
	found, refused := c.Discover(w.manager.Found)
	w.refused.Store(int64(len(refused)))
	w.logRefused(refused)
	if w.shard.Of > 1 {
		found = slices.DeleteFunc(slices.Clone(found), func(t schedule.Entry) bool { return !w.shard.Keeps(t.Key()) })
	}
	return selection{found, answered}
}

// mostRefusals is how many refused targets are logged one by one.
const mostRefusals = 10

func (w *watchlist) logRefused(refused []config.Refused) {
	text := fmt.Sprint(refused)
	w.mu.Lock()
	known := w.logged == text
	w.logged = text
	w.mu.Unlock()
	if known {
		return
	}
	for _, r := range refused[:min(len(refused), mostRefusals)] {
		w.logger.Warn("a target that was found is not probed", "target", r.Target, "err", r.Err)
	}
	if more := len(refused) - mostRefusals; more > 0 {
		w.logger.Warn("more targets that were found are not probed", "targets", more)
	}
}

// followDiscovery applies what discovery finds until ctx ends.
func (c *components) followDiscovery(ctx context.Context, current func() *config.Config) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.watchlist.changed:
		}
		c.applyTargets(ctx, current(), true)
		select {
		case <-ctx.Done():
			return
		case <-time.After(targetsEvery):
		}
	}
}

// applyTargets has every part work with the targets of a configuration. Alerts are the last: their disk may hang. found
// says that discovery changed them; at a reload the hook has its configuration before.
func (c *components) applyTargets(ctx context.Context, present *config.Config, found bool) {
	c.applying.Lock()
	defer c.applying.Unlock()
	selected := c.watchlist.of(present)
	collectOften(len(selected.targets))
	c.targets.Apply(configured(selected.targets)) // before a result can come
	c.archive.apply(present, selected)
	c.scheduler.Apply(selected.targets)
	if !found {
		return
	}
	if err := c.applyAlerts(ctx, present, selected); err != nil {
		LogError(c.scheduler.Logger, "alerts do not follow what discovery found", err)
	}
}

func (c *components) applyAlerts(ctx context.Context, present *config.Config, selected selection) error {
	section, err := present.AlertFor(selected.targets)
	if err != nil {
		return err
	}
	if section != nil {
		section.Incomplete = !selected.all
	}
	ctx, cancel := context.WithTimeout(ctx, mailPatience)
	defer cancel()
	return c.hook.Apply(ctx, section)
}

// numbers puts what there is to know about discovery.
func (w *watchlist) numbers(put func(name string, value float64, labels ...string)) {
	put("refused", float64(w.refused.Load()))
	for mechanism, m := range w.manager.Stats() {
		put("sources", float64(m.Sources), mechanism)
		put("failing", float64(m.Failing), mechanism)
		put("failures", float64(m.Failures), mechanism)
		put("targets", float64(m.Targets), mechanism)
	}
}
