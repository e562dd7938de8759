package tlsclient

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"rollcall/probe"
	"rollcall/probe/network"
)

// explain adds to the failure of a handshake over TCP, in which no certificate was shown, what was offered, and the setting
// that may help, where peers say no more than that they have nothing in common with us.
func (t *Client) explain(err error) error {
	f, ok := err.(*probe.Failure)
	if !ok {
		return err
	}
	alert, isAlert := network.RemoteAlert(err)
	switch {
	case f.Reason == probe.ReasonTLSVersion:
		return probe.Failf(f.Stage, f.Reason, "%w (offered: %s; min_version and max_version in tls_config choose others)", f.Err, t.offered())
	case f.Reason != probe.ReasonTLSHandshake:
		return err
	case isAlert && (alert == alertHandshakeFailure || alert == alertInsufficientSecurity),
		strings.HasPrefix(f.Err.Error(), "tls: server chose an unconfigured cipher suite"): // it has no type
		return probe.Failf(f.Stage, f.Reason, "%w (no cipher suite in common, it seems; %s)", f.Err, t.offeredSuites())
	}
	return err
}

// offered are the versions that a ClientHello has.
func (t *Client) offered() string {
	lowest, highest := cmp.Or(t.min, tls.VersionTLS12), cmp.Or(t.max, tls.VersionTLS13)
	if lowest == highest {
		return tls.VersionName(lowest)
	}
	return tls.VersionName(lowest) + " to " + tls.VersionName(highest)
}

// offeredSuites says which cipher suites a ClientHello has, and how to get those that crypto/tls leaves out: its defaults
// are changed by the environment alone (https://go.dev/doc/godebug).
func (t *Client) offeredSuites() string {
	const ecdhe = "ECDHE with AES-GCM, ChaCha20-Poly1305 or AES-CBC"
	text := "offered: those of TLS 1.3, and " + ecdhe
	switch {
	case t.min == tls.VersionTLS13:
		return "offered: those of TLS 1.3; min_version in tls_config may allow others"
	case t.max != 0 && t.max < tls.VersionTLS13:
		text = "offered: " + ecdhe
	}
	if strings.Contains(os.Getenv("GODEBUG"), "tlsrsakex=1") {
		return text + ", and RSA key exchange"
	}
	return text + "; RSA key exchange, all that some old servers have, is offered with GODEBUG=tlsrsakex=1 in rollcall's environment"
}

// explainAuthority adds to an unknown authority what is wrong with the chain that was presented: it ends with a
// certificate that is its own issuer, or goes no further for want of one.
func explainAuthority(err error, presented []*x509.Certificate) error {
	unknown, ok := errors.AsType[x509.UnknownAuthorityError](err)
	if !ok || strings.Contains(unknown.Error(), "possibly because") { // crypto/x509 has tried one that has the issuer's name
		return err
	}
	last := presented[0]
	for range presented {
		if bytes.Equal(last.RawIssuer, last.RawSubject) {
			return fmt.Errorf("%w (%s is self-signed; ca and ca_file in tls_config name authorities to trust)", err, probe.Quoted(last.Subject.String()))
		}
		issuer := slices.IndexFunc(presented, func(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, last.RawIssuer) })
		if issuer < 0 {
			break
		}
		last = presented[issuer]
	}
	return fmt.Errorf("%w (an intermediate certificate is missing: the server does not send that of %s; if this is an authority to trust, ca and ca_file in tls_config may name it)",
		err, probe.Quoted(last.Issuer.String()))
}
