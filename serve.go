package main

import (
	"context"
	"errors"
	"fmt"
	"io"
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

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/common/version"
	toolkit "github.com/prometheus/exporter-toolkit/web"

	"rollcall/config"
	"rollcall/probe"
)

const (
	defaultConfigFile    = "blackbox.yml"
	defaultListenAddress = ":9115"
)

// serve is `rollcall serve`: the exporter itself. The fields are its flags.
type serve struct {
	configFile      string
	configFileGiven bool
	configCheck     bool
	autoReload      bool
	reloadInterval  time.Duration

	timeoutOffset time.Duration
	maxInFlight   int
	historyLimit  int
	storagePath   string

	log      promslog.Config
	logProbe *promslog.Level

	toolkit      toolkit.FlagConfig
	externalURL  string
	routePrefix  string
	adminAddress string
	pprof        bool

	stdout, stderr io.Writer
}

func addServe(app *kingpin.Application, commands map[string]func() int, stdout, stderr io.Writer) {
	s := &serve{stdout: stdout, stderr: stderr}
	cmd := app.Command("serve", "Probe for Prometheus (this command may be left out).").Default()

	cmd.Flag("config.file", "Configuration file. Without the flag and without the file the built-in modules are used.").
		Default(defaultConfigFile).IsSetByUser(&s.configFileGiven).StringVar(&s.configFile)
	cmd.Flag("config.check", "Print what is wrong with the configuration file, or OK, and exit: 1 or 0.").BoolVar(&s.configCheck)
	cmd.Flag("config.enable-auto-reload", "Reload the configuration file when it has changed.").BoolVar(&s.autoReload)
	addFlag(cmd, "config.auto-reload-interval", "How often to look whether it has: seconds, or a time span.", "30",
		"a number of seconds or a time span above 0, as 30 or 1m", above0(&s.reloadInterval, seconds))

	addFlag(cmd, "timeout-offset", "Seconds before the end of a scrape's timeout at which the probe ends.", "0.5",
		"a number of seconds or a time span, as 0.5 or 500ms", seconds(&s.timeoutOffset))
	addFlag(cmd, "probe.max-in-flight", "Probes at the same time; what is over it gets 503 at once. 0: as many as descriptors and memory carry.", "0",
		"a whole number", count(&s.maxInFlight))
	addFlag(cmd, "history.limit", "Results to keep for the landing page and /logs; as many failures are kept beside them.", "100",
		"a whole number", count(&s.historyLimit))

	cmd.Flag("storage.path", "Directory for what alerting must not forget: incidents, and mail that is not yet sent. Unused without an alert section.").
		Default("data/").StringVar(&s.storagePath)

	s.addLogFlags(cmd)
	s.addWebFlags(cmd)
	commands[cmd.FullCommand()] = s.run
}

func (s *serve) addLogFlags(cmd *kingpin.CmdClause) {
	s.log = promslog.Config{Level: promslog.NewLevel(), Format: promslog.NewFormat(), Writer: s.stderr}
	s.logProbe = promslog.NewLevel()
	levels, formats := oneOf(promslog.LevelFlagOptions), oneOf(promslog.FormatFlagOptions)
	addFlag(cmd, "log.level", "Log from this level on: "+levels+".", "info", levels, setter(s.log.Level)).
		HintOptions(promslog.LevelFlagOptions...)
	addFlag(cmd, "log.format", "Write the log as "+formats+".", "logfmt", formats, setter(s.log.Format)).
		HintOptions(promslog.FormatFlagOptions...)
	addFlag(cmd, "log.prober", "Log probes from this level on: "+levels+". A target that is down is info, one that is up debug.", "warn", levels, setter(s.logProbe)).
		HintOptions(promslog.LevelFlagOptions...)
}

func (s *serve) addWebFlags(cmd *kingpin.CmdClause) {
	s.toolkit.WebListenAddresses = cmd.Flag("web.listen-address", "Address to listen on, as :9115, [::1]:9115, vsock://:9115. Repeatable.").
		Default(defaultListenAddress).Strings()
	s.toolkit.WebSystemdSocket = cmd.Flag("web.systemd-socket", "Listen on the sockets that systemd passes instead (Linux only).").Bool()
	s.toolkit.WebConfigFile = cmd.Flag("web.config.file", "File that turns on TLS, client certificates and passwords for our own port "+
		"(https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md).").Default("").String()
	cmd.Flag("web.external-url", "The URL under which others reach rollcall, as behind a reverse proxy; for links.").
		PlaceHolder("<url>").StringVar(&s.externalURL)
	cmd.Flag("web.route-prefix", "Prefix of every path served. Default: the path of --web.external-url.").
		PlaceHolder("<path>").StringVar(&s.routePrefix)
	cmd.Flag("web.admin-address", "Address for /config, /logs, /-/reload and /debug/pprof, which the others then do not serve.").
		PlaceHolder("<address>").StringVar(&s.adminAddress)
	cmd.Flag("web.enable-pprof", "Serve Go's profiles under /debug/pprof.").BoolVar(&s.pprof)
}

// run serves until a signal ends it.
func (s *serve) run() int {
	if s.configCheck {
		return s.checkConfig()
	}
	logger := promslog.New(&s.log)
	logger.Info("rollcall starts", "version", version.Version, "revision", version.GetRevision(), "go", version.GoVersion)
	if err := s.serve(logger); err != nil {
		logError(logger, "rollcall cannot serve", err)
		return exitFailed
	}
	return exitOK
}

// checkConfig is --config.check: a verdict about the files for a person or a pipeline, nothing else.
func (s *serve) checkConfig() int {
	manager, err := s.loadConfig(slog.New(slog.DiscardHandler))
	if err == nil {
		err = s.checkWebConfig()
	}
	if err != nil {
		fmt.Fprintln(s.stderr, err)
		return exitFailed
	}
	for _, warning := range manager.Current().Warnings() {
		fmt.Fprintln(s.stderr, "warning:", warning)
	}
	unusable := manager.Current().Unusable()
	for _, module := range unusable {
		fmt.Fprintln(s.stderr, module.Err)
	}
	if len(unusable) > 0 { // serving would go on without them, a check does not
		return exitFailed
	}
	fmt.Fprintln(s.stdout, "OK")
	return exitOK
}

// loadConfig loads the file. One that nobody asked for may be missing.
func (s *serve) loadConfig(logger *slog.Logger) (*config.Manager, error) {
	if s.configFileGiven {
		return config.NewManager(s.configFile, logger)
	}
	if _, err := os.Stat(s.configFile); errors.Is(err, fs.ErrNotExist) {
		logger.Info("there is no " + s.configFile + ": the built-in modules are used")
	}
	return config.NewOptionalManager(s.configFile, logger)
}

func (s *serve) checkWebConfig() error {
	if err := toolkit.Validate(*s.toolkit.WebConfigFile); err != nil {
		return fmt.Errorf("reading --web.config.file=%s: %w", *s.toolkit.WebConfigFile, err)
	}
	return nil
}

func (s *serve) serve(logger *slog.Logger) error {
	// From here on a signal waits its turn: one that arrives while starting is obeyed once everything stands.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)

	manager, err := s.loadConfig(logger)
	if err != nil {
		return err
	}
	if err := s.checkWebConfig(); err != nil {
		return err
	}
	open, err := s.listen()
	if err != nil {
		return err
	}
	manage := systemd{logger}
	reload := manage.around(func() error { return reload(manager, logger) })
	probe.Prepare()
	parts, err := s.assemble(logger, manager, reload, open.public[0].Addr())
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	if err := parts.hook.Apply(ctx, manager.Current().Alert()); err != nil {
		stop()
		return err
	}
	defer parts.closeHook(logger)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer stop()
	parts.follow(ctx, manager)
	watching.Go(func() { parts.scheduler.Run(ctx) })
	if s.autoReload {
		watching.Go(func() { manager.Watch(ctx, s.reloadInterval) })
	}
	serving := s.startServers(logger, parts, open)
	parts.app.SetReady(true)
	s.announce(logger, open)
	manage.ready()
	watching.Go(func() { manage.keepAlive(ctx, open.public[0], s.routePrefix) })

	sig, err := waitForEnd(signals, serving.failed, reload)
	if err != nil {
		return err
	}
	signal.Reset(os.Interrupt, syscall.SIGTERM) // a second one ends the process at once
	logger.Info("rollcall ends: no new probes; those in flight may finish", "signal", sig.String(), "in_flight", parts.runner.InFlight())
	manage.stopping()
	parts.app.SetReady(false)
	stop() // the scheduler first
	parts.runner.Close()
	serving.drain(logger)
	return nil
}

// reload loads the configuration again and logs the outcome.
func reload(manager *config.Manager, logger *slog.Logger) error {
	err := manager.Reload()
	if err != nil {
		logError(logger, "the configuration is not reloaded, the old one stays", err)
	} else {
		logger.Info("the configuration is reloaded")
	}
	return err
}

// startServers serves everybody at the public addresses and the administrator at theirs.
func (s *serve) startServers(logger *slog.Logger, parts *components, open listeners) *servers {
	serving := &servers{flags: &s.toolkit, logger: logger, connections: parts.connections, failed: make(chan error, 1)}
	for _, l := range open.public {
		serving.start(l, parts.app.Handler())
	}
	if open.admin != nil {
		serving.start(open.admin, parts.app.AdminHandler())
	}
	return serving
}

// waitForEnd returns the signal that ends the process, or why it cannot go on; meanwhile it reloads when asked to.
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

// announce says where we listen, and to a newcomer what to try.
func (s *serve) announce(logger *slog.Logger, open listeners) {
	for _, l := range open.public {
		logger.Info("rollcall listens", "address", l.Addr().String())
	}
	if open.admin != nil {
		logger.Info("rollcall listens for its administrator", "address", open.admin.Addr().String())
	}
	_, port, err := net.SplitHostPort(open.public[0].Addr().String())
	if err != nil || *s.toolkit.WebConfigFile != "" {
		return // whether it is to be asked by TLS and with which password is not known here
	}
	prefix := path.Join("/", s.routePrefix, "probe")
	logger.Info(fmt.Sprintf("try: curl 'localhost:%s%s?target=example.com:443&module=tcp_connect'", port, prefix))
}

// logError writes an error of several lines, as the problems of a configuration are, as one log line each.
func logError(logger *slog.Logger, message string, err error) {
	for line := range strings.Lines(err.Error()) {
		logger.Error(message, "err", strings.TrimSuffix(line, "\n"))
	}
}
