package server

import (
	"net"
	"testing"
)

// The host name does not exist, so that this fails when it is looked up.
func TestDialLoopbackTriesBothProtocolsAndNoResolver(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		conn, err := dialLoopback(t.Context(), "tcp", net.JoinHostPort("no-such-name.invalid", port))
		if err != nil {
			t.Errorf("listening on %s: %v", address, err)
		} else {
			conn.Close()
		}
		l.Close()
		if conn, err := dialLoopback(t.Context(), "tcp", net.JoinHostPort("localhost", port)); err == nil {
			conn.Close()
			t.Error("a closed port was reached")
		}
	}
}
