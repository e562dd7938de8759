// Package server is the exporter as a process: it assembles the parts, listens, reloads, obeys signals and the service
// manager, and shuts down in order. It knows no flag and prints nothing; package cli makes Options out of flags. It
// answers no request either: package web does.
package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path"
	"strings"
	"sync"
	"syscall"
	"time"

	sdnotify "github.com/coreos/go-systemd/v22/daemon"
	"github.com/prometheus/common/version"
	toolkit "github.com/prometheus/exporter-toolkit/web"

	"rollcall/config"
	"rollcall/probe/network"
	"rollcall/schedule"
)

// Options are what an exporter is started with. docs/reference.md explains each under the flag of the same name.
type Options struct {
	ConfigFile     string
	ConfigOptional bool          // without the file the built-in modules are used, until a reload finds it
	AutoReload     bool          // reload when the file has changed
	ReloadInterval time.Duration // how often to look; above 0 with AutoReload

	TimeoutOffset time.Duration
	MaxInFlight   int // 0: as many as descriptors and memory carry
	HistoryLimit  int // 0: no results are kept for the pages
	StoragePath   string
	Shard         schedule.Shard // the part of the targets that is probed here; zero: all
	RetentionTime time.Duration  // of the history; 0: 90 days
	RetentionSize int64          // bytes of the history on disk; 0: no limit

	ListenAddresses []string // at least one, or SystemdSocket
	SystemdSocket   bool
	WebConfigFile   string // of exporter-toolkit; empty: no TLS and no passwords
	ExternalURL     string // empty: made of this machine's name and the first port
	RoutePrefix     string // empty: the path of ExternalURL
	AdminAddress    string // empty: the other addresses serve everything
	EnablePprof     bool
	ShowSent        bool // /config and debug=true show what modules send

	Logger   *slog.Logger
	ProbeLog *slog.Logger // of verdicts, and at debug level of their steps
}

// Check loads the configuration files and starts nothing. The warnings are about values that are accepted; the error names
// everything that is not, the modules that cannot be used included.
func Check(o Options) (warnings []string, err error) {
	o.Logger = slog.New(slog.DiscardHandler)
	manager, err := o.loadConfig()
	if err != nil {
		return nil, err
	}
	var unusable []error // serving would go on without these modules, a check does not
	for _, module := range manager.Current().Unusable() {
		unusable = append(unusable, module.Err)
	}
	return manager.Current().Warnings(), errors.Join(unusable...)
}

// Run serves until SIGTERM or SIGINT ends the process in order, which is nil, or until it cannot go on. SIGHUP reloads.
func Run(o Options) error {
	// A signal that arrives while starting waits until everything runs.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)

	o.Logger.Info("rollcall starts", "version", version.Version, "revision", version.GetRevision(), "go", version.GoVersion)
	manager, err := o.loadConfig()
	if err != nil {
		return err
	}
	open, err := o.listen()
	if err != nil {
		return err
	}
	manage := systemd{o.Logger}
	reload := coalesced(manage.around(func() error { return reload(manager, o.Logger) }))
	network.Prepare()
	parts, err := assemble(o, manager, reload, open.public[0].Addr())
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	if err := parts.applyAlerts(ctx, manager.Current(), parts.watchlist.of(manager.Current())); err != nil {
		stop()
		return err
	}
	defer parts.closeHook(o.Logger)
	defer parts.archive.close() // when no probe runs any more
	var background sync.WaitGroup
	defer background.Wait()
	defer stop()
	parts.follow(ctx, manager)
	background.Go(func() { parts.stalls.Run(ctx) })
	defer parts.watchlist.manager.Close()
	background.Go(func() { parts.scheduler.Run(ctx) })
	background.Go(func() { parts.followDiscovery(ctx, manager.Current) })
	if o.AutoReload {
		background.Go(func() { manager.Watch(ctx, o.ReloadInterval) })
	}
	serving := o.startServers(parts, open)
	parts.app.SetReady(true)
	o.announce(open, parts.routePrefix)
	manage.notify(sdnotify.SdNotifyReady)
	background.Go(func() { manage.keepAlive(ctx, open.public[0], parts.routePrefix) })

	sig, err := waitForEnd(signals, serving.failed, reload)
	if err != nil {
		return err
	}
	signal.Reset(os.Interrupt, syscall.SIGTERM) // a second one ends the process at once
	o.Logger.Info("rollcall ends: no new probes; those in flight may finish", "signal", sig.String(), "in_flight", parts.runner.InFlight())
	manage.notify(sdnotify.SdNotifyStopping)
	parts.app.SetReady(false)
	stop() // the scheduler first
	parts.runner.Close()
	serving.drain()
	return nil
}

// loadConfig loads the configuration file, and checks that of the listener.
func (o *Options) loadConfig() (manager *config.Manager, err error) {
	if !o.ConfigOptional {
		manager, err = config.NewManager(o.ConfigFile, o.Logger)
	} else {
		if _, err := os.Stat(o.ConfigFile); errors.Is(err, fs.ErrNotExist) {
			o.Logger.Info("there is no " + o.ConfigFile + ": the built-in modules are used")
		}
		manager, err = config.NewOptionalManager(o.ConfigFile, o.Logger)
	}
	if err != nil {
		return nil, err
	}
	if err := toolkit.Validate(o.WebConfigFile); err != nil {
		return nil, fmt.Errorf("reading --web.config.file=%s: %w", o.WebConfigFile, err)
	}
	return manager, nil
}

// reload loads the configuration again and logs the outcome.
func reload(manager *config.Manager, logger *slog.Logger) error {
	err := manager.Reload()
	if err != nil {
		LogError(logger, "the configuration is not reloaded, the old one stays", err)
	} else {
		logger.Info("the configuration is reloaded")
	}
	return err
}

// startServers serves the public addresses and the administrator's.
func (o *Options) startServers(parts *components, open listeners) *servers {
	serving := &servers{webConfigFile: o.WebConfigFile, logger: o.Logger, failed: make(chan error, 1)}
	for _, l := range open.public {
		serving.start(l, parts.app.Handler(), parts.connections)
	}
	if open.admin != nil {
		serving.start(open.admin, parts.app.AdminHandler(), parts.connections.Reserve(adminConnections))
	}
	return serving
}

// waitForEnd returns the signal that ends the process, or why it cannot go on; SIGHUP reloads meanwhile.
func waitForEnd(signals <-chan os.Signal, failed <-chan error, reload func() error) (os.Signal, error) {
	for {
		select {
		case err := <-failed:
			return nil, err
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				return sig, nil
			}
			_ = reload() // logged
		}
	}
}

// announce logs the addresses we listen on, and a first request to try.
func (o *Options) announce(open listeners, routePrefix string) {
	for _, l := range open.public {
		o.Logger.Info("rollcall listens", "address", l.Addr().String())
	}
	if open.admin != nil {
		o.Logger.Info("rollcall listens for its administrator", "address", open.admin.Addr().String())
	}
	_, port, err := net.SplitHostPort(open.public[0].Addr().String())
	if err != nil || o.WebConfigFile != "" {
		return // whether that file asks for TLS or a password is not known here
	}
	prefix := path.Join("/", routePrefix, "probe")
	o.Logger.Info(fmt.Sprintf("try: curl 'localhost:%s%s?target=example.com:443&module=tcp_connect'", port, prefix))
}

// LogError logs an error of several lines, e.g. the problems of a configuration, as one entry for each line.
func LogError(logger *slog.Logger, message string, err error) {
	for line := range strings.Lines(err.Error()) {
		logger.Error(message, "err", strings.TrimSuffix(line, "\n"))
	}
}
