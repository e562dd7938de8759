package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"rollcall/server"
)

// healthcheck is `rollcall healthcheck`: it asks a rollcall on this machine whether it is alive. A container needs it
// whose image holds no other program.
type healthcheck struct {
	listenAddress, routePrefix string
	timeout                    time.Duration
	stdout, stderr             io.Writer
}

func addHealthcheck(app *kingpin.Application, commands map[string]func() int, stdout, stderr io.Writer) {
	h := &healthcheck{stdout: stdout, stderr: stderr}
	cmd := app.Command("healthcheck", "Ask a running rollcall on this machine whether it is alive. Exit code: 0 it is, 1 it is not.")
	cmd.Flag("web.listen-address", "The address given to serve: host:port or :port.").Default(defaultListenAddress).StringVar(&h.listenAddress)
	cmd.Flag("web.route-prefix", "The prefix given to serve.").PlaceHolder("<path>").StringVar(&h.routePrefix)
	addFlag(cmd, "timeout", "How long the answer may take.", "3s", "a duration above 0, e.g. 5s", duration(&h.timeout))
	commands[cmd.FullCommand()] = h.run
}

func (h *healthcheck) run() int {
	ctx, cancel := context.WithTimeout(context.Background(), h.timeout)
	defer cancel()
	if err := server.AskHealth(ctx, h.listenAddress, h.routePrefix); err != nil {
		fmt.Fprintf(h.stderr, "rollcall healthcheck: %s\n", err)
		return exitFailed
	}
	fmt.Fprintln(h.stdout, "alive")
	return exitOK
}
