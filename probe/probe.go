// Package probe runs one check against one target and returns the facts: how long each phase took, what the
// target said, and, when it is down, the one stage and reason. It knows no metric names, no configuration file
// and no mail; the packages that do read what it returns.
//
// A verdict is always about the target. What is the exporter's own fault (no file descriptors left, an unreadable
// client key) comes back as an *ExporterError beside the Result, so that it cannot be mistaken for a target that
// is down.
package probe

import (
	"context"
	"crypto/x509"
	"errors"
	"net/netip"
	"time"
)

// Prober checks a target once and returns by ctx's deadline. It holds options that were compiled at load, so
// probing has no configuration errors left, and it is used by many goroutines at once.
//
// The error is nil whenever the Result says something about the target, up or down. It is a *TargetError when the
// target cannot be asked for like this, a *DeniedError when the guard refuses it, an *ExporterError when the
// exporter failed, and ctx's own error when the caller went away (context.Canceled); the Result is then void.
type Prober interface {
	Probe(ctx context.Context, req Request) (Result, error)
}

// Request asks for one check.
type Request struct {
	// Target is what to check, in the form its prober takes: host:port, a URL, a path.
	Target string
	// Hostname replaces the target's host in the HTTP Host header and as the TLS name; empty: it does not.
	Hostname string
	// Timeout limits the whole probe; 0 means the module's own, or DefaultTimeout without one.
	Timeout time.Duration
	// Late is how much of Timeout is over already, because the request had to wait for its turn.
	Late time.Duration
	// Scheduled is true when rollcall asked on its own clock, false for a /probe request.
	Scheduled bool
	// Debug is true when the result must not alert: a person looks at this one probe, or another site's page asked for it.
	Debug bool
	// Trace collects the steps for a person; nil (the usual case) records nothing.
	Trace *Trace

	// Guard judges every address before it is dialled; the Runner sets the module's. nil allows every address.
	Guard Guard
}

// Result is what one check found out. A nil section was never reached; a zero inside a section was measured as zero.
type Result struct {
	Start     time.Time
	Duration  time.Duration // the whole probe, up to the verdict; a Prober may leave it 0 to the Runner
	Failure   *Failure      // nil: the target is up
	Phases    Phases
	Resolve   *Resolve        // nil: nothing was resolved here (a proxy does it, or the target was never looked at)
	HTTP      *HTTPFacts      // set by every http probe
	TCP       *TCPFacts       // set once a tcp or unix probe is connected
	ICMP      *ICMPFacts      // set by every icmp probe
	DNS       *DNSFacts       // set by every dns probe
	GRPC      *GRPCFacts      // set by every grpc probe
	WebSocket *WebSocketFacts // set by every websocket probe
	TLS       *TLSFacts       // set once the peer showed its certificates, also when they were refused
}

// Up reports whether the target answered as its module demands.
func (r Result) Up() bool { return r.Failure == nil }

// Expiring is the validity of the certificate that expires first, of all that the target presented, also before it redirected
// elsewhere. The zero value: it presented none.
func (r *Result) Expiring() Validity {
	var v Validity
	if r.HTTP != nil {
		v = r.HTTP.Expiring
	}
	if r.TLS != nil {
		v.Narrow(r.TLS.EarliestStart, r.TLS.EarliestExpiry)
	}
	return v
}

// Validity is the time of a certificate. The zero value: there is none.
type Validity struct{ NotBefore, NotAfter time.Time }

// Narrow replaces v by the validity of another certificate that expires sooner.
func (v *Validity) Narrow(notBefore, notAfter time.Time) {
	if !notAfter.IsZero() && (v.NotAfter.IsZero() || notAfter.Before(v.NotAfter)) {
		*v = Validity{notBefore, notAfter}
	}
}

// Phases is where the time went, summed over redirects.
type Phases struct {
	Resolve    time.Duration // name to address
	Connect    time.Duration // TCP (or QUIC, or proxy CONNECT) handshake; for icmp, setting up the socket
	TLS        time.Duration // TLS handshake
	Processing time.Duration // from the request on its way to the first byte of the answer; for icmp, the round trip, 0 without a reply
	Transfer   time.Duration // from the first byte of the answer to the last; for tcp, the whole conversation
}

// Resolve is the first name-to-address step: of several hops it is the target's own.
type Resolve struct {
	Duration time.Duration
	Addr     netip.Addr   // the one that is dialled; the zero Addr: no address was found
	All      []netip.Addr // of a name that has several, in the order of the answer, at most 16; else nil
}

// HTTPFacts is what an http probe saw. Zero values mean that the stage was not reached.
type HTTPFacts struct {
	Hops                   int // connections attempted: 0 when resolving the target failed, more than 1 after redirects
	StatusCode             int
	VersionMajor           int
	VersionMinor           int
	ContentLength          int64 // -1: the server did not say
	UncompressedBodyLength int64 // bytes after decoding, at most the size limit
	Redirects              int
	TLS                    bool      // the last hop was encrypted
	LastModified           time.Time // zero: no valid header
	FailedRegexp           bool      // a body or header regexp decided
	HasCEL                 bool      // the module has a CEL option
	FailedCEL              bool      // that option decided
	FinalURL               string    // the last URL asked for, without userinfo
	Expiring               Validity  // of the certificate that expires first, over all hops
}

// TCPFacts is what a tcp or unix probe saw after it had connected.
type TCPFacts struct {
	FailedRegexp bool           // the peer ended the stream before an expect matched
	FailedBytes  bool           // other bytes than expect_bytes arrived
	Expects      []ExpectLabels // one entry per matched expect that has labels (an empty list counts as having)
}

// ExpectLabels are the labels that one matched expect yields, in the order of the module.
type ExpectLabels []Label

// Label is a name and a value that are valid in an exposition: the name by configuration, the value cleaned.
type Label struct{ Name, Value string }

// ICMPFacts is what an icmp probe saw.
type ICMPFacts struct {
	HopLimit int // of the reply, in IPv4 its time to live; -1: none came, or the system did not tell
}

// DNSFacts is what a dns probe saw. Zero values mean that no answer came.
type DNSFacts struct {
	Succeeded   bool // an answer came that can be read, whatever it says
	Truncated   bool // the answer says that it has been cut to fit a datagram
	Answers     int  // records of each section
	Authorities int
	Additionals int
	HasSerial   bool   // the SOA record was asked for and came
	Serial      uint32 // of the zone, from that record
}

// GRPCFacts is what a grpc probe saw. Zero values mean that the stage was not reached.
type GRPCFacts struct {
	Tried      bool   // a connection was tried: the other facts count
	StatusCode uint32 // of the call, as gRPC numbers them; 14 (UNAVAILABLE) or 4 (DEADLINE_EXCEEDED): there was no answer
	Serving    string // the state of the service, e.g. "SERVING"; empty: the call was not answered with one
	TLS        bool   // the connection was encrypted
}

// WebSocketFacts is what a websocket probe saw. Zero values mean that the stage was not reached.
type WebSocketFacts struct {
	Tried        bool // a connection was tried
	StatusCode   int  // of the answer to the handshake; 0: none came
	Upgraded     bool // the handshake succeeded
	FailedRegexp bool // a message did not match an expect
}

// TLSFacts is what the peer presented in the last handshake.
type TLSFacts struct {
	Version        uint16 // as crypto/tls numbers them; 0: the handshake ended before it was agreed
	CipherSuite    uint16 // 0 as above
	EarliestExpiry time.Time
	EarliestStart  time.Time // when the certificate that expires first became valid
	ChainExpiry    time.Time // latest-expiring verified chain; zero: no chain was verified
	ClientExpiry   time.Time // of our own certificate; zero: the module has none
	Leaf           CertificateFacts
	// Presented are the certificates as they came, the leaf first; nil once the facts have left the process.
	Presented []*x509.Certificate `json:"-"`

	ClientCertificateRequested bool // the peer asked for one
}

// CertificateFacts describes the leaf certificate. The strings are cut to a bounded length.
type CertificateFacts struct {
	FingerprintSHA256  string // lower-case hex
	Subject            string
	Issuer             string
	SubjectAlternative string // DNS names, comma-separated
	SerialNumber       string // lower-case hex of its bytes, so the number of digits is even
}

// Record is a Result together with who asked for it: what observers get. They read it and must not change it.
type Record struct {
	Module    string
	Prober    string // "http", "tcp", "icmp", "dns", "unix", "grpc", "websocket"
	Target    string
	Hostname  string
	Timeout   time.Duration // the limit that applied
	Scheduled bool
	Debug     bool
	Result    Result
	Trace     *Trace // nil unless the request carried one, or a scheduled probe failed
}

// Key is that of the target.
func (r *Record) Key() Key { return Key{r.Module, r.Target, r.Hostname} }

// Observer receives every Record. Observe is called on the probe's own goroutine and must not block.
type Observer interface {
	Observe(*Record)
}

// Settle ends a probe with err: a failure of the target belongs to the Result, any other error beside it.
func (r *Result) Settle(err error) (Result, error) {
	if err == nil {
		return *r, nil
	}
	if failure, ok := errors.AsType[*Failure](err); ok {
		r.Failure = failure
		return *r, nil
	}
	return Result{}, err
}
