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
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"rollcall/probe"
	"rollcall/probe/network"
	"rollcall/probe/tlsclient"
)

// maxHTTP3Window bounds what a server may send ahead of our reading.
const maxHTTP3Window = 1 << 20

// http3Session is one QUIC connection, on a socket of its own, that serves one request.
type http3Session struct {
	socket    *net.UDPConn
	transport *quic.Transport
	conn      *quic.Conn
	client    *http3.ClientConn
	body      io.ReadCloser
}

// connectHTTP3 brings up QUIC, whose handshake is that of TLS as well: what comes before the server's certificates
// counts as connecting, the rest as TLS.
func (r *run) connectHTTP3(ctx context.Context, h *hop, dest netip.AddrPort) error {
	if err := probe.Allow(r.req.Guard, h.url.Hostname(), dest); err != nil {
		return err
	}
	if _, err := network.ZoneIndex(dest.Addr()); err != nil {
		return err
	}
	facts := new(probe.TLSFacts)
	config, err := r.p.tls.Config(r.serverName(h), []string{http3.NextProtoH3}, facts)
	if err != nil {
		return err
	}
	start := time.Now()
	presented := start
	verify := config.VerifyConnection
	config.VerifyConnection = func(state tls.ConnectionState) error {
		presented = time.Now()
		return verify(state)
	}
	s, err := dialHTTP3(ctx, dest, config)
	end := time.Now()
	if facts.Version == 0 {
		r.result.Phases.Connect += end.Sub(start)
		if err != nil {
			return atStage(probe.StageConnect, "connecting over QUIC", tlsclient.HandshakeError(ctx, err, facts))
		}
	}
	r.result.TLS = facts
	r.result.Phases.Connect += presented.Sub(start)
	r.result.Phases.TLS += end.Sub(presented)
	if err != nil {
		return tlsclient.HandshakeError(ctx, err, facts)
	}
	r.session = s
	return nil
}

func dialHTTP3(ctx context.Context, dest netip.AddrPort, config *tls.Config) (*http3Session, error) {
	socket, err := net.ListenUDP("udp", nil)
	if err != nil {
		return nil, err
	}
	s := &http3Session{socket: socket, transport: &quic.Transport{Conn: socket}}
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
	if err != nil {
		s.close()
		return nil, err
	}
	t := http3.Transport{DisableCompression: true, MaxResponseHeaderBytes: maxHeadBytes}
	s.client = t.NewClientConn(s.conn)
	return s, nil
}

func (s *http3Session) exchange(ctx context.Context, r *request) (*response, error) {
	resp, err := roundTrip(ctx, s.client, r)
	if err != nil {
		return nil, classifyHTTP3(ctx, probe.StageResponse, err)
	}
	s.body, _ = resp.body.(io.ReadCloser)
	resp.body = streamBody{ctx, s.body, classifyHTTP3}
	return resp, nil
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

// classifyHTTP3 names an error of an HTTP/3 exchange.
func classifyHTTP3(ctx context.Context, stage probe.Stage, err error) error {
	var (
		stream      *quic.StreamError
		application *quic.ApplicationError
		transport   *quic.TransportError
		protocol    *http3.Error
		wrapped     = fmt.Errorf("speaking HTTP/3: %w", err)
	)
	switch {
	case probe.IsClassified(err), ctx.Err() != nil:
		return network.Classify(ctx, stage, wrapped)
	case strings.Contains(err.Error(), "http3: HEADERS frame too large"),
		strings.Contains(err.Error(), "http3: headers too large"): // they have no type; the second is after unpacking
		return probe.Fail(stage, probe.ReasonHeadersTooLarge, wrapped)
	case errors.As(err, &stream), errors.As(err, &application), errors.As(err, &transport), errors.As(err, &protocol):
		return probe.Fail(stage, probe.ReasonProtocolError, wrapped)
	}
	if classified := network.Classify(ctx, stage, wrapped); !probe.HasReason(classified, probe.ReasonNetworkError) {
		return classified
	}
	return probe.Fail(stage, probe.ReasonProtocolError, wrapped)
}
