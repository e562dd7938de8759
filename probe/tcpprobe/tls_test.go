package tcpprobe

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/config"

	"rollcall/probe"
	"rollcall/probe/network"
	"rollcall/probe/probetest"
	"rollcall/probe/tlsclient"
)

func TestTLSOverTCPOffersWhatTheProbeNeeds(t *testing.T) {
	const quick, all = false, true
	for name, test := range map[string]struct {
		turns   []QueryResponse
		accepts []tls.CurveID
		offers  []bool
	}{
		"no secret": {offers: []bool{quick}},
		"no secret, the peer insists on strength": {accepts: []tls.CurveID{tls.X25519MLKEM768}, offers: []bool{quick, all}},
		"something is sent":                       {turns: []QueryResponse{{Send: "LOGIN u secret"}}, offers: []bool{all}},
	} {
		t.Run(name, func(t *testing.T) {
			var s probetest.TLSOffers
			ca := probetest.NewAuthority(t)
			addr := probetest.Listen(t, probetest.TLSServer(s.Config(ca.Issue(), test.accepts...), probetest.Drain))
			r := probeTCP(t, tlsOptions(ca.PEM, test.turns...), addr.String(), probetest.Enough)
			probetest.WantUp(t, r)
			s.Want(t, test.offers...)
			if r.TCP == nil || r.TLS == nil {
				t.Errorf("facts are missing: %+v", r)
			}
		})
	}
}

// TestTLSRefusalIsOneVerdict holds that a peer with which no handshake succeeds is down for the reason that it gives,
// however often it is asked.
func TestTLSRefusalIsOneVerdict(t *testing.T) {
	var s probetest.TLSOffers
	ca := probetest.NewAuthority(t)
	server := s.Config(ca.Issue())
	server.MaxVersion, server.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_RC4_128_SHA}
	addr := probetest.Listen(t, probetest.TLSServer(server, probetest.Drain))
	probetest.WantDown(t, probeTCP(t, tlsOptions(ca.PEM), addr.String(), probetest.Enough), probe.StageTLS, probe.ReasonTLSHandshake)
	s.Want(t, false, true)
}

func tlsOptions(ca string, entries ...QueryResponse) *Options {
	o := tcpOptions(entries...)
	o.TLS = true
	o.TLSConfig.CA = ca
	return o
}

func TestTLSFacts(t *testing.T) {
	ca := probetest.NewAuthority(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(time.Hour).Truncate(time.Second) })
	cert := ca.Issue()
	addr := probetest.Listen(t, probetest.TLSServer(&tls.Config{Certificates: []tls.Certificate{cert}}, probetest.Drain))
	r := probeTCP(t, tlsOptions(ca.PEM), addr.String(), probetest.Enough)
	probetest.WantUp(t, r)
	fingerprint := sha256.Sum256(cert.Certificate[0])
	want := &probe.TLSFacts{
		Version: tls.VersionTLS13, CipherSuite: r.TLS.CipherSuite,
		EarliestExpiry: cert.Leaf.NotAfter, EarliestStart: cert.Leaf.NotBefore, ChainExpiry: ca.Cert.NotAfter, // the root, which is not presented, ends first
		Leaf: probe.CertificateFacts{
			FingerprintSHA256: hex.EncodeToString(fingerprint[:]), Subject: "CN=test,O=Rollcall", Issuer: "CN=Test Root,O=Rollcall",
			SubjectAlternative: "localhost,test.example", SerialNumber: "beef",
		},
	}
	if len(r.TLS.Presented) != 1 || !r.TLS.Presented[0].Equal(cert.Leaf) {
		t.Errorf("%d certificates were presented", len(r.TLS.Presented))
	}
	want.Presented = r.TLS.Presented
	if diff := cmp.Diff(want, r.TLS); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	if !strings.HasPrefix(tls.CipherSuiteName(r.TLS.CipherSuite), "TLS_") || r.Phases.TLS <= 0 || r.TCP == nil {
		t.Errorf("got %+v", r)
	}
}

func TestTLSRefusesCertificatesAndShowsThem(t *testing.T) {
	ca := probetest.NewAuthority(t)
	for name, c := range map[string]struct {
		change func(*x509.Certificate)
		adjust func(*Options)
		reason probe.Reason
	}{
		"expired":       {func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, nil, probe.ReasonCertificateExpired},
		"not yet valid": {func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }, nil, probe.ReasonCertificateNotYetValid},
		"another name":  {func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"other.example"}, nil }, nil, probe.ReasonCertificateName},
		"not the configured name": {func(*x509.Certificate) {}, func(o *Options) { o.TLSConfig.ServerName = "else.example" },
			probe.ReasonCertificateName},
		"unknown authority": {func(*x509.Certificate) {}, func(o *Options) { o.TLSConfig.CA = probetest.NewAuthority(t).PEM }, probe.ReasonCertificateAuthority},
		"for clients only": {func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, nil,
			probe.ReasonCertificateInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			cert := ca.Issue(c.change)
			addr := probetest.Listen(t, probetest.TLSServer(&tls.Config{Certificates: []tls.Certificate{cert}}, probetest.Drain))
			o := tlsOptions(ca.PEM)
			if c.adjust != nil {
				c.adjust(o)
			}
			r := probeTCP(t, o, addr.String(), probetest.Enough)
			probetest.WantDown(t, r, probe.StageTLS, c.reason)
			if r.TLS == nil || !r.TLS.EarliestExpiry.Equal(cert.Leaf.NotAfter) || r.TLS.Leaf.SerialNumber != "beef" {
				t.Fatalf("got %+v, want what was presented", r.TLS)
			}
			if !r.TLS.ChainExpiry.IsZero() {
				t.Errorf("a chain that was not verified ends at %s", r.TLS.ChainExpiry)
			}
			o.TLSConfig.InsecureSkipVerify = true
			r = probeTCP(t, o, addr.String(), probetest.Enough)
			probetest.WantUp(t, r)
			if r.TLS == nil || !r.TLS.ChainExpiry.IsZero() {
				t.Errorf("unverified by configuration: got %+v", r.TLS)
			}
		})
	}
}

func TestTLSNames(t *testing.T) {
	ca := probetest.NewAuthority(t)
	only := func(name string) tls.Certificate {
		return ca.Issue(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{name}, nil })
	}
	for name, c := range map[string]struct {
		cert       tls.Certificate
		configured string
		hostname   string
	}{
		"the target's address":                   {cert: ca.Issue()},
		"the caller's hostname":                  {cert: only("asked.example"), hostname: "asked.example"},
		"the caller's hostname without its port": {cert: only("asked.example"), hostname: "asked.example:8443"},
		"the configured name before all":         {cert: only("configured.example"), configured: "configured.example", hostname: "asked.example"},
	} {
		t.Run(name, func(t *testing.T) {
			addr := probetest.Listen(t, probetest.TLSServer(&tls.Config{Certificates: []tls.Certificate{c.cert}}, probetest.Drain))
			o := tlsOptions(ca.PEM)
			o.TLSConfig.ServerName = c.configured
			r, err := compiled(t, o).Probe(t.Context(), probe.Request{Target: addr.String(), Hostname: c.hostname})
			if err != nil {
				t.Fatal(err)
			}
			probetest.WantUp(t, r)
		})
	}
}

func TestTLSEnduresPeers(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	ca := probetest.NewAuthority(t)
	good := ca.Issue()
	serving := func(c tls.Certificate, change func(*tls.Config)) func(net.Conn) {
		conf := &tls.Config{Certificates: []tls.Certificate{c}}
		if change != nil {
			change(conf)
		}
		return probetest.TLSServer(conf, probetest.Drain)
	}
	key := good.PrivateKey.(*ecdsa.PrivateKey)
	malformed := tls.Certificate{Certificate: [][]byte{[]byte("\x30\x82\xff\xffnonsense")}, PrivateKey: key}
	huge := tls.Certificate{Certificate: ca.Sign(key, bigKey(t)).Certificate, PrivateKey: key}
	long := tls.Certificate{Certificate: good.Certificate, PrivateKey: key}
	for range 99 {
		long.Certificate = append(long.Certificate, ca.Issue().Certificate[0])
	}
	for name, c := range map[string]struct {
		serve  func(net.Conn)
		limit  time.Duration
		reason probe.Reason // empty: up
	}{
		"a server of another protocol":  {probetest.Says("220 mail.example ESMTP\r\n"), probetest.Enough, probe.ReasonNotTLS},
		"an HTTP server":                {probetest.Says("HTTP/1.1 400 Bad Request\r\n\r\n"), probetest.Enough, probe.ReasonNotTLS},
		"a stalled handshake":           {func(net.Conn) { <-hold }, probetest.Soon, probe.ReasonTimeout},
		"a handshake that stalls later": {func(c net.Conn) { io.WriteString(c, "\x16\x03\x03\x00\x40\x02"); <-hold }, probetest.Soon, probe.ReasonTimeout},
		"a peer that closes":            {func(c net.Conn) { c.Read(make([]byte, 4096)) }, probetest.Enough, probe.ReasonConnectionClosed},
		"a peer that resets":            {func(c net.Conn) { c.Read(make([]byte, 1)); probetest.Reset(c) }, probetest.Enough, probe.ReasonConnectionReset},
		"TLS 1.0 only, said by alert":   {serving(good, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS10 }), probetest.Enough, probe.ReasonTLSVersion},
		"TLS 1.0 only, said by hello":   {probetest.Says(helloOfTLS10()), probetest.Enough, probe.ReasonTLSVersion},
		"no common cipher": {serving(good, func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_RC4_128_SHA}
		}), probetest.Enough, probe.ReasonTLSHandshake},
		"a malformed certificate":          {serving(malformed, nil), probetest.Enough, probe.ReasonCertificateInvalid},
		"a malformed certificate, 1.2":     {serving(malformed, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }), probetest.Enough, probe.ReasonCertificateInvalid},
		"a key of 16 kbit":                 {serving(huge, nil), probetest.Enough, probe.ReasonCertificateInvalid},
		"a chain of 100":                   {serving(long, nil), probetest.Enough, ""},
		"certificate without its key":      {serving(tls.Certificate{Certificate: good.Certificate, PrivateKey: ca.Key}, nil), probetest.Enough, probe.ReasonTLSHandshake},
		"a certificate wanted, not needed": {serving(good, func(c *tls.Config) { c.ClientAuth = tls.RequestClientCert }), probetest.Enough, ""},
		"a certificate needed, TLS 1.2": {serving(good, func(c *tls.Config) {
			c.ClientAuth, c.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12
		}), probetest.Enough, probe.ReasonClientCertificate},
		"a certificate needed, TLS 1.3": {serving(good, func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }), probetest.Enough, probe.ReasonClientCertificate},
	} {
		t.Run(name, func(t *testing.T) {
			addr := probetest.Listen(t, c.serve)
			start := time.Now()
			r := probeTCP(t, tlsOptions(ca.PEM), addr.String(), c.limit)
			if c.reason == "" {
				probetest.WantUp(t, r)
			} else {
				probetest.WantDown(t, r, probe.StageTLS, c.reason)
			}
			if took := time.Since(start); took > c.limit+10*time.Second {
				t.Errorf("it took %s, the limit was %s", took, c.limit)
			}
		})
	}
}

func TestTLSShowsAClientCertificate(t *testing.T) {
	ca := probetest.NewAuthority(t)
	clients := x509.NewCertPool()
	clients.AddCert(ca.Cert)
	addr := probetest.Listen(t, probetest.TLSServer(&tls.Config{
		Certificates: []tls.Certificate{ca.Issue()}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert,
	}, func(c net.Conn) { io.WriteString(c, "ready\n"); probetest.Drain(c) }))
	client := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }

	o := tlsOptions(ca.PEM, expect("ready"))
	own := ca.Issue(client)
	cert, key := probetest.Pair(t, own)
	o.TLSConfig.Cert, o.TLSConfig.Key = cert, config.Secret(key)
	r := probeTCP(t, o, addr.String(), probetest.Enough)
	probetest.WantUp(t, r)
	if !r.TLS.ClientExpiry.Equal(own.Leaf.NotAfter) {
		t.Errorf("ours expires at %v, want %v", r.TLS.ClientExpiry, own.Leaf.NotAfter)
	}

	// Without one, TLS 1.3 tells only the first to read.
	probetest.WantDown(t, probeTCP(t, tlsOptions(ca.PEM, expect("ready")), addr.String(), probetest.Enough), probe.StageTLS, probe.ReasonClientCertificate)
}

// A server that wants a certificate and says nothing may accept us; that we wait for its word is no fault of it.
func TestTLSWhoseConfirmationOutlastsTheProbeIsUp(t *testing.T) {
	ca := probetest.NewAuthority(t)
	addr := probetest.Listen(t, probetest.TLSServer(&tls.Config{Certificates: []tls.Certificate{ca.Issue()}, ClientAuth: tls.RequestClientCert}, probetest.Drain))
	p := compiled(t, tlsOptions(ca.PEM))
	conn, err := network.Dial(t.Context(), nil, "tcp", "localhost", addr, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	secured, err := p.session.tls.Secure(t.Context(), conn, tlsclient.Hello{ServerName: "localhost"}, nil)
	if err != nil || !secured.Facts.ClientCertificateRequested {
		t.Fatalf("%v; %+v", err, secured.Facts)
	}
	over := probe.NewLimit(t.Context(), time.Millisecond)
	defer over.Release()
	if err := confirm(over, secured.Conn, 0, secured.Facts); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestTLSLabelsAreBounded(t *testing.T) {
	ca := probetest.NewAuthority(t)
	cert := ca.Issue(func(c *x509.Certificate) {
		c.Subject.Organization = []string{strings.Repeat("o", 5000)}
		for i := range 1000 {
			c.DNSNames = append(c.DNSNames, fmt.Sprintf("name-%d.example", i))
		}
	})
	addr := probetest.Listen(t, probetest.TLSServer(&tls.Config{Certificates: []tls.Certificate{cert}}, probetest.Drain))
	r := probeTCP(t, tlsOptions(ca.PEM), addr.String(), probetest.Enough)
	probetest.WantUp(t, r)
	leaf := r.TLS.Leaf
	if len(leaf.SubjectAlternative) != probe.MaxLabelValue || !strings.HasPrefix(leaf.SubjectAlternative, "localhost,test.example,name-0.example,") {
		t.Errorf("%d bytes: %s", len(leaf.SubjectAlternative), leaf.SubjectAlternative)
	}
	if len(leaf.Subject) != probe.MaxLabelValue {
		t.Errorf("the subject has %d bytes", len(leaf.Subject))
	}
}

func TestStartTLS(t *testing.T) {
	ca := probetest.NewAuthority(t)
	conf := &tls.Config{Certificates: []tls.Certificate{ca.Issue()}}
	// A mail server that says reply to STARTTLS and goes on in TLS.
	server := func(reply string) func(net.Conn) {
		return func(c net.Conn) {
			io.WriteString(c, "220 mail\r\n")
			c.Read(make([]byte, 1024))
			io.WriteString(c, reply)
			probetest.TLSServer(conf, func(c net.Conn) {
				c.Read(make([]byte, 1024))
				io.WriteString(c, "250 secure\r\n")
				probetest.Drain(c)
			})(c)
		}
	}
	entries := []QueryResponse{
		expect("^220 mail$"),
		{Send: "STARTTLS"},
		{Expect: expect("^220 go$").Expect, StartTLS: true},
		{Send: "EHLO x"},
		expect("^250 secure$"),
	}
	o := tcpOptions(entries...)
	o.TLSConfig.CA = ca.PEM
	t.Run("succeeds", func(t *testing.T) {
		r := probeTCP(t, o, probetest.Listen(t, server("220 go\r\n")).String(), probetest.Enough)
		probetest.WantUp(t, r)
		if r.TLS == nil || r.TLS.ChainExpiry.IsZero() || r.Phases.TLS <= 0 || r.Phases.Transfer <= 0 {
			t.Errorf("got %+v", r)
		}
	})
	t.Run("fails when plaintext was injected", func(t *testing.T) {
		r := probeTCP(t, o, probetest.Listen(t, server("220 go\r\n250 secure\r\n")).String(), probetest.Enough)
		probetest.WantDown(t, r, probe.StageConversation, probe.ReasonEarlyData)
		if r.TLS != nil {
			t.Errorf("facts %+v of a handshake that must not begin", r.TLS)
		}
	})
	t.Run("fails for a certificate", func(t *testing.T) {
		other := tcpOptions(entries...)
		other.TLSConfig.CA = probetest.NewAuthority(t).PEM
		r := probeTCP(t, other, probetest.Listen(t, server("220 go\r\n")).String(), probetest.Enough)
		probetest.WantDown(t, r, probe.StageTLS, probe.ReasonCertificateAuthority)
		if r.TLS == nil {
			t.Error("the certificate is not shown")
		}
	})
}

// bigKey is an RSA key that is too large to be checked in time, and has no private half.
func bigKey(t testing.TB) *rsa.PublicKey {
	b := make([]byte, 16384/8)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	b[0] |= 0x80
	b[len(b)-1] |= 1
	return &rsa.PublicKey{N: new(big.Int).SetBytes(b), E: 65537}
}

// helloOfTLS10 is a ServerHello that chooses TLS 1.0, as an old OpenSSL answers.
func helloOfTLS10() string {
	body := append([]byte{3, 1}, bytes.Repeat([]byte{7}, 32)...) // version, random
	body = append(body, 0, 0xc0, 0x13, 0)                        // no session, a cipher, no compression
	message := append([]byte{2, 0, 0, byte(len(body))}, body...)
	return string(append([]byte{22, 3, 1, 0, byte(len(message))}, message...))
}
