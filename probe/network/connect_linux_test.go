package network

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"rollcall/probe"
	"rollcall/probe/probetest"
)

// TestSocketRefusesItself holds that a closed port is not up because the probe reached itself there.
func TestSocketRefusesItself(t *testing.T) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	own, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Connect(fd, own); err != nil {
		t.Fatalf("TCP no longer connects a socket to itself: %v", err)
	}
	s, err := newSocket("tcp", addrPort(own))
	if err != nil {
		t.Fatal(err)
	}
	if !s.step(uintptr(fd)) || !errors.Is(s.failed, syscall.ECONNREFUSED) {
		t.Errorf("a connection to itself: decided %v, %v; want refused", s.decided, s.failed)
	}
}

func TestConnectWordsErrorsAsADialerDoes(t *testing.T) {
	addr := probetest.ClosedPort(t)
	_, want := net.Dial("tcp", addr.String())
	for name, source := range map[string]netip.Addr{"": {}, "with a source": netip.MustParseAddr("127.0.0.1")} {
		_, err := Dial(t.Context(), nil, "tcp", "closed", addr, source)
		wording := want.Error()
		if source.IsValid() {
			wording = strings.Replace(wording, "dial tcp ", "dial tcp 127.0.0.1:0->", 1)
		}
		if err == nil || err.Error() != wording {
			t.Errorf("%s: %v, want %s", name, err, wording)
		}
	}
}

func TestUDPConnects(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	addr := server.LocalAddr().(*net.UDPAddr).AddrPort()
	c, err := Dial(t.Context(), nil, "udp", "x", addr, netip.MustParseAddr("127.0.0.5"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 10)
	n, from, err := server.ReadFrom(b)
	if err != nil || string(b[:n]) != "hello" {
		t.Fatalf("the server got %q, %v", b[:n], err)
	}
	if from.String() != c.LocalAddr().String() || c.LocalAddr().Network() != "udp" || c.RemoteAddr().String() != addr.String() {
		t.Errorf("from %v to %v, the server says from %v", c.LocalAddr(), c.RemoteAddr(), from)
	}

	stranger := netip.MustParseAddr("192.0.2.1")
	dialer := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(stranger, 0))}
	_, want := dialer.Dial("udp", addr.String())
	if _, err := Dial(t.Context(), nil, "udp", "x", addr, stranger); err == nil || !strings.HasSuffix(err.Error(), "source_ip_address) is no address of this machine now: "+want.Error()) {
		t.Errorf("got %v, want it to end in %v", err, want)
	}
}

func TestConnectionKnowsItsAddresses(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			if host == "::1" && errors.Is(err, syscall.EADDRNOTAVAIL) {
				t.Log("this machine has no IPv6")
				continue
			}
			t.Fatal(err)
		}
		defer l.Close()
		c, err := Dial(t.Context(), nil, "tcp", host, l.Addr().(*net.TCPAddr).AddrPort(), netip.Addr{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer accepted.Close()
		if c.LocalAddr().String() != accepted.RemoteAddr().String() || c.RemoteAddr().String() != accepted.LocalAddr().String() {
			t.Errorf("from %v to %v, the peer says from %v to %v", c.LocalAddr(), c.RemoteAddr(), accepted.RemoteAddr(), accepted.LocalAddr())
		}
	}
}

func TestScopedAddressKeepsItsZone(t *testing.T) {
	loopback, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	for zone, want := range map[string]uint32{"": 0, "lo": uint32(loopback.Index), "77": 77} {
		addr := netip.AddrPortFrom(netip.MustParseAddr("fe80::1").WithZone(zone), 80)
		got, err := sockaddr6(addr)
		if err != nil || got.ZoneId != want || got.Port != 80 || got.Addr != addr.Addr().As16() {
			t.Errorf("zone %q: %+v, %v, want the interface %d", zone, got, err, want)
		}
	}
}

func TestZoneThatIsNotThereIsUnreachable(t *testing.T) {
	addr := netip.MustParseAddrPort("[fe80::1%nowhere]:80")
	_, err := Dial(t.Context(), nil, "tcp", "fe80::1%nowhere", addr, netip.Addr{})
	probetest.WantFailure(t, err, probe.StageConnect, probe.ReasonNetworkUnreachable)

	// Looking for an interface takes a descriptor; without one it is not known whether it is there.
	probetest.WithoutDescriptors(t, func() {
		_, err = Dial(t.Context(), nil, "tcp", "fe80::1%lo", netip.MustParseAddrPort("[fe80::1%lo]:80"), netip.Addr{})
	})
	probetest.WantExporterError(t, err, probe.FaultDescriptors)
}

func TestZoneOfTheSourceThatIsNotThereIsOurFault(t *testing.T) {
	_, err := Dial(t.Context(), nil, "tcp", "::1", netip.MustParseAddrPort("[::1]:80"), netip.MustParseAddr("fe80::1%nowhere"))
	probetest.WantExporterError(t, err, probe.FaultSourceAddress)
}

// Linux says EACCES for its own rules at once, and for what ICMPv6 reports of a router's later.
func TestFirewallOnTheWayIsNotOurFault(t *testing.T) {
	probetest.WantExporterError(t, Classify(t.Context(), probe.StageConnect, connectError(syscall.EACCES, false)), probe.FaultPermission)
	probetest.WantFailure(t, Classify(t.Context(), probe.StageConnect, connectError(syscall.EACCES, true)), probe.StageConnect, probe.ReasonHostUnreachable)
}

// What the kernel refuses before a packet has left is about the routes of this machine.
func TestRouteErrorsOfThisMachineAreNoFailures(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EINVAL} {
		probetest.WantExporterError(t, Classify(t.Context(), probe.StageConnect, connectError(errno, false)), probe.FaultRoute)
	}
	probetest.WantFailure(t, Classify(t.Context(), probe.StageConnect, connectError(syscall.ENETUNREACH, true)), probe.StageConnect, probe.ReasonNetworkUnreachable)
	probetest.WantFailure(t, Classify(t.Context(), probe.StageConnect, connectError(syscall.EHOSTUNREACH, true)), probe.StageConnect, probe.ReasonHostUnreachable)
}
