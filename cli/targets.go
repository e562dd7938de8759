package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/prometheus/model/labels"

	"rollcall/config"
	"rollcall/redact"
	"rollcall/schedule"
	"rollcall/schedule/discovery"
)

// targetsCommand is `rollcall targets`: it prints the targets that serve would probe.
type targetsCommand struct {
	configFile      string
	configFileGiven bool
	timeout         time.Duration
	shard           schedule.Shard
	stdout, stderr  io.Writer
}

func addTargets(app *kingpin.Application, commands map[string]func() int, stdout, stderr io.Writer) {
	c := &targetsCommand{stdout: stdout, stderr: stderr}
	cmd := app.Command("targets", "Print the targets of the configuration file, with what discovery and relabelling make of its groups. "+
		"Nothing is probed. Exit code: 0, or 1 when a source does not answer or a target cannot be probed.")
	cmd.Flag("config.file", "Configuration file. Without the flag and without the file the built-in modules are used.").
		Default(defaultConfigFile).IsSetByUser(&c.configFileGiven).StringVar(&c.configFile)
	addFlag(cmd, "timeout", "How long to wait for the sources.", "10s", "a duration above 0, e.g. 5s", duration(&c.timeout))
	addShardFlags(cmd, &c.shard)
	commands[cmd.FullCommand()] = c.run
}

func (c *targetsCommand) run() int {
	cfg, err := config.Load(c.configFile)
	if !c.configFileGiven && errors.Is(err, fs.ErrNotExist) {
		cfg, err = config.Default(), nil
	}
	if err != nil {
		fmt.Fprintf(c.stderr, "rollcall targets: %s\n", err)
		return exitFailed
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	manager, complete := discover(ctx, cfg, slog.New(slog.NewTextHandler(c.stderr, nil)))
	defer manager.Close()
	targets, refused := cfg.Discover(manager.Found)
	if err := c.print(targets, time.Now()); err != nil {
		return exitOurs
	}
	for _, r := range refused {
		fmt.Fprintf(c.stderr, "not probed: %s: %s\n", r.Target, r.Err)
	}
	if !complete || len(refused) > 0 {
		return exitFailed
	}
	return exitOK
}

// discover runs the sources until each has answered or ctx ends. complete says that all answered.
func discover(ctx context.Context, cfg *config.Config, logger *slog.Logger) (manager *discovery.Manager, complete bool) {
	changed := make(chan struct{}, 1)
	manager = &discovery.Manager{Logger: logger, Changed: func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}}
	if err := manager.Apply(context.WithoutCancel(ctx), cfg.Sources()); err != nil { // Close ends them
		logger.Error("a source of targets cannot be used", "err", err)
	}
	pending := func() (n int) {
		for _, s := range manager.Stats() {
			n += s.Pending
		}
		return n
	}
	for pending() > 0 {
		select {
		case <-changed:
		case <-ctx.Done():
			logger.Error("sources of targets have not answered", "sources", pending())
			return manager, false
		}
	}
	return manager, true
}

// print writes a table of the targets.
func (c *targetsCommand) print(targets []schedule.Entry, now time.Time) error {
	table := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TARGET\tMODULE\tINTERVAL\tNEXT\tLABELS")
	for _, t := range targets {
		if !c.shard.Keeps(t.Key()) {
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", redact.Target(t.Target.Target), t.Module, t.Interval,
			schedule.Next(t, now).UTC().Format("15:04:05.00"), labelText(t))
	}
	return table.Flush()
}

// labelText is what a target has beside its module, as Prometheus writes labels. Those of its own come before.
func labelText(t schedule.Entry) string {
	all := labels.NewBuilder(t.Labels)
	for name, value := range map[string]string{"name": t.Name, "group": t.Group, "hostname": t.Hostname} {
		if all.Get(name) == "" {
			all.Set(name, value)
		}
	}
	return all.Labels().String()
}
