// Package tlsclient is the TLS side of probers: it compiles tls_config, makes handshakes, verifies certificates and records
// what the peer presented, also when it is refused.
package tlsclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/prometheus/common/config"

	"rollcall/probe"
	"rollcall/probe/network"
	"rollcall/probe/option"
)

// Client is a module's tls_config, ready for handshakes.
type Client struct {
	configuredName string // server_name
	insecure       bool   // insecure_skip_verify
	min, max       uint16
	files          *option.Watched[*material]
	verifications  verifications
}

// ServerName is the name that the certificate of host must be for: the configured one, or else host. After a
// redirect to another host the configured name no longer counts; there a caller passes that host to Handshake.
func (t *Client) ServerName(host string) string {
	if t.configuredName != "" {
		return t.configuredName
	}
	return host
}

// Compile makes c ready. It reads the files that c names; its errors are joined *option.Errors below path.
func Compile(path string, c *config.TLSConfig) (*Client, error) {
	var errs option.Collector
	for _, ref := range []struct{ option, value, instead string }{
		{"ca_ref", c.CARef, "ca, ca_file"},
		{"cert_ref", c.CertRef, "cert, cert_file"},
		{"key_ref", c.KeyRef, "key, key_file"},
	} {
		if ref.value != "" {
			errs.Unusablef(path+"."+ref.option, "names a secret of a secret manager, and there is none here; accepted: %s", ref.instead)
		}
	}
	if c.MinVersion != 0 && c.MaxVersion != 0 && c.MinVersion > c.MaxVersion {
		errs.Unusablef(path+".min_version", "is above max_version")
	}
	own := *c
	load := func() (*material, error) { return loadMaterial(path, &own) }
	files, err := option.Watch("the files of "+path, load, c.CAFile, c.CertFile, c.KeyFile)
	errs.Join(err)
	if err := errs.Err(); err != nil {
		return nil, err
	}
	return &Client{
		configuredName: c.ServerName, insecure: c.InsecureSkipVerify,
		min: uint16(c.MinVersion), max: uint16(c.MaxVersion), files: files,
	}, nil
}

// Config is the configuration of one handshake with a peer that must be serverName. What the peer presents is
// written to facts during the handshake; a Version of 0 afterwards means that no certificate arrived. Failing to
// verify is a *Failure in the handshake's error. The error of Config itself is an *ExporterError: a file is broken.
func (t *Client) Config(serverName string, nextProtos []string, facts *probe.TLSFacts) (*tls.Config, error) {
	material, err := t.files.Current()
	if err != nil {
		return nil, err
	}
	serverName = withoutZone(serverName)
	if own := material.certificate.Leaf; own != nil {
		facts.ClientExpiry = own.NotAfter
	}
	return &tls.Config{
		ServerName: serverName,
		NextProtos: nextProtos,
		MinVersion: t.min,
		MaxVersion: t.max,
		// crypto/tls throws away what it could not verify; here the certificates are wanted then more than ever, so
		// VerifyConnection does the verifying, by the same rules.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			setFacts(facts, state)
			if t.insecure {
				return nil
			}
			var err error
			facts.ChainExpiry, err = t.verifications.chainExpiry(state.PeerCertificates, material.roots, serverName)
			return err
		},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			facts.ClientCertificateRequested = true
			return material.certificate, nil
		},
	}, nil
}

// HandshakeError says what an error of a handshake, over TCP or QUIC, means.
func HandshakeError(ctx context.Context, err error, facts *probe.TLSFacts) error {
	if err == nil || probe.IsClassified(err) || ctx.Err() != nil || network.LocalFault(err) != nil {
		return network.Classify(ctx, probe.StageTLS, err)
	}
	reason := network.Reason(ctx, err)
	if alert, ok := network.RemoteAlert(err); ok {
		reason = network.AlertReason(alert)
		if alert == alertHandshakeFailure && facts.ClientCertificateRequested {
			reason = probe.ReasonClientCertificate
		}
	} else if reason == probe.ReasonNetworkError {
		reason = peerError(err)
	}
	return probe.Fail(probe.StageTLS, reason, err)
}

const (
	// alertHandshakeFailure is what OpenSSL's servers of TLS 1.2 say, among other things, when no certificate came.
	alertHandshakeFailure tls.AlertError = 40
	// alertInsufficientSecurity tells that the peer would accept a stronger offer.
	alertInsufficientSecurity tls.AlertError = 71
)

// peerError names what crypto/tls itself did not accept in the peer's messages.
func peerError(err error) probe.Reason {
	if probe.Is[tls.RecordHeaderError](err) {
		return probe.ReasonNotTLS
	}
	// These have no type, only a text. A change of the text would make them tls_handshake; tests would notice.
	for _, known := range []struct {
		text   string
		reason probe.Reason
	}{
		{"tls: server selected unsupported protocol version", probe.ReasonTLSVersion},
		{"tls: failed to parse certificate from server", probe.ReasonCertificateInvalid},
		{"tls: server sent certificate containing RSA key larger", probe.ReasonCertificateInvalid},
		{"tls: server's certificate contains an unsupported type of public key", probe.ReasonCertificateInvalid},
	} {
		if strings.HasPrefix(err.Error(), known.text) {
			return known.reason
		}
	}
	return probe.ReasonTLSHandshake
}

// verify builds the chains from the presented certificates to a root as crypto/tls does. Its error is a *Failure,
// or an *ExporterError when this machine has no roots.
func verify(presented []*x509.Certificate, roots *x509.CertPool, serverName string) ([][]*x509.Certificate, error) {
	if serverName == "" {
		return nil, probe.Failf(probe.StageTLS, probe.ReasonCertificateName, "verifying the certificate: there is no name that it could be for; accepted: server_name or insecure_skip_verify in tls_config")
	}
	opts := x509.VerifyOptions{Roots: roots, DNSName: serverName} // key usage: server authentication, by default
	if len(presented) > 1 {
		opts.Intermediates = x509.NewCertPool()
		for _, c := range presented[1:] {
			opts.Intermediates.AddCert(c)
		}
	}
	chains, err := presented[0].Verify(opts)
	if err == nil {
		return chains, nil
	}
	err = &tls.CertificateVerificationError{UnverifiedCertificates: presented, Err: err}
	if probe.Is[x509.SystemRootsError](err) {
		return nil, &probe.ExporterError{Fault: probe.FaultFile, Err: err}
	}
	return nil, probe.Fail(probe.StageTLS, verifyReason(err), explainAuthority(err, presented))
}

func verifyReason(err error) probe.Reason {
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case probe.Is[x509.HostnameError](err):
		return probe.ReasonCertificateName
	case probe.Is[x509.UnknownAuthorityError](err):
		return probe.ReasonCertificateAuthority
	case isInvalid && invalid.Reason == x509.Expired:
		// The type has one reason for both ends of the validity.
		if time.Now().Before(invalid.Cert.NotBefore) {
			return probe.ReasonCertificateNotYetValid
		}
		return probe.ReasonCertificateExpired
	default:
		return probe.ReasonCertificateInvalid
	}
}

// withoutZone cuts the zone off an IPv6 address: a certificate names none.
func withoutZone(host string) string {
	if i := strings.LastIndexByte(host, '%'); i > 0 && strings.Contains(host[:i], ":") {
		return host[:i]
	}
	return host
}

// NameFor is the host whose certificate is expected: hostname (which may carry a port) if the caller gave one.
func NameFor(hostname, host string) string {
	if hostname == "" {
		return host
	}
	if name, _, err := net.SplitHostPort(hostname); err == nil {
		return name
	}
	return strings.Trim(hostname, "[]")
}
