package dnsprobe

import (
	"crypto/tls"
	"testing"

	"rollcall/probe/probetest"
)

// TestServersThatTakeNoLargeClientHello holds that a query, which is no secret of the module's, begins with a small one.
func TestServersThatTakeNoLargeClientHello(t *testing.T) {
	ca := probetest.NewAuthority(t)
	var offers probetest.TLSOffers
	serve := probetest.TLSServer(offers.Config(ca.Issue()), framed(func(q []byte) []byte { return withLength(header(q, 0, 0, 0)) }))
	o := newOptions(overTCP, func(o *Options) { o.DNSOverTLS, o.TLSConfig.CA = true, ca.PEM })
	for _, refuse := range probetest.RefuseHello {
		probetest.WantUp(t, ask(t, o, probetest.Listen(t, probetest.ShortHello(serve, refuse)).String(), probetest.Enough))
	}
	insists := probetest.TLSServer(offers.Config(ca.Issue(), tls.X25519MLKEM768), framed(func(q []byte) []byte { return withLength(header(q, 0, 0, 0)) }))
	probetest.WantUp(t, ask(t, o, probetest.Listen(t, insists).String(), probetest.Enough))
	offers.Want(t, false, false, false, false, false, true)
}
