package server

import (
	"context"
	"log/slog"
	"net"
	"time"

	sdnotify "github.com/coreos/go-systemd/v22/daemon"
	"github.com/mdlayher/vsock"
)

// systemd notifies the service manager of our state where one listens (Type=notify); elsewhere it does nothing.
type systemd struct {
	logger *slog.Logger
}

func (s systemd) notify(state string) {
	// The environment stays: later notifications need it.
	if _, err := sdnotify.SdNotify(false, state); err != nil {
		s.logger.Warn("the service manager was not notified", "state", state, "err", err)
	}
}

// around notifies of a reload when it starts and when it ends.
func (s systemd) around(reload func() error) func() error {
	return func() error {
		s.notify(sdnotify.SdNotifyReloading + "\n" + sdnotify.SdNotifyMonotonicUsec())
		defer s.notify(sdnotify.SdNotifyReady)
		return reload()
	}
}

// keepAlive keeps the service manager's watchdog from restarting us until ctx ends, but only while our own port answers.
// It returns at once where there is no watchdog.
func (s systemd) keepAlive(ctx context.Context, l net.Listener, routePrefix string) {
	limit, err := sdnotify.SdWatchdogEnabled(false)
	if err != nil {
		s.logger.Warn("the service manager's watchdog is not used", "err", err)
	}
	if limit == 0 {
		return
	}
	interval := limit / 4 // a single lost answer is no restart
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if err := askSelf(ctx, l.Addr(), routePrefix, interval); err == nil {
			s.notify(sdnotify.SdNotifyWatchdog)
		} else if ctx.Err() == nil {
			s.logger.Error("our own port does not answer; the watchdog will restart rollcall", "address", l.Addr().String(), "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// askSelf is a health check of one of our own listeners, by TCP, Unix socket or vsock.
func askSelf(ctx context.Context, address net.Addr, routePrefix string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		if vm, ok := address.(*vsock.Addr); ok {
			return vsock.Dial(vsock.Local, vm.Port, nil)
		}
		return new(net.Dialer).DialContext(ctx, address.Network(), address.String())
	}
	return askHealth(ctx, dial, "localhost", routePrefix)
}
