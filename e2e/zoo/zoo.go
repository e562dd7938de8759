// Package zoo has the servers that rollcall is tested with: good, broken and hostile ones. Each listens on its own loopback
// port and ends with the test that started it, including connections and goroutines.
//
// It is for tests only and does not import rollcall's packages; other probers can be tested with it as well.
package zoo

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"rollcall/probe/probetest"
)

// Listen listens on a free port of a loopback address ("127.0.0.1", "::1", "127.0.0.2") until the test ends.
func Listen(t testing.TB, ip string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatalf("zoo: %v", err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// TCP starts a server that passes every connection to handle and closes it afterwards. It returns its address.
func TCP(t testing.TB, handle func(net.Conn)) string {
	t.Helper()
	return Serve(t, Listen(t, "127.0.0.1"), handle)
}

// Serve is TCP on the given listener. At the end of the test open connections are closed, which ends all waits of handle.
func Serve(t testing.TB, l net.Listener, handle func(net.Conn)) string {
	t.Helper()
	var (
		running sync.WaitGroup
		mu      sync.Mutex
		open    = make(map[net.Conn]bool)
		closed  bool
	)
	keep := func(c net.Conn) bool {
		mu.Lock()
		defer mu.Unlock()
		if closed {
			return false
		}
		open[c] = true
		return true
	}
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if !keep(c) {
				c.Close()
				return
			}
			running.Go(func() {
				handle(c)
				c.Close()
				mu.Lock()
				delete(open, c)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		closed = true
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return l.Addr().String()
}

// Free returns an address for a program that listens on it itself. Its port was opened and closed, so it was free a moment
// ago; another may be faster.
func Free(t testing.TB) string {
	t.Helper()
	l := Listen(t, "127.0.0.1")
	l.Close()
	return l.Addr().String()
}

// Refused returns an address with a port that is closed until the test ends.
func Refused(t testing.TB) string { return probetest.ClosedPort(t).String() }

// pause waits for d or until the peer or the test closes the connection, and reports whether it is still open.
func pause(c net.Conn, d time.Duration) bool {
	c.SetReadDeadline(time.Now().Add(d))
	_, err := io.Copy(io.Discard, c)
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}

// hold reads until the peer or the test closes the connection.
func hold(c net.Conn) {
	c.SetReadDeadline(time.Time{})
	io.Copy(io.Discard, c)
}
