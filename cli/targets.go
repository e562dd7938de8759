package cli

import (
	"context"
	"fmt"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"rollcall/config"
	"rollcall/redact"
	"rollcall/schedule"
	"rollcall/schedule/discovery"
)

// targetsCommand is `rollcall targets`: it prints the targets that serve would probe.
type targetsCommand struct {
	*program
	config  configFlag
	timeout time.Duration
	shard   schedule.Shard
}

func addTargets(p *program) {
	c := &targetsCommand{program: p}
	cmd := p.app.Command("targets", "Print the targets of the configuration file, with what discovery and relabelling make of its groups. "+
		"Nothing is probed. Exit code: 0, or 1 when a source does not answer or a target cannot be probed.")
	c.config.add(cmd, "built-in modules")
	addTimeout(cmd, "How long to wait for the sources.", "10s", &c.timeout)
	addShardFlags(cmd, &c.shard)
	p.commands[cmd.FullCommand()] = c.run
}

func (c *targetsCommand) run() int {
	cfg, err := c.config.load()
	if err != nil {
		return c.fail("targets", err, exitFailed)
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
