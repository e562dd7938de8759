package tlsclient

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/common/config"

	"rollcall/probe"
	"rollcall/probe/network"
	"rollcall/probe/probetest"
)

// secure makes one connection to addr.
func secure(t *testing.T, ca string, addr netip.AddrPort, secret bool, timeout time.Duration) (Secured, error) {
	t.Helper()
	client, err := Compile("tls_config", &config.TLSConfig{CA: ca})
	if err != nil {
		t.Fatal(err)
	}
	ctx := probe.NewLimit(t.Context(), timeout)
	t.Cleanup(ctx.Release)
	dial := func(ctx context.Context) (net.Conn, error) {
		return network.Dial(ctx, nil, "tcp", "localhost", addr, netip.Addr{})
	}
	conn, err := dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s, err := client.Secure(ctx, conn, Hello{ServerName: "localhost", Secret: secret}, dial)
	if s.Conn != nil {
		t.Cleanup(func() { s.Conn.Close() })
	}
	return s, err
}

// TestServersThatCannotTakeALargeHello holds that their verdict does not depend on what the connection is for.
func TestServersThatCannotTakeALargeHello(t *testing.T) {
	ca := probetest.NewAuthority(t)
	serve := probetest.TLSServer(&tls.Config{Certificates: []tls.Certificate{ca.Issue()}}, probetest.Drain)
	for name, refuse := range probetest.RefuseHello {
		for _, secret := range []bool{false, true} {
			s, err := secure(t, ca.PEM, probetest.Listen(t, probetest.ShortHello(serve, refuse)), secret, 6*time.Second)
			if err != nil || s.Facts == nil || s.Facts.ChainExpiry.IsZero() {
				t.Errorf("%s, secret: %t: %v", name, secret, err)
				continue
			}
			if _, err := s.Conn.Write([]byte("hello")); err != nil {
				t.Errorf("%s, secret: %t: %v", name, secret, err)
			}
			if again := s.Connect > 0; again != secret {
				t.Errorf("%s, secret: %t: another connection: %t", name, secret, again)
			}
			if slow := name == "silence" && secret; !slow && s.TLS > 2*time.Second {
				t.Errorf("%s, secret: %t: it took %v", name, secret, s.TLS)
			}
		}
	}
}

// TestASlowServerIsAnsweredOnItsFirstConnection holds that the second chance takes nothing from a server that needs
// long for every handshake.
func TestASlowServerIsAnsweredOnItsFirstConnection(t *testing.T) {
	ca := probetest.NewAuthority(t)
	serve := probetest.TLSServer(&tls.Config{Certificates: []tls.Certificate{ca.Issue()}}, probetest.Drain)
	addr := probetest.Listen(t, func(c net.Conn) {
		time.Sleep(3 * time.Second)
		serve(c)
	})
	s, err := secure(t, ca.PEM, addr, true, 6*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if s.Connect != 0 || s.Conn.ConnectionState().CurveID != tls.X25519MLKEM768 {
		t.Errorf("connecting again took %v, the key exchange is %v", s.Connect, s.Conn.ConnectionState().CurveID)
	}
}

// TestASecondChanceThatFailsToo holds that the reason is then the certificate's, where it got so far, and the time's
// where no answer ever comes.
func TestASecondChanceThatFailsToo(t *testing.T) {
	ca, other := probetest.NewAuthority(t), probetest.NewAuthority(t)
	serve := probetest.TLSServer(&tls.Config{Certificates: []tls.Certificate{other.Issue()}}, probetest.Drain)
	for name, refuse := range probetest.RefuseHello {
		s, err := secure(t, ca.PEM, probetest.Listen(t, probetest.ShortHello(serve, refuse)), true, 6*time.Second)
		probetest.WantFailure(t, err, probe.StageTLS, probe.ReasonCertificateAuthority)
		if s.Facts == nil || s.Conn != nil {
			t.Errorf("%s: %+v", name, s)
		}
	}
	_, err := secure(t, ca.PEM, probetest.Listen(t, probetest.Drain), true, time.Second)
	probetest.WantFailure(t, err, probe.StageTLS, probe.ReasonTimeout)
}

// TestASecondChanceThatCannotConnect holds that a server which takes one connection at a time keeps its own reason.
func TestASecondChanceThatCannotConnect(t *testing.T) {
	for name, refuse := range probetest.RefuseHello {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		want := probe.ReasonTimeout
		if name != "silence" {
			want = probe.ReasonConnectionReset
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			c, err := l.Accept()
			l.Close()
			if err == nil {
				probetest.ShortHello(probetest.Drain, refuse)(c)
				c.Close()
			}
		}()
		_, err = secure(t, "", l.Addr().(*net.TCPAddr).AddrPort(), true, 2*time.Second)
		<-done
		if !probe.HasReason(err, want, probe.ReasonConnectionClosed, probe.ReasonTLSHandshake) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
