package zoo

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// DNS is a name server for the zone zoo.test, over UDP and TCP. The queried name selects its behaviour:
//
//	up, down, good    A 127.0.0.1
//	v6                AAAA ::1 only
//	dual              both
//	empty             exists without an address
//	many              4,000 A records, the most that one message can hold
//	loop              a CNAME for itself
//	servfail, refused the response code of that name
//	silent            no answer
//	sinkhole          A 0.0.0.0, as name servers block names
//	rebind            127.0.0.1 for the first query, 127.0.0.2 for later ones
//	nonsense          bytes that are not a DNS message
//
// Other names do not exist.
type DNS struct {
	Addr    string       // host:port
	Queries atomic.Int64 // number of questions that arrived

	rebound atomic.Bool
}

// NewDNS starts a DNS on addr; port 0 selects a free one.
func NewDNS(t testing.TB, addr string) *DNS {
	t.Helper()
	udp, tcp, err := listenBoth(addr)
	if err != nil {
		t.Fatalf("zoo: %v", err)
	}
	d := &DNS{Addr: udp.LocalAddr().String()}
	upTo := func(limit int) answering {
		return func(query []byte) [][]byte {
			if reply := d.answer(query, limit); reply != nil {
				return [][]byte{reply}
			}
			return nil
		}
	}
	upTo(512).serveUDP(t, udp)
	Serve(t, tcp, upTo(1<<16-1).serveTCP)
	return d
}

// listenBoth listens on the same port over UDP and TCP. A port that is free for UDP may be in use for TCP, so it tries several.
func listenBoth(addr string) (udp net.PacketConn, tcp net.Listener, err error) {
	for range 20 {
		if udp, err = net.ListenPacket("udp", addr); err != nil {
			return nil, nil, err
		}
		if tcp, err = net.Listen("tcp", udp.LocalAddr().String()); err == nil {
			return udp, tcp, nil
		}
		udp.Close()
	}
	return nil, nil, err
}

// answering returns the messages that answer a query; none means no answer.
type answering func(query []byte) [][]byte

// serveUDP answers until the test ends.
func (a answering) serveUDP(t testing.TB, c net.PacketConn) {
	var running sync.WaitGroup
	running.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			for _, msg := range a(buf[:n]) {
				c.WriteTo(msg, from)
			}
		}
	})
	t.Cleanup(func() {
		c.Close()
		running.Wait()
	})
}

// serveTCP answers on one connection, which stays open if there is no answer.
func (a answering) serveTCP(c net.Conn) {
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, query); err != nil {
			return
		}
		replies := a(query)
		if len(replies) == 0 {
			hold(c)
			return
		}
		for _, msg := range replies {
			c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...))
		}
	}
}

// answer returns the reply to query, or nil for no answer. A reply of more than limit bytes is truncated.
func (d *DNS) answer(query []byte, limit int) []byte {
	var p dnsmessage.Parser
	header, err := p.Start(query)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	d.Queries.Add(1)
	header.Response, header.Authoritative = true, true
	var addrs []string
	switch name := q.Name.String(); name {
	case "silent.zoo.test.":
		return nil
	case "nonsense.zoo.test.":
		return append(query[:2:2], "nonsense that is no message"...)
	case "servfail.zoo.test.":
		header.RCode = dnsmessage.RCodeServerFailure
	case "refused.zoo.test.":
		header.RCode = dnsmessage.RCodeRefused
	case "empty.zoo.test.", "loop.zoo.test.":
	case "up.zoo.test.", "down.zoo.test.", "good.zoo.test.":
		addrs = []string{"127.0.0.1"}
	case "sinkhole.zoo.test.":
		addrs = []string{"0.0.0.0"}
	case "v6.zoo.test.":
		addrs = []string{"::1"}
	case "dual.zoo.test.":
		addrs = []string{"127.0.0.1", "::1"}
	case "rebind.zoo.test.":
		addrs = []string{"127.0.0.1"}
		if q.Type == dnsmessage.TypeA && d.rebound.Swap(true) {
			addrs = []string{"127.0.0.2"}
		}
	case "many.zoo.test.":
		for range 4000 {
			addrs = append(addrs, "127.0.0.1")
		}
	default:
		header.RCode = dnsmessage.RCodeNameError
	}
	reply := message(header, q, addrs)
	if len(reply) > limit {
		header.Truncated = true
		reply = message(header, q, nil)
	}
	return reply
}

func message(header dnsmessage.Header, q dnsmessage.Question, addrs []string) []byte {
	b := dnsmessage.NewBuilder(nil, header)
	b.EnableCompression()
	b.StartQuestions()
	b.Question(q)
	b.StartAnswers()
	resource := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET}
	if q.Name.String() == "loop.zoo.test." {
		b.CNAMEResource(resource, dnsmessage.CNAMEResource{CNAME: q.Name})
	}
	for _, a := range addrs {
		switch addr := netip.MustParseAddr(a); {
		case addr.Is4() && q.Type == dnsmessage.TypeA:
			b.AResource(resource, dnsmessage.AResource{A: addr.As4()})
		case addr.Is6() && q.Type == dnsmessage.TypeAAAA:
			b.AAAAResource(resource, dnsmessage.AAAAResource{AAAA: addr.As16()})
		}
	}
	reply, err := b.Finish()
	if err != nil {
		return nil
	}
	return reply
}
