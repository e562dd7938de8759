package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"rollcall/config"
	"rollcall/probe"
	"rollcall/probe/guard"
)

// guardCommand is `rollcall guard`: it says whether a target may be probed, and which entry of the configuration decides.
type guardCommand struct {
	configFile      string
	configFileGiven bool
	module          string
	target          string
	timeout         time.Duration
	stdout, stderr  io.Writer
}

func addGuard(app *kingpin.Application, commands map[string]func() int, stdout, stderr io.Writer) {
	g := &guardCommand{stdout: stdout, stderr: stderr}
	cmd := app.Command("guard", "Say whether a target may be probed, and which entry of the configuration's guard decides. "+
		"Nothing is probed, but a name is looked up. Exit code: 0 it may, 1 it may not, 2 wrong use, 3 the name has no address.")
	cmd.HelpLong("  rollcall guard https://status.example.org/\n  rollcall guard --module=tcp_connect 169.254.169.254:80")
	cmd.Arg("target", "As /probe takes it, e.g. a URL or host:port.").Required().StringVar(&g.target)
	cmd.Flag("config.file", "Configuration file. Without the flag and without the file the built-in modules and guard are used.").
		Default(defaultConfigFile).IsSetByUser(&g.configFileGiven).StringVar(&g.configFile)
	cmd.Flag("module", "The module that would probe it. Default: the one that /probe chooses.").PlaceHolder("<name>").StringVar(&g.module)
	addFlag(cmd, "timeout", "How long looking up the name may take.", "10s", "a duration above 0, e.g. 5s", duration(&g.timeout))
	commands[cmd.FullCommand()] = g.run
}

func (g *guardCommand) run() int {
	ctx, cancel := context.WithTimeout(context.Background(), g.timeout)
	defer cancel()
	verdicts, err := g.judge(ctx)
	if err != nil {
		fmt.Fprintf(g.stderr, "rollcall guard: %s\n", err)
		var failure *probe.Failure
		var ours *probe.ExporterError
		if errors.As(err, &failure) || errors.As(err, &ours) {
			return exitOurs
		}
		return exitUsage
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
	cfg, err := config.Load(g.configFile)
	if !g.configFileGiven && errors.Is(err, fs.ErrNotExist) {
		cfg, err = config.Default(), nil
	}
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
