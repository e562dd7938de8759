package icmpprobe

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"net/netip"

	"rollcall/probe"
)

const (
	echoHeader     = 8  // type, code, checksum, identifier, sequence number
	nonceSize      = 16 // of a payload that has the room
	defaultPayload = 28 // blackbox_exporter's
	maxPayload     = 65535 - 20 - echoHeader
)

// The types of echo messages (RFC 792, RFC 4443).
const (
	echoReply4, echoRequest4 = 0, 8
	echoReply6, echoRequest6 = 129, 128
)

// echo is an echo request that cannot be confused with another's: besides the numbers in its header, the payload begins
// with a nonce. The message is eight bytes and the payload, so it is written here, into memory that is reused.
type echo struct {
	ip6     bool
	id      uint16 // 0: the kernel chooses it, and delivers only replies that have it
	seq     uint16
	payload int // bytes; what follows the nonce is zero
	nonce   [nonceSize]byte
}

func newEcho(ip6 bool, payload int) echo {
	e := echo{ip6: ip6, payload: payload}
	var numbers [2]byte
	rand.Read(numbers[:])
	rand.Read(e.nonce[:])
	e.seq = binary.BigEndian.Uint16(numbers[:])
	return e
}

// chooseID gives the request an identifier of its own.
func (e *echo) chooseID() {
	var b [2]byte
	rand.Read(b[:])
	e.id = max(1, binary.BigEndian.Uint16(b[:]))
}

func (e *echo) shownNonce() []byte { return e.nonce[:min(nonceSize, e.payload)] }

func (e *echo) types() (request, reply byte) {
	if e.ip6 {
		return echoRequest6, echoReply6
	}
	return echoRequest4, echoReply4
}

// size is the length of the message.
func (e *echo) size() int { return echoHeader + e.payload }

// write puts the request into b, which is as long as it. The checksum is IPv4's; in IPv6 the kernel
// writes it.
func (e *echo) write(b []byte) {
	clear(b)
	b[0], _ = e.types()
	binary.BigEndian.PutUint16(b[4:], e.id)
	binary.BigEndian.PutUint16(b[6:], e.seq)
	copy(b[echoHeader:], e.shownNonce())
	binary.BigEndian.PutUint16(b[2:], e.checksum(e.id, nil))
}

// checksum is that of the message with this identifier. It also covers before: nothing in IPv4, a pseudo header in IPv6.
func (e *echo) checksum(id uint16, before []byte) uint16 {
	request, _ := e.types()
	sum := uint32(request)<<8 + uint32(id) + uint32(e.seq) + sum16(e.shownNonce()) + sum16(before)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func sum16(b []byte) (sum uint32) {
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) > 0 {
		sum += uint32(b[0]) << 8
	}
	return sum
}

// isAnsweredBy reports whether a message that came from the right address is the reply to this request: all that was
// sent comes back.
func (e *echo) isAnsweredBy(message []byte) bool {
	_, reply := e.types()
	if len(message) != e.size() || message[0] != reply || message[1] != 0 || !e.hasNumbers(message) {
		return false
	}
	rest, isNonce := bytes.CutPrefix(message[echoHeader:], e.shownNonce())
	return isNonce && len(bytes.TrimLeft(rest, "\x00")) == 0
}

// hasNumbers reports whether the header of a message has the request's numbers.
func (e *echo) hasNumbers(message []byte) bool {
	return binary.BigEndian.Uint16(message[6:]) == e.seq && (e.id == 0 || binary.BigEndian.Uint16(message[4:]) == e.id)
}

// isQuotedBy reports whether an ICMP error quotes this request, as it left source for dest. Routers may quote the
// header alone (RFC 792), padded with zeros (RFC 4884); its checksum proves that the sender of the error has seen the nonce.
func (e *echo) isQuotedBy(quote []byte, source, dest netip.Addr) bool {
	request, _ := e.types()
	if len(quote) < echoHeader || quote[0] != request || quote[1] != 0 || !e.hasNumbers(quote) {
		return false
	}
	var before []byte
	if e.ip6 {
		from, to := source.As16(), dest.As16()
		before = append(append(make([]byte, 0, 40), from[:]...), to[:]...)
		before = binary.BigEndian.AppendUint32(before, uint32(e.size()))
		before = binary.BigEndian.AppendUint32(before, 58) // the next header, ICMPv6
	}
	return binary.BigEndian.Uint16(quote[2:]) == e.checksum(binary.BigEndian.Uint16(quote[4:]), before)
}

// withoutIPHeader is the message in an IPv4 packet, empty when it has none.
func withoutIPHeader(packet []byte) []byte {
	if len(packet) == 0 {
		return nil
	}
	return packet[min(len(packet), int(packet[0]&0x0f)*4):]
}

// icmpError is the type and code of an ICMP error.
type icmpError struct {
	ip6        bool
	kind, code uint8
}

// The types of ICMP errors that have a reason.
const (
	unreachable4, timeExceeded4, parameterProblem4          = 3, 11, 12
	unreachable6, tooBig6, timeExceeded6, parameterProblem6 = 1, 2, 3, 4
)

// meaning is the reason that an error is for a probe, and its name in RFC 792, RFC 1812 or RFC 4443.
type meaning struct {
	reason probe.Reason
	name   string
}

// otherCodes stands for the codes of a type that are not listed.
const otherCodes = 255

// The meanings by type and code. A type that is not listed ends no probe, e.g. source quench.
var (
	meanings4 = map[[2]uint8]meaning{
		{unreachable4, 0}:               {probe.ReasonNetworkUnreachable, "network unreachable"},
		{unreachable4, 2}:               {probe.ReasonConnectionRefused, "protocol unreachable"},
		{unreachable4, 3}:               {probe.ReasonConnectionRefused, "port unreachable"},
		{unreachable4, 4}:               {probe.ReasonPacketTooBig, "fragmentation needed and DF set"},
		{unreachable4, 6}:               {probe.ReasonNetworkUnreachable, "network unreachable"},
		{unreachable4, 9}:               {probe.ReasonNetworkUnreachable, "network administratively prohibited"},
		{unreachable4, 10}:              {probe.ReasonHostUnreachable, "administratively prohibited"},
		{unreachable4, 11}:              {probe.ReasonNetworkUnreachable, "network unreachable"},
		{unreachable4, 13}:              {probe.ReasonHostUnreachable, "administratively prohibited"},
		{unreachable4, otherCodes}:      {probe.ReasonHostUnreachable, "host unreachable"},
		{timeExceeded4, 0}:              {probe.ReasonTTLExceeded, "time to live exceeded in transit"},
		{timeExceeded4, otherCodes}:     {probe.ReasonNetworkError, "fragment reassembly time exceeded"},
		{parameterProblem4, otherCodes}: {probe.ReasonNetworkError, "parameter problem"},
	}
	meanings6 = map[[2]uint8]meaning{
		{unreachable6, 0}:               {probe.ReasonNetworkUnreachable, "no route to destination"},
		{unreachable6, 1}:               {probe.ReasonHostUnreachable, "administratively prohibited"},
		{unreachable6, 4}:               {probe.ReasonConnectionRefused, "port unreachable"},
		{unreachable6, 5}:               {probe.ReasonHostUnreachable, "source address failed a policy"},
		{unreachable6, 6}:               {probe.ReasonNetworkUnreachable, "reject route to destination"},
		{unreachable6, otherCodes}:      {probe.ReasonHostUnreachable, "address unreachable"},
		{tooBig6, otherCodes}:           {probe.ReasonPacketTooBig, "packet too big"},
		{timeExceeded6, 0}:              {probe.ReasonTTLExceeded, "time to live exceeded in transit"},
		{timeExceeded6, otherCodes}:     {probe.ReasonNetworkError, "fragment reassembly time exceeded"},
		{parameterProblem6, otherCodes}: {probe.ReasonNetworkError, "parameter problem"},
	}
)

// reason is what the error means; nothing for one that ends no probe.
func (e icmpError) reason() (probe.Reason, string) {
	meanings := meanings4
	if e.ip6 {
		meanings = meanings6
	}
	m, listed := meanings[[2]uint8{e.kind, e.code}]
	if !listed {
		m = meanings[[2]uint8{e.kind, otherCodes}]
	}
	return m.reason, m.name
}
