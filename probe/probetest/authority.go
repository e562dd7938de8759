package probetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"
)

// Authority signs the certificates of a test.
type Authority struct {
	t    testing.TB
	Cert *x509.Certificate
	Key  *ecdsa.PrivateKey
	PEM  string
}

// NewAuthority makes a root certificate, after change.
func NewAuthority(t testing.TB, change ...func(*x509.Certificate)) *Authority {
	return (&Authority{t: t}).Intermediate("Test Root", change...)
}

// Intermediate is another authority, which this one has signed, after change.
func (a *Authority) Intermediate(name string, change ...func(*x509.Certificate)) *Authority {
	authority := func(c *x509.Certificate) {
		c.Subject.CommonName, c.IsCA, c.BasicConstraintsValid, c.DNSNames = name, true, true, nil
	}
	signed := a.Issue(append([]func(*x509.Certificate){authority}, change...)...)
	text, _ := Pair(a.t, signed)
	return &Authority{t: a.t, Cert: signed.Leaf, Key: signed.PrivateKey.(*ecdsa.PrivateKey), PEM: text}
}

// Issue makes a certificate for localhost and 127.0.0.1, valid today, after change. Without a cert of its own the
// authority signs by the new key.
func (a *Authority) Issue(change ...func(*x509.Certificate)) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.Sign(key, key.Public(), change...)
}

// Sign makes a certificate for a public key of another's, as Issue does for a new one.
func (a *Authority) Sign(key *ecdsa.PrivateKey, public any, change ...func(*x509.Certificate)) tls.Certificate {
	a.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0xbeef),
		Subject:      pkix.Name{CommonName: "test", Organization: []string{"Rollcall"}},
		NotBefore:    time.Now().Add(-time.Hour).Truncate(time.Second),
		NotAfter:     time.Now().Add(24 * time.Hour).Truncate(time.Second),
		DNSNames:     []string{"localhost", "test.example"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	for _, f := range change {
		f(template)
	}
	parent, signer := a.Cert, a.Key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// Pair is a certificate and its key as they stand in a file.
func Pair(t testing.TB, c tls.Certificate) (cert, key string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// TLSServer shakes hands, then serves.
func TLSServer(c *tls.Config, serve func(net.Conn)) func(net.Conn) {
	return func(conn net.Conn) {
		secured := tls.Server(conn, c)
		defer secured.Close()
		if secured.Handshake() == nil {
			serve(secured)
		}
	}
}
