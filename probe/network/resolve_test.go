package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"rollcall/probe"
	"rollcall/probe/option"
	"rollcall/probe/probetest"
)

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
		r, err := Resolver{Fallback: true, Server: "127.0.0.1:1"}.Resolve(t.Context(), host)
		if err != nil || r.Addr.String() != want {
			t.Errorf("%s: got %s, %v, want %s", host, r.Addr, err, want)
		}
	}
	for host, prefer := range map[string]option.IPProtocol{"192.0.2.1": "ip6", "::ffff:192.0.2.1": "", "2001:db8::1": "ip4"} {
		r, err := Resolver{Prefer: prefer}.Resolve(t.Context(), host)
		probetest.WantFailure(t, err, probe.StageResolve, probe.ReasonNoIPProtocol)
		if r.Addr.IsValid() {
			t.Errorf("%s: got %s for %q alone", host, r.Addr, prefer)
		}
	}
}

// A system resolver takes 127.1 for 127.0.0.1; a guard that judged the name would be passed by.
func TestResolveInterpretsNoOddAddresses(t *testing.T) {
	server := probetest.NameServer(t, saying(dnsmessage.RCodeNameError))
	for _, host := range []string{"0x7f.1", "127.1", "2130706433", "0177.0.0.1", "127.0.0.1.", "127.0.0.01", "[::1]", "::1%"} {
		r, err := Resolver{Fallback: true, Server: server}.Resolve(t.Context(), host)
		probetest.WantFailure(t, err, probe.StageResolve, probe.ReasonNoSuchHost)
		if r.Addr.IsValid() {
			t.Errorf("%q became %s", host, r.Addr)
		}
	}
}

func TestResolveChoosesOneAddress(t *testing.T) {
	server := probetest.NameServer(t, func(q dnsmessage.Question) *dnsmessage.Message {
		switch q.Name.String() {
		case "both.test.":
			return probetest.Answering(q, "127.0.0.2", "127.0.0.3", "::1")
		case "four.test.":
			return probetest.Answering(q, "127.0.0.2")
		case "six.test.":
			return probetest.Answering(q, "::1")
		case "mapped.test.":
			return probetest.Answering(q, "::ffff:127.0.0.4")
		}
		return saying(dnsmessage.RCodeNameError)(q)
	})
	for name, c := range map[string]struct {
		policy Resolver
		host   string
		want   string // empty: no_ip_protocol
	}{
		"ip6 is preferred by default":      {Resolver{Fallback: true}, "both.test", "::1"},
		"ip6 is preferred":                 {Resolver{Prefer: "ip6", Fallback: true}, "both.test", "::1"},
		"ip4 is preferred":                 {Resolver{Prefer: "ip4", Fallback: true}, "both.test", "127.0.0.2"},
		"ip6 falls back":                   {Resolver{Prefer: "ip6", Fallback: true}, "four.test", "127.0.0.2"},
		"ip4 falls back":                   {Resolver{Prefer: "ip4", Fallback: true}, "six.test", "::1"},
		"ip4 alone":                        {Resolver{Prefer: "ip4"}, "both.test", "127.0.0.2"},
		"ip6 alone":                        {Resolver{}, "both.test", "::1"},
		"ip6 alone, and there is none":     {Resolver{Prefer: "ip6"}, "four.test", ""},
		"ip4 alone, and there is none":     {Resolver{Prefer: "ip4"}, "six.test", ""},
		"a mapped address in AAAA is IPv4": {Resolver{Fallback: true}, "mapped.test", "127.0.0.4"},
	} {
		t.Run(name, func(t *testing.T) {
			c.policy.Server = server
			r, err := c.policy.Resolve(t.Context(), c.host)
			if c.want == "" {
				probetest.WantFailure(t, err, probe.StageResolve, probe.ReasonNoIPProtocol)
			} else if err != nil || r.Addr.String() != c.want {
				t.Errorf("got %s, %v, want %s", r.Addr, err, c.want)
			}
			if r.Duration <= 0 {
				t.Error("a lookup takes time")
			}
		})
	}
}

// TestFaultOfOneServerIsNotThatOfTheName: an IPv6 server that a host without IPv6 cannot reach takes no other's answer away.
func TestFaultOfOneServerIsNotThatOfTheName(t *testing.T) {
	var notes dnsNotes
	notes.fault.Store(&probe.ExporterError{Fault: probe.FaultRoute, Err: errors.New("no route")})
	failed := &net.DNSError{Err: "server misbehaving", Name: "x.test", IsTemporary: true}
	probetest.WantExporterError(t, notes.classify(t.Context(), "x.test", failed), probe.FaultRoute)
	notes.answer([]byte{0, 1, 0x81, 0x82, 0, 1, 0, 0, 0, 0, 0, 0}) // SERVFAIL
	probetest.WantFailure(t, notes.classify(t.Context(), "x.test", failed), probe.StageResolve, probe.ReasonDNSFailure)
}

func TestResolveTellsFailuresApart(t *testing.T) {
	lame := func(dnsmessage.Question) *dnsmessage.Message { return new(dnsmessage.Message) }
	loop := func(q dnsmessage.Question) *dnsmessage.Message {
		m := probetest.Answering(q)
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, Type: dnsmessage.TypeCNAME, TTL: 1},
			Body:   &dnsmessage.CNAMEResource{CNAME: q.Name},
		}}
		return m
	}
	for name, c := range map[string]struct {
		reply  func(dnsmessage.Question) *dnsmessage.Message
		reason probe.Reason
	}{
		"NXDOMAIN":         {saying(dnsmessage.RCodeNameError), probe.ReasonNoSuchHost},
		"SERVFAIL":         {saying(dnsmessage.RCodeServerFailure), probe.ReasonDNSFailure},
		"REFUSED":          {saying(dnsmessage.RCodeRefused), probe.ReasonDNSFailure},
		"a lame server":    {lame, probe.ReasonDNSFailure},
		"silence":          {func(dnsmessage.Question) *dnsmessage.Message { return nil }, probe.ReasonTimeout},
		"an empty answer":  {func(q dnsmessage.Question) *dnsmessage.Message { return probetest.Answering(q) }, probe.ReasonNoAddress},
		"a loop of CNAMEs": {loop, probe.ReasonNoAddress},
	} {
		for _, fallback := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				server := probetest.NameServer(t, c.reply)
				limit := probetest.Enough
				if c.reason == probe.ReasonTimeout {
					limit = 3 * probetest.Soon
				}
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				r, err := Resolver{Fallback: fallback, Server: server}.Resolve(ctx, "rollcall.test")
				probetest.WantFailure(t, err, probe.StageResolve, c.reason)
				if r.Addr.IsValid() || r.Duration <= 0 {
					t.Errorf("got %+v", r)
				}
			})
		}
	}
	t.Run("no server at all", func(t *testing.T) {
		_, err := Resolver{Fallback: true, Server: probetest.ClosedPort(t).String()}.Resolve(t.Context(), "rollcall.test")
		probetest.WantFailure(t, err, probe.StageResolve, probe.ReasonDNSFailure)
	})
}

// A name server that says yes after a probe is over must find no goroutine and no socket.
func TestResolveLetsGoWhenTheProbeIsOver(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server := probetest.NameServer(t, func(dnsmessage.Question) *dnsmessage.Message {
		cancel()
		return nil
	})
	_, err := Resolver{Fallback: true, Server: server}.Resolve(ctx, "rollcall.test")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	// goleak, at the end of the tests, would find net.Resolver's goroutines, which wait for five seconds otherwise.
}

func TestResolveFollowsATruncatedAnswerToTCP(t *testing.T) {
	many := func(q dnsmessage.Question) *dnsmessage.Message {
		m := probetest.Answering(q)
		for i := range 2000 {
			addr := netip.AddrFrom4([4]byte{127, 1, byte(i >> 8), byte(i)})
			m.Answers = append(m.Answers, probetest.Answering(q, addr.String()).Answers...)
		}
		return m
	}
	server := probetest.NameServer(t, many)
	r, err := Resolver{Prefer: "ip4", Fallback: true, Server: server}.Resolve(t.Context(), "many.test")
	if err != nil || r.Addr.String() != "127.1.0.0" {
		t.Errorf("got %s, %v", r.Addr, err)
	}

	// Truncated and NOERROR over UDP, NXDOMAIN over TCP: the former does not count.
	server = probetest.NameServer(t, func(q dnsmessage.Question) *dnsmessage.Message {
		m := saying(dnsmessage.RCodeNameError)(q)
		for range 100 {
			m.Additionals = append(m.Additionals, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, Type: dnsmessage.TypeA, TTL: 60},
				Body:   &dnsmessage.AResource{},
			})
		}
		return m
	})
	_, err = Resolver{Fallback: true, Server: server}.Resolve(t.Context(), "rollcall.test")
	probetest.WantFailure(t, err, probe.StageResolve, probe.ReasonNoSuchHost)
}

func TestResolveUsesTheFamilyThatIsAnswered(t *testing.T) {
	for dropped, want := range map[dnsmessage.Type]string{dnsmessage.TypeAAAA: "127.0.0.4", dnsmessage.TypeA: "::6"} {
		for _, prefer := range []option.IPProtocol{"ip4", "ip6"} {
			t.Run(fmt.Sprintf("%v dropped, %s preferred", dropped, prefer), func(t *testing.T) {
				server := probetest.NameServer(t, func(q dnsmessage.Question) *dnsmessage.Message {
					if q.Type == dropped {
						return nil
					}
					return probetest.Answering(q, "127.0.0.4", "::6")
				})
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				r, err := Resolver{Prefer: prefer, Fallback: true, Server: server}.Resolve(ctx, "half.test")
				if err != nil || r.Addr.String() != want {
					t.Errorf("got %v, %v; want %s", r.Addr, err, want)
				}
			})
		}
	}
}

// Filters of advertisements answer 0.0.0.0 for the names they block; dialling that reaches this machine.
func TestResolveTakesNoUnspecifiedAddress(t *testing.T) {
	server := probetest.NameServer(t, func(q dnsmessage.Question) *dnsmessage.Message {
		return probetest.Answering(q, "0.0.0.0", "::")
	})
	for _, r := range []Resolver{{Server: server, Fallback: true}, {Server: server, Prefer: "ip4"}} {
		_, err := r.Resolve(t.Context(), "blocked.test")
		probetest.WantFailure(t, err, probe.StageResolve, probe.ReasonNoAddress)
	}
}
