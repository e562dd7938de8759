package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// nameServer answers each query on a loopback port with reply, until the test ends. A nil answer is silence; one
// that does not fit into a datagram is there for TCP alone, and said to be truncated.
func nameServer(t testing.TB, reply func(dnsmessage.Question) *dnsmessage.Message) string {
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

// answering is an answer with those of the addresses that the question is for.
func answering(q dnsmessage.Question, addrs ...string) *dnsmessage.Message {
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

func saying(code dnsmessage.RCode) func(dnsmessage.Question) *dnsmessage.Message {
	return func(dnsmessage.Question) *dnsmessage.Message {
		return &dnsmessage.Message{Header: dnsmessage.Header{RecursionAvailable: true, RCode: code}}
	}
}

func TestResolveTakesAddressesAsTheyAre(t *testing.T) {
	for host, want := range map[string]string{
		"192.0.2.1":        "192.0.2.1",
		"2001:db8::1":      "2001:db8::1",
		"::ffff:192.0.2.1": "192.0.2.1",
		"fe80::1%lo":       "fe80::1%lo",
	} {
		r, err := ipPolicy{fallback: true, server: "127.0.0.1:1"}.resolve(t.Context(), host)
		if err != nil || r.Addr.String() != want {
			t.Errorf("%s: got %s, %v, want %s", host, r.Addr, err, want)
		}
	}
	for host, prefer := range map[string]IPProtocol{"192.0.2.1": "ip6", "::ffff:192.0.2.1": "", "2001:db8::1": "ip4"} {
		r, err := ipPolicy{prefer: prefer}.resolve(t.Context(), host)
		wantFailure(t, err, StageResolve, ReasonNoIPProtocol)
		if r.Addr.IsValid() {
			t.Errorf("%s: got %s for %q alone", host, r.Addr, prefer)
		}
	}
}

// A system resolver takes 127.1 for 127.0.0.1; a guard that judged the name would be passed by.
func TestResolveInterpretsNoOddAddresses(t *testing.T) {
	server := nameServer(t, saying(dnsmessage.RCodeNameError))
	for _, host := range []string{"0x7f.1", "127.1", "2130706433", "0177.0.0.1", "127.0.0.1.", "127.0.0.01", "[::1]", "::1%"} {
		r, err := ipPolicy{fallback: true, server: server}.resolve(t.Context(), host)
		wantFailure(t, err, StageResolve, ReasonNoSuchHost)
		if r.Addr.IsValid() {
			t.Errorf("%q became %s", host, r.Addr)
		}
	}
}

func TestResolveChoosesOneAddress(t *testing.T) {
	server := nameServer(t, func(q dnsmessage.Question) *dnsmessage.Message {
		switch q.Name.String() {
		case "both.test.":
			return answering(q, "127.0.0.2", "127.0.0.3", "::1")
		case "four.test.":
			return answering(q, "127.0.0.2")
		case "six.test.":
			return answering(q, "::1")
		case "mapped.test.":
			return answering(q, "::ffff:127.0.0.4")
		}
		return saying(dnsmessage.RCodeNameError)(q)
	})
	for name, c := range map[string]struct {
		policy ipPolicy
		host   string
		want   string // empty: no_ip_protocol
	}{
		"ip6 is preferred by default":      {ipPolicy{fallback: true}, "both.test", "::1"},
		"ip6 is preferred":                 {ipPolicy{prefer: "ip6", fallback: true}, "both.test", "::1"},
		"ip4 is preferred":                 {ipPolicy{prefer: "ip4", fallback: true}, "both.test", "127.0.0.2"},
		"ip6 falls back":                   {ipPolicy{prefer: "ip6", fallback: true}, "four.test", "127.0.0.2"},
		"ip4 falls back":                   {ipPolicy{prefer: "ip4", fallback: true}, "six.test", "::1"},
		"ip4 alone":                        {ipPolicy{prefer: "ip4"}, "both.test", "127.0.0.2"},
		"ip6 alone":                        {ipPolicy{}, "both.test", "::1"},
		"ip6 alone, and there is none":     {ipPolicy{prefer: "ip6"}, "four.test", ""},
		"ip4 alone, and there is none":     {ipPolicy{prefer: "ip4"}, "six.test", ""},
		"a mapped address in AAAA is IPv4": {ipPolicy{fallback: true}, "mapped.test", "127.0.0.4"},
	} {
		t.Run(name, func(t *testing.T) {
			c.policy.server = server
			r, err := c.policy.resolve(t.Context(), c.host)
			if c.want == "" {
				wantFailure(t, err, StageResolve, ReasonNoIPProtocol)
			} else if err != nil || r.Addr.String() != c.want {
				t.Errorf("got %s, %v, want %s", r.Addr, err, c.want)
			}
			if r.Duration <= 0 {
				t.Error("a lookup takes time")
			}
		})
	}
}

func TestResolveTellsFailuresApart(t *testing.T) {
	lame := func(dnsmessage.Question) *dnsmessage.Message { return new(dnsmessage.Message) }
	loop := func(q dnsmessage.Question) *dnsmessage.Message {
		m := answering(q)
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, Type: dnsmessage.TypeCNAME, TTL: 1},
			Body:   &dnsmessage.CNAMEResource{CNAME: q.Name},
		}}
		return m
	}
	for name, c := range map[string]struct {
		reply  func(dnsmessage.Question) *dnsmessage.Message
		reason Reason
	}{
		"NXDOMAIN":         {saying(dnsmessage.RCodeNameError), ReasonNoSuchHost},
		"SERVFAIL":         {saying(dnsmessage.RCodeServerFailure), ReasonDNSFailure},
		"REFUSED":          {saying(dnsmessage.RCodeRefused), ReasonDNSFailure},
		"a lame server":    {lame, ReasonDNSFailure},
		"silence":          {func(dnsmessage.Question) *dnsmessage.Message { return nil }, ReasonTimeout},
		"an empty answer":  {func(q dnsmessage.Question) *dnsmessage.Message { return answering(q) }, ReasonNoAddress},
		"a loop of CNAMEs": {loop, ReasonNoAddress},
	} {
		for _, fallback := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				server := nameServer(t, c.reply)
				ctx, cancel := context.WithTimeout(t.Context(), 3*soon)
				defer cancel()
				r, err := ipPolicy{fallback: fallback, server: server}.resolve(ctx, "rollcall.test")
				wantFailure(t, err, StageResolve, c.reason)
				if r.Addr.IsValid() || r.Duration <= 0 {
					t.Errorf("got %+v", r)
				}
			})
		}
	}
	t.Run("no server at all", func(t *testing.T) {
		_, err := ipPolicy{fallback: true, server: closedPort(t).String()}.resolve(t.Context(), "rollcall.test")
		wantFailure(t, err, StageResolve, ReasonDNSFailure)
	})
}

// A name server that says yes after a probe is over must find nobody waiting, and no socket.
func TestResolveLetsGoWhenTheProbeIsOver(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server := nameServer(t, func(dnsmessage.Question) *dnsmessage.Message {
		cancel()
		return nil
	})
	_, err := ipPolicy{fallback: true, server: server}.resolve(ctx, "rollcall.test")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	// goleak, at the end of the tests, would find net.Resolver's goroutines, which wait for five seconds otherwise.
}

func TestResolveFollowsATruncatedAnswerToTCP(t *testing.T) {
	many := func(q dnsmessage.Question) *dnsmessage.Message {
		m := answering(q)
		for i := range 2000 {
			addr := netip.AddrFrom4([4]byte{127, 1, byte(i >> 8), byte(i)})
			m.Answers = append(m.Answers, answering(q, addr.String()).Answers...)
		}
		return m
	}
	server := nameServer(t, many)
	r, err := ipPolicy{prefer: "ip4", fallback: true, server: server}.resolve(t.Context(), "many.test")
	if err != nil || r.Addr.String() != "127.1.0.0" {
		t.Errorf("got %s, %v", r.Addr, err)
	}

	// Truncated and NOERROR over UDP, NXDOMAIN over TCP: the former does not count.
	server = nameServer(t, func(q dnsmessage.Question) *dnsmessage.Message {
		m := saying(dnsmessage.RCodeNameError)(q)
		for range 100 {
			m.Additionals = append(m.Additionals, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, Type: dnsmessage.TypeA, TTL: 60},
				Body:   &dnsmessage.AResource{},
			})
		}
		return m
	})
	_, err = ipPolicy{fallback: true, server: server}.resolve(t.Context(), "rollcall.test")
	wantFailure(t, err, StageResolve, ReasonNoSuchHost)
}
