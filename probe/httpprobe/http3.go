package httpprobe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/ipv4"

	"rollcall/probe"
	"rollcall/probe/httpprobe/frames"
	"rollcall/probe/network"
	"rollcall/probe/tlsclient"
)

const (
	// maxHTTP3Window bounds what a server may send ahead of our reading.
	maxHTTP3Window = 1 << 20
	// maxIdleBytes may come without bytes of the body: the header, acknowledgements, PING, frames of unknown kinds. A
	// flood would burn a processor until the probe's time is up.
	maxIdleBytes = maxHeadBytes + maxHeadBytes/2
	// datagramCost is what a datagram counts beside its length.
	datagramCost = 128
	// connectionMemory is what a QUIC connection takes more than one of TCP, which is ours to buffer and acknowledge.
	connectionMemory = 128 << 10
	// freeIdle bytes may come, a handshake among them, within what every probe is expected to need. Until the body each
	// further one counts as idleCost that is held, of at most maxIdleHeld: it may be of a header, where it may name a field
	// that is known.
	freeIdle, idleCost, maxIdleHeld = 64 << 10, 64, 4 << 20
)

// http3Session is one QUIC connection, on a socket of its own, that serves one request.
type http3Session struct {
	socket    *countingSocket
	transport *quic.Transport
	conn      *quic.Conn
	client    *http3.ClientConn
	body      *streamBody // nil: no answer came
}

// countingSocket bounds what comes from the server without progress.
type countingSocket struct {
	*net.UDPConn
	batch *ipv4.PacketConn
	idle  atomic.Int64 // bytes that no progress made up for
	limit atomic.Int64 // of idle
	ended atomic.Bool  // the limit was passed

	memory *probe.Limit // holds what came without progress
	inBody atomic.Bool
	held   int64                 // of ReadBatch, which one goroutine calls
	full   atomic.Pointer[error] // why memory holds no more
}

// ReadBatch is what quic-go reads by.
func (s *countingSocket) ReadBatch(messages []ipv4.Message, flags int) (int, error) {
	n, err := s.batch.ReadBatch(messages, flags)
	for i := range n {
		s.idle.Add(int64(messages[i].N) + datagramCost)
	}
	if err == nil && s.idle.Load() > s.limit.Load() {
		s.ended.Store(true)
		return 0, frames.ErrNoProgress
	}
	if err == nil {
		err = s.hold()
	}
	return n, err
}

// hold holds as much as the server makes the client keep.
func (s *countingSocket) hold() error {
	need := max(0, s.idle.Load()-freeIdle)
	if !s.inBody.Load() {
		need = min(need*idleCost, maxIdleHeld)
	}
	if need <= s.held {
		return nil
	}
	more := need - s.held
	s.held = need
	err := s.memory.Hold(more)
	if err != nil {
		s.full.Store(&err)
	}
	return err
}

// connectHTTP3 brings up QUIC, once more with other key exchanges where the server may only have refused those.
func (r *run) connectHTTP3(ctx context.Context, h *hop, dest netip.AddrPort) error {
	if err := probe.Allow(r.req.Guard, h.url.Hostname(), dest); err != nil {
		return err
	}
	if _, err := network.ZoneIndex(dest.Addr()); err != nil {
		return err
	}
	groups, others := tlsclient.Groups(r.sendsSecrets(h))
	err := r.openHTTP3(ctx, h, dest, groups)
	if tlsclient.Refused(err, r.result.TLS, groups) {
		err = r.openHTTP3(ctx, h, dest, others)
	}
	return err
}

// openHTTP3 makes the handshake, which is that of TLS as well: what comes before the server's certificates counts as
// connecting, the rest as TLS.
func (r *run) openHTTP3(ctx context.Context, h *hop, dest netip.AddrPort, groups []tls.CurveID) error {
	facts := new(probe.TLSFacts)
	config, err := r.p.tls.Config(r.serverName(h), []string{http3.NextProtoH3}, facts)
	if err != nil {
		return err
	}
	config.CurvePreferences = groups
	start := time.Now()
	presented := start
	verify := config.VerifyConnection
	config.VerifyConnection = func(state tls.ConnectionState) error {
		presented = time.Now()
		return verify(state)
	}
	s, err := dialHTTP3(ctx, r.p.source, dest, config)
	end := time.Now()
	if facts.Version == 0 {
		presented = end
	} else {
		r.presented(facts)
	}
	r.result.Phases.Connect += presented.Sub(start)
	r.result.Phases.TLS += end.Sub(presented)
	if err != nil {
		return classifyQUIC(ctx, err, facts)
	}
	r.session = s
	return nil
}

// classifyQUIC says what it means that QUIC did not come up. What TLS says is of StageTLS, as over TCP.
func classifyQUIC(ctx context.Context, err error, facts *probe.TLSFacts) error {
	transport, isTransport := errors.AsType[*quic.TransportError](err)
	switch {
	case isTransport && transport.ErrorCode.IsCryptoError():
		return tlsclient.HandshakeError(ctx, tlsError(transport), facts)
	case facts.Version != 0, ctx.Err() != nil:
	case isTransport && transport.ErrorCode == quic.ConnectionRefused:
		return probe.Failf(probe.StageConnect, probe.ReasonConnectionRefused, "connecting over QUIC: %w", err)
	case isTransport, probe.Is[*quic.VersionNegotiationError](err):
		return probe.Failf(probe.StageConnect, probe.ReasonProtocolError, "connecting over QUIC: %w", err)
	}
	err = tlsclient.HandshakeError(ctx, err, facts)
	if facts.Version != 0 {
		return err
	}
	return atStage(probe.StageConnect, "connecting over QUIC", err)
}

// tlsError is what TLS says by an error of QUIC (RFC 9001, section 4.8), in the form that crypto/tls has for it over TCP.
func tlsError(err *quic.TransportError) error {
	if err.Remote {
		return &net.OpError{Op: "remote error", Err: tls.AlertError(err.ErrorCode)} // the low byte
	}
	for _, cause := range err.Unwrap() {
		if cause != nil && cause != net.ErrClosed {
			return cause
		}
	}
	return err
}

// dialHTTP3 comes from source, if that is valid.
func dialHTTP3(ctx context.Context, source netip.Addr, dest netip.AddrPort, config *tls.Config) (*http3Session, error) {
	memory := probe.LimitOf(ctx)
	if err := memory.Hold(connectionMemory); err != nil {
		return nil, err
	}
	var local *net.UDPAddr
	if source.IsValid() {
		local = net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
	}
	socket, err := net.ListenUDP("udp", local)
	if err != nil {
		return nil, err
	}
	counting := &countingSocket{UDPConn: socket, batch: ipv4.NewPacketConn(socket), memory: memory}
	counting.limit.Store(maxIdleBytes)
	s := &http3Session{socket: counting, transport: &quic.Transport{Conn: counting}}
	patience := probe.DefaultTimeout
	if deadline, ok := ctx.Deadline(); ok {
		patience = time.Until(deadline)
	}
	s.conn, err = s.transport.Dial(ctx, net.UDPAddrFromAddrPort(dest), config, &quic.Config{
		HandshakeIdleTimeout:       patience,
		MaxIdleTimeout:             patience,
		MaxStreamReceiveWindow:     maxHTTP3Window,
		MaxConnectionReceiveWindow: maxHTTP3Window,
		MaxIncomingStreams:         -1, // HTTP/3 servers open none
	})
	if full := counting.full.Load(); err != nil && full != nil {
		err = *full
	}
	if err != nil {
		s.close()
		return nil, err
	}
	t := http3.Transport{DisableCompression: true, MaxResponseHeaderBytes: maxHeadBytes}
	s.client = t.NewClientConn(s.conn)
	return s, nil
}

func (s *http3Session) exchange(ctx context.Context, req *request) (resp *response, err error) {
	s.socket.limit.Add(int64(len(req.body) / 4)) // its acknowledgements
	resp, s.body, err = roundTrip(ctx, s.client, s, req)
	s.socket.inBody.Store(err == nil)
	return resp, err
}

// taken makes up for what came, by half as much again as the body yields: framing takes less.
func (s *http3Session) taken(n int) {
	if idle := &s.socket.idle; n > 0 && idle.Add(-int64(n+n/2)) < 0 {
		idle.Store(0)
	}
}

func (s *http3Session) close() {
	if s.body != nil {
		s.body.Close()
	}
	if s.conn != nil {
		s.client.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
		<-s.conn.Context().Done()
	}
	s.transport.Close()
	s.socket.Close()
}

// classify names an error of an HTTP/3 exchange.
func (s *http3Session) classify(ctx context.Context, stage probe.Stage, err error) error {
	wrapped := fmt.Errorf("%s over HTTP/3: %w", doing(stage), err)
	transport, isTransport := errors.AsType[*quic.TransportError](err)
	full := s.socket.full.Load()
	switch {
	case full != nil:
		return *full
	case s.socket.ended.Load():
		return probe.Failf(stage, probe.ReasonProtocolError, "%s over HTTP/3: %w", doing(stage), frames.ErrNoProgress)
	case probe.IsClassified(err), ctx.Err() != nil:
		return network.Classify(ctx, stage, wrapped)
	case strings.Contains(err.Error(), "http3: HEADERS frame too large"),
		strings.Contains(err.Error(), "http3: headers too large"): // they have no type; the second is after unpacking
		return probe.Fail(stage, probe.ReasonHeadersTooLarge, wrapped)
	case isTransport && transport.Remote && transport.ErrorCode.IsCryptoError():
		return network.Classify(ctx, stage, tlsError(transport)) // a server refuses our certificate only after the handshake
	case isTransport, probe.Is[*quic.StreamError](err), probe.Is[*quic.ApplicationError](err), probe.Is[*http3.Error](err):
		return probe.Fail(stage, probe.ReasonProtocolError, wrapped)
	case stage == probe.StageBody && errors.Is(err, io.ErrUnexpectedEOF): // the stream ended, not the connection
		return probe.Failf(stage, probe.ReasonProtocolError, "%s over HTTP/3: it is shorter than its Content-Length", doing(stage))
	}
	return classifyComplaint(ctx, stage, wrapped)
}
