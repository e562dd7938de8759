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
