package network

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"rollcall/probe"
	"rollcall/probe/probetest"
)

func TestDialConnects(t *testing.T) {
	addr := probetest.Listen(t, func(c net.Conn) { io.WriteString(c, c.RemoteAddr().String()+"\n") })
	for name, source := range map[string]netip.Addr{
		"without a source": {},
		"from a source":    netip.MustParseAddr("127.0.0.5"),
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Dial(t.Context(), nil, "tcp", "localhost", addr, source)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			line, err := bufio.NewReader(c).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			seen := netip.MustParseAddrPort(line[:len(line)-1]).Addr()
			if source.IsValid() && seen != source {
				t.Errorf("the server saw %s, want %s", seen, source)
			}
		})
	}
}

func TestDialNamesWhatFailed(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		_, err := Dial(t.Context(), nil, "tcp", "x", probetest.ClosedPort(t), netip.Addr{})
		probetest.WantFailure(t, err, probe.StageConnect, probe.ReasonConnectionRefused)
	})
	t.Run("a source that is not ours is our fault", func(t *testing.T) {
		_, err := Dial(t.Context(), nil, "tcp", "x", probetest.ClosedPort(t), netip.MustParseAddr("192.0.2.1"))
		probetest.WantExporterError(t, err, probe.FaultSourceAddress)
	})
	t.Run("the time is over", func(t *testing.T) {
		ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		defer cancel()
		_, err := Dial(ctx, nil, "tcp", "x", probetest.ClosedPort(t), netip.Addr{})
		probetest.WantFailure(t, err, probe.StageConnect, probe.ReasonTimeout)
	})
	t.Run("the caller went away", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Dial(ctx, nil, "tcp", "x", probetest.ClosedPort(t), netip.Addr{}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
	})
}

func TestDialedConnectionEndsWithItsContext(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	addr := probetest.Listen(t, func(net.Conn) { <-hold })
	for name, c := range map[string]struct {
		context func() (context.Context, context.CancelFunc)
		check   func(*testing.T, error)
	}{
		"at the deadline": {
			func() (context.Context, context.CancelFunc) {
				return context.WithTimeout(t.Context(), 30*time.Millisecond)
			},
			func(t *testing.T, err error) {
				probetest.WantFailure(t, err, probe.StageConversation, probe.ReasonTimeout)
			},
		},
		"when it is cancelled": {
			func() (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(30*time.Millisecond, cancel)
				return ctx, cancel
			},
			func(t *testing.T, err error) {
				if !errors.Is(err, context.Canceled) {
					t.Errorf("got %v, want context.Canceled", err)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := c.context()
			defer cancel()
			conn, err := Dial(ctx, nil, "tcp", "x", addr, netip.Addr{})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, err = conn.Read(make([]byte, 1))
			c.check(t, Classify(ctx, probe.StageConversation, err))
		})
	}
}
