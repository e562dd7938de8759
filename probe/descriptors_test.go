//go:build unix

package probe

import (
	"net"
	"net/netip"
	"syscall"
	"testing"
)

func TestDialSaysDescriptorsWhenThereAreNone(t *testing.T) {
	addr := listen(t, func(net.Conn) {})
	var dialErr, resolveErr error
	withoutDescriptors(t, func() {
		_, dialErr = dial(t.Context(), nil, "x", addr, netip.Addr{})
		_, resolveErr = ipPolicy{server: "127.0.0.1:1"}.resolve(t.Context(), "rollcall.test")
	})
	wantFault(t, dialErr, FaultDescriptors)
	wantFault(t, resolveErr, FaultDescriptors)
}

func TestDNSSaysDescriptorsWhenThereAreNone(t *testing.T) {
	addr := closedPort(t)
	p := compiledDNS(t, dnsOptions())
	var err error
	withoutDescriptors(t, func() { _, err = p.Probe(t.Context(), Request{Target: addr.String()}) })
	wantFault(t, err, FaultDescriptors)
}

// withoutDescriptors calls f while the process may open nothing more.
func withoutDescriptors(t *testing.T, f func()) {
	t.Helper()
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	none := old
	none.Cur = 3 // standard input, output and error
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
			t.Error(err)
		}
	}()
	f()
}
