package cli

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/promslog"

	"rollcall/probe/option"
	"rollcall/server"
)

const (
	defaultConfigFile    = "blackbox.yml"
	defaultListenAddress = ":9115"
)

// serve is `rollcall serve`: the exporter itself.
type serve struct {
	*program
	server.Options
	config        configFlag
	configCheck   bool
	log, probeLog promslog.Config
}

func addServe(p *program) {
	s := &serve{program: p}
	cmd := p.app.Command("serve", "Probe for Prometheus (this command may be left out).").Default()

	s.config.add(cmd, "built-in modules")
	cmd.Flag("config.check", "Print what is wrong with the configuration file, or OK, and exit: 1 or 0.").BoolVar(&s.configCheck)
	cmd.Flag("config.enable-auto-reload", "Reload the configuration file when it has changed.").BoolVar(&s.AutoReload)
	addFlag(cmd, "config.auto-reload-interval", "How often to look for a change: seconds, or a duration.", "30",
		"a number of seconds or a duration above 0, e.g. 30 or 1m", above0(&s.ReloadInterval))

	addFlag(cmd, "timeout-offset", "Seconds before the end of a scrape's timeout at which the probe ends.", "0.5",
		"a number of seconds from 0 on or a duration, e.g. 0.5 or 500ms", seconds(&s.TimeoutOffset))
	addFlag(cmd, "probe.max-in-flight", "Probes at the same time; excess requests get 503 at once. 0: as many as file descriptors and memory allow.", "0",
		"a whole number from 0 on; 0: as many as file descriptors and memory allow", count(&s.MaxInFlight))
	addFlag(cmd, "history.limit", "Results to keep for /probes and /logs; as many older failures are kept as well.", "100",
		"a whole number from 0 on; 0: none", count(&s.HistoryLimit))

	cmd.Flag("storage.path", "Directory for the history of the targets, incidents and mail that is not yet sent. Unused without targets and alert section.").
		Default("data/").StringVar(&s.StoragePath)
	addFlag(cmd, "storage.retention.time", "How long the history of the targets is kept.", "90d",
		"a duration of at least an hour, e.g. 90d or 1y", retention(&s.RetentionTime))
	addFlag(cmd, "storage.retention.size", "How large the history may be on disk, e.g. 512MB. 0: no limit.", "0",
		"a size with a unit, e.g. 512MB, or 0: no limit", parsed((*option.Size)(&s.RetentionSize)))

	addShardFlags(cmd, &s.Shard)

	s.addLogFlags(cmd)
	s.addWebFlags(cmd)
	p.commands[cmd.FullCommand()] = s.run
}

func (s *serve) addLogFlags(cmd *kingpin.CmdClause) {
	format := promslog.NewFormat()
	s.log = promslog.Config{Level: promslog.NewLevel(), Format: format, Writer: s.stderr}
	s.probeLog = promslog.Config{Level: promslog.NewLevel(), Format: format, Writer: s.stderr}
	levels, formats := strings.Join(promslog.LevelFlagOptions, ", "), strings.Join(promslog.FormatFlagOptions, ", ")
	addFlag(cmd, "log.level", "Log from this level on: "+levels+".", "info", levels, setter(s.log.Level)).
		HintOptions(promslog.LevelFlagOptions...)
	addFlag(cmd, "log.format", "Write the log as "+formats+".", "logfmt", formats, setter(format)).
		HintOptions(promslog.FormatFlagOptions...)
	addFlag(cmd, "log.prober", "Log probes from this level on: "+levels+". A target that is down is info, one that is up debug.", "warn", levels, setter(s.probeLog.Level)).
		HintOptions(promslog.LevelFlagOptions...)
}

func (s *serve) addWebFlags(cmd *kingpin.CmdClause) {
	cmd.Flag("web.listen-address", "Address to listen on, e.g. :9115, [::1]:9115, vsock://:9115. Repeatable.").
		Default(defaultListenAddress).StringsVar(&s.ListenAddresses)
	cmd.Flag("web.systemd-socket", "Listen on the sockets that systemd passes instead (Linux only).").BoolVar(&s.SystemdSocket)
	cmd.Flag("web.config.file", "File that turns on TLS, client certificates and passwords for our own port "+
		"(https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md).").Default("").StringVar(&s.WebConfigFile)
	cmd.Flag("web.external-url", "The URL under which others reach rollcall, e.g. through a reverse proxy; for links.").
		PlaceHolder("<url>").StringVar(&s.ExternalURL)
	cmd.Flag("web.route-prefix", "Prefix of every path served. Default: the path of --web.external-url.").
		PlaceHolder("<path>").StringVar(&s.RoutePrefix)
	cmd.Flag("web.admin-address", "Address for /config, /logs, /-/reload and /debug/pprof, which the other addresses then do not serve.").
		PlaceHolder("<address>").StringVar(&s.AdminAddress)
	cmd.Flag("web.show-sent", "Show what modules send (send, body, parameters of token URLs, claims) on /config and with debug=true; otherwise it is hidden like secrets.").BoolVar(&s.ShowSent)
	cmd.Flag("web.enable-pprof", "Serve Go's profiles under /debug/pprof.").BoolVar(&s.EnablePprof)
}

// run serves until a signal ends it.
func (s *serve) run() int {
	s.ConfigFile, s.ConfigOptional = s.config.file, !s.config.given
	if s.configCheck {
		return s.checkConfig()
	}
	s.Logger, s.ProbeLog = promslog.New(&s.log), promslog.New(&s.probeLog)
	if err := server.Run(s.Options); err != nil {
		server.LogError(s.Logger, "rollcall cannot serve", err)
		return exitFailed
	}
	return exitOK
}

// checkConfig is --config.check: it prints what is wrong with the configuration files, or OK.
func (s *serve) checkConfig() int {
	warnings, err := server.Check(s.Options)
	for _, warning := range warnings {
		fmt.Fprintln(s.stderr, "warning:", warning)
	}
	if err != nil {
		fmt.Fprintln(s.stderr, err)
		return exitFailed
	}
	fmt.Fprintln(s.stdout, "OK")
	return exitOK
}
