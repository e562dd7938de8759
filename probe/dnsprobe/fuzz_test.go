package dnsprobe

import (
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"rollcall/probe"
	"rollcall/probe/option"
	"rollcall/probe/probetest"
)

// answersOfEachKind are answers to the query of mustQuery, as seeds.
func answersOfEachKind(t testing.TB) (all [][]byte) {
	q := mustQuery(t).packed
	for _, text := range []string{
		"a.test. 1 IN MX 10 mail.a.test.", "a.test. 1 IN TXT \"a\" \"b\"", "a.test. 1 IN NSEC b.test. A NS TYPE1234",
		"a.test. 1 IN HTTPS 1 . alpn=h2 port=8443 ipv4hint=192.0.2.1", "a.test. 1 IN CAA 0 issue \"ca.test\"",
		"a.test. 1 IN HIP 2 200100107B1A74DF365639CC39F1D578 AwEAAbdx rvs1.a.test. rvs2.a.test.",
		"a.test. 1 IN APL 1:192.168.32.0/21 !1:192.168.38.0/28", "a.test. 1 CLASS77 TYPE4711 \\# 4 0a000001",
	} {
		all = append(all, replying(t, [3][]string{{text}, {text}, {text}}, func(m *dns.Msg) { m.SetEdns0(1232, true) })(q))
	}
	for _, bad := range badAnswers {
		all = append(all, bad.answer(q))
	}
	return all
}

// FuzzRecords holds that what is read is bounded, and is what the library reads from the whole message.
func FuzzRecords(f *testing.F) {
	q := mustQuery(f)
	for _, msg := range answersOfEachKind(f) {
		f.Add(msg[min(len(msg), len(q.packed)):], byte(1), byte(1), byte(2))
	}
	f.Fuzz(func(t *testing.T, rest []byte, answers, authorities, additionals byte) {
		if len(rest) > 1<<15 {
			return
		}
		msg := header(q.packed, uint16(answers), uint16(authorities), uint16(additionals), rest...)
		a, err := q.match(0, msg)
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		for records := a.reader(); ; {
			rr, err := records.next()
			if err != nil {
				return
			}
			if rr == nil {
				break
			}
			if texts = append(texts, rr.String()); len(texts[len(texts)-1]) > 1<<20 {
				t.Errorf("a record's text has %d bytes", len(texts[len(texts)-1]))
			}
		}
		if len(texts) != int(answers)+int(authorities)+int(additionals) {
			t.Errorf("%d records, the header says %d, %d and %d", len(texts), answers, authorities, additionals)
		}
		var m dns.Msg
		if err := m.Unpack(msg); err != nil {
			t.Fatalf("the library refuses what is accepted: %v", err)
		}
		for i, rr := range slices.Concat(m.Answer, m.Ns, m.Extra) {
			if rr.String() != texts[i] {
				t.Errorf("record %d is %q, for the library %q", i, texts[i], rr)
			}
		}
	})
}

// FuzzReply is a whole exchange with a server that sends anything.
func FuzzReply(f *testing.F) {
	for _, msg := range answersOfEachKind(f) {
		f.Add(msg[2:])
	}
	f.Add([]byte{0x80})
	f.Add([]byte{})
	o := newOptions(overTCP)
	o.ValidateAnswer.FailIfMatchesRegexp = []option.LateRegexp{{Regexp: probetest.MustRegexp("x")}}
	o.ValidateAdditional.FailIfNotMatchesRegexp = []option.LateRegexp{{Regexp: probetest.MustRegexp(".")}}
	p := compile(f, o)
	f.Fuzz(func(t *testing.T, rest []byte) {
		if len(rest) > 1<<15 {
			return
		}
		client, server := net.Pipe()
		defer client.Close()
		go func() {
			defer server.Close()
			query := make([]byte, 2+len(p.query.packed))
			if _, err := io.ReadFull(server, query); err == nil {
				server.Write(withLength(append(query[2:4:4], rest...)))
			}
		}()
		r := probe.Result{DNS: new(probe.DNSFacts)}
		e := exchange{p: p, r: &r, conn: client, buf: make([]byte, bufferSize)}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		a, err := e.ask()
		if err == nil {
			err = p.checks.judge(ctx, a, r.DNS, nil)
		} else {
			err = e.classify(ctx, err)
		}
		if err != nil && !probe.Is[*probe.Failure](err) {
			t.Errorf("%T: %v", err, err)
		}
		if n := r.DNS.Answers + r.DNS.Authorities + r.DNS.Additionals; n*11 > len(rest) {
			t.Errorf("%d records in %d bytes", n, len(rest))
		}
	})
}

// FuzzQueryName holds that a name is refused, or asked for as it stands.
func FuzzQueryName(f *testing.F) {
	for _, name := range []string{"a.test", ".", "", "a..b", `a\.b`, `\000\255.x`, `\`, `a\32`, "bücher", "_a.bücher", strings.Repeat("x.", 127), strings.Repeat("x", 64)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		q, err := newQuery(name, dns.TypeA, dns.ClassINET, true)
		if err != nil || name == "" {
			return
		}
		var m dns.Msg
		if err := m.Unpack(q.packed); err != nil || len(m.Question) != 1 || m.Question[0].Name != q.name {
			t.Fatalf("%q: the query cannot be read: %v, %v", name, err, m.Question)
		}
		if strings.ContainsFunc(name, func(r rune) bool { return r > 0x7f }) {
			return
		}
		packed := make([]byte, 300)
		end, err := dns.PackDomainName(dns.Fqdn(name), packed, 0, nil, false)
		if err != nil {
			t.Fatalf("%q: the library refuses it: %v", name, err)
		}
		if got := q.packed[headerSize : len(q.packed)-4]; string(got) != string(packed[:end]) {
			t.Errorf("%q is %q, for the library %q", name, got, packed[:end])
		}
	})
}
