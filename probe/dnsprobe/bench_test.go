package dnsprobe

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"rollcall/probe"
	"rollcall/probe/option"
	"rollcall/probe/probetest"
)

func benchmarkDNS(b *testing.B, o *Options, target netip.AddrPort) {
	m := &probe.Module{Prober: compiledDNS(b, o), Timeout: probetest.Enough}
	var runner probe.Runner
	b.ReportAllocs()
	for b.Loop() {
		r, err := runner.Do(b.Context(), m, probe.Request{Target: target.String()})
		if err != nil || r.Result.Failure != nil {
			b.Fatal(err, r.Result.Failure)
		}
	}
}

func BenchmarkDNSOverUDP(b *testing.B) {
	answer := replying(b, threeSections)
	first := answer(mustQuery(b))
	addr := datagrams(b, func(q []byte) [][]byte {
		copy(first, q[:2])
		return [][]byte{first}
	})
	benchmarkDNS(b, dnsOptions(func(o *Options) {
		o.ValidateAnswer.FailIfNotMatchesRegexp = []option.LateRegexp{{Regexp: probetest.MustRegexp(`192\.0\.2\.`)}}
	}), addr)
}

func BenchmarkDNSOverTCP(b *testing.B) {
	first := replying(b, threeSections)(mustQuery(b))
	benchmarkDNS(b, dnsOptions(overTCP), probetest.Listen(b, framed(func(q []byte) []byte {
		copy(first, q[:2])
		return withLength(first)
	})))
}

func BenchmarkDNSRecord(b *testing.B) {
	rr, err := dns.NewRR("a.test. 300 IN MX 10 mail.test.")
	if err != nil {
		b.Fatal(err)
	}
	msg := messageWith(b, rr)
	q := dnsQuery(make([]byte, dnsHeader+len("\x01a\x04test\x00")+4))
	var text []byte
	b.ReportAllocs()
	for b.Loop() {
		records := q.records(msg)
		for {
			rec, more, err := records.next()
			if err != nil {
				b.Fatal(err)
			}
			if !more {
				break
			}
			if text, _ = appendDNSRecord(text[:0], rec); len(text) == 0 {
				b.Fatal("no text")
			}
		}
	}
}
