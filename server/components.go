package server

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/version"

	"rollcall/alert"
	"rollcall/collector"
	"rollcall/config"
	"rollcall/probe"
	"rollcall/schedule"
	"rollcall/web"
	"rollcall/web/port"
)

// components are the parts of a running exporter.
type components struct {
	routePrefix string
	app         *web.Server
	runner      *probe.Runner
	hook        *alert.Hook
	targets     *collector.Targets
	archive     *archive
	stalls      *probe.StallMeter
	scheduler   *schedule.Scheduler
	watchlist   *watchlist
	connections *port.Connections
	applying    sync.Mutex // of targets
}

// assemble makes the components and connects them: the runner's records go to the counters, the pages, the alert hook,
// the configured targets and the history. reload is what the endpoint calls; listener is the first address we listen on. It is
// long because the parts need each other, and stands in one piece to show how.
func assemble(o Options, manager *config.Manager, reload func() error, listener net.Addr) (*components, error) {
	hostname, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("asking for this machine's name: %w; give --web.external-url", err)
	}
	external, err := externalURL(o.ExternalURL, o.RoutePrefix, listener, hostname)
	if err != nil {
		return nil, err
	}
	routePrefix := cmp.Or(o.RoutePrefix, external.Path)
	stalls, memory := new(probe.StallMeter), heldMemory(memoryLimit())
	runner := &probe.Runner{
		MaxInFlight: cmp.Or(o.MaxInFlight, defaultMaxInFlight(descriptorLimit(), memoryLimit())), Memory: memory, PerProbe: memoryPerProbe,
		Stalls: stalls, Built: builtAt(version.BuildDate, o.Logger), Logger: o.Logger,
	}
	exporter := collector.NewExporter(runner.InFlight)
	exporter.ReportReloads(manager.LastReload)
	exporter.ReportUnusableModules(func() int { return len(manager.Current().Unusable()) })
	targets := new(collector.Targets)
	archive := newArchive(o)
	exporter.ReportHistory(func(put func(string, float64, ...string)) { archive.store.Stats().Each(put) })
	current := func() web.Config { return manager.Current() }
	if o.ShowSent {
		current = func() web.Config { return config.WithSent{Config: manager.Current()} }
	}
	app := web.New(web.Options{
		Current:       current,
		Reload:        reload,
		Runner:        runner,
		Exporter:      exporter,
		Targets:       targets,
		History:       archive.source,
		HistoryLimit:  o.HistoryLimit,
		TimeoutOffset: o.TimeoutOffset,
		ExternalURL:   external,
		Hostname:      hostname,
		RoutePrefix:   routePrefix,
		SeparateAdmin: o.AdminAddress != "",
		EnablePprof:   o.EnablePprof,
		ShowSent:      o.ShowSent,
		Memory:        memory,
		Version:       version.Version,
		Logger:        o.Logger,
		ProbeLog:      o.ProbeLog,
	})
	scheduler := &schedule.Scheduler{
		Runner: runner, Failed: exporter.Failed, Logger: o.Logger,
		Module: func(name string) (*probe.Module, error) { return manager.Current().Module(name) },
		NoVerdict: func(t *probe.Target, at time.Time) {
			targets.NoVerdict(t.Key())
			archive.noVerdict(t, at)
		},
	}
	hook := alert.NewHook(alert.HookOptions{
		StoragePath: o.StoragePath, ExternalURL: strings.TrimSuffix(external.String(), "/"), Logger: o.Logger,
		Hurry: func(t *probe.Target) { scheduler.Hurry(t.Key()) },
	})
	runner.Isolated, targets.Maintenance, archive.hook = hook.Isolated, hook.Maintenance, hook
	exporter.ReportAlerts(func(put func(string, float64, ...string)) { hook.Stats().Each(put) })
	runner.Observers = []probe.Observer{exporter, app, targets, archive, hook} // the archive asks the hook about an incident that a result ends
	connections := port.New(maxConnections(descriptorLimit(), memoryLimit(), runner.MaxInFlight), exporter.Failed)
	watchlist := newWatchlist(o.Shard, o.Logger)
	exporter.ReportDiscovery(watchlist.numbers)
	return &components{
		routePrefix: routePrefix, app: app, runner: runner, hook: hook, targets: targets, archive: archive, stalls: stalls, scheduler: scheduler,
		watchlist: watchlist, connections: connections,
	}, nil
}

// follow applies the current targets, and the targets and alert section of every later configuration.
func (c *components) follow(ctx context.Context, manager *config.Manager) {
	apply := func(present *config.Config) {
		if err := c.watchlist.manager.Apply(ctx, present.Sources()); err != nil {
			LogError(c.scheduler.Logger, "a source of targets cannot be used", err)
		}
		c.applyTargets(ctx, present, false)
	}
	apply(manager.Current())
	// The hook comes first: a reload fails when the alert store of its configuration cannot be opened (the disk is full,
	// another process has it), because without the store no mail would be sent.
	manager.BeforeReload(func(next *config.Config) error { return c.applyAlerts(ctx, next, c.watchlist.of(next)) })
	manager.OnReload(apply)
}

// mailPatience limits how long a mail that is being sent delays a shutdown, or a reload that ends alerting.
const mailPatience = 10 * time.Second

// closeHook stores pending notifications.
func (c *components) closeHook(logger *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), mailPatience)
	defer cancel()
	if err := c.hook.Close(ctx); err != nil {
		LogError(logger, "the alert store is not closed", err)
	}
}

// configured are the targets without what only the schedule and alerts need.
func configured(all []schedule.Entry) []*probe.Target {
	targets := make([]*probe.Target, len(all))
	for i, e := range all {
		targets[i] = e.Target
	}
	return targets
}
