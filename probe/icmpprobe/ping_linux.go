package icmpprobe

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"rollcall/probe"
	"rollcall/probe/network"
)

const canPing = true

// maxResends bounds how often a request is sent again because a router wants smaller fragments.
const maxResends = 8

// pingSocket is a socket for one echo request. It is connected, so the kernel delivers packets of one address only, and
// it has the kernel queue the ICMP errors that quote what was sent (ip(7), IP_RECVERR).
type pingSocket struct {
	*os.File
	echo
	p    *prober
	r    *probe.Result
	addr netip.Addr
	raw  bool // a raw socket; otherwise one for pings, for which the kernel chooses the identifier and delivers by it

	sent    time.Time
	resent  int
	failed  error
	decided bool
}

// ping sends one echo request to addr and waits for the reply.
func (p *prober) ping(ctx context.Context, addr netip.Addr, trace *probe.Trace, r *probe.Result) error {
	start := time.Now()
	s := &pingSocket{echo: newEcho(addr.Is6(), p.payload), p: p, r: r, addr: addr}
	err := s.open()
	r.Phases.Connect = time.Since(start)
	if err != nil {
		return network.Classify(ctx, probe.StageConnect, err)
	}
	defer s.Close()
	if trace != nil {
		kind := "a ping socket"
		if s.raw {
			kind = "a raw socket"
		}
		trace.Step("pinging %s with %d bytes through %s", addr, p.payload, kind)
	}
	if deadline, ok := ctx.Deadline(); ok {
		s.SetReadDeadline(deadline)
	}
	defer context.AfterFunc(probe.Caller(ctx), func() { s.SetReadDeadline(time.Now()) })()
	return s.exchange(ctx)
}

// exchange sends the request and waits for the reply or an ICMP error.
func (s *pingSocket) exchange(ctx context.Context) error {
	raw, err := s.SyscallConn()
	if err != nil {
		return network.Classify(ctx, probe.StageRequest, err)
	}
	var sending error
	if err := raw.Control(func(fd uintptr) { sending = s.send(int(fd)) }); err != nil {
		return network.Classify(ctx, probe.StageRequest, err)
	}
	if sending != nil {
		return s.classifySend(ctx, sending)
	}
	// Read calls receive now, and again whenever something may have arrived.
	err = raw.Read(func(fd uintptr) bool {
		s.receive(ctx, int(fd))
		return s.decided
	})
	if err == nil {
		err = s.failed
	}
	if err != nil {
		return network.Classify(ctx, probe.StageResponse, fmt.Errorf("waiting for the reply of %s: %w", s.addr, err))
	}
	return nil
}

// open makes the socket with the module's options and finds a route to the address; nothing is sent.
func (s *pingSocket) open() error {
	peer, err := pingAddr(s.addr)
	if err != nil {
		return err
	}
	fd, err := s.socket()
	if err != nil {
		return err
	}
	if err = s.configure(fd); err == nil {
		err = s.connect(fd, peer)
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	s.File = os.NewFile(uintptr(fd), "icmp")
	return nil
}

// socket prefers the kernel's ping sockets: they need no capability, and they see only their own replies, where a raw socket
// sees every ICMP packet of the machine.
func (s *pingSocket) socket() (fd int, err error) {
	family, protocol := unix.AF_INET, unix.IPPROTO_ICMP
	if s.ip6 {
		family, protocol = unix.AF_INET6, unix.IPPROTO_ICMPV6
	}
	const flags = unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC
	fd, err = unix.Socket(family, unix.SOCK_DGRAM|flags, protocol)
	switch err {
	case unix.EACCES, unix.EPERM, unix.EPROTONOSUPPORT, unix.EPROTOTYPE: // not for our group, or a kernel without them
	default:
		return fd, os.NewSyscallError("socket", err)
	}
	fd, err = unix.Socket(family, unix.SOCK_RAW|flags, protocol)
	if err == unix.EPERM || err == unix.EACCES {
		return fd, probe.Faultf(probe.FaultPermission, "rollcall may not send pings; the sysctl net.ipv4.ping_group_range must include its group %d, or it needs the capability CAP_NET_RAW: %w", os.Getegid(), os.NewSyscallError("socket", err))
	}
	s.raw = true
	return fd, os.NewSyscallError("socket", err)
}

// configure sets the module's options, and asks the kernel for ICMP errors and hop limits.
func (s *pingSocket) configure(fd int) error {
	o := options{fd: fd}
	if s.payload > 16<<10 {
		// A socket that is full for a moment and has an error looks broken to the runtime's poller: this one has room.
		o.set(unix.SOL_SOCKET, unix.SO_SNDBUF, 4*s.payload)
	}
	if s.ip6 {
		s.configure6(&o)
	} else {
		s.configure4(&o)
	}
	if s.raw {
		s.chooseID()
		o.filter(&s.echo)
	}
	switch {
	case o.err != nil: // nothing was sent yet, so it says nothing about the target
		return network.OurFault(probe.FaultPermission, os.NewSyscallError("setsockopt", o.err))
	case !s.p.source.IsValid():
		return nil
	}
	source, err := pingAddr(s.p.source)
	if err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, source))
	}
	if err != nil {
		return network.OurFault(probe.FaultSourceAddress, fmt.Errorf("pinging from %s: %w", s.p.source, err))
	}
	return nil
}

// configure4: with dont_fragment a packet is sent whatever the kernel believes of the route's MTU, which it keeps for
// minutes. Without, a packet carries no DF, unless it is so small that every route takes it.
func (s *pingSocket) configure4(o *options) {
	const small = 512
	o.set(unix.IPPROTO_IP, unix.IP_RECVERR, 1)
	o.set(unix.IPPROTO_IP, unix.IP_RECVTTL, 1)
	if s.p.ttl > 0 {
		o.set(unix.IPPROTO_IP, unix.IP_TTL, s.p.ttl)
	}
	if s.p.dontFragment {
		o.set(unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
	} else if s.payload > small {
		o.set(unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
	}
}

// configure6: in IPv6 only the sender fragments.
func (s *pingSocket) configure6(o *options) {
	o.set(unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1)
	o.set(unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1)
	if s.p.ttl > 0 {
		o.set(unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, s.p.ttl)
	}
	if s.p.dontFragment {
		o.set(unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
		o.set(unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, 1)
	}
}

// options are set on a socket until the first error.
type options struct {
	fd  int
	err error
}

func (o *options) set(level, name, value int) {
	if o.err == nil {
		o.err = unix.SetsockoptInt(o.fd, level, name, value)
	}
}

// filter has the kernel drop what is not a reply with e's numbers. A raw socket also gets the replies to all other
// pings of this machine to the same address, which might leave no room for ours.
func (o *options) filter(e *echo) {
	const loadHeaderLength, loadHalf, loadWord = unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH, unix.BPF_LD | unix.BPF_H | unix.BPF_IND, unix.BPF_LD | unix.BPF_W | unix.BPF_IND
	_, reply := e.types()
	skipIPHeader := unix.SockFilter{Code: loadHeaderLength} // X is then the length of the IPv4 header
	if e.ip6 {
		skipIPHeader = unix.SockFilter{Code: unix.BPF_LDX | unix.BPF_IMM} // packets come without one
	}
	program := [...]unix.SockFilter{
		skipIPHeader,
		{Code: loadHalf, K: 0}, // type and code
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(reply) << 8, Jf: 3},
		{Code: loadWord, K: 4}, // identifier and sequence number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(e.id)<<16 | uint32(e.seq), Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1 << 17}, // all of it
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
	if o.err == nil {
		o.err = unix.SetsockoptSockFprog(o.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	}
}

// connect fails when there is no route to the address.
func (s *pingSocket) connect(fd int, peer unix.Sockaddr) error {
	err := unix.Connect(fd, peer)
	switch err {
	case nil:
		return nil
	case unix.EADDRNOTAVAIL: // a ping has no ports that could run out: there is no address to send from
		return &probe.ExporterError{Fault: probe.FaultRoute, Err: os.NewSyscallError("connect", err)}
	case unix.EACCES:
		// Linux returns it for a broadcast address, unless SO_BROADCAST is set, and for a route that forbids it.
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1) == nil && unix.Connect(fd, peer) == nil {
			return probe.BadTarget(isBroadcast)
		}
	}
	if network.NeedsZone(s.addr) {
		return os.NewSyscallError("connect", err)
	}
	return network.NoRoute(os.NewSyscallError("connect", err))
}

func (s *pingSocket) send(fd int) error {
	b := s.p.takeBuffer()
	defer s.p.buffers.Put(b)
	message := b.packet[:s.size()]
	s.write(message)
	s.sent = time.Now()
	_, err := unix.Write(fd, message)
	return os.NewSyscallError("write", err)
}

// classifySend says what it means that the request could not be sent.
func (s *pingSocket) classifySend(ctx context.Context, err error) error {
	err = fmt.Errorf("sending %d bytes to %s: %w", s.size(), s.addr, err)
	switch {
	case errors.Is(err, unix.EMSGSIZE):
		return probe.Fail(probe.StageRequest, probe.ReasonPacketTooBig, err)
	case errors.Is(err, unix.EAGAIN): // the send buffer of a new socket is too small
		return &probe.ExporterError{Fault: probe.FaultMemory, Err: err}
	case errors.Is(err, unix.EPERM):
		return probe.Faultf(probe.FaultPermission, "a local firewall forbids it: %w", err)
	}
	return network.Classify(ctx, probe.StageRequest, err)
}

// receive reads what has arrived, until the probe is decided or nothing is left.
func (s *pingSocket) receive(ctx context.Context, fd int) {
	b := s.p.takeBuffer()
	defer s.p.buffers.Put(b)
	for !s.decided {
		n, controls, _, from, err := unix.Recvmsg(fd, b.packet, b.control[:], 0)
		switch {
		case err == unix.EAGAIN:
			return
		case err == unix.EINTR:
		case err == unix.ENOMEM, err == unix.ENOBUFS:
			s.decide(os.NewSyscallError("recvmsg", err))
		case err != nil: // an error in the queue says whether it is about this request
			s.receiveErrors(ctx, fd, b)
		case s.isReply(b.packet[:n], from):
			s.r.Phases.Processing, s.r.ICMP.HopLimit = time.Since(s.sent), hopLimit(b.control[:controls])
			s.decide(nil)
		}
		if !s.decided && ctx.Err() != nil { // other packets come faster than they are read
			s.decide(os.ErrDeadlineExceeded)
		}
	}
}

func (s *pingSocket) decide(err error) {
	s.decided, s.failed = true, err
}

func (s *pingSocket) isReply(packet []byte, from unix.Sockaddr) bool {
	if s.raw && !s.ip6 {
		packet = withoutIPHeader(packet)
	}
	return s.isFor(from) && s.isAnsweredBy(packet)
}

// isFor reports whether sa is the address that is pinged.
func (s *pingSocket) isFor(sa unix.Sockaddr) bool {
	addr, ok := sockaddrIP(sa)
	return ok && addr == s.addr.WithZone("")
}

// receiveErrors reads the ICMP errors that are queued.
func (s *pingSocket) receiveErrors(ctx context.Context, fd int, b *pingBuffer) {
	for !s.decided && ctx.Err() == nil {
		n, controls, _, to, err := unix.Recvmsg(fd, b.packet, b.control[:], unix.MSG_ERRQUEUE)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return // the queue is empty
		}
		report, by, ok := reportedError(b.control[:controls])
		if !ok || !s.isFor(to) || !s.isQuotedBy(b.packet[:n], localAddr(fd), s.addr) {
			continue
		}
		reason, name := report.reason()
		switch {
		case reason == "":
		case reason == probe.ReasonPacketTooBig && !s.p.dontFragment && s.resent < maxResends:
			s.resent++ // the kernel has noted the size, and now makes fragments that are small enough
			// Other errors of sending may be a router's that arrived meanwhile: they are in the queue, too.
			if err := s.send(fd); errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM) {
				s.decide(err)
			}
		default:
			s.decide(probe.Fail(probe.StageResponse, reason, fmt.Errorf("pinging %s: %s reports: %s", s.addr, by, name)))
		}
	}
}

// pingBuffer holds a packet to send, or one that arrived with its control messages. A probe has one only while it sends or
// reads, not while it waits.
type pingBuffer struct {
	packet  []byte
	control [256]byte
}

func (p *prober) takeBuffer() *pingBuffer {
	if b, ok := p.buffers.Get().(*pingBuffer); ok {
		return b
	}
	const longestIPHeader = 60
	return &pingBuffer{packet: make([]byte, longestIPHeader+echoHeader+p.payload+1)} // one byte more than the reply has, to see a longer one
}
