package dnsprobe

import (
	"net/netip"
	"testing"

	"rollcall/probe"
	"rollcall/probe/option"
	"rollcall/probe/probetest"
)

func benchmarkProbe(b *testing.B, o *Options, target netip.AddrPort) {
	m := &probe.Module{Prober: compile(b, o), Timeout: probetest.Enough}
	var runner probe.Runner
	b.ReportAllocs()
	for b.Loop() {
		r, err := runner.Do(b.Context(), m, probe.Request{Target: target.String()})
		if err != nil || r.Result.Failure != nil {
			b.Fatal(err, r.Result.Failure)
		}
	}
}

func BenchmarkProbeOverUDP(b *testing.B) {
	answer := replying(b, threeSections)
	first := answer(mustQuery(b).packed)
	addr := datagrams(b, func(q []byte) [][]byte {
		copy(first, q[:2])
		return [][]byte{first}
	})
	benchmarkProbe(b, newOptions(func(o *Options) {
		o.ValidateAnswer.FailIfNotMatchesRegexp = []option.LateRegexp{{Regexp: probetest.MustRegexp(`192\.0\.2\.`)}}
	}), addr)
}

func BenchmarkProbeOverTCP(b *testing.B) {
	first := replying(b, threeSections)(mustQuery(b).packed)
	benchmarkProbe(b, newOptions(overTCP), probetest.Listen(b, framed(func(q []byte) []byte {
		copy(first, q[:2])
		return withLength(first)
	})))
}
