package zoo

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Everything in this file is the same on every run: keys come from fixed seeds, Ed25519 signatures are deterministic, serial
// numbers and dates are fixed. Golden files can therefore contain fingerprints.

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  ed25519.PrivateKey
}

// newAuthority makes a certificate authority from its name; nil parent makes a root.
func newAuthority(name string, notAfter time.Time, parent *authority) authority {
	key := keyOf(name)
	template := &x509.Certificate{
		SerialNumber: serialOf(name), Subject: pkix.Name{Organization: []string{"Zoo"}, CommonName: name},
		NotBefore: date(2020), NotAfter: notAfter, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, SubjectKeyId: keyID(key),
	}
	if parent == nil {
		parent = &authority{cert: template, key: key}
	}
	return authority{cert: parse(parent.sign(template, key.Public())), key: key}
}

func root() authority         { return newAuthority("Zoo Root", date(2045), nil) }
func intermediate() authority { r := root(); return newAuthority("Zoo Intermediate", date(2035), &r) }

// sign returns the DER form of template for the given public key.
func (a authority) sign(template *x509.Certificate, public crypto.PublicKey) []byte {
	der, err := x509.CreateCertificate(noRandom{}, template, a.cert, public, a.key)
	if err != nil {
		panic(fmt.Sprintf("zoo: signing %q: %v", template.Subject.CommonName, err))
	}
	return der
}

// CAFile writes the root that signed the good certificates to a file for a module's ca_file.
func CAFile(t testing.TB) string {
	t.Helper()
	return writeFile(t, "ca.pem", pemBlock("CERTIFICATE", root().cert.Raw))
}

// ClientFiles writes a client certificate that MutualTLS accepts, and its key.
func ClientFiles(t testing.TB) (certFile, keyFile string) {
	t.Helper()
	c := Leaf("client", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatalf("zoo: %v", err)
	}
	return writeFile(t, "client.pem", pemBlock("CERTIFICATE", c.Certificate...)), writeFile(t, "client.key", pemBlock("PRIVATE KEY", key))
}

// Leaf is a server certificate, signed by the root, valid from 2020 to 2040 for localhost, 127.0.0.1, 127.0.0.2 and
// ::1, unless edit changes it.
func Leaf(name string, edit ...func(*x509.Certificate)) tls.Certificate {
	return leafOf(root(), name, edit...)
}

func leafOf(a authority, name string, edit ...func(*x509.Certificate)) tls.Certificate {
	template := leafTemplate(name)
	for _, e := range edit {
		e(template)
	}
	key := keyOf(name)
	return tls.Certificate{Certificate: [][]byte{a.sign(template, key.Public())}, PrivateKey: key}
}

func leafTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: serialOf(name), Subject: pkix.Name{Organization: []string{"Zoo"}, CommonName: name},
		NotBefore: date(2020), NotAfter: date(2040), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost", "good.zoo.test"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(127, 0, 0, 2), net.IPv6loopback},
	}
}

// Good is a certificate that clients with CAFile trust.
func Good() tls.Certificate { return Leaf("good") }

// Expired expired in 2021.
func Expired() tls.Certificate {
	return Leaf("expired", func(c *x509.Certificate) { c.NotAfter = date(2021) })
}

// NotYetValid is valid from 2090.
func NotYetValid() tls.Certificate {
	return Leaf("not yet valid", func(c *x509.Certificate) { c.NotBefore, c.NotAfter = date(2090), date(2095) })
}

// WrongName is valid for elsewhere.zoo.test only.
func WrongName() tls.Certificate {
	return Leaf("wrong name", func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"elsewhere.zoo.test"}, nil })
}

// WrongUsage is a certificate for clients.
func WrongUsage() tls.Certificate {
	return Leaf("wrong usage", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
}

// UnknownAuthority is signed by a root that is not in CAFile.
func UnknownAuthority() tls.Certificate {
	return leafOf(newAuthority("Stranger", date(2045), nil), "unknown authority")
}

// Chained is signed by an intermediate, which expires in 2035 and is sent as well.
func Chained() tls.Certificate {
	a := intermediate()
	c := leafOf(a, "chained")
	c.Certificate = append(c.Certificate, a.cert.Raw)
	return c
}

// LeafAlone is signed by an intermediate that is not sent.
func LeafAlone() tls.Certificate { return leafOf(intermediate(), "leaf alone") }

// LongChain sends n useless intermediates with a good leaf.
func LongChain(n int) tls.Certificate {
	c := Leaf("long chain")
	for i := range n {
		c.Certificate = append(c.Certificate, newAuthority(fmt.Sprintf("Link %d", i), date(2045), nil).cert.Raw)
	}
	return c
}

// ManyNames is valid for n more names.
func ManyNames(n int) tls.Certificate {
	return Leaf("many names", func(c *x509.Certificate) {
		for i := range n {
			c.DNSNames = append(c.DNSNames, fmt.Sprintf("name-%04d.zoo.test", i))
		}
	})
}

// NamedBy has the given bytes in its subject and alternative names.
func NamedBy(subject string, names ...string) tls.Certificate {
	return Leaf("named", func(c *x509.Certificate) {
		c.Subject.CommonName = subject
		c.DNSNames = append(c.DNSNames, names...)
	})
}

// HugeKey presents an RSA key of 16 kbit. Its private key does not exist: a client that checks the signature has already done
// the work that it should have refused.
func HugeKey() tls.Certificate {
	modulus := new(big.Int).Lsh(big.NewInt(1), 16384)
	public := &rsa.PublicKey{N: modulus.Sub(modulus, big.NewInt(159)), E: 65537}
	return tls.Certificate{Certificate: [][]byte{root().sign(leafTemplate("huge key"), public)}, PrivateKey: forger{public}}
}

// Malformed presents bytes that are not a certificate.
func Malformed() tls.Certificate {
	good := Good()
	return tls.Certificate{Certificate: [][]byte{good.Certificate[0][:40]}, PrivateKey: good.PrivateKey}
}

// OldKey is an ECDSA certificate, because TLS 1.0 and 1.1 do not support Ed25519.
func OldKey() tls.Certificate {
	seed := sha256.Sum256([]byte("old key"))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
	if err != nil {
		panic(fmt.Sprintf("zoo: %v", err))
	}
	return tls.Certificate{Certificate: [][]byte{root().sign(leafTemplate("old key"), key.Public())}, PrivateKey: key}
}

// forger pretends to have the private key of a public key.
type forger struct{ public crypto.PublicKey }

func (f forger) Public() crypto.PublicKey { return f.public }

func (f forger) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return make([]byte, 2048), nil
}

// noRandom is the random source for crypto/x509; Ed25519 does not use it.
type noRandom struct{}

func (noRandom) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func keyOf(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("zoo key " + name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func keyID(key ed25519.PrivateKey) []byte {
	sum := sha256.Sum256(key.Public().(ed25519.PublicKey))
	return sum[:20]
}

func serialOf(name string) *big.Int {
	sum := sha256.Sum256([]byte("zoo serial " + name))
	return new(big.Int).SetBytes(sum[:8])
}

func date(year int) time.Time { return time.Date(year, time.January, 1, 0, 0, 0, 0, time.UTC) }

func parse(der []byte) *x509.Certificate {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(fmt.Sprintf("zoo: %v", err))
	}
	return cert
}

func pemBlock(kind string, blocks ...[]byte) []byte {
	var out []byte
	for _, b := range blocks {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b})...)
	}
	return out
}

func writeFile(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatalf("zoo: %v", err)
	}
	return path
}
