package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"

	"rollcall/probe"
)

// connect opens the connection by the system calls themselves. A net.Dialer takes a third more time and, on its way
// down, a stack twice as large, which some thousand probes that wait at once all keep. An os.File has the
// runtime's poller and deadlines as well.
func (c *conn) connect(ctx context.Context, network string, addr netip.AddrPort, source netip.Addr) error {
	s, err := newSocket(network, addr)
	if err != nil {
		return err
	}
	if err := s.open(source); err != nil {
		return s.dialError(source, err)
	}
	c.Conn = s
	c.watch(ctx)
	if err := s.await(); err != nil {
		c.Close()
		return s.dialError(source, err)
	}
	return nil
}

// socket is a connection to addr.
type socket struct {
	*os.File
	network string // "tcp" or "udp"
	addr    netip.AddrPort
	peer    syscall.Sockaddr // addr, as the kernel takes it
	local   syscall.Sockaddr
	begun   bool  // the first packet is on its way
	decided bool  // connecting has succeeded or failed
	failed  error // why it failed
	writes  atomic.Int32

	inet4 syscall.SockaddrInet4 // what peer is, for IPv4: saves an allocation
}

func newSocket(network string, addr netip.AddrPort) (s *socket, err error) {
	s = &socket{network: network, addr: addr}
	if addr.Addr().Is4() {
		s.inet4 = syscall.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
		s.peer = &s.inet4
	} else {
		s.peer, err = sockaddr6(addr)
	}
	return s, err
}

// open makes the socket and sends the first packet. An address of this machine often answers at once. For UDP it sends
// nothing, and connecting is over.
func (s *socket) open(source netip.Addr) error {
	family := syscall.AF_INET6
	if s.addr.Addr().Is4() {
		family = syscall.AF_INET
	}
	kind := syscall.SOCK_STREAM
	if s.network == "udp" {
		kind = syscall.SOCK_DGRAM
	}
	fd, err := syscall.Socket(family, kind|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	if source.IsValid() {
		err = bind(fd, source)
	}
	if err == nil && s.step(uintptr(fd)) {
		err = s.failed
	}
	if err != nil {
		syscall.Close(fd)
		return err
	}
	s.File = os.NewFile(uintptr(fd), s.network+" "+s.addr.String())
	return nil
}

// await waits until the peer has answered, or until the deadline.
func (s *socket) await() error {
	if s.decided {
		return s.failed
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	// Write calls step now, and again whenever the socket may have become ready.
	if err := raw.Write(s.step); err != nil {
		return err
	}
	return s.failed
}

// step begins to connect, or asks how far it went. It reports whether that is decided.
func (s *socket) step(fd uintptr) bool {
	err := syscall.Connect(int(fd), s.peer)
	// Sometimes Linux picks a local port that is in use though others are free.
	for tries := 0; err == syscall.EADDRNOTAVAIL && tries < 2; tries++ {
		err = syscall.Connect(int(fd), s.peer)
	}
	switch err {
	case syscall.EINPROGRESS, syscall.EALREADY, syscall.EINTR:
		s.begun = true
		return false
	case nil, syscall.EISCONN:
		s.failed = s.notOurselves(int(fd))
	default:
		s.failed = connectError(err, s.begun || NeedsZone(s.addr.Addr()))
	}
	s.decided = true
	return true
}

// connectError says whose error err is. What the kernel refuses at once, before a packet has left, is about this machine: its
// firewall, or its routes. After that, EACCES is a router's word: Linux reports ICMPv6's "administratively prohibited" by it.
func connectError(err error, begun bool) error {
	failed := os.NewSyscallError("connect", err)
	if begun {
		if err == syscall.EACCES {
			return probe.Fail(probe.StageConnect, probe.ReasonHostUnreachable, fmt.Errorf("a firewall on the way forbids it: %w", failed))
		}
		return failed
	}
	return NoRoute(failed)
}

// bind fails by our own fault only: the target has not been asked yet.
func bind(fd int, source netip.Addr) error {
	if source.Is4() {
		return os.NewSyscallError("bind", syscall.Bind(fd, &syscall.SockaddrInet4{Addr: source.As4()}))
	}
	sa, err := sockaddr6(netip.AddrPortFrom(source, 0))
	if err != nil {
		return OurFault(probe.FaultSourceAddress, err)
	}
	return os.NewSyscallError("bind", syscall.Bind(fd, sa))
}

// OurFault is what LocalFault makes of err, and otherwise the fault. What else err is does not count.
func OurFault(otherwise probe.Fault, err error) error {
	if fault := LocalFault(err); fault != nil {
		return fault
	}
	return &probe.ExporterError{Fault: otherwise, Err: errors.New(err.Error())}
}

func sockaddr6(addr netip.AddrPort) (*syscall.SockaddrInet6, error) {
	zone, err := ZoneIndex(addr.Addr())
	return &syscall.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16(), ZoneId: zone}, err
}

// notOurselves refuses a connection that has the same address at both ends. When a port is closed at an address of this
// machine, and the local port picked for the connection happens to be that same one, TCP connects it to itself
// (RFC 9293, 3.5: simultaneous open), and a service that is not there would count as up.
// By UDP a probe would hear itself.
func (s *socket) notOurselves(fd int) error {
	local, err := syscall.Getsockname(fd)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	s.local = local
	if addrPort(local) == netip.AddrPortFrom(s.addr.Addr().WithZone(""), s.addr.Port()) {
		return os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}
	return nil
}

// Write sends p at once, as with every connection in Go. While nothing waits for an acknowledgement the kernel does so by
// itself (RFC 9293, 3.7.4), so a probe that writes once or never saves a system call.
func (s *socket) Write(p []byte) (int, error) {
	if s.writes.Add(1) == 2 && s.network == "tcp" {
		if raw, err := s.SyscallConn(); err == nil {
			raw.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1) })
		}
	}
	return s.File.Write(p)
}

// addrPort is sa without its zone.
func addrPort(sa syscall.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *syscall.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *syscall.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	default:
		return netip.AddrPort{}
	}
}

// dialError words err as a net.Dialer does.
func (s *socket) dialError(source netip.Addr, err error) error {
	failed := &net.OpError{Op: "dial", Net: s.network, Addr: s.RemoteAddr(), Err: err}
	if source.IsValid() {
		failed.Source = s.netAddr(netip.AddrPortFrom(source, 0))
	}
	return failed
}

func (s *socket) LocalAddr() net.Addr  { return s.netAddr(addrPort(s.local)) }
func (s *socket) RemoteAddr() net.Addr { return s.netAddr(s.addr) }

func (s *socket) netAddr(addr netip.AddrPort) net.Addr {
	if s.network == "udp" {
		return net.UDPAddrFromAddrPort(addr)
	}
	return net.TCPAddrFromAddrPort(addr)
}
