package tcpprobe

import (
	"crypto/tls"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/probe/probetest"
)

// TestServersThatTakeNoLargeClientHello holds that the verdict depends neither on what is sent nor on where TLS starts.
func TestServersThatTakeNoLargeClientHello(t *testing.T) {
	ca := probetest.NewAuthority(t)
	serve := probetest.TLSServer(&tls.Config{Certificates: []tls.Certificate{ca.Issue()}}, func(c net.Conn) {
		io.WriteString(c, "250 secure\r\n")
		probetest.Drain(c)
	})
	for name, refuse := range probetest.RefuseHello {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hello := probetest.ShortHello(serve, refuse)
			begins := probetest.Listen(t, hello).String()
			for _, entries := range [][]QueryResponse{nil, {expect("secure")}, {{Send: "secret"}, expect("secure")}} {
				probetest.WantUp(t, probeTCP(t, tlsOptions(ca.PEM, entries...), begins, 6*time.Second))
			}
			starts := probetest.Listen(t, func(c net.Conn) {
				io.WriteString(c, "220 mail 1\r\n")
				c.Read(make([]byte, 1024))
				io.WriteString(c, "220 go\r\n")
				hello(c)
			}).String()
			o := tcpOptions(QueryResponse{Expect: probetest.MustRegexp("^220 mail (.)$"), Labels: []ExpectLabel{{Name: "version", Value: "${1}"}}},
				QueryResponse{Send: "STARTTLS"}, QueryResponse{Expect: probetest.MustRegexp("^220 go$"), StartTLS: true},
				QueryResponse{Send: "AUTH secret"}, expect("^250 secure$"))
			o.TLSConfig.CA = ca.PEM
			r := probeTCP(t, o, starts, 6*time.Second)
			probetest.WantUp(t, r)
			if len(r.TCP.Expects) != 1 || r.TLS == nil {
				t.Errorf("labels %v, %+v", r.TCP.Expects, r.TLS)
			}
		})
	}
}

// TestPlaintextIsLookedForAgain holds that a second conversation before TLS is judged like the first.
func TestPlaintextIsLookedForAgain(t *testing.T) {
	ca := probetest.NewAuthority(t)
	serve := probetest.TLSServer(&tls.Config{Certificates: []tls.Certificate{ca.Issue()}}, probetest.Drain)
	var asked atomic.Int32
	addr := probetest.Listen(t, func(c net.Conn) {
		c.Read(make([]byte, 1024))
		if asked.Add(1) == 1 {
			io.WriteString(c, "220 go\r\n")
			probetest.ShortHello(serve, probetest.Reset)(c)
			return
		}
		io.WriteString(c, "220 go\r\n250 injected\r\n")
		serve(c)
	})
	o := tcpOptions(QueryResponse{Send: "STARTTLS"}, QueryResponse{Expect: probetest.MustRegexp("^220 go$"), StartTLS: true}, QueryResponse{Send: "AUTH secret"})
	o.TLSConfig.CA = ca.PEM
	r := probeTCP(t, o, addr.String(), probetest.Enough)
	if r.Up() || asked.Load() != 2 {
		t.Errorf("after %d connections: %v", asked.Load(), r.Failure)
	}
}
