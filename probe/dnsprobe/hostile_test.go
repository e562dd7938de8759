package dnsprobe

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"rollcall/probe"
	"rollcall/probe/option"
	"rollcall/probe/probetest"
)

// header is a query turned into an answer that claims so many records of each section, with rest behind the question.
func header(query []byte, answers, authorities, additionals uint16, rest ...byte) []byte {
	msg := append(append([]byte(nil), query...), rest...)
	msg[2] |= 0x80
	binary.BigEndian.PutUint16(msg[6:], answers)
	binary.BigEndian.PutUint16(msg[8:], authorities)
	binary.BigEndian.PutUint16(msg[10:], additionals)
	return msg
}

// record is one with the name at the offset, and data.
func record(name uint16, rtype uint16, data ...byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, 0xc000|name)
	b = binary.BigEndian.AppendUint16(b, rtype)
	b = append(b, 0, 1, 0, 0, 0, 1)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	return append(b, data...)
}

// badAnswers are answers that end the probe, over each transport.
var badAnswers = map[string]struct {
	answer func(q []byte) []byte
	stage  probe.Stage
	reason probe.Reason
}{
	"65,535 records, and none is there": {func(q []byte) []byte { return header(q, 65535, 65535, 65535) }, probe.StageResponse, probe.ReasonProtocolError},
	"one record fewer than it says": {func(q []byte) []byte {
		return header(q, 2, 0, 0, record(12, dns.TypeA, 192, 0, 2, 1)...)
	}, probe.StageResponse, probe.ReasonProtocolError},
	"a name that points to itself": {func(q []byte) []byte {
		return header(q, 1, 0, 0, record(uint16(len(q)), dns.TypeA, 192, 0, 2, 1)...)
	}, probe.StageResponse, probe.ReasonProtocolError},
	"names that point to each other": {func(q []byte) []byte {
		n := uint16(len(q))
		return header(q, 1, 0, 0, record(n+12, dns.TypeNS, 0xc0|byte((n)>>8), byte(n))...)
	}, probe.StageResponse, probe.ReasonProtocolError},
	"a name that points behind the message": {func(q []byte) []byte {
		return header(q, 1, 0, 0, record(0x3fff, dns.TypeA, 192, 0, 2, 1)...)
	}, probe.StageResponse, probe.ReasonProtocolError},
	"an address of three bytes": {func(q []byte) []byte {
		return header(q, 1, 0, 0, record(12, dns.TypeA, 192, 0, 2)...)
	}, probe.StageResponse, probe.ReasonProtocolError},
	"an address of five bytes": {func(q []byte) []byte {
		return header(q, 1, 0, 0, record(12, dns.TypeA, 192, 0, 2, 1, 1)...)
	}, probe.StageResponse, probe.ReasonProtocolError},
	"an SOA of nothing":     {func(q []byte) []byte { return header(q, 1, 0, 0, record(12, dns.TypeSOA)...) }, probe.StageResponse, probe.ReasonProtocolError},
	"an address of nothing": {func(q []byte) []byte { return header(q, 1, 0, 0, record(12, dns.TypeAAAA)...) }, probe.StageResponse, probe.ReasonProtocolError},
	"data beyond the message": {func(q []byte) []byte {
		m := header(q, 1, 0, 0, record(12, dns.TypeA, 192, 0, 2, 1)...)
		m[len(m)-5] = 99
		return m
	}, probe.StageResponse, probe.ReasonProtocolError},
	"a record of half a header": {func(q []byte) []byte { return header(q, 1, 0, 0, 0xc0, 12, 0, 1, 0) }, probe.StageResponse, probe.ReasonProtocolError},
	"truncated within a record": {func(q []byte) []byte {
		m := header(q, 9, 0, 0, record(12, dns.TypeA, 192, 0, 2, 1)...)
		m[2] |= 2
		return m[:len(m)-1]
	}, probe.StageResponse, probe.ReasonProtocolError},
	"a list of types as long as can be": {func(q []byte) []byte {
		data := []byte{0} // the next name
		for window := range 60 {
			data = append(append(data, byte(window), 32), bytes.Repeat([]byte{0xff}, 32)...)
		}
		return header(q, 1, 0, 0, record(12, dns.TypeNSEC, data...)...)
	}, probe.StageResponse, probe.ReasonProtocolError},
	"a thousand pointers to a long name": {func(q []byte) []byte {
		data := append([]byte{0, 1, 0, 0}, longName...)
		for range 1000 {
			data = binary.BigEndian.AppendUint16(data, 0xc000|uint16(len(q)+12+4))
		}
		return header(q, 1, 0, 0, record(12, dns.TypeHIP, data...)...)
	}, probe.StageResponse, probe.ReasonProtocolError},
	"a refusal without the question": {func(q []byte) []byte {
		return []byte{q[0], q[1], 0x81, 5, 0, 0, 0, 0, 0, 0, 0, 0}
	}, probe.StageCheck, probe.ReasonResponseCode},
	"a refusal that promises the question": {func(q []byte) []byte {
		return []byte{q[0], q[1], 0x81, 5, 0, 1, 0, 0, 0, 0, 0, 0}
	}, probe.StageCheck, probe.ReasonResponseCode},
}

// longName is a name of 196 bytes, whose text is nearly four times as long.
var longName = append([]byte(strings.Repeat("\x3f"+strings.Repeat("\x00", 62)+"x", 3)), 0)

func TestBadAnswerEndsTheProbe(t *testing.T) {
	for name, c := range badAnswers {
		for transport, server := range map[string]struct {
			addr   netip.AddrPort
			change func(*Options)
		}{
			"UDP": {datagrams(t, once(c.answer)), func(*Options) {}},
			"TCP": {probetest.Listen(t, framed(func(q []byte) []byte { return withLength(c.answer(q)) })), overTCP},
		} {
			t.Run(name+" over "+transport, func(t *testing.T) {
				r := ask(t, newOptions(server.change), server.addr.String(), probetest.Enough)
				probetest.WantDown(t, r, c.stage, c.reason)
				if want := (probe.DNSFacts{Succeeded: c.stage == probe.StageCheck}); *r.DNS != want {
					t.Errorf("facts %+v, want %+v", r.DNS, want)
				}
			})
		}
	}
}

// notAnswers are messages that are no answer to the query: over UDP they are ignored, over a stream they end the probe.
func notAnswers(good func(q []byte) []byte) map[string]func(q []byte) []byte {
	return map[string]func(q []byte) []byte{
		"another ID":           func(q []byte) []byte { msg := good(q); msg[0]++; return msg },
		"another question":     func(q []byte) []byte { msg := good(q); msg[13] ^= 'a' ^ 'b'; return msg },
		"another type":         func(q []byte) []byte { msg := good(q); msg[len(q)-3]++; return msg },
		"another class":        func(q []byte) []byte { msg := good(q); msg[len(q)-1]++; return msg },
		"two questions":        func(q []byte) []byte { msg := good(q); msg[5] = 2; return msg },
		"no question":          func(q []byte) []byte { return []byte{q[0], q[1], 0x81, 0, 0, 0, 0, 0, 0, 0, 0, 0} },
		"half a question":      func(q []byte) []byte { return good(q)[:len(q)-2] },
		"the query itself":     func(q []byte) []byte { return q },
		"another operation":    func(q []byte) []byte { msg := good(q); msg[2] |= 0x28; return msg },
		"nothing":              func([]byte) []byte { return nil },
		"half a header":        func(q []byte) []byte { return good(q)[:6] },
		"another protocol":     func([]byte) []byte { return []byte("HTTP/1.1 400 Bad Request\r\n\r\n") },
		"garbage after the ID": func(q []byte) []byte { return append([]byte{q[0], q[1]}, "\x80garbage"...) },
	}
}

func TestDatagramsThatAreNoAnswerAreIgnored(t *testing.T) {
	good := replying(t, threeSections)
	for name, bad := range notAnswers(good) {
		t.Run(name, func(t *testing.T) {
			before := datagrams(t, func(q []byte) (all [][]byte) {
				for range 50 {
					all = append(all, bad(q))
				}
				return append(all, good(q))
			})
			r := ask(t, newOptions(), before.String(), probetest.Enough)
			probetest.WantUp(t, r)
			if r.DNS.Answers != 2 {
				t.Errorf("facts %+v", r.DNS)
			}
			reason := probe.ReasonProtocolError
			if q := mustQuery(t).packed; len(bad(q)) < 2 || bad(q)[0] != q[0] {
				reason = probe.ReasonTimeout // without our ID it may be anyone's
			}
			r = ask(t, newOptions(), datagrams(t, once(bad)).String(), probetest.Soon)
			probetest.WantDown(t, r, probe.StageResponse, reason)
		})
	}
}

// The server keeps the connection open: the deadline is far away.
func TestGarbageOverAStreamEndsTheProbeAtOnce(t *testing.T) {
	good := replying(t, threeSections)
	ca := probetest.NewAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{ca.Issue()}}
	garbage := map[string]func(q []byte) []byte{
		"a banner":                       func([]byte) []byte { return []byte("SSH-2.0-OpenSSH_9.2\r\n") },
		"four bytes":                     func([]byte) []byte { return []byte("ERR\n") },
		"another protocol":               func([]byte) []byte { return []byte("HTTP/1.1 400 Bad Request\r\n\r\n") },
		"an answer without its length":   good,
		"a length, and then garbage":     func(q []byte) []byte { return append([]byte{0x40, 0}, "garbage"...) },
		"a length of less than a header": func([]byte) []byte { return []byte{0, 11} },
	}
	for name, bad := range notAnswers(good) {
		garbage[name+" in a frame"] = func(q []byte) []byte { return withLength(bad(q)) }
	}
	for name, answer := range garbage {
		t.Run(name, func(t *testing.T) {
			r := ask(t, newOptions(overTCP), probetest.Listen(t, framed(answer)).String(), time.Minute)
			probetest.WantDown(t, r, probe.StageResponse, probe.ReasonProtocolError)
			secured := newOptions(overTCP, func(o *Options) { o.DNSOverTLS, o.TLSConfig.CA = true, ca.PEM })
			r = ask(t, secured, probetest.Listen(t, probetest.TLSServer(config, framed(answer))).String(), time.Minute)
			probetest.WantDown(t, r, probe.StageResponse, probe.ReasonProtocolError)
		})
	}
}

func TestUnusualAnswersOverUDP(t *testing.T) {
	good := replying(t, threeSections)
	for name, c := range map[string]struct {
		answer func(q []byte) []byte
		want   probe.DNSFacts // zero: down
	}{
		"the name in other letters":    {func(q []byte) []byte { msg := good(q); msg[13] = 'A'; return msg }, probe.DNSFacts{Succeeded: true, Answers: 2, Authorities: 1, Additionals: 3}},
		"bytes behind the last record": {func(q []byte) []byte { return append(good(q), "behind"...) }, probe.DNSFacts{Succeeded: true, Answers: 2, Authorities: 1, Additionals: 3}},
		"a datagram that is too large": {func(q []byte) []byte { return append(good(q), make([]byte, 8<<10)...) }, probe.DNSFacts{}},
		"truncated between records": {func(q []byte) []byte {
			m := header(q, 9, 0, 0, record(12, dns.TypeA, 192, 0, 2, 1)...)
			m[2] |= 2
			return m
		}, probe.DNSFacts{Succeeded: true, Truncated: true, Answers: 1}},
		"truncated, and complete": {func(q []byte) []byte { m := good(q); m[2] |= 2; return m }, probe.DNSFacts{Succeeded: true, Truncated: true, Answers: 2, Authorities: 1, Additionals: 3}},
		"a text of nothing":       {func(q []byte) []byte { return header(q, 1, 0, 0, record(12, dns.TypeTXT)...) }, probe.DNSFacts{Succeeded: true, Answers: 1}},
		"an unknown type":         {func(q []byte) []byte { return header(q, 1, 0, 0, record(12, 4711)...) }, probe.DNSFacts{Succeeded: true, Answers: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			r := ask(t, newOptions(), datagrams(t, once(c.answer)).String(), probetest.Enough)
			if c.want.Succeeded {
				probetest.WantUp(t, r)
			} else {
				probetest.WantDown(t, r, probe.StageResponse, probe.ReasonProtocolError)
			}
			if *r.DNS != c.want {
				t.Errorf("facts %+v, want %+v", *r.DNS, c.want)
			}
		})
	}
}

func TestSilenceOverUDPIsATimeout(t *testing.T) {
	r := ask(t, newOptions(), datagrams(t, func([]byte) [][]byte { return nil }).String(), probetest.Soon)
	probetest.WantDown(t, r, probe.StageResponse, probe.ReasonTimeout)
}

func TestHostileAnswersOverTCP(t *testing.T) {
	good := replying(t, threeSections)
	hold := make(chan struct{})
	defer close(hold)
	large := func(q []byte) []byte {
		msg := header(q, 4000, 0, 0)
		for range 4000 {
			msg = append(msg, record(12, dns.TypeA, 192, 0, 2, 1)...)
		}
		return withLength(msg)
	}
	drip := func(c net.Conn) {
		framed(func(q []byte) []byte {
			msg := withLength(good(q))
			for i := range len(msg) - 1 {
				c.Write(msg[i : i+1])
				<-time.After(time.Millisecond)
			}
			return msg[len(msg)-1:]
		})(c)
	}
	reads := func(after func(c net.Conn)) func(net.Conn) {
		return func(c net.Conn) {
			c.Read(make([]byte, 512))
			after(c)
		}
	}
	ca := probetest.NewAuthority(t)
	dot := func(o *Options) { overTCP(o); o.DNSOverTLS, o.TLSConfig.CA = true, ca.PEM }
	for name, c := range map[string]struct {
		serve   func(net.Conn)
		change  func(*Options)
		limit   time.Duration
		stage   probe.Stage
		reason  probe.Reason // empty: up
		answers int
	}{
		"silence":                        {func(net.Conn) { <-hold }, overTCP, probetest.Soon, probe.StageResponse, probe.ReasonTimeout, 0},
		"half a length":                  {reads(func(c net.Conn) { c.Write([]byte{0}) }), overTCP, probetest.Enough, probe.StageResponse, probe.ReasonConnectionClosed, 0},
		"half a length, and silence":     {reads(func(c net.Conn) { c.Write([]byte{0}); <-hold }), overTCP, probetest.Soon, probe.StageResponse, probe.ReasonTimeout, 0},
		"less than it says":              {reads(func(c net.Conn) { c.Write([]byte{255, 255, 0}) }), overTCP, probetest.Enough, probe.StageResponse, probe.ReasonConnectionClosed, 0},
		"less than it says, and silence": {reads(func(c net.Conn) { c.Write([]byte{255, 255, 0}); <-hold }), overTCP, probetest.Soon, probe.StageResponse, probe.ReasonTimeout, 0},
		"half an answer": {func(c net.Conn) {
			q := make([]byte, 512)
			n, _ := c.Read(q)
			msg := withLength(good(q[2:n]))
			c.Write(msg[:len(msg)/2])
		}, overTCP, probetest.Enough, probe.StageResponse, probe.ReasonConnectionClosed, 0},
		"an end instead of an answer":      {reads(func(net.Conn) {}), overTCP, probetest.Enough, probe.StageResponse, probe.ReasonConnectionClosed, 0},
		"a reset instead of an answer":     {reads(probetest.Reset), overTCP, probetest.Enough, probe.StageResponse, probe.ReasonConnectionReset, 0},
		"byte by byte":                     {drip, overTCP, probetest.Enough, "", "", 2},
		"64 KiB":                           {framed(large), overTCP, probetest.Enough, "", "", 4000},
		"plain text where TLS is expected": {framed(func(q []byte) []byte { return withLength(good(q)) }), dot, 3 * probetest.Soon, probe.StageTLS, probe.ReasonTimeout, 0},
		"a banner where TLS is expected":   {reads(func(c net.Conn) { io.WriteString(c, "SSH-2.0-OpenSSH_9.2\r\n") }), dot, probetest.Enough, probe.StageTLS, probe.ReasonNotTLS, 0},
		"silence where TLS is expected":    {func(net.Conn) { <-hold }, dot, probetest.Soon, probe.StageTLS, probe.ReasonTimeout, 0},
		"a certificate of an unknown authority": {probetest.TLSServer(&tls.Config{Certificates: []tls.Certificate{probetest.NewAuthority(t).Issue()}}, framed(func(q []byte) []byte { return withLength(good(q)) })),
			dot, probetest.Enough, probe.StageTLS, probe.ReasonCertificateAuthority, 0},
		"a handshake and then the end": {probetest.TLSServer(&tls.Config{Certificates: []tls.Certificate{ca.Issue()}}, reads(func(net.Conn) {})),
			dot, probetest.Enough, probe.StageResponse, probe.ReasonConnectionClosed, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := ask(t, newOptions(c.change), probetest.Listen(t, c.serve).String(), c.limit)
			if c.reason == "" {
				probetest.WantUp(t, r)
			} else {
				probetest.WantDown(t, r, c.stage, c.reason)
			}
			if r.DNS.Answers != c.answers {
				t.Errorf("facts %+v, want %d answers", r.DNS, c.answers)
			}
		})
	}
}

// The records' names are as long as can be, and the expression is a slow one.
func TestSlowRegexpsStopAtTheDeadline(t *testing.T) {
	large := func(q []byte) []byte {
		msg := header(q, 4000, 0, 0, append(longName[:len(longName):len(longName)], 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 1, 1, 1, 1)...)
		for range 3999 {
			msg = append(msg, record(uint16(len(q)), dns.TypeA, 192, 0, 2, 1)...)
		}
		return withLength(msg)
	}
	o := newOptions(overTCP)
	o.ValidateAnswer.FailIfMatchesRegexp = []option.LateRegexp{{Regexp: probetest.MustRegexp(`([\\0x.]{1,50}){1,20}y`)}}
	ctx, cancel := context.WithTimeout(t.Context(), 3*probetest.Soon)
	defer cancel()
	start := time.Now()
	_, err := compile(t, o).Probe(ctx, probe.Request{Target: probetest.Listen(t, framed(large)).String()})
	probetest.WantExporterError(t, err, probe.FaultExpression)
	if took := time.Since(start); took > 20*time.Second { // all of it takes far longer
		t.Errorf("it took %s", took)
	}
}

// The server sends as long as the test runs, and the deadline is far away.
func TestFloodOfDatagramsEndsTheProbe(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	defer serving.Wait()
	defer server.Close()
	serving.Go(func() {
		b := make([]byte, 512)
		n, from, err := server.ReadFrom(b)
		for b[0]++; err == nil; {
			_, err = server.WriteTo(b[:n], from)
		}
	})
	r := ask(t, newOptions(), server.LocalAddr().String(), time.Minute)
	probetest.WantDown(t, r, probe.StageResponse, probe.ReasonProtocolError)
}

// An answer that is right in every way but comes from another address.
func TestAnswerFromAnotherAddressIsIgnored(t *testing.T) {
	good := replying(t, threeSections)
	other, err := net.ListenPacket("udp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		b := make([]byte, 512)
		if n, from, err := server.ReadFrom(b); err == nil {
			other.WriteTo(good(b[:n]), from)
		}
	}()
	probetest.WantDown(t, ask(t, newOptions(), server.LocalAddr().String(), 2*probetest.Soon), probe.StageResponse, probe.ReasonTimeout)
}

func TestEachProbeHasAnotherID(t *testing.T) {
	const probes = 20
	ids := make(chan uint16, probes)
	good := replying(t, threeSections)
	addr := datagrams(t, once(func(q []byte) []byte {
		ids <- binary.BigEndian.Uint16(q)
		return good(q)
	})).String()
	seen := map[uint16]bool{}
	for range probes {
		probetest.WantUp(t, ask(t, newOptions(), addr, probetest.Enough))
		seen[<-ids] = true
	}
	if len(seen) < probes-2 {
		t.Errorf("%d probes used %d ids", probes, len(seen))
	}
}

func mustQuery(t testing.TB) query {
	t.Helper()
	q, err := newQuery("a.test", dns.TypeA, dns.ClassINET, true)
	if err != nil {
		t.Fatal(err)
	}
	return q
}
