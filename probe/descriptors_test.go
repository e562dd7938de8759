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
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	none := old
	none.Cur = 3 // standard input, output and error
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	_, dialErr := dial(t.Context(), nil, "x", addr, netip.Addr{})
	_, resolveErr := ipPolicy{server: "127.0.0.1:1"}.resolve(t.Context(), "rollcall.test")
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	wantFault(t, dialErr, FaultDescriptors)
	wantFault(t, resolveErr, FaultDescriptors)
}
