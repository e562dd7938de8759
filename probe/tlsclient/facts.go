package tlsclient

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"math/big"
	"slices"
	"strings"
	"time"

	"rollcall/probe"
)

// setFacts records what a peer presented, verified or not. The peer may not have proved yet that it owns the leaf's key.
func setFacts(f *probe.TLSFacts, state tls.ConnectionState) {
	f.Version, f.CipherSuite = state.Version, state.CipherSuite
	first := firstToExpire(state.PeerCertificates)
	f.EarliestExpiry, f.EarliestStart = first.NotAfter, first.NotBefore
	f.Leaf = CertificateFacts(state.PeerCertificates[0])
	f.Presented = state.PeerCertificates
}

func firstToExpire(certificates []*x509.Certificate) *x509.Certificate {
	return slices.MinFunc(certificates, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
}

// chainExpiry is when the last of the verified chains ends; each ends with its first certificate to expire.
func chainExpiry(chains [][]*x509.Certificate) time.Time {
	var latest time.Time
	for _, chain := range chains {
		if expiry := firstToExpire(chain).NotAfter; expiry.After(latest) {
			latest = expiry
		}
	}
	return latest
}

// CertificateFacts describes a certificate, with bounded text.
func CertificateFacts(c *x509.Certificate) probe.CertificateFacts {
	fingerprint := sha256.Sum256(c.Raw)
	return probe.CertificateFacts{
		FingerprintSHA256:  hex.EncodeToString(fingerprint[:]),
		Subject:            probe.LabelValue(c.Subject.String()),
		Issuer:             probe.LabelValue(c.Issuer.String()),
		SubjectAlternative: probe.LabelValue(joinNames(c.DNSNames)),
		SerialNumber:       probe.LabelValue(serialNumber(c.SerialNumber)),
	}
}

// serialNumber writes whole bytes, as other programs do: leading zeros count when people compare serial numbers.
func serialNumber(n *big.Int) string {
	return hex.EncodeToString(n.FillBytes(make([]byte, max(1, (n.BitLen()+7)/8))))
}

// joinNames joins no more names than fit into a label: a certificate may hold thousands.
func joinNames(names []string) string {
	length := 0
	for i, name := range names {
		if length += len(name) + len(","); length > probe.MaxLabelValue {
			names = names[:i+1]
			break
		}
	}
	return strings.Join(names, ",")
}
