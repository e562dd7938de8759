package cli

import (
	"context"
	"fmt"
	"time"

	"rollcall/server"
)

// healthcheck is `rollcall healthcheck`: it asks a rollcall on this machine whether it is alive. A container needs it
// whose image holds no other program.
type healthcheck struct {
	*program
	listenAddress, routePrefix string
	timeout                    time.Duration
}

func addHealthcheck(p *program) {
	h := &healthcheck{program: p}
	cmd := p.app.Command("healthcheck", "Ask a running rollcall on this machine whether it is alive. Exit code: 0 it is, 1 it is not.")
	cmd.Flag("web.listen-address", "The address given to serve: host:port or :port.").Default(defaultListenAddress).StringVar(&h.listenAddress)
	cmd.Flag("web.route-prefix", "The prefix given to serve.").PlaceHolder("<path>").StringVar(&h.routePrefix)
	addTimeout(cmd, "How long the answer may take.", "3s", &h.timeout)
	p.commands[cmd.FullCommand()] = h.run
}

func (h *healthcheck) run() int {
	ctx, cancel := context.WithTimeout(context.Background(), h.timeout)
	defer cancel()
	if err := server.AskHealth(ctx, h.listenAddress, h.routePrefix); err != nil {
		return h.fail("healthcheck", err, exitFailed)
	}
	fmt.Fprintln(h.stdout, "alive")
	return exitOK
}
