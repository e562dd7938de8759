package probetest

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
)

// TLSOffers records which key exchanges clients offered to a server.
type TLSOffers struct {
	mu     sync.Mutex
	offers [][]tls.CurveID
}

// Config is a server's with cert, which accepts only some key exchanges; none given: all.
func (s *TLSOffers) Config(cert tls.Certificate, accepts ...tls.CurveID) *tls.Config {
	c := &tls.Config{Certificates: []tls.Certificate{cert}, CurvePreferences: accepts}
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.offers = append(s.offers, hello.SupportedCurves)
		return nil, nil
	}
	return c
}

// Want checks how many times the server was asked, and which of these offers had the post-quantum exchange.
func (s *TLSOffers) Want(t *testing.T, postQuantum ...bool) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var got []bool
	for _, offer := range s.offers {
		got = append(got, slices.Contains(offer, tls.X25519MLKEM768))
	}
	if !slices.Equal(got, postQuantum) {
		t.Errorf("offers with X25519MLKEM768: %v, want %v", got, postQuantum)
	}
}

// ShortHello serves connections whose ClientHello fits into one segment, and refuses the others. The bytes that serve
// reads begin with the ClientHello.
func ShortHello(serve, refuse func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		header := make([]byte, 5) // of a record (RFC 8446, section 5.1)
		if _, err := io.ReadFull(c, header); err != nil {
			return
		}
		if binary.BigEndian.Uint16(header[3:]) > 1200 {
			refuse(c)
			return
		}
		serve(begun{c, io.MultiReader(bytes.NewReader(header), c)})
	}
}

// ShortHellos is l with a large ClientHello answered by a reset.
func ShortHellos(l net.Listener) net.Listener { return shortHellos{l} }

type shortHellos struct{ net.Listener }

func (l shortHellos) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		var served net.Conn
		ShortHello(func(c net.Conn) { served = c }, Reset)(c)
		if served != nil {
			return served, nil
		}
		c.Close()
	}
}

// begun is a connection of which the beginning was read already.
type begun struct {
	net.Conn
	in io.Reader
}

func (b begun) Read(p []byte) (int, error) { return b.in.Read(p) }

// RefuseHello are the ways in which servers are known to fail at a ClientHello that does not fit into one segment.
var RefuseHello = map[string]func(net.Conn){
	"an alert": func(c net.Conn) {
		c.Write([]byte{21, 3, 3, 0, 2, 2, 50}) // decode_error
		Drain(c)
	},
	"a reset": Reset,
	"an end": func(c net.Conn) {
		c.(*net.TCPConn).CloseWrite()
		Drain(c)
	},
	"silence": Drain,
}
