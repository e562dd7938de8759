package dnsprobe

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"rollcall/probe"
	"rollcall/probe/option"
	"rollcall/probe/probetest"
)

// FuzzDNSAnswer holds our reading of messages to the library's: what we accept it accepts, and writes the same. The
// other way round there are exceptions, which the library reads as if something were there.
func FuzzDNSAnswer(f *testing.F) {
	for _, rr := range everyRecord(f) {
		f.Add(messageWith(f, rr))
	}
	q := []byte(mustQuery(f))
	f.Add(header(q, 65535, 1, 1))
	f.Add(header(q, 1, 0, 0, record(uint16(len(q)), 1, 192, 0, 2, 1)...))
	f.Fuzz(func(t *testing.T, msg []byte) {
		if len(msg) < dnsHeader || len(msg) > 1<<16 {
			return
		}
		msg[4], msg[5] = 0, msg[5]&1 // the question was compared before
		ours, sound := textsOf(msg)
		theirs, theirSound := theirTexts(msg)
		if sound && !theirSound && !hasRelay(msg) {
			t.Fatalf("we accept what the library refuses: %q", ours)
		}
		if !sound || !theirSound {
			return
		}
		if len(ours) != len(theirs) {
			t.Fatalf("%d records, the library reads %d", len(ours), len(theirs))
		}
		for i := range ours {
			if ours[i] != theirs[i] {
				t.Errorf("record %d\n got %q\nwant %q", i, ours[i], theirs[i])
			}
		}
	})
}

// hasRelay reports whether a message may hold an AMTRELAY record: the library refuses those whose discovery bit is set.
func hasRelay(msg []byte) bool { return strings.Contains(string(msg), "\x01\x04") }

// FuzzDNSReply plays a whole exchange with a server that says anything.
func FuzzDNSReply(f *testing.F) {
	for _, rr := range everyRecord(f)[:20] {
		f.Add(messageWith(f, rr)[2:])
	}
	f.Add([]byte{0x80})
	f.Add([]byte{})
	o := dnsOptions(overTCP)
	o.ValidateAnswer.FailIfMatchesRegexp = []option.LateRegexp{{Regexp: probetest.MustRegexp("x")}}
	o.ValidateAdditional.FailIfNotMatchesRegexp = []option.LateRegexp{{Regexp: probetest.MustRegexp(".")}}
	p, err := o.Compile()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, rest []byte) {
		if len(rest) > 1<<15 {
			return
		}
		client, server := net.Pipe()
		defer client.Close()
		go func() {
			defer server.Close()
			query := make([]byte, 2+len(p.(*prober).query))
			if _, err := io.ReadFull(server, query); err == nil {
				server.Write(withLength(append(query[2:4:4], rest...)))
			}
		}()
		var r probe.Result
		r.DNS = new(probe.DNSFacts)
		e := newExchange(p.(*prober), probe.Request{}, &r)
		defer e.release()
		e.conn = client
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		query, msg, err := e.ask(ctx)
		if err == nil {
			err = e.p.checks.judge(ctx, query, msg, &e.text, r.DNS, nil)
		} else {
			err = e.failed(ctx, err)
		}
		if err != nil && !probe.Is[*probe.Failure](err) {
			t.Errorf("%T: %v", err, err)
		}
		if n := r.DNS.Answers + r.DNS.Authorities + r.DNS.Additionals; n*11 > len(rest) {
			t.Errorf("%d records in %d bytes", n, len(rest))
		}
	})
}

// FuzzDNSQueryName holds that a name is refused or understood as the library understands it.
func FuzzDNSQueryName(f *testing.F) {
	for _, name := range []string{"a.test", ".", "", "a..b", `a\.b`, `\000\255.x`, `\`, `a\32`, "bücher", strings.Repeat("x.", 127), strings.Repeat("x", 64)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		q, err := newDNSQuery(name, 1, 1, true)
		if err != nil || name == "" {
			return
		}
		var m dns.Msg
		if err := m.Unpack(q); err != nil || len(m.Question) != 1 {
			t.Fatalf("%q: the query cannot be read: %v", name, err)
		}
		if strings.ContainsFunc(name, func(r rune) bool { return r > 0x7f }) {
			return
		}
		packed := make([]byte, 300)
		end, err := dns.PackDomainName(dns.Fqdn(name), packed, 0, nil, false)
		if err != nil {
			t.Fatalf("%q: the library refuses it: %v", name, err)
		}
		if got := q[dnsHeader : len(q)-4]; string(got) != string(packed[:end]) {
			t.Errorf("%q is %q, the library makes it %q", name, got, packed[:end])
		}
	})
}
