//lint:file-ignore SA1019 net/http's own ClientConn wants to dial by itself, and keeps what is left of a connection in
// memory for five seconds after its end: at a thousand probes a second that is hundreds of megabytes.

package httpprobe

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"

	"rollcall/probe"
	"rollcall/probe/network"
)

// http2Session is one HTTP/2 connection that serves one request.
type http2Session struct {
	options *http2Options
	conn    *http2Conn
	client  *http2.ClientConn
	given   atomic.Bool // client was handed out: there is no second try
	body    io.ReadCloser
}

// maxHTTP2Window bounds what a server may send ahead of our reading. It is a quarter of what net/http allows, and lets
// 10 MB a second through at a round trip of 100 ms.
const maxHTTP2Window = 1 << 20

// http2Options are all that the sessions of a module share.
type http2Options = http2.Transport

func newHTTP2() (*http2Options, error) {
	t, err := http2.ConfigureTransports(&http.Transport{
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerConnection: maxHTTP2Window, MaxReceiveBufferPerStream: maxHTTP2Window},
	})
	if err != nil {
		return nil, fmt.Errorf("preparing HTTP/2: %w", err)
	}
	t.ConnPool, t.DisableCompression = http2Pool{}, true
	t.MaxHeaderListSize, t.StrictMaxConcurrentStreams = maxHeadBytes, true
	return t, nil
}

// http2Pool finds a request's connection, that of the session in its context.
type http2Pool struct{}

type sessionKey struct{}

// GetClientConn implements http2.ClientConnPool.
func (http2Pool) GetClientConn(r *http.Request, _ string) (*http2.ClientConn, error) {
	s := r.Context().Value(sessionKey{}).(*http2Session)
	if s.given.Swap(true) {
		return nil, errOnlyOnce
	}
	return s.client, nil
}

// MarkDead implements http2.ClientConnPool.
func (http2Pool) MarkDead(*http2.ClientConn) {}

// http2Conn tells when the client's reader has left it. The client has no means to wait for that, but both it and its
// reader close the connection on their way out.
type http2Conn struct {
	*tls.Conn
	raw    net.Conn // what is closed: a close of TLS may wait for the peer
	closed atomic.Int32
	left   chan struct{}
	broken atomic.Pointer[error] // what the client's reader met first
}

// Read remembers its error. When the connection breaks before the request is on its way, the client says only that
// there is no connection.
func (c *http2Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		c.broken.CompareAndSwap(nil, &err)
	}
	return n, err
}

func (c *http2Conn) Close() error {
	err := c.raw.Close()
	if c.closed.Add(1) == 2 {
		close(c.left)
	}
	return err
}

// leaveTime is how long a reader may take to leave a closed connection. It takes microseconds; the limit is there so
// that a change in the library cannot hold a probe for ever.
const leaveTime = time.Second

func (p *prober) startHTTP2(ctx context.Context, l *link) (session, error) {
	s := &http2Session{options: p.http2, conn: &http2Conn{Conn: l.tls, raw: l.raw, left: make(chan struct{})}}
	client, err := s.options.NewClientConn(s.conn)
	if err != nil {
		return nil, network.Classify(ctx, probe.StageRequest, fmt.Errorf("beginning HTTP/2: %w", err))
	}
	s.client = client
	return s, nil
}

var errOnlyOnce = errors.New("the connection ended before the answer")

func (s *http2Session) exchange(ctx context.Context, r *request) (*response, error) {
	resp, err := roundTrip(context.WithValue(ctx, sessionKey{}, s), s.options, r)
	if err != nil {
		return nil, classifyHTTP2(ctx, probe.StageResponse, s.cause(err))
	}
	s.body, _ = resp.body.(io.ReadCloser)
	resp.body = streamBody{ctx, s.body, classifyHTTP2}
	return resp, nil
}

// cause is why the exchange failed with err: how the connection ended, where the client only says that it did.
func (s *http2Session) cause(err error) error {
	broken := s.conn.broken.Load()
	if broken == nil || probe.IsClassified(err) || isHTTP2(err) || errors.Is(*broken, net.ErrClosed) || errors.Is(*broken, os.ErrClosed) {
		return err // the client closed the connection itself, and says why
	}
	return *broken
}

func (s *http2Session) close() {
	if s.body != nil {
		s.body.Close()
	}
	s.client.Close()
	select {
	case <-s.conn.left:
	case <-time.After(leaveTime):
	}
}

// streamBody names what goes wrong with a body of HTTP/2 or HTTP/3. It holds the probe's context to judge by.
type streamBody struct {
	ctx      context.Context
	body     io.Reader
	classify func(context.Context, probe.Stage, error) error
}

func (b streamBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if err != nil && err != io.EOF {
		err = b.classify(b.ctx, probe.StageBody, err)
	}
	return n, err
}

// classifyHTTP2 names an error of an HTTP/2 exchange.
func classifyHTTP2(ctx context.Context, stage probe.Stage, err error) error {
	var (
		stream http2.StreamError
		netErr net.Error
	)
	broken := isHTTP2(err)
	if errors.As(err, &stream) && stream.Cause != nil {
		err = stream.Cause
	}
	wrapped := fmt.Errorf("speaking HTTP/2: %w", err)
	switch {
	case probe.IsClassified(err), ctx.Err() != nil, errors.As(err, &netErr):
		return network.Classify(ctx, stage, wrapped)
	case errors.Is(err, errOnlyOnce):
		return probe.Fail(stage, probe.ReasonConnectionClosed, wrapped)
	case err.Error() == "http2: response header list larger than advertised limit": // it has no type
		return probe.Fail(stage, probe.ReasonHeadersTooLarge, wrapped)
	case broken:
		return probe.Fail(stage, probe.ReasonProtocolError, wrapped)
	}
	if classified := network.Classify(ctx, stage, wrapped); !probe.HasReason(classified, probe.ReasonNetworkError) {
		return classified
	}
	return probe.Fail(stage, probe.ReasonProtocolError, wrapped) // what the client complains about without a type is of this kind
}

// isHTTP2 reports whether err is in the protocol's own words.
func isHTTP2(err error) bool {
	var (
		stream http2.StreamError
		conn   http2.ConnectionError
		goAway http2.GoAwayError
	)
	return errors.As(err, &stream) || errors.As(err, &conn) || errors.As(err, &goAway)
}

// roundTrip sends r through a client of net/http's kind, for HTTP/2 and HTTP/3.
func roundTrip(ctx context.Context, client http.RoundTripper, r *request) (*response, error) {
	var first time.Time
	interim := 0
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotFirstResponseByte: func() { first = time.Now() },
		Got1xxResponse: func(int, textproto.MIMEHeader) error {
			if interim++; interim > maxInterim {
				return errTooManyInterim()
			}
			return nil
		},
	})
	req := (&http.Request{
		Method: r.method, URL: r.url, Host: r.host, Header: make(http.Header, len(r.fields)+1),
		Proto: "HTTP/2.0", ProtoMajor: 2,
	}).WithContext(ctx)
	for _, f := range r.fields {
		req.Header.Add(f.name, f.value)
	}
	req.Header.Set("User-Agent", r.userAgent) // an empty one suppresses the client's own
	if len(r.body) > 0 {
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(r.body)), int64(len(r.body))
	}
	answer, err := client.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode < 100 || answer.StatusCode > 999 {
		answer.Body.Close()
		return nil, probe.Failf(probe.StageResponse, probe.ReasonProtocolError, "the answer's status code is %d", answer.StatusCode)
	}
	if first.IsZero() {
		first = time.Now()
	}
	return &response{
		proto: answer.Proto, major: answer.ProtoMajor, minor: answer.ProtoMinor, status: answer.StatusCode,
		header: answer.Header, contentLength: answer.ContentLength, body: answer.Body, first: first,
		noBody: r.method == http.MethodHead || answer.StatusCode == http.StatusNoContent || answer.StatusCode == http.StatusNotModified,
	}, nil
}
