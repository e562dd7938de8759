package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rollcall/probe"
	"rollcall/probe/guard"
)

// guardCommand is `rollcall guard`: it says whether a target may be probed, and which entry of the configuration decides.
type guardCommand struct {
	*program
	config  configFlag
	module  string
	target  string
	timeout time.Duration
}

func addGuard(p *program) {
	g := &guardCommand{program: p}
	cmd := p.app.Command("guard", "Say whether a target may be probed, and which entry of the configuration's guard decides. "+
		"Nothing is probed, but a name is looked up. Exit code: 0 it may, 1 it may not, 2 wrong use, 3 the name has no address.")
	cmd.HelpLong("  rollcall guard https://status.example.org/\n  rollcall guard --module=tcp_connect 169.254.169.254:80")
	cmd.Arg("target", "As /probe takes it, e.g. a URL or host:port.").Required().StringVar(&g.target)
	g.config.add(cmd, "built-in modules and guard")
	cmd.Flag("module", "The module that would probe it. Default: the one that /probe chooses.").PlaceHolder("<name>").StringVar(&g.module)
	addTimeout(cmd, "How long looking up the name may take.", "10s", &g.timeout)
	p.commands[cmd.FullCommand()] = g.run
}

func (g *guardCommand) run() int {
	ctx, cancel := context.WithTimeout(context.Background(), g.timeout)
	defer cancel()
	verdicts, err := g.judge(ctx)
	if err != nil {
		code := exitUsage
		var failure *probe.Failure
		var ours *probe.ExporterError
		if errors.As(err, &failure) || errors.As(err, &ours) {
			code = exitOurs
		}
		return g.fail("guard", err, code)
	}
	code := exitOK
	for _, verdict := range verdicts {
		fmt.Fprintln(g.stdout, verdict)
		if !verdict.Allowed { // which of several addresses is dialled may change with each look-up
			code = exitFailed
		}
	}
	return code
}

func (g *guardCommand) judge(ctx context.Context) ([]guard.Verdict, error) {
	cfg, err := g.config.load()
	if err != nil {
		return nil, err
	}
	if g.module == "" {
		g.module = probe.DefaultModule(g.target)
	}
	module, err := cfg.Module(g.module)
	if err != nil {
		return nil, err
	}
	return guard.Explain(ctx, module, g.target)
}
