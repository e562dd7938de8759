package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/mdlayher/vsock"
	toolkit "github.com/prometheus/exporter-toolkit/web"

	"rollcall/web"
	"rollcall/web/port"
)

// drainTime limits how long requests in flight may go on after SIGTERM. A probe ends by its own deadline before.
const drainTime = 30 * time.Second

// listeners are the addresses we listen on.
type listeners struct {
	public []net.Listener // at least one
	admin  net.Listener   // nil: the public ones serve all paths
}

// listen opens every address before any is served, so that a port in use is an error at once. An error ends the process, so
// what is open by then is not closed.
func (o *Options) listen() (open listeners, err error) {
	if o.SystemdSocket {
		open.public, err = activation.Listeners()
		if err == nil && len(open.public) == 0 {
			err = errors.New("systemd passed none; start rollcall by its .socket unit, or leave the flag out")
		}
		if err != nil {
			return open, fmt.Errorf("taking the sockets of --web.systemd-socket: %w", err)
		}
	} else {
		for _, address := range o.ListenAddresses {
			l, err := listenOn(address)
			if err != nil {
				return open, err
			}
			open.public = append(open.public, l)
		}
	}
	if o.AdminAddress != "" {
		open.admin, err = listenOn(o.AdminAddress)
	}
	return open, err
}

func listenOn(address string) (l net.Listener, err error) {
	if port, ok := strings.CutPrefix(address, "vsock://:"); ok {
		var number uint64
		if number, err = strconv.ParseUint(port, 10, 32); err == nil {
			l, err = vsock.Listen(uint32(number), nil)
		}
	} else {
		l, err = net.Listen("tcp", address)
	}
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", address, withHint(err))
	}
	return l, nil
}

// withHint adds what to do about the usual errors of listening.
func withHint(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w: another program uses the port, perhaps another exporter; end it, or choose another port with --web.listen-address", err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w: choose a port from 1024 on with --web.listen-address", err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%w: this machine has no such address", err)
	case notAnAddress(err):
		return fmt.Errorf("%w; accepted: e.g. :9115, 127.0.0.1:9115, [::1]:9115, vsock://:9115", err)
	}
	return err
}

// notAnAddress reports whether err is about how an address is written.
func notAnAddress(err error) bool {
	_, form := errors.AsType[*net.AddrError](err)
	_, number := errors.AsType[*strconv.NumError](err)
	dns, ok := errors.AsType[*net.DNSError](err)
	return form || number || ok && strings.HasPrefix(dns.Name, "tcp/") // a port by name
}

// servers are one http.Server for each listener: the toolkit changes the server that it serves with.
type servers struct {
	webConfigFile string // empty: plain HTTP without passwords
	logger        *slog.Logger
	all           []*http.Server
	running       sync.WaitGroup
	failed        chan error // capacity 1: why a server ended
}

func (s *servers) start(l net.Listener, handler http.Handler, connections *port.Connections) {
	server := web.HTTPServer(handler, connections, s.logger)
	l = connections.Listen(l)
	s.all = append(s.all, server)
	serve := server.Serve
	if s.webConfigFile != "" {
		flags := &toolkit.FlagConfig{WebConfigFile: &s.webConfigFile}
		serve = func(l net.Listener) error { return toolkit.Serve(l, server, flags, s.logger) }
	}
	s.running.Go(func() {
		if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
			select {
			case s.failed <- fmt.Errorf("serving on %s: %w", l.Addr(), err):
			default: // the first one is enough
			}
		}
	})
}

// drain waits for requests in flight, for drainTime at most, and returns when every server has ended.
func (s *servers) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	var draining sync.WaitGroup
	for _, server := range s.all {
		draining.Go(func() {
			if err := server.Shutdown(ctx); err != nil {
				s.logger.Warn("requests were cut off", "after", drainTime, "err", err)
				server.Close()
			}
		})
	}
	draining.Wait()
	s.running.Wait()
}

// externalURL is the URL under which others reach us: the flag's, or else one of this machine's name, the first
// listener's port and the prefix of every path.
func externalURL(flag, routePrefix string, listener net.Addr, hostname string) (*url.URL, error) {
	if flag == "" {
		u := &url.URL{Scheme: "http", Host: hostname, Path: path.Join("/", routePrefix)}
		if _, port, err := net.SplitHostPort(listener.String()); err == nil { // a Unix socket has none
			u.Host = net.JoinHostPort(hostname, port)
		}
		return u, nil
	}
	u, err := url.Parse(flag)
	if err != nil {
		return nil, fmt.Errorf("--web.external-url: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("--web.external-url=%s is not a URL of a server; accepted: http://host/path, https://host/path", flag)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return u, nil
}
