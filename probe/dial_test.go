package probe

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

// listen serves each connection on a loopback port with serve, and closes it afterwards, until the test ends.
func listen(t testing.TB, serve func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// closedPort is an address that nobody listens on.
func closedPort(t testing.TB) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// wantFailure checks that err says that the target failed at stage for reason.
func wantFailure(t *testing.T, err error, stage Stage, reason Reason) {
	t.Helper()
	var f *Failure
	if !errors.As(err, &f) {
		t.Fatalf("got %v (%T), want a failure at %s: %s", err, err, stage, reason)
	}
	if f.Stage != stage || f.Reason != reason {
		t.Errorf("got %s %s (%v), want %s %s", f.Stage, f.Reason, f.Err, stage, reason)
	}
}

func wantFault(t *testing.T, err error, fault Fault) {
	t.Helper()
	var e *ExporterError
	if !errors.As(err, &e) || e.Fault != fault {
		t.Errorf("got %v (%T), want the exporter's fault %s", err, err, fault)
	}
}

func TestDialConnects(t *testing.T) {
	addr := listen(t, func(c net.Conn) { io.WriteString(c, c.RemoteAddr().String()+"\n") })
	for name, source := range map[string]netip.Addr{
		"without a source": {},
		"from a source":    netip.MustParseAddr("127.0.0.5"),
	} {
		t.Run(name, func(t *testing.T) {
			c, err := dial(t.Context(), nil, "localhost", addr, source)
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
		_, err := dial(t.Context(), nil, "x", closedPort(t), netip.Addr{})
		wantFailure(t, err, StageConnect, ReasonConnectionRefused)
	})
	t.Run("a source that is not ours is our fault", func(t *testing.T) {
		_, err := dial(t.Context(), nil, "x", closedPort(t), netip.MustParseAddr("192.0.2.1"))
		wantFault(t, err, FaultSourceAddress)
	})
	t.Run("the time is over", func(t *testing.T) {
		ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		defer cancel()
		_, err := dial(ctx, nil, "x", closedPort(t), netip.Addr{})
		wantFailure(t, err, StageConnect, ReasonTimeout)
	})
	t.Run("the asker went away", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := dial(ctx, nil, "x", closedPort(t), netip.Addr{}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
	})
}

func TestDialedConnectionEndsWithItsContext(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	addr := listen(t, func(net.Conn) { <-hold })
	for name, c := range map[string]struct {
		context func() (context.Context, context.CancelFunc)
		check   func(*testing.T, error)
	}{
		"at the deadline": {
			func() (context.Context, context.CancelFunc) {
				return context.WithTimeout(t.Context(), 30*time.Millisecond)
			},
			func(t *testing.T, err error) { wantFailure(t, err, StageConversation, ReasonTimeout) },
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
			conn, err := dial(ctx, nil, "x", addr, netip.Addr{})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, err = conn.Read(make([]byte, 1))
			c.check(t, classify(ctx, StageConversation, err))
		})
	}
}
