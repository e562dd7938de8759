//lint:file-ignore SA1019 net/http's own ClientConn wants to dial by itself; this one takes our connection.

package httpprobe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"time"

	"golang.org/x/net/http2"

	"rollcall/probe"
	"rollcall/probe/httpprobe/frames"
	"rollcall/probe/network"
)

// http2Session is one HTTP/2 connection that serves one request.
type http2Session struct {
	conn   *frames.Conn
	client *http2.ClientConn
	body   *streamBody // nil: no answer came
}

const (
	// maxHTTP2Window bounds what a server may send ahead of our reading. It is a quarter of what net/http allows, and
	// lets 10 MB a second through at a round trip of 100 ms.
	maxHTTP2Window = 1 << 20
	// http2Linger is how long the library keeps a closed connection in memory, for a pool that we do not have. Its
	// own default, five seconds, is hundreds of megabytes at a thousand probes a second.
	http2Linger = 100 * time.Millisecond
	// leaveTime is how long a reader may take to leave a closed connection. It takes microseconds; the limit is there
	// so that a change in the library cannot hold a probe for ever.
	leaveTime = time.Second
)

// http2Options are what all connections of a module share.
type http2Options = http2.Transport

// newHTTP2 returns the options of a module.
func newHTTP2() (*http2Options, error) {
	t, err := http2.ConfigureTransports(&http.Transport{
		HTTP2:           &http.HTTP2Config{MaxReceiveBufferPerConnection: maxHTTP2Window, MaxReceiveBufferPerStream: maxHTTP2Window},
		IdleConnTimeout: http2Linger,
	})
	if err != nil {
		return nil, fmt.Errorf("preparing HTTP/2: %w", err)
	}
	t.DisableCompression, t.MaxHeaderListSize, t.StrictMaxConcurrentStreams = true, maxHeadBytes, true
	return t, nil
}

func (p *prober) startHTTP2(ctx context.Context, l *link) (session, error) {
	s := &http2Session{conn: frames.New(l.tls, l.raw, probe.LimitOf(ctx))}
	client, err := p.http2.NewClientConn(s.conn)
	if err != nil {
		return nil, network.Classify(ctx, probe.StageRequest, fmt.Errorf("beginning HTTP/2: %w", err))
	}
	client.ReserveNewRequest() // it is not idle, and does not end after http2Linger
	s.client = client
	return s, nil
}

var (
	errNotProcessed  = errors.New("the server did not process the request")
	errHTTP1Required = errors.New("the server demands HTTP/1.1 for the request")
)

func (s *http2Session) exchange(ctx context.Context, req *request) (resp *response, err error) {
	s.conn.Allow(len(req.body))
	resp, s.body, err = roundTrip(ctx, s.client, s, req)
	return resp, err
}

func (s *http2Session) taken(n int) { s.conn.Taken(n) }

func (s *http2Session) close() {
	if s.body != nil {
		s.body.Close()
	}
	s.client.Close()
	select {
	case <-s.conn.Left():
	case <-time.After(leaveTime):
	}
}

// classify names an error of an HTTP/2 exchange, with what the server said by its frames.
func (s *http2Session) classify(ctx context.Context, stage probe.Stage, err error) error {
	seen, broken := s.conn.State()
	if stream, ok := errors.AsType[http2.StreamError](err); ok && stream.Cause != nil {
		err = stream.Cause
	}
	doing := doing(stage) + " over HTTP/2"
	wrapped := fmt.Errorf("%s: %w", doing, err)
	switch {
	case probe.IsClassified(err), ctx.Err() != nil:
		return network.Classify(ctx, stage, wrapped)
	case broken != nil && probe.IsClassified(broken):
		return broken
	case broken != nil && network.Reason(ctx, broken) == probe.ReasonTimeout:
		return network.Classify(ctx, stage, fmt.Errorf("%s: %w", doing, broken))
	case errors.Is(broken, frames.ErrNoProgress):
		return probe.Failf(stage, probe.ReasonProtocolError, "%s: %w", doing, broken)
	case (seen.Reset || seen.GoAway) && seen.Code == http2.ErrCodeHTTP11Required:
		return probe.Failf(stage, probe.ReasonProtocolError, "%s: %w", doing, errHTTP1Required)
	case stage == probe.StageResponse && seen.NotProcessed():
		return probe.Failf(stage, probe.ReasonProtocolError, "%s: %w (%v)", doing, errNotProcessed, seen.Code)
	case seen.Reset:
		return probe.Failf(stage, probe.ReasonProtocolError, "%s: the server reset the stream with %v", doing, seen.Code)
	case seen.GoAway && seen.Code != http2.ErrCodeNo:
		return probe.Failf(stage, probe.ReasonProtocolError, "%s: the server ended the connection with %v", doing, seen.Code)
	case seen.Ended && errors.Is(err, io.ErrUnexpectedEOF):
		return probe.Failf(stage, probe.ReasonProtocolError, "%s: it is shorter than its Content-Length", doing)
	case err.Error() == "http2: response header list larger than advertised limit": // it has no type
		return probe.Fail(stage, probe.ReasonHeadersTooLarge, wrapped)
	case probe.Is[http2.StreamError](err), probe.Is[http2.ConnectionError](err), probe.Is[http2.GoAwayError](err):
		return probe.Fail(stage, probe.ReasonProtocolError, wrapped)
	case broken != nil && !errors.Is(broken, net.ErrClosed) && !errors.Is(broken, os.ErrClosed):
		return network.Classify(ctx, stage, fmt.Errorf("%s: %w", doing, broken)) // the library says only that it ended
	}
	return classifyComplaint(ctx, stage, wrapped)
}

// classifyComplaint is network.Classify for a client of HTTP/2 or HTTP/3: what it complains about without a type is the protocol.
func classifyComplaint(ctx context.Context, stage probe.Stage, err error) error {
	if classified := network.Classify(ctx, stage, err); !probe.HasReason(classified, probe.ReasonNetworkError) {
		return classified
	}
	return probe.Fail(stage, probe.ReasonProtocolError, err)
}

// doing is what goes on at stage, for a cause.
func doing(stage probe.Stage) string {
	if stage == probe.StageBody {
		return "reading the body"
	}
	return "waiting for the answer"
}

// streamBody is the body of an answer that came over HTTP/2 or HTTP/3. It holds the probe's context to judge by.
type streamBody struct {
	io.ReadCloser
	ctx  context.Context
	over session
}

func (b *streamBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.over.taken(n)
	if err != nil && err != io.EOF {
		err = b.over.classify(b.ctx, probe.StageBody, err)
	}
	return n, err
}

// roundTrip sends req through a client of net/http's kind, which is over's.
func roundTrip(ctx context.Context, client http.RoundTripper, over session, req *request) (*response, *streamBody, error) {
	var first time.Time
	interim := 0
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotFirstResponseByte: func() { first = time.Now() },
		Got1xxResponse: func(int, textproto.MIMEHeader) error {
			if interim++; interim > maxInterim {
				return errTooManyInterim
			}
			return nil
		},
	})
	out := (&http.Request{
		Method: req.method, URL: req.url, Host: req.host, Header: make(http.Header, len(req.fields)+1),
		Proto: "HTTP/2.0", ProtoMajor: 2,
	}).WithContext(traced)
	for _, f := range req.fields {
		out.Header.Add(f.name, f.value)
	}
	out.Header.Set("User-Agent", req.userAgent) // an empty one suppresses the client's own
	if len(req.body) > 0 {
		out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(req.body)), int64(len(req.body))
	}
	answer, err := client.RoundTrip(out)
	if err == nil && (answer.StatusCode < 100 || answer.StatusCode > 999) {
		answer.Body.Close()
		err = probe.Failf(probe.StageResponse, probe.ReasonProtocolError, "the answer's status code is %d", answer.StatusCode)
	}
	if err != nil {
		return nil, nil, over.classify(ctx, probe.StageResponse, err)
	}
	if first.IsZero() {
		first = time.Now()
	}
	body := &streamBody{answer.Body, ctx, over}
	return &response{
		proto: answer.Proto, major: answer.ProtoMajor, minor: answer.ProtoMinor, status: answer.StatusCode,
		header: answer.Header, contentLength: answer.ContentLength, body: body, first: first,
		noBody: req.method == http.MethodHead || answer.StatusCode == http.StatusNoContent || answer.StatusCode == http.StatusNotModified,
	}, body, nil
}
