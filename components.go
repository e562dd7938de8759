package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/prometheus/common/promslog"
	"github.com/prometheus/common/version"

	"rollcall/alert"
	"rollcall/collector"
	"rollcall/config"
	"rollcall/probe"
	"rollcall/schedule"
	"rollcall/web"
)

// components are what serving is made of, put together by assemble.
type components struct {
	app         *web.Server
	runner      *probe.Runner
	hook        *alert.Hook
	targets     *collector.Targets
	scheduler   *schedule.Scheduler
	connections *web.Connections
}

// assemble makes the components and connects them: the runner tells the counters, the history, the alert hook and the
// last verdicts.
func (s *serve) assemble(logger *slog.Logger, manager *config.Manager, reload func() error, listener net.Addr) (*components, error) {
	hostname, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("asking for this machine's name: %w; give --web.external-url", err)
	}
	external, err := externalURL(s.externalURL, s.routePrefix, listener, hostname)
	if err != nil {
		return nil, err
	}
	if s.routePrefix == "" {
		s.routePrefix = external.Path
	}
	runner := &probe.Runner{MaxInFlight: s.maxInFlight, Bodies: bodyMemory(memoryLimit()), Logger: logger}
	if runner.MaxInFlight == 0 {
		runner.MaxInFlight = defaultMaxInFlight(descriptorLimit(), memoryLimit())
	}
	exporter := collector.NewExporter(runner.InFlight)
	exporter.ReportReloads(manager.LastReload)
	targets := new(collector.Targets)
	app := web.New(web.Options{
		Current:       func() web.Config { return manager.Current() },
		Reload:        reload,
		Runner:        runner,
		Exporter:      exporter,
		Targets:       targets,
		HistoryLimit:  s.historyLimit,
		TimeoutOffset: s.timeoutOffset,
		ExternalURL:   external,
		RoutePrefix:   s.routePrefix,
		SeparateAdmin: s.adminAddress != "",
		EnablePprof:   s.pprof,
		Version:       version.Version,
		ProbeLog:      promslog.New(&promslog.Config{Level: s.logProbe, Format: s.log.Format, Writer: s.stderr}),
	})
	hook := alert.NewHook(alert.HookOptions{
		StoragePath: s.storagePath, ExternalURL: strings.TrimSuffix(external.String(), "/"), Logger: logger,
	})
	exporter.ReportAlerts(func(put func(name string, value float64, labels ...string)) { hook.Stats().Each(put) })
	runner.Observers = []probe.Observer{exporter, app, hook, targets}
	scheduler := &schedule.Scheduler{
		Runner: runner,
		Module: func(name string) (*probe.Module, error) { return manager.Current().Module(name) },
		Failed: exporter.Failed,
		Logger: logger,
	}
	connections := web.NewConnections(maxConnections(descriptorLimit(), memoryLimit(), runner.MaxInFlight), exporter.Failed)
	return &components{app, runner, hook, targets, scheduler, connections}, nil
}

// follow puts the present targets into force, and every later configuration's together with its alert section.
func (c *components) follow(ctx context.Context, manager *config.Manager) {
	apply := func(present *config.Config) {
		c.targets.Apply(configured(present)) // before a result can come
		c.scheduler.Apply(present.Targets())
	}
	apply(manager.Current())
	// The hook comes first: a configuration whose alerts cannot be kept (no room for the store, another process has it)
	// must fail loudly instead of telling nobody.
	manager.BeforeReload(func(next *config.Config) error {
		ctx, cancel := context.WithTimeout(ctx, mailPatience)
		defer cancel()
		return c.hook.Apply(ctx, next.Alert())
	})
	manager.OnReload(apply)
}

// mailPatience is how long mail that is under way may hold up a shutdown, or a reload that ends the alerting.
const mailPatience = 10 * time.Second

// closeHook writes down what is yet to be told.
func (c *components) closeHook(logger *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), mailPatience)
	defer cancel()
	if err := c.hook.Close(ctx); err != nil {
		logError(logger, "the alert store is not closed", err)
	}
}

// configured hands the file's targets to collector, which shows how they are.
func configured(c *config.Config) []collector.Target {
	targets := make([]collector.Target, len(c.Targets()))
	for i, t := range c.Targets() {
		targets[i] = collector.Target{
			Module: t.ModuleName(), Target: t.Target, Interval: time.Duration(t.Interval), Labels: t.Labels,
		}
	}
	return targets
}
