// Package unixprobe checks Unix stream sockets: it connects, and then does what tcpprobe does on a connection.
package unixprobe

import (
	"context"
	"net"
	"path/filepath"
	"strings"

	"rollcall/probe"
	"rollcall/probe/network"
	"rollcall/probe/tcpprobe"
)

// Options is the unix section of a module: blackbox_exporter's options by their names.
type Options struct {
	tcpprobe.SessionOptions `yaml:",inline"`
}

// SetDefaults does nothing: every option is off by default.
func (o *Options) SetDefaults() {}

// prober is a compiled unix section.
type prober struct{ session *tcpprobe.Session }

// Compile makes the prober. Its errors are joined *option.Errors.
func (o *Options) Compile() (probe.Prober, error) {
	session, err := o.SessionOptions.Compile()
	if err != nil {
		return nil, err
	}
	return &prober{session}, nil
}

// Probe opens the socket, makes the stream secure if the module says so, and holds the conversation.
func (p *prober) Probe(ctx context.Context, req probe.Request) (probe.Result, error) {
	var r probe.Result
	path, err := parseTarget(req.Target)
	if err != nil {
		return r, err
	}
	if req.Trace != nil {
		req.Trace.Step("opening the socket %q", path)
	}
	dial := func(ctx context.Context) (net.Conn, error) { return network.DialUnix(ctx, req.Guard, path) }
	return r.Settle(p.session.Run(ctx, req, "", dial, &r))
}

// Locate implements probe.Locator.
func (p *prober) Locate(target string) (probe.Destination, error) {
	path, err := parseTarget(target)
	if err != nil {
		return probe.Destination{}, err
	}
	path, _ = network.UnixPath(path) // one that leads nowhere is judged, too
	return probe.Destination{Path: path}, nil
}

// parseTarget reads the path of a socket, or an abstract name that begins with @, with or without unix:// before it. The
// path becomes absolute. Its error is a *TargetError.
func parseTarget(target string) (string, error) {
	if scheme, rest, ok := strings.Cut(target, "://"); ok {
		if !strings.EqualFold(scheme, "unix") {
			return "", probe.BadTarget(network.SchemeHint(scheme, "unix") + "; a unix module takes the path of a socket, e.g. /run/app.sock")
		}
		target = rest
	}
	switch {
	case target == "" || target == "@":
		return "", probe.BadTarget("names no socket; a unix module takes the path of one, e.g. /run/app.sock")
	case strings.ContainsRune(target, 0):
		return "", probe.BadTarget("holds a NUL")
	case strings.HasPrefix(target, "@"):
		return target, nil
	}
	path, err := filepath.Abs(target)
	if err != nil {
		return "", probe.BadTarget("is a relative path, and the working directory is gone")
	}
	return path, nil
}
