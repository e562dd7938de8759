package probe

import (
	"bytes"
	"context"
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
)

// drain reads until the peer is done, so that closing sends no RST.
func drain(c net.Conn) { io.Copy(io.Discard, c) }

func tlsOptions(ca string, entries ...QueryResponse) *TCPOptions {
	o := tcpOptions(entries...)
	o.TLS = true
	o.TLSConfig.CA = ca
	return o
}

func TestTLSFacts(t *testing.T) {
	ca := newAuthority(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(time.Hour).Truncate(time.Second) })
	cert := ca.issue()
	addr := listen(t, secureServer(&tls.Config{Certificates: []tls.Certificate{cert}}, drain))
	r := probeTCP(t, tlsOptions(ca.pem), addr.String(), enough)
	wantUp(t, r)
	fingerprint := sha256.Sum256(cert.Certificate[0])
	want := &TLSFacts{
		Version: tls.VersionTLS13, CipherSuite: r.TLS.CipherSuite,
		EarliestExpiry: cert.Leaf.NotAfter, ChainExpiry: ca.cert.NotAfter, // the root, which is not presented, ends first
		Leaf: CertificateFacts{
			FingerprintSHA256: hex.EncodeToString(fingerprint[:]), Subject: "CN=test,O=Rollcall", Issuer: "CN=Test Root,O=Rollcall",
			SubjectAlternative: "localhost,test.example", SerialNumber: "beef",
		},
	}
	if diff := cmp.Diff(want, r.TLS); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	if !strings.HasPrefix(tls.CipherSuiteName(r.TLS.CipherSuite), "TLS_") || r.Phases.TLS <= 0 || r.TCP == nil {
		t.Errorf("got %+v", r)
	}
}

func TestTLSRefusesCertificatesAndShowsThem(t *testing.T) {
	ca := newAuthority(t)
	for name, c := range map[string]struct {
		change func(*x509.Certificate)
		adjust func(*TCPOptions)
		reason Reason
	}{
		"expired":       {func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, nil, ReasonCertificateExpired},
		"not yet valid": {func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }, nil, ReasonCertificateNotYetValid},
		"another name":  {func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"other.example"}, nil }, nil, ReasonCertificateName},
		"not the configured name": {func(*x509.Certificate) {}, func(o *TCPOptions) { o.TLSConfig.ServerName = "else.example" },
			ReasonCertificateName},
		"unknown authority": {func(*x509.Certificate) {}, func(o *TCPOptions) { o.TLSConfig.CA = newAuthority(t).pem }, ReasonCertificateAuthority},
		"for clients only": {func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, nil,
			ReasonCertificateInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			cert := ca.issue(c.change)
			addr := listen(t, secureServer(&tls.Config{Certificates: []tls.Certificate{cert}}, drain))
			o := tlsOptions(ca.pem)
			if c.adjust != nil {
				c.adjust(o)
			}
			r := probeTCP(t, o, addr.String(), enough)
			wantDown(t, r, StageTLS, c.reason)
			if r.TLS == nil || !r.TLS.EarliestExpiry.Equal(cert.Leaf.NotAfter) || r.TLS.Leaf.SerialNumber != "beef" {
				t.Fatalf("got %+v, want what was presented", r.TLS)
			}
			if !r.TLS.ChainExpiry.IsZero() {
				t.Errorf("a chain that was not verified ends at %s", r.TLS.ChainExpiry)
			}
			o.TLSConfig.InsecureSkipVerify = true
			r = probeTCP(t, o, addr.String(), enough)
			wantUp(t, r)
			if r.TLS == nil || !r.TLS.ChainExpiry.IsZero() {
				t.Errorf("unverified by configuration: got %+v", r.TLS)
			}
		})
	}
}

func TestTLSNames(t *testing.T) {
	ca := newAuthority(t)
	only := func(name string) tls.Certificate {
		return ca.issue(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{name}, nil })
	}
	for name, c := range map[string]struct {
		cert       tls.Certificate
		configured string
		hostname   string
	}{
		"the target's address":                  {cert: ca.issue()},
		"the asker's hostname":                  {cert: only("asked.example"), hostname: "asked.example"},
		"the asker's hostname without its port": {cert: only("asked.example"), hostname: "asked.example:8443"},
		"the configured name before all":        {cert: only("configured.example"), configured: "configured.example", hostname: "asked.example"},
	} {
		t.Run(name, func(t *testing.T) {
			addr := listen(t, secureServer(&tls.Config{Certificates: []tls.Certificate{c.cert}}, drain))
			o := tlsOptions(ca.pem)
			o.TLSConfig.ServerName = c.configured
			r, err := compiled(t, o).Probe(t.Context(), Request{Target: addr.String(), Hostname: c.hostname})
			if err != nil {
				t.Fatal(err)
			}
			wantUp(t, r)
		})
	}
}

// bigKey is an RSA key that is too large to be checked in time; nobody has its private half.
func bigKey(t testing.TB) *rsa.PublicKey {
	b := make([]byte, 16384/8)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	b[0] |= 0x80
	b[len(b)-1] |= 1
	return &rsa.PublicKey{N: new(big.Int).SetBytes(b), E: 65537}
}

func TestTLSEnduresPeers(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	ca := newAuthority(t)
	good := ca.issue()
	serving := func(c tls.Certificate, change func(*tls.Config)) func(net.Conn) {
		conf := &tls.Config{Certificates: []tls.Certificate{c}}
		if change != nil {
			change(conf)
		}
		return secureServer(conf, drain)
	}
	key := good.PrivateKey.(*ecdsa.PrivateKey)
	malformed := tls.Certificate{Certificate: [][]byte{[]byte("\x30\x82\xff\xffnonsense")}, PrivateKey: key}
	huge := tls.Certificate{Certificate: ca.sign(key, bigKey(t)).Certificate, PrivateKey: key}
	long := tls.Certificate{Certificate: good.Certificate, PrivateKey: key}
	for range 99 {
		long.Certificate = append(long.Certificate, ca.issue().Certificate[0])
	}
	for name, c := range map[string]struct {
		serve  func(net.Conn)
		limit  time.Duration
		reason Reason // empty: up
	}{
		"a server of another protocol":  {says("220 mail.example ESMTP\r\n"), enough, ReasonNotTLS},
		"an HTTP server":                {says("HTTP/1.1 400 Bad Request\r\n\r\n"), enough, ReasonNotTLS},
		"a stalled handshake":           {func(net.Conn) { <-hold }, soon, ReasonTimeout},
		"a handshake that stalls later": {func(c net.Conn) { io.WriteString(c, "\x16\x03\x03\x00\x40\x02"); <-hold }, soon, ReasonTimeout},
		"a peer that closes":            {func(c net.Conn) { c.Read(make([]byte, 4096)) }, enough, ReasonConnectionClosed},
		"a peer that resets":            {func(c net.Conn) { c.Read(make([]byte, 1)); reset(c) }, enough, ReasonConnectionReset},
		"TLS 1.0 only, said by alert":   {serving(good, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS10 }), enough, ReasonTLSVersion},
		"TLS 1.0 only, said by hello":   {says(helloOfTLS10()), enough, ReasonTLSVersion},
		"no common cipher": {serving(good, func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_RC4_128_SHA}
		}), enough, ReasonTLSHandshake},
		"a malformed certificate":          {serving(malformed, nil), enough, ReasonCertificateInvalid},
		"a malformed certificate, 1.2":     {serving(malformed, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }), enough, ReasonCertificateInvalid},
		"a key of 16 kbit":                 {serving(huge, nil), enough, ReasonCertificateInvalid},
		"a chain of 100":                   {serving(long, nil), enough, ""},
		"somebody else's certificate":      {serving(tls.Certificate{Certificate: good.Certificate, PrivateKey: ca.key}, nil), enough, ReasonTLSHandshake},
		"a certificate wanted, not needed": {serving(good, func(c *tls.Config) { c.ClientAuth = tls.RequestClientCert }), enough, ""},
		"a certificate needed, TLS 1.2": {serving(good, func(c *tls.Config) {
			c.ClientAuth, c.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12
		}), enough, ReasonClientCertificate},
		"a certificate needed, TLS 1.3": {serving(good, func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }), enough, ReasonClientCertificate},
	} {
		t.Run(name, func(t *testing.T) {
			addr := listen(t, c.serve)
			start := time.Now()
			r := probeTCP(t, tlsOptions(ca.pem), addr.String(), c.limit)
			if c.reason == "" {
				wantUp(t, r)
			} else {
				wantDown(t, r, StageTLS, c.reason)
			}
			if took := time.Since(start); took > c.limit+time.Second {
				t.Errorf("it took %s, the limit was %s", took, c.limit)
			}
		})
	}
}

// helloOfTLS10 is a ServerHello that chooses TLS 1.0, as an old OpenSSL answers.
func helloOfTLS10() string {
	body := append([]byte{3, 1}, bytes.Repeat([]byte{7}, 32)...) // version, random
	body = append(body, 0, 0xc0, 0x13, 0)                        // no session, a cipher, no compression
	message := append([]byte{2, 0, 0, byte(len(body))}, body...)
	return string(append([]byte{22, 3, 1, 0, byte(len(message))}, message...))
}

func TestTLSShowsAClientCertificate(t *testing.T) {
	ca := newAuthority(t)
	clients := x509.NewCertPool()
	clients.AddCert(ca.cert)
	addr := listen(t, secureServer(&tls.Config{
		Certificates: []tls.Certificate{ca.issue()}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert,
	}, func(c net.Conn) { io.WriteString(c, "welcome\n"); drain(c) }))
	client := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }

	o := tlsOptions(ca.pem, expect("welcome"))
	cert, key := pair(t, ca.issue(client))
	o.TLSConfig.Cert, o.TLSConfig.Key = cert, config.Secret(key)
	wantUp(t, probeTCP(t, o, addr.String(), enough))

	// Without one, TLS 1.3 tells only the first to read.
	wantDown(t, probeTCP(t, tlsOptions(ca.pem, expect("welcome")), addr.String(), enough), StageTLS, ReasonClientCertificate)
}

// A server that wants a certificate and says nothing may accept us; that we wait for its word is no fault of it.
func TestTLSWhoseConfirmationOutlastsTheProbeIsUp(t *testing.T) {
	ca := newAuthority(t)
	addr := listen(t, secureServer(&tls.Config{Certificates: []tls.Certificate{ca.issue()}, ClientAuth: tls.RequestClientCert}, drain))
	p := compiled(t, tlsOptions(ca.pem))
	conn, err := dial(t.Context(), nil, "localhost", addr, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	secured, facts, err := p.tls.handshake(t.Context(), conn, "localhost", nil, nil)
	if err != nil || !facts.ClientCertificateRequested {
		t.Fatalf("%v; %+v", err, facts)
	}
	over := newLimit(t.Context(), time.Millisecond)
	defer over.release()
	if err := p.confirm(over, secured, 0, facts); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestTLSLabelsAreBounded(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(func(c *x509.Certificate) {
		c.Subject.Organization = []string{strings.Repeat("o", 5000)}
		for i := range 1000 {
			c.DNSNames = append(c.DNSNames, fmt.Sprintf("name-%d.example", i))
		}
	})
	addr := listen(t, secureServer(&tls.Config{Certificates: []tls.Certificate{cert}}, drain))
	r := probeTCP(t, tlsOptions(ca.pem), addr.String(), enough)
	wantUp(t, r)
	leaf := r.TLS.Leaf
	if len(leaf.SubjectAlternative) != maxLabelValue || !strings.HasPrefix(leaf.SubjectAlternative, "localhost,test.example,name-0.example,") {
		t.Errorf("%d bytes: %s", len(leaf.SubjectAlternative), leaf.SubjectAlternative)
	}
	if len(leaf.Subject) != maxLabelValue {
		t.Errorf("the subject has %d bytes", len(leaf.Subject))
	}
}

func TestChainExpiryIsThatOfTheChainThatLastsLongest(t *testing.T) {
	at := func(hours int) *x509.Certificate {
		return &x509.Certificate{NotAfter: time.Unix(0, 0).Add(time.Duration(hours) * time.Hour)}
	}
	got := chainExpiry([][]*x509.Certificate{{at(9), at(3)}, {at(9), at(7), at(8)}, {at(9), at(5)}})
	if want := at(7).NotAfter; !got.Equal(want) {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestStartTLS(t *testing.T) {
	ca := newAuthority(t)
	conf := &tls.Config{Certificates: []tls.Certificate{ca.issue()}}
	// A mail server that says reply to STARTTLS and goes on in TLS.
	server := func(reply string) func(net.Conn) {
		return func(c net.Conn) {
			io.WriteString(c, "220 mail\r\n")
			c.Read(make([]byte, 1024))
			io.WriteString(c, reply)
			secureServer(conf, func(c net.Conn) {
				c.Read(make([]byte, 1024))
				io.WriteString(c, "250 secure\r\n")
				drain(c)
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
	o.TLSConfig.CA = ca.pem
	t.Run("succeeds", func(t *testing.T) {
		r := probeTCP(t, o, listen(t, server("220 go\r\n")).String(), enough)
		wantUp(t, r)
		if r.TLS == nil || r.TLS.ChainExpiry.IsZero() || r.Phases.TLS <= 0 || r.Phases.Transfer <= 0 {
			t.Errorf("got %+v", r)
		}
	})
	t.Run("fails when plaintext was injected", func(t *testing.T) {
		r := probeTCP(t, o, listen(t, server("220 go\r\n250 secure\r\n")).String(), enough)
		wantDown(t, r, StageConversation, ReasonEarlyData)
		if r.TLS != nil {
			t.Errorf("facts %+v of a handshake that must not begin", r.TLS)
		}
	})
	t.Run("fails for a certificate", func(t *testing.T) {
		other := tcpOptions(entries...)
		other.TLSConfig.CA = newAuthority(t).pem
		r := probeTCP(t, other, listen(t, server("220 go\r\n")).String(), enough)
		wantDown(t, r, StageTLS, ReasonCertificateAuthority)
		if r.TLS == nil {
			t.Error("the certificate is not shown")
		}
	})
}

func TestTLSConfigForQUICVerifiesToo(t *testing.T) {
	ca := newAuthority(t)
	client, err := compileTLS("tls_config", &config.TLSConfig{CA: ca.pem})
	if err != nil {
		t.Fatal(err)
	}
	for host, reason := range map[string]Reason{"localhost": "", "[127.0.0.1]": "", "wrong.example": ReasonCertificateName, "": ReasonCertificateName} {
		var facts TLSFacts
		c, err := client.config(host, []string{"h3"}, &facts)
		if err != nil {
			t.Fatal(err)
		}
		cert := ca.issue()
		err = c.VerifyConnection(tls.ConnectionState{Version: tls.VersionTLS13, PeerCertificates: []*x509.Certificate{cert.Leaf}})
		if reason == "" {
			if err != nil || facts.ChainExpiry.IsZero() {
				t.Errorf("%q: %v, %+v", host, err, facts)
			}
		} else {
			wantFailure(t, err, StageTLS, reason)
		}
		if facts.EarliestExpiry.IsZero() || !cmp.Equal(c.NextProtos, []string{"h3"}) {
			t.Errorf("%q: %+v, protocols %q", host, facts, c.NextProtos)
		}
	}
}

func TestTLSHandshakeEndsWhenTheAskerGoesAway(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	started := make(chan struct{})
	addr := listen(t, func(c net.Conn) { c.Read(make([]byte, 1)); close(started); <-hold })
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-started; cancel() }()
	conn, err := dial(ctx, nil, "x", addr, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client, err := compileTLS("tls_config", &config.TLSConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := client.handshake(ctx, conn, "x", nil, nil); err != context.Canceled {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestZoneIsNoPartOfTheTLSName(t *testing.T) {
	client, err := compileTLS("t", &config.TLSConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{"fe80::1%eth0": "fe80::1", "fe80::1": "fe80::1", "a%b": "a%b", "example.com": "example.com"} {
		c, err := client.config(host, nil, new(TLSFacts))
		if err != nil || c.ServerName != want {
			t.Errorf("%s: %q, %v; want %q", host, c.ServerName, err, want)
		}
	}
}
