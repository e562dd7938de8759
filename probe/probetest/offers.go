package probetest

import (
	"crypto/tls"
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
