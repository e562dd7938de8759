package zoo

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/quic-go/quic-go/http3"
)

// HTTP3 starts a web server that supports HTTP/3 only.
func HTTP3(t testing.TB, config *tls.Config, site http.Handler) string {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http3.Server{Handler: site, TLSConfig: http3.ConfigureTLSConfig(config)}
	var serving sync.WaitGroup
	serving.Go(func() { s.Serve(socket) })
	t.Cleanup(func() {
		s.Close()
		socket.Close()
		serving.Wait()
	})
	return socket.LocalAddr().String()
}

// SilentUDP returns an address that does not answer datagrams.
func SilentUDP(t testing.TB) string {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	return socket.LocalAddr().String()
}

// OtherQUIC answers every datagram by Version Negotiation (RFC 9000, section 17.2.1) for a version that there is not.
func OtherQUIC(t testing.TB) string {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for b := make([]byte, 2048); ; {
			n, from, err := socket.ReadFrom(b)
			if err != nil {
				return
			}
			if n < 1200 { // no Initial packet
				continue
			}
			dest, rest := cutID(b[5:])
			source, _ := cutID(rest)
			answer := append([]byte{0x80, 0, 0, 0, 0}, source...)
			answer = append(append(answer, dest...), 0x0a, 0x0b, 0x0c, 0x0d)
			socket.WriteTo(answer, from)
		}
	})
	t.Cleanup(func() {
		socket.Close()
		serving.Wait()
	})
	return socket.LocalAddr().String()
}

// cutID cuts a connection ID and the length before it off the beginning of b.
func cutID(b []byte) (id, rest []byte) {
	end := 1 + int(b[0])
	return b[:end], b[end:]
}
