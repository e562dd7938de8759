package probetest

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// NameServer answers each query on a loopback port with reply, until the test ends. A nil answer is silence; one
// that does not fit into a datagram is there for TCP alone, and said to be truncated.
func NameServer(t testing.TB, reply func(dnsmessage.Question) *dnsmessage.Message) string {
	t.Helper()
	l, c := listenBoth(t)
	answer := func(packed []byte) []byte {
		var query dnsmessage.Message
		if query.Unpack(packed) != nil {
			return nil
		}
		m := reply(query.Questions[0])
		if m == nil {
			return nil
		}
		m.ID, m.Response, m.Questions = query.ID, true, query.Questions
		packed, _ = m.Pack()
		return packed
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		b := make([]byte, 4096)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			packed := answer(b[:n])
			if len(packed) > 1232 {
				var m dnsmessage.Message
				m.Unpack(packed)
				m.Truncated, m.RCode, m.Answers, m.Additionals = true, dnsmessage.RCodeSuccess, nil, nil
				packed, _ = m.Pack()
			}
			c.WriteTo(packed, from)
		}
	})
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 4096)
			if n, _ := conn.Read(b); n > 2 {
				packed := answer(b[2:n])
				conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...))
			}
			conn.Close()
		}
	})
	t.Cleanup(func() {
		c.Close()
		l.Close()
		serving.Wait()
	})
	return c.LocalAddr().String()
}

// Answering is an answer with those of the addresses that the question is for.
func Answering(q dnsmessage.Question, addrs ...string) *dnsmessage.Message {
	m := &dnsmessage.Message{Header: dnsmessage.Header{RecursionAvailable: true}}
	for _, text := range addrs {
		addr := netip.MustParseAddr(text)
		header := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, Type: q.Type, TTL: 60}
		switch {
		case addr.Is4() && q.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: addr.As4()}})
		case addr.Is6() && q.Type == dnsmessage.TypeAAAA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}})
		}
	}
	return m
}

// listenBoth finds a loopback port that is free for TCP and UDP.
func listenBoth(t testing.TB) (net.Listener, net.PacketConn) {
	t.Helper()
	for range 50 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if c, err := net.ListenPacket("udp", l.Addr().String()); err == nil {
			return l, c
		}
		l.Close()
	}
	t.Fatal("no port is free for TCP and UDP")
	return nil, nil
}
