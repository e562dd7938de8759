package tlsclient

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"

	"github.com/prometheus/common/config"

	"rollcall/probe"
	"rollcall/probe/probetest"
)

func TestServersWithoutACommonCipherSuite(t *testing.T) {
	ca := probetest.NewAuthority(t)
	for name, c := range map[string]struct {
		server *tls.Config
		reason probe.Reason
		says   []string
	}{
		"RSA key exchange alone": {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}}, probe.ReasonTLSHandshake,
			[]string{"no cipher suite in common", "offered: those of TLS 1.3, and ECDHE with AES-GCM", "GODEBUG=tlsrsakex=1"}},
		"an old version": {&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, probe.ReasonTLSVersion,
			[]string{"offered: TLS 1.2 to TLS 1.3", "min_version"}},
	} {
		c.server.Certificates = []tls.Certificate{ca.Issue()}
		_, err := secure(t, ca.PEM, probetest.Listen(t, probetest.TLSServer(c.server, probetest.Drain)), true, probetest.Enough)
		probetest.WantFailure(t, err, probe.StageTLS, c.reason)
		for _, says := range c.says {
			if !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v; want it to say %q", name, err, says)
			}
		}
	}
}

func TestWhatIsOfferedIsWhatIsSaid(t *testing.T) {
	for _, c := range []struct {
		min, max config.TLSVersion
		want     string
	}{{0, 0, "TLS 1.2 to TLS 1.3"}, {tls.VersionTLS13, 0, "TLS 1.3"}, {tls.VersionTLS10, tls.VersionTLS12, "TLS 1.0 to TLS 1.2"}} {
		client, err := Compile("tls_config", &config.TLSConfig{MinVersion: c.min, MaxVersion: c.max})
		if err != nil {
			t.Fatal(err)
		}
		if got := client.offered(); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
		if says := strings.Contains(client.offeredSuites(), "TLS 1.3"); says != (c.max == 0) {
			t.Errorf("%s: %s", c.want, client.offeredSuites())
		}
	}
	t.Setenv("GODEBUG", "tlsrsakex=1")
	if got := new(Client).offeredSuites(); strings.Contains(got, "GODEBUG") || !strings.Contains(got, "RSA") {
		t.Errorf("with RSA key exchange: %s", got)
	}
}

// TestChainsThatEndNowhere names what is wrong with each.
func TestChainsThatEndNowhere(t *testing.T) {
	root := probetest.NewAuthority(t)
	intermediate := root.Intermediate("Test Intermediate")
	leaf := intermediate.Issue()
	own := probetest.NewAuthority(t, func(c *x509.Certificate) { c.Subject.CommonName, c.DNSNames = "Own", []string{"localhost"} })
	namesake := probetest.NewAuthority(t)
	for name, c := range map[string]struct {
		presented [][]byte
		says      string
	}{
		"the leaf alone":     {leaf.Certificate, `an intermediate certificate is missing: the server does not send that of "CN=Test Intermediate,`},
		"self-signed":        {[][]byte{own.Cert.Raw}, `("CN=Own,O=Rollcall" is self-signed; ca and ca_file`},
		"up to another root": {[][]byte{own.Issue().Certificate[0], own.Cert.Raw}, `("CN=Own,O=Rollcall" is self-signed; ca and ca_file`},
		"a namesake":         {namesake.Issue().Certificate, "possibly because of"},
	} {
		var presented []*x509.Certificate
		for _, der := range c.presented {
			parsed, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			presented = append(presented, parsed)
		}
		_, err := verify(presented, pool(root), "localhost")
		probetest.WantFailure(t, err, probe.StageTLS, probe.ReasonCertificateAuthority)
		if !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v; want it to say %s", name, err, c.says)
		}
	}
	if _, err := verify([]*x509.Certificate{leaf.Leaf, intermediate.Cert}, pool(root), "localhost"); err != nil {
		t.Errorf("the whole chain: %v", err)
	}
}
