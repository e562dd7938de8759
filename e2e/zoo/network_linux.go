package zoo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Apart runs the calling test again in a new process with a separate network namespace, which has only loopback and where it
// is root. It reports whether this is that process; in the other one the test must return. Call it first in a test.
func Apart(t *testing.T) bool {
	t.Helper()
	const variable = "ZOO_APART"
	if os.Getenv(variable) == t.Name() {
		ip(t, "link", "set", "lo", "up")
		return true
	}
	args := []string{"-test.run=^" + t.Name() + "$", "-test.count=1", fmt.Sprint("-test.v=", testing.Verbose())}
	if slices.Contains(os.Args, "-update") {
		args = append(args, "-update")
	}
	command := exec.CommandContext(t.Context(), os.Args[0], args...)
	command.Env = append(os.Environ(), variable+"="+t.Name())
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		command.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		command.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		command.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := command.CombinedOutput()
	if err != nil {
		t.Errorf("in a separate network namespace (which needs root or user namespaces): %v\n%s", err, out)
	} else if testing.Verbose() {
		t.Logf("%s", out)
	}
	return false
}

// AllowPingSockets allows ping sockets in the network namespace of this process. New namespaces allow them for no group.
func AllowPingSockets(t testing.TB) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 0"), 0); err != nil {
		t.Fatal(err)
	}
}

func ip(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ip", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s (Debian package iproute2): %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// awaitLocal waits until the addresses are usable: an IPv6 address gets its route a moment after it was added.
func awaitLocal(t testing.TB, addresses ...string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		routes := ip(t, "-6", "route", "show", "table", "local")
		if !slices.ContainsFunc(addresses, func(a string) bool { return !strings.Contains(routes, "local "+a+" dev zoo ") }) {
			return
		}
	}
	t.Fatalf("%v do not become local addresses", addresses)
}

// Local addresses in a Network. All others in their subnets are simulated hosts.
var (
	Here4 = netip.MustParseAddr("192.0.2.1")
	Here6 = netip.MustParseAddr("2001:db8::1")
)

// Network creates an interface in the network namespace of this process (see Apart). answer gets each packet that is sent
// over it, and the packets that it returns arrive. The local addresses are Here4 and Here6; the default routes lead over the
// interface as well.
func Network(t testing.TB, answer func(packet []byte) [][]byte) {
	t.Helper()
	tun, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	request, err := unix.NewIfreq("zoo")
	if err != nil {
		t.Fatal(err)
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(int(tun.Fd()), unix.TUNSETIFF, request); err != nil {
		t.Fatal(err)
	}
	// NewFile registers the descriptor with the runtime's poller, so it must be non-blocking before.
	fd, err := unix.FcntlInt(tun.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	tun.Close()
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	tun = os.NewFile(uintptr(fd), "tun")
	ip(t, "address", "add", Here4.String()+"/24", "dev", "zoo")
	ip(t, "address", "add", Here6.String()+"/64", "dev", "zoo", "nodad")
	ip(t, "address", "add", "fe80::1/64", "dev", "zoo", "nodad")
	ip(t, "link", "set", "zoo", "up")
	ip(t, "route", "add", "default", "dev", "zoo")
	ip(t, "-6", "route", "add", "default", "dev", "zoo")
	awaitLocal(t, Here6.String(), "fe80::1")

	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 1<<16)
		for {
			n, err := tun.Read(buffer)
			if err != nil {
				return // closed below
			}
			for _, packet := range answer(slices.Clone(buffer[:n])) {
				if _, err := tun.Write(packet); err != nil && !errors.Is(err, os.ErrClosed) {
					t.Errorf("zoo: sending a packet: %v", err)
				}
			}
		}
	}()
	t.Cleanup(func() {
		tun.Close()
		<-done
	})
}

// Packet is an IP packet with an ICMP message.
type Packet struct {
	From, To netip.Addr
	TTL      byte
	DF       bool
	Fragment bool   // it is a fragment
	Offset   int    // of the fragment
	Message  []byte // from the ICMP header on
}

// ParsePacket reads a packet; ok is false if it has no ICMP message.
func ParsePacket(b []byte) (p Packet, ok bool) {
	if len(b) == 0 {
		return p, false
	}
	if b[0]>>4 == 4 {
		flags := binary.BigEndian.Uint16(b[6:])
		p = Packet{
			From: netip.AddrFrom4([4]byte(b[12:])), To: netip.AddrFrom4([4]byte(b[16:])), TTL: b[8],
			DF: flags&0x4000 != 0, Fragment: flags&0x3fff != 0, Offset: int(flags&0x1fff) * 8, Message: b[int(b[0]&15)*4:],
		}
		return p, b[9] == unix.IPPROTO_ICMP
	}
	p = Packet{From: netip.AddrFrom16([16]byte(b[8:])), To: netip.AddrFrom16([16]byte(b[24:])), TTL: b[7], Message: b[40:]}
	if b[6] == unix.IPPROTO_FRAGMENT {
		p.Fragment, p.Offset, p.Message = true, int(binary.BigEndian.Uint16(b[42:])&^7), b[48:]
		return p, b[40] == unix.IPPROTO_ICMPV6
	}
	return p, b[6] == unix.IPPROTO_ICMPV6
}

// IsPing reports whether the packet is an echo request.
func (p Packet) IsPing() bool {
	return len(p.Message) >= 8 && (p.From.Is4() && p.Message[0] == 8 || p.From.Is6() && p.Message[0] == 128)
}

// Reply returns the echo reply to a request.
func (p Packet) Reply() Packet {
	r := Packet{From: p.To, To: p.From, TTL: 57, Message: slices.Clone(p.Message)}
	r.Message[0] = 0
	if p.From.Is6() {
		r.Message[0] = 129
	}
	return r
}

// Error returns the ICMP error of a router at from that quotes the first bytes of the packet's message. mtu is the size in
// messages about the packet's size.
func (p Packet) Error(from netip.Addr, kind, code byte, mtu uint16, quoted int) Packet {
	quote := Packet{From: p.From, To: p.To, TTL: 1, Message: p.Message}.header(len(p.Message))
	quote = append(quote, p.Message[:min(quoted, len(p.Message))]...)
	return Packet{From: from, To: p.From, TTL: 200, Message: append([]byte{kind, code, 0, 0, 0, 0, byte(mtu >> 8), byte(mtu)}, quote...)}
}

// Bytes returns the packet on the wire, with checksums.
func (p Packet) Bytes() []byte {
	message := slices.Clone(p.Message)
	message[2], message[3] = 0, 0
	var sum uint32
	if p.From.Is6() {
		sum = onesSum(0, p.From.AsSlice())
		sum = onesSum(sum, p.To.AsSlice())
		sum += uint32(len(message)) + unix.IPPROTO_ICMPV6
	}
	binary.BigEndian.PutUint16(message[2:], ^fold(onesSum(sum, message)))
	return append(p.header(len(message)), message...)
}

func (p Packet) header(payload int) []byte {
	if p.From.Is6() {
		h := make([]byte, 40)
		h[0], h[6], h[7] = 0x60, unix.IPPROTO_ICMPV6, p.TTL
		binary.BigEndian.PutUint16(h[4:], uint16(payload))
		copy(h[8:], p.From.AsSlice())
		copy(h[24:], p.To.AsSlice())
		return h
	}
	h := make([]byte, 20)
	h[0], h[8], h[9] = 0x45, p.TTL, unix.IPPROTO_ICMP
	binary.BigEndian.PutUint16(h[2:], uint16(20+payload))
	copy(h[12:], p.From.AsSlice())
	copy(h[16:], p.To.AsSlice())
	binary.BigEndian.PutUint16(h[10:], ^fold(onesSum(0, h)))
	return h
}

func onesSum(sum uint32, b []byte) uint32 {
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}

func fold(sum uint32) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
