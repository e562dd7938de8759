// Package zoo keeps the servers that rollcall is proven against: good ones, broken ones and hostile ones. Each lives
// on loopback at a port of its own and ends with the test that started it, connections and goroutines included.
//
// It is for tests only and knows nothing of rollcall: another prober could be led through it as well.
package zoo

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Listen takes a free port of a loopback address ("127.0.0.1", "::1", "127.0.0.2") for the length of the test.
func Listen(t testing.TB, ip string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatalf("zoo: %v", err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// TCP starts a server that hands every connection to handle and closes it afterwards. It returns its address.
func TCP(t testing.TB, handle func(net.Conn)) string {
	t.Helper()
	return Serve(t, Listen(t, "127.0.0.1"), handle)
}

// Serve is TCP on a listener of the caller's choice. At the end of the test open connections are closed, which ends
// whatever handle was waiting for.
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

// Refused is an address where nobody listens. The port is taken and given back, so that it was free a moment ago.
func Refused(t testing.TB) string {
	t.Helper()
	l := Listen(t, "127.0.0.1")
	l.Close()
	return l.Addr().String()
}

// pause waits for d, but not longer than the peer or the test keeps the connection open, which it reports.
func pause(c net.Conn, d time.Duration) bool {
	c.SetReadDeadline(time.Now().Add(d))
	_, err := io.Copy(io.Discard, c)
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}

// hold keeps the connection open until the peer or the test closes it, reading what arrives.
func hold(c net.Conn) {
	c.SetReadDeadline(time.Time{})
	io.Copy(io.Discard, c)
}
