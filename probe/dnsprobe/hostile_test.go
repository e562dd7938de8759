package dnsprobe

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

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

func TestDNSEndures(t *testing.T) {
	good := replying(t, threeSections)
	strays := func(n int, make func(q []byte) []byte) func(q []byte) [][]byte {
		return func(q []byte) (all [][]byte) {
			for range n {
				all = append(all, make(q))
			}
			return append(all, good(q))
		}
	}
	otherID := func(q []byte) []byte {
		msg := good(q)
		msg[0]++
		return msg
	}
	otherQuestion := func(q []byte) []byte {
		msg := good(q)
		msg[13] ^= 'a' ^ 'b'
		return msg
	}
	only := func(make func(q []byte) []byte) func(q []byte) [][]byte { return once(make) }
	for name, c := range map[string]struct {
		answer func(q []byte) [][]byte
		limit  time.Duration
		stage  probe.Stage
		reason probe.Reason // empty: up
	}{
		"silence":                              {func([]byte) [][]byte { return nil }, probetest.Soon, probe.StageResponse, probe.ReasonTimeout},
		"answers with other ids before it":     {answer: strays(50, otherID), limit: probetest.Enough},
		"answers to other questions before it": {answer: strays(50, otherQuestion), limit: probetest.Enough},
		"its own query before it":              {answer: strays(1, func(q []byte) []byte { return q }), limit: probetest.Enough},
		"empty datagrams before it":            {answer: strays(3, func([]byte) []byte { return nil }), limit: probetest.Enough},
		"nonsense before it":                   {answer: strays(3, func([]byte) []byte { return []byte("HTTP/1.1 400 Bad Request\r\n\r\n") }), limit: probetest.Enough},
		"another operation before it":          {answer: strays(1, func(q []byte) []byte { msg := good(q); msg[2] |= 0x28; return msg }), limit: probetest.Enough},
		"answers with other ids alone":         {only(otherID), probetest.Soon, probe.StageResponse, probe.ReasonTimeout},
		"answers to other questions alone":     {only(otherQuestion), probetest.Soon, probe.StageResponse, probe.ReasonProtocolError},
		"nonsense with the right id":           {only(func(q []byte) []byte { return append(append([]byte(nil), q[0], q[1]), "\x80nonsense"...) }), probetest.Soon, probe.StageResponse, probe.ReasonProtocolError},
		"its own query, and nothing else":      {only(func(q []byte) []byte { return q }), probetest.Soon, probe.StageResponse, probe.ReasonProtocolError},
		"only nonsense":                        {only(func([]byte) []byte { return []byte("SSH-2.0-x\r\n") }), probetest.Soon, probe.StageResponse, probe.ReasonTimeout},
		"the name in other letters":            {answer: only(func(q []byte) []byte { msg := good(q); msg[13] = 'A'; return msg }), limit: probetest.Enough},
		"65,535 records, and none is there":    {only(func(q []byte) []byte { return header(q, 65535, 65535, 65535) }), probetest.Enough, probe.StageResponse, probe.ReasonProtocolError},
		"one record fewer than it says":        {only(func(q []byte) []byte { return header(q, 2, 0, 0, record(12, 1, 192, 0, 2, 1)...) }), probetest.Enough, probe.StageResponse, probe.ReasonProtocolError},
		"a name that points to itself":         {only(func(q []byte) []byte { return header(q, 1, 0, 0, record(uint16(len(q)), 1, 192, 0, 2, 1)...) }), probetest.Enough, probe.StageResponse, probe.ReasonProtocolError},
		"names that point to each other": {only(func(q []byte) []byte {
			n := uint16(len(q))
			return header(q, 1, 0, 0, record(n+12, 2, 0xc0|byte((n)>>8), byte(n))...)
		}), probetest.Enough, probe.StageResponse, probe.ReasonProtocolError},
		"a name that points behind the message": {only(func(q []byte) []byte { return header(q, 1, 0, 0, record(0x3fff, 1, 192, 0, 2, 1)...) }), probetest.Enough, probe.StageResponse, probe.ReasonProtocolError},
		"an address of three bytes":             {only(func(q []byte) []byte { return header(q, 1, 0, 0, record(12, 1, 192, 0, 2)...) }), probetest.Enough, probe.StageResponse, probe.ReasonProtocolError},
		"an address of five bytes":              {only(func(q []byte) []byte { return header(q, 1, 0, 0, record(12, 1, 192, 0, 2, 1, 1)...) }), probetest.Enough, probe.StageResponse, probe.ReasonProtocolError},
		"an SOA of nothing":                     {only(func(q []byte) []byte { return header(q, 1, 0, 0, record(12, 6)...) }), probetest.Enough, probe.StageResponse, probe.ReasonProtocolError},
		"data beyond the message": {only(func(q []byte) []byte {
			m := header(q, 1, 0, 0, record(12, 1, 192, 0, 2, 1)...)
			m[len(m)-5] = 99
			return m
		}), probetest.Enough, probe.StageResponse, probe.ReasonProtocolError},
		"bytes behind the last record": {answer: only(func(q []byte) []byte { return append(good(q), "behind"...) }), limit: probetest.Enough},
		"a datagram that is too large": {only(func(q []byte) []byte { return append(good(q), make([]byte, 8<<10)...) }), probetest.Enough, probe.StageResponse, probe.ReasonProtocolError},
		"truncated, and told so":       {answer: only(func(q []byte) []byte { m := header(q, 9, 0, 0, record(12, 1, 192, 0, 2, 1)...); m[2] |= 2; return m }), limit: probetest.Enough},
		"truncated within a record": {only(func(q []byte) []byte {
			m := header(q, 9, 0, 0, record(12, 1, 192, 0, 2, 1)...)
			m[2] |= 2
			return m[:len(m)-1]
		}), probetest.Enough, probe.StageResponse, probe.ReasonProtocolError},
		"a refusal without the question":         {only(func(q []byte) []byte { return []byte{q[0], q[1], 0x81, 5, 0, 0, 0, 0, 0, 0, 0, 0} }), probetest.Enough, probe.StageCheck, probe.ReasonResponseCode},
		"a refusal that promises the question":   {only(func(q []byte) []byte { return []byte{q[0], q[1], 0x81, 5, 0, 1, 0, 0, 0, 0, 0, 0} }), probetest.Enough, probe.StageCheck, probe.ReasonResponseCode},
		"no question, and all is well with none": {only(func(q []byte) []byte { return []byte{q[0], q[1], 0x81, 0, 0, 0, 0, 0, 0, 0, 0, 0} }), probetest.Soon, probe.StageResponse, probe.ReasonProtocolError},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			r := probeDNS(t, dnsOptions(), datagrams(t, c.answer).String(), c.limit)
			if c.reason == "" {
				probetest.WantUp(t, r)
			} else {
				probetest.WantDown(t, r, c.stage, c.reason)
			}
			if r.DNS.Succeeded != (c.reason == "" || c.stage == probe.StageCheck) {
				t.Errorf("facts %+v", r.DNS)
			}
			if took := time.Since(start); took > c.limit+time.Second {
				t.Errorf("it took %s, the limit was %s", took, c.limit)
			}
		})
	}
}

// TestDNSGivesUpOnAFlood: the limit is far away, and the server would go on.
func TestDNSGivesUpOnAFlood(t *testing.T) {
	flood := func(c net.Conn) {
		io.ReadFull(c, make([]byte, 2+dnsHeader))
		chunk := []byte(strings.Repeat("\x00\x0c\x00\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00", 1000))
		for {
			if _, err := c.Write(chunk); err != nil {
				return
			}
		}
	}
	r := probeDNS(t, dnsOptions(overTCP), probetest.Listen(t, flood).String(), time.Minute)
	probetest.WantDown(t, r, probe.StageResponse, probe.ReasonProtocolError)
}

func TestDNSOverTCPEndures(t *testing.T) {
	good := replying(t, threeSections)
	hold := make(chan struct{})
	defer close(hold)
	large := func(q []byte) []byte {
		msg := header(q, 4000, 0, 0)
		for range 4000 {
			msg = append(msg, record(12, 1, 192, 0, 2, 1)...)
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
	ask := func(after func(c net.Conn)) func(net.Conn) {
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
		"half a length":                  {ask(func(c net.Conn) { c.Write([]byte{0}) }), overTCP, probetest.Enough, probe.StageResponse, probe.ReasonConnectionClosed, 0},
		"half a length, and silence":     {ask(func(c net.Conn) { c.Write([]byte{0}); <-hold }), overTCP, probetest.Soon, probe.StageResponse, probe.ReasonTimeout, 0},
		"less than it says":              {ask(func(c net.Conn) { c.Write([]byte{255, 255, 0}) }), overTCP, probetest.Enough, probe.StageResponse, probe.ReasonConnectionClosed, 0},
		"less than it says, and silence": {ask(func(c net.Conn) { c.Write([]byte{255, 255, 0}); <-hold }), overTCP, probetest.Soon, probe.StageResponse, probe.ReasonTimeout, 0},
		"an end instead of an answer":    {ask(func(net.Conn) {}), overTCP, probetest.Enough, probe.StageResponse, probe.ReasonConnectionClosed, 0},
		"a reset instead of an answer":   {ask(probetest.Reset), overTCP, probetest.Enough, probe.StageResponse, probe.ReasonConnectionReset, 0},
		"another protocol":               {ask(func(c net.Conn) { io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }), overTCP, probetest.Enough, probe.StageResponse, probe.ReasonConnectionClosed, 0},
		"byte by byte":                   {drip, overTCP, probetest.Enough, "", "", 2},
		"64 KiB":                         {framed(large), overTCP, probetest.Enough, "", "", 4000},
		"empty messages and other ids": {framed(func(q []byte) []byte {
			bad := good(q)
			bad[0]++
			return append(append([]byte{0, 0}, withLength(bad)...), withLength(good(q))...)
		}), overTCP, probetest.Enough, "", "", 2},
		"another question, and the end": {func(c net.Conn) {
			q := make([]byte, 512)
			n, _ := c.Read(q)
			msg := good(q[2:n])
			msg[13] = 'b'
			c.Write(withLength(msg))
		}, overTCP, probetest.Enough, probe.StageResponse, probe.ReasonProtocolError, 0},
		"plain text where TLS is expected": {framed(func(q []byte) []byte { return withLength(good(q)) }), dot, 3 * probetest.Soon, probe.StageTLS, probe.ReasonTimeout, 0},
		"a banner where TLS is expected":   {ask(func(c net.Conn) { io.WriteString(c, "SSH-2.0-OpenSSH_9.2\r\n") }), dot, probetest.Enough, probe.StageTLS, probe.ReasonNotTLS, 0},
		"silence where TLS is expected":    {func(net.Conn) { <-hold }, dot, probetest.Soon, probe.StageTLS, probe.ReasonTimeout, 0},
		"a certificate of nobody we know": {probetest.TLSServer(&tls.Config{Certificates: []tls.Certificate{probetest.NewAuthority(t).Issue()}}, framed(func(q []byte) []byte { return withLength(good(q)) })),
			dot, probetest.Enough, probe.StageTLS, probe.ReasonCertificateAuthority, 0},
		"a handshake and then the end": {probetest.TLSServer(&tls.Config{Certificates: []tls.Certificate{ca.Issue()}}, ask(func(net.Conn) {})),
			dot, probetest.Enough, probe.StageResponse, probe.ReasonConnectionClosed, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := probeDNS(t, dnsOptions(c.change), probetest.Listen(t, c.serve).String(), c.limit)
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

// TestDNSRegexpsHeedTheDeadline: the records' names are as long as may be, and the expression is a slow one.
func TestDNSRegexpsHeedTheDeadline(t *testing.T) {
	long := strings.Repeat(strings.Repeat("\x00", 62)+"x.", 3)
	name, err := appendDNSName(nil, long)
	if err != nil {
		t.Fatal(err)
	}
	large := func(q []byte) []byte {
		msg := header(q, 4000, 0, 0, append(name, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 1, 1, 1, 1)...)
		for range 3999 {
			msg = append(msg, record(uint16(len(q)), 1, 192, 0, 2, 1)...)
		}
		return withLength(msg)
	}
	o := dnsOptions(overTCP)
	o.ValidateAnswer.FailIfMatchesRegexp = []option.LateRegexp{{Regexp: probetest.MustRegexp(`([\\0x.]{1,50}){1,20}y`)}}
	ctx, cancel := context.WithTimeout(t.Context(), 3*probetest.Soon)
	defer cancel()
	start := time.Now()
	_, err = compiledDNS(t, o).Probe(ctx, probe.Request{Target: probetest.Listen(t, framed(large)).String()})
	probetest.WantExporterError(t, err, probe.FaultExpression)
	if took := time.Since(start); took > 20*time.Second { // all of it takes far longer
		t.Errorf("it took %s", took)
	}
}

// TestDNSRefusesTextWithoutBounds: thousands of pointers to a long name would be megabytes of text.
func TestDNSRefusesTextWithoutBounds(t *testing.T) {
	name, err := appendDNSName(nil, strings.Repeat(strings.Repeat("\x00", 62)+"x.", 3))
	if err != nil {
		t.Fatal(err)
	}
	q := []byte(mustQuery(t))
	data := append([]byte{0, 1, 0, 0}, name...)
	for range 20_000 {
		data = binary.BigEndian.AppendUint16(data, 0xc000|uint16(len(q)+12+4))
	}
	msg := header(q, 1, 0, 0, record(12, 55, data...)...)
	records := dnsQuery(q).records(msg)
	rec, more, err := records.next()
	if !more || err != nil {
		t.Fatal(more, err)
	}
	if text, sound := appendDNSRecord(nil, rec); sound || len(text) > 2*maxRecordText {
		t.Errorf("sound: %t, %d bytes of text", sound, len(text))
	}
}

func mustQuery(t testing.TB) dnsQuery {
	t.Helper()
	q, err := newDNSQuery("a.test", 1, 1, true)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// TestDNSHearsNobodyElse: an answer that is right in every way, but from another address, is not heard.
func TestDNSHearsNobodyElse(t *testing.T) {
	good := replying(t, threeSections)
	stranger, err := net.ListenPacket("udp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		b := make([]byte, 512)
		if n, from, err := server.ReadFrom(b); err == nil {
			stranger.WriteTo(good(b[:n]), from)
		}
	}()
	probetest.WantDown(t, probeDNS(t, dnsOptions(), server.LocalAddr().String(), 2*probetest.Soon), probe.StageResponse, probe.ReasonTimeout)
}

func TestDNSUsesAnotherIDEachTime(t *testing.T) {
	const probes = 20
	heard := make(chan uint16, probes)
	good := replying(t, threeSections)
	addr := datagrams(t, once(func(q []byte) []byte {
		heard <- binary.BigEndian.Uint16(q)
		return good(q)
	})).String()
	seen := map[uint16]bool{}
	for range probes {
		probetest.WantUp(t, probeDNS(t, dnsOptions(), addr, probetest.Enough))
		seen[<-heard] = true
	}
	if len(seen) < probes-2 {
		t.Errorf("%d probes used %d ids", probes, len(seen))
	}
}
