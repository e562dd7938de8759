package probe

import (
	"errors"
	"fmt"
	"slices"

	"rollcall/redact"
)

// Stage is where a probe stopped. The list is fixed: the words are label values, log fields and mail text.
type Stage string

// The stages, in the order a probe goes through them.
const (
	StageResolve      Stage = "resolve"      // name to address
	StageConnect      Stage = "connect"      // connection to the target by TCP, QUIC or a Unix socket; for icmp, the way to it
	StageProxy        Stage = "proxy"        // connection to and tunnel through a proxy
	StageTLS          Stage = "tls"          // TLS handshake and certificate verification
	StageRequest      Stage = "request"      // obtaining a token and sending the request
	StageResponse     Stage = "response"     // waiting for the answer and reading its headers
	StageRedirect     Stage = "redirect"     // following a Location
	StageBody         Stage = "body"         // reading and decoding the body
	StageConversation Stage = "conversation" // send and expect of tcp and unix
	StageCheck        Stage = "check"        // the answer arrived; an option judges it
)

// Reason is why the target is down. Like the stages the list is fixed.
type Reason string

// The reasons. docs/reference.md says for each at which stages it can occur; a test holds it to that.
const (
	ReasonTimeout            Reason = "timeout"             // the probe's time ran out at this stage
	ReasonConnectionRefused  Reason = "connection_refused"  // the port is closed; for unix, also: no stream socket is there
	ReasonConnectionReset    Reason = "connection_reset"    // the peer sent RST
	ReasonConnectionClosed   Reason = "connection_closed"   // the peer closed before it had answered
	ReasonHostUnreachable    Reason = "host_unreachable"    // no route to the host, or the host does not answer ARP/ND
	ReasonNetworkUnreachable Reason = "network_unreachable" // no route to the network
	ReasonNetworkError       Reason = "network_error"       // any other error of the network
	ReasonTTLExceeded        Reason = "ttl_exceeded"        // a router on the way got a ping whose time to live was over
	ReasonPacketTooBig       Reason = "packet_too_big"      // the way does not carry a ping of this size in one piece
	ReasonDenied             Reason = "denied"              // the guard refuses an address that a redirect leads to

	ReasonNoSuchHost   Reason = "no_such_host"   // NXDOMAIN: the name does not exist
	ReasonDNSFailure   Reason = "dns_failure"    // the name server answered with an error (SERVFAIL, REFUSED), or nonsense
	ReasonNoAddress    Reason = "no_address"     // the name exists and has no address record
	ReasonNoIPProtocol Reason = "no_ip_protocol" // it has addresses, none of the protocol that the module demands

	ReasonCertificateExpired     Reason = "certificate_expired"
	ReasonCertificateNotYetValid Reason = "certificate_not_yet_valid"
	ReasonCertificateName        Reason = "certificate_name" // valid for other names
	ReasonCertificateAuthority   Reason = "certificate_authority"
	ReasonCertificateInvalid     Reason = "certificate_invalid" // malformed, not for a server, too large a key
	ReasonNotTLS                 Reason = "not_tls"             // the peer answered in another protocol
	ReasonTLSVersion             Reason = "tls_version"         // no common version
	ReasonTLSHandshake           Reason = "tls_handshake"       // any other alert or handshake error
	ReasonClientCertificate      Reason = "client_certificate"  // the peer demands one, or refuses ours

	ReasonProxyRefused  Reason = "proxy_refused"  // the proxy answered the tunnel request with an error
	ReasonTokenRefused  Reason = "token_refused"  // the OAuth 2.0 server gave no token
	ReasonProtocolError Reason = "protocol_error" // the answer breaks HTTP's, DNS's or the proxy's rules

	ReasonHeadersTooLarge     Reason = "headers_too_large"
	ReasonTooManyInterim      Reason = "too_many_interim_responses" // endless 1xx
	ReasonTooManyRedirects    Reason = "too_many_redirects"
	ReasonBadRedirect         Reason = "bad_redirect" // no usable Location
	ReasonBodyTooLarge        Reason = "body_too_large"
	ReasonContentEncoding     Reason = "content_encoding" // an encoding that was not asked for, or a broken one
	ReasonStatusCode          Reason = "status_code"
	ReasonHTTPVersion         Reason = "http_version"
	ReasonTLSPresent          Reason = "tls_present" // fail_if_ssl
	ReasonTLSAbsent           Reason = "tls_absent"  // fail_if_not_ssl
	ReasonBodyRegexp          Reason = "body_regexp"
	ReasonHeaderRegexp        Reason = "header_regexp"
	ReasonBodyCEL             Reason = "body_cel"
	ReasonNoMatch             Reason = "no_match"              // the stream ended before an expect matched
	ReasonBytesMismatch       Reason = "bytes_mismatch"        // other bytes than expect_bytes arrived
	ReasonLineTooLong         Reason = "line_too_long"         // more than the limit without a newline
	ReasonConversationTooLong Reason = "conversation_too_long" // more bytes than a conversation may have
	ReasonNotServing          Reason = "not_serving"           // the gRPC service says that it is not
	ReasonResponseCode        Reason = "response_code"         // of a DNS answer, not a valid one
	ReasonRecordRegexp        Reason = "record_regexp"         // a regexp about the records of a DNS answer
	ReasonEarlyData           Reason = "data_before_tls"       // bytes were waiting where TLS should start (STARTTLS injection)
)

// Failure says why a target is down: where the probe stopped, the one reason, and the cause for a person.
type Failure struct {
	Stage  Stage
	Reason Reason
	Err    error // never nil; free of secrets, but may quote the remote side
}

func (f *Failure) Error() string { return f.Err.Error() }

func (f *Failure) Unwrap() error { return f.Err }

// Fail returns a Failure with a cause, which is never nil.
func Fail(stage Stage, reason Reason, err error) *Failure {
	return &Failure{Stage: stage, Reason: reason, Err: err}
}

// Failf is Fail with a cause by fmt.Errorf.
func Failf(stage Stage, reason Reason, format string, args ...any) *Failure {
	return Fail(stage, reason, fmt.Errorf(format, args...))
}

// Fault is why the exporter itself could not probe: a fixed list, the label of rollcall_exporter_errors_total.
type Fault string

// The faults.
const (
	FaultBusy          Fault = "busy"           // the limit of probes in flight is reached, or the request waited until its time was over
	FaultShutdown      Fault = "shutdown"       // the process is ending
	FaultDescriptors   Fault = "descriptors"    // EMFILE, ENFILE
	FaultMemory        Fault = "memory"         // ENOBUFS, ENOMEM
	FaultPorts         Fault = "ports"          // no ephemeral port left
	FaultSourceAddress Fault = "source_address" // source_ip_address is not ours
	FaultPermission    Fault = "permission"     // EPERM, EACCES: a local firewall or a missing capability
	FaultFile          Fault = "file"           // a certificate, password or body file cannot be read
	FaultExpression    Fault = "expression"     // a regexp or CEL expression of the module takes too long for the answer
	FaultStalled       Fault = "stalled"        // a failure while the process did not run: stopped, throttled, starved, suspended
	FaultRoute         Fault = "route"          // this machine has no route to the address, or one that rejects
	FaultResolver      Fault = "resolver"       // resolv.conf names no name server, or cannot be read
	FaultIsolated      Fault = "isolated"       // all of alert.references fail: our own line is cut
	FaultClock         Fault = "clock"          // the clock says a time before rollcall was built
	FaultPanic         Fault = "panic"          // a bug in rollcall
)

// Faults lists every fault, so that a counter can show each of them before it happens.
func Faults() []Fault {
	return []Fault{
		FaultBusy, FaultShutdown, FaultDescriptors, FaultMemory, FaultPorts, FaultSourceAddress, FaultPermission,
		FaultFile, FaultExpression, FaultStalled, FaultRoute, FaultResolver, FaultIsolated, FaultClock, FaultPanic,
	}
}

// ExporterError is a failure of the exporter, which says nothing about the target.
type ExporterError struct {
	Fault Fault
	Err   error
}

func (e *ExporterError) Error() string { return e.Err.Error() }

func (e *ExporterError) Unwrap() error { return e.Err }

// Faultf returns an ExporterError with a cause by fmt.Errorf.
func Faultf(fault Fault, format string, args ...any) *ExporterError {
	return &ExporterError{Fault: fault, Err: fmt.Errorf(format, args...)}
}

// Redact returns err with a text that is without the secrets, which may be in what it quotes of a peer. nil stays nil.
func Redact(err error, secrets ...string) error {
	switch e := err.(type) {
	case *Failure:
		return Fail(e.Stage, e.Reason, redact.Error(e.Err, secrets...))
	case *ExporterError:
		return &ExporterError{Fault: e.Fault, Err: redact.Error(e.Err, secrets...)}
	}
	return redact.Error(err, secrets...)
}

// TargetError is a target that cannot be asked for: the caller's mistake.
type TargetError struct{ Err error }

func (e *TargetError) Error() string { return e.Err.Error() }

func (e *TargetError) Unwrap() error { return e.Err }

// DeniedError is a target that the guard refuses: the caller may not ask for it.
type DeniedError struct{ Err error }

func (e *DeniedError) Error() string { return e.Err.Error() }

func (e *DeniedError) Unwrap() error { return e.Err }

// IsClassified reports whether err is one of the four errors that a prober may return.
func IsClassified(err error) bool {
	return Is[*Failure](err) || Is[*ExporterError](err) || Is[*DeniedError](err) || Is[*TargetError](err)
}

// Is reports whether an E is in err's tree.
func Is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// HasReason reports whether err is a *Failure with one of the reasons.
func HasReason(err error, reasons ...Reason) bool {
	failure, ok := errors.AsType[*Failure](err)
	return ok && slices.Contains(reasons, failure.Reason)
}

// BadTarget returns a *TargetError; text continues "the target …".
func BadTarget(text string) error {
	return &TargetError{Err: errors.New("the target " + text)}
}
