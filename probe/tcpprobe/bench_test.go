package tcpprobe

import (
	"crypto/tls"
	"net"
	"testing"

	"rollcall/probe"
	"rollcall/probe/probetest"
)

func benchmarkTCP(b *testing.B, o *Options, target string) {
	o.IPProtocol = "ip4"
	m := &probe.Module{Prober: compiled(b, o), Timeout: probetest.Enough}
	var runner probe.Runner
	b.ReportAllocs()
	for b.Loop() {
		record, err := runner.Do(b.Context(), m, probe.Request{Target: target})
		if err != nil {
			b.Fatal(err)
		}
		if record.Result.Failure != nil && record.Result.Failure.Reason != probe.ReasonConnectionRefused {
			b.Fatal(record.Result.Failure)
		}
	}
}

func BenchmarkTCPUp(b *testing.B) {
	addr := probetest.Listen(b, func(net.Conn) {})
	benchmarkTCP(b, tcpOptions(), addr.String())
}

func BenchmarkTCPRefused(b *testing.B) {
	benchmarkTCP(b, tcpOptions(), probetest.ClosedPort(b).String())
}

func BenchmarkTCPBanner(b *testing.B) {
	addr := probetest.Listen(b, probetest.Says("SSH-2.0-OpenSSH_9.2\r\n"))
	benchmarkTCP(b, tcpOptions(expect("^SSH-2.0-")), addr.String())
}

func BenchmarkTCPWithTLS(b *testing.B) {
	ca := probetest.NewAuthority(b)
	addr := probetest.Listen(b, probetest.TLSServer(&tls.Config{Certificates: []tls.Certificate{ca.Issue()}}, probetest.Drain))
	benchmarkTCP(b, tlsOptions(ca.PEM), addr.String())
}
