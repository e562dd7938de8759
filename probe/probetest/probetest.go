// Package probetest has what the tests of the probers share: servers on loopback, certificates, name servers and checks of
// results. Only tests use it.
package probetest

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"rollcall/probe"
	"rollcall/probe/option"
)

// Ask probes target, with a limit that no test should need; again where a busy machine kept the probe from running, which is
// no verdict.
func Ask(t testing.TB, m *probe.Module, req probe.Request) probe.Result {
	t.Helper()
	if req.Timeout == 0 {
		req.Timeout = Enough
	}
	var (
		record *probe.Record
		err    error
	)
	for range 6 {
		record, err = new(probe.Runner).Do(t.Context(), m, req)
		if e, ok := errors.AsType[*probe.ExporterError](err); !ok || e.Fault != probe.FaultStalled {
			break
		}
	}
	if err != nil {
		t.Fatalf("probing %s: %v", req.Target, err)
	}
	return record.Result
}

// WantUp fails the test unless r is up.
func WantUp(t testing.TB, r probe.Result) {
	t.Helper()
	if !r.Up() {
		t.Fatalf("down at %s for %s: %v", r.Failure.Stage, r.Failure.Reason, r.Failure.Err)
	}
}

// WantDown fails the test unless r is down at stage for reason.
func WantDown(t testing.TB, r probe.Result, stage probe.Stage, reason probe.Reason) {
	t.Helper()
	if r.Up() {
		t.Fatalf("up; want down at %s for %s", stage, reason)
	}
	WantFailure(t, r.Failure, stage, reason)
}

// Listen serves each connection on a loopback port with serve, and closes it afterwards, until the test ends.
func Listen(t testing.TB, serve func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	Serve(t, l, serve)
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// Serve serves each connection of l with serve, and closes it afterwards, until the test ends.
func Serve(t testing.TB, l net.Listener, serve func(net.Conn)) {
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
}

// ClosedPort is an address whose port is closed until the test ends: that of the client of a connection, so that no other
// test's listener gets it meanwhile.
func ClosedPort(t testing.TB) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client.LocalAddr().(*net.TCPAddr).AddrPort()
}

// WantFailure checks that err says that the target failed at stage for reason.
func WantFailure(t testing.TB, err error, stage probe.Stage, reason probe.Reason) {
	t.Helper()
	f, ok := errors.AsType[*probe.Failure](err)
	if !ok {
		t.Fatalf("got %v (%T), want a failure at %s: %s", err, err, stage, reason)
	}
	if f.Stage != stage || f.Reason != reason {
		t.Fatalf("got %s %s (%v), want %s %s", f.Stage, f.Reason, f.Err, stage, reason)
	}
}

// WantExporterError checks that err is an exporter error of that kind.
func WantExporterError(t *testing.T, err error, fault probe.Fault) {
	t.Helper()
	if e, ok := errors.AsType[*probe.ExporterError](err); !ok || e.Fault != fault {
		t.Errorf("got %v (%T), want the exporter's fault %s", err, err, fault)
	}
}

// MustRegexp compiles an expression that is right.
func MustRegexp(text string) option.Regexp {
	re, err := option.CompileRegexp(text)
	if err != nil {
		panic(err)
	}
	return re
}

const (
	Enough = 20 * time.Second       // for what must not time out
	Soon   = 100 * time.Millisecond // for what must
)

// SlowRegexp takes some ten thousand steps for each byte of a text of a's.
const SlowRegexp = "(a{0,30}){0,30}(a{0,30}){0,30}(a{0,30}){0,30}(a{0,30}){0,30}b"

// Says is a server that writes text and then closes its side when it has read all.
func Says(text string) func(net.Conn) {
	return func(c net.Conn) {
		io.WriteString(c, text)
		c.(*net.TCPConn).CloseWrite()
		Drain(c)
	}
}

// PortOf is addr's port as text.
func PortOf(addr netip.AddrPort) string { return strconv.Itoa(int(addr.Port())) }

// Reset is a server that ends a connection by RST.
func Reset(c net.Conn) { c.(*net.TCPConn).SetLinger(0) }

// OptionErrorTexts lists the OptionErrors in err, each as its text.
func OptionErrorTexts(err error) []string {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []string
		for _, e := range joined.Unwrap() {
			all = append(all, OptionErrorTexts(e)...)
		}
		return all
	}
	if option, ok := err.(*option.Error); ok {
		return []string{option.Error()}
	}
	return []string{"not an OptionError: " + err.Error()}
}

// WriteFile replaces the file at path.
func WriteFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Drain reads until the peer is done, so that closing sends no RST.
func Drain(c net.Conn) { io.Copy(io.Discard, c) }
