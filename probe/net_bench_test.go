package probe

import (
	"crypto/tls"
	"net"
	"testing"
)

func BenchmarkResolveLiteral(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := (ipPolicy{fallback: true}).resolve(b.Context(), "192.0.2.1"); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkTCP(b *testing.B, o *TCPOptions, target string) {
	o.IPProtocol = "ip4"
	m := &Module{Prober: compiled(b, o), Timeout: enough}
	var runner Runner
	b.ReportAllocs()
	for b.Loop() {
		record, err := runner.Do(b.Context(), m, Request{Target: target})
		if err != nil {
			b.Fatal(err)
		}
		if record.Result.Failure != nil && record.Result.Failure.Reason != ReasonConnectionRefused {
			b.Fatal(record.Result.Failure)
		}
	}
}

func BenchmarkTCPUp(b *testing.B) {
	addr := listen(b, func(net.Conn) {})
	benchmarkTCP(b, tcpOptions(), addr.String())
}

func BenchmarkTCPRefused(b *testing.B) {
	benchmarkTCP(b, tcpOptions(), closedPort(b).String())
}

func BenchmarkTCPBanner(b *testing.B) {
	addr := listen(b, says("SSH-2.0-OpenSSH_9.2\r\n"))
	benchmarkTCP(b, tcpOptions(expect("^SSH-2.0-")), addr.String())
}

func BenchmarkTCPWithTLS(b *testing.B) {
	ca := newAuthority(b)
	addr := listen(b, secureServer(&tls.Config{Certificates: []tls.Certificate{ca.issue()}}, drain))
	benchmarkTCP(b, tlsOptions(ca.pem), addr.String())
}
