package server

import (
	"context"
	"log/slog"
	"net"
	"time"

	sdnotify "github.com/coreos/go-systemd/v22/daemon"
	"github.com/mdlayher/vsock"
)

// systemd tells the service manager how we are, where one listens (Type=notify); elsewhere it does nothing.
type systemd struct {
	logger *slog.Logger
}

func (s systemd) tell(state string) {
	// The environment stays: it is needed for the next time.
	if _, err := sdnotify.SdNotify(false, state); err != nil {
		s.logger.Warn("the service manager could not be told", "state", state, "err", err)
	}
}

func (s systemd) ready()    { s.tell(sdnotify.SdNotifyReady) }
func (s systemd) stopping() { s.tell(sdnotify.SdNotifyStopping) }

// around tells of a reload while it goes on.
func (s systemd) around(reload func() error) func() error {
	return func() error {
		s.tell(sdnotify.SdNotifyReloading + "\n" + sdnotify.SdNotifyMonotonicUsec())
		defer s.ready()
		return reload()
	}
}

// keepAlive feeds the service manager's watchdog until ctx ends, but only while our own port answers: who hangs is to
// be restarted. It returns at once where there is no watchdog.
func (s systemd) keepAlive(ctx context.Context, l net.Listener, routePrefix string) {
	limit, err := sdnotify.SdWatchdogEnabled(false)
	if err != nil {
		s.logger.Warn("the service manager's watchdog is left hungry", "err", err)
	}
	if limit == 0 {
		return
	}
	interval := limit / 4 // one lost answer does no harm
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if err := askSelf(ctx, l.Addr(), routePrefix, interval); err == nil {
			s.tell(sdnotify.SdNotifyWatchdog)
		} else if ctx.Err() == nil {
			s.logger.Error("our own port does not answer; the watchdog is not fed", "address", l.Addr().String(), "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// askSelf is a health check of one of our own listeners, over whatever it listens on.
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
