package websocketprobe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"rollcall/probe"
	"rollcall/probe/httpprobe"
	"rollcall/probe/network"
	"rollcall/probe/option"
	"rollcall/redact"
)

const (
	// maxHead bounds, in bytes, the answer to the handshake, interim responses included.
	maxHead = 1 << 20
	// maxInterim is how many 1xx responses may come before the answer.
	maxInterim = 32
	// maxControls is how many pings and pongs may come: a frame of two bytes costs much more than reading them.
	maxControls = 1000
	// maxConversation bounds, in bytes, all that comes after the handshake, frames of every type included.
	maxConversation = 1 << 20
	// freeBytes may come within what every probe is expected to need; each further one counts as memory that is held, in the
	// answer's header, most of which may be for the map, and in messages, which are collected before they are looked at.
	freeBytes, headCost, messageCost = 4 << 10, 24, 4
)

// session is one connection of a probe.
type session struct {
	p      *prober
	opened *httpprobe.Opened
	r      *probe.Result
	trace  *probe.Trace
	start  time.Time // of the probe
	held   *network.HeldConn
	stream *boundedConn

	sent     []string // that a peer may repeat and no text may show
	controls int      // pings and pongs that came
}

// run makes the opening handshake and holds the conversation. Its errors are network.Classify's.
func (s *session) run(ctx context.Context) error {
	s.held = &network.HeldConn{Conn: s.opened.Conn, Limit: probe.LimitOf(ctx), Free: freeBytes, Cost: headCost}
	s.stream = &boundedConn{Conn: s.held}
	facts, start := s.r.WebSocket, time.Now()
	conn, resp, err := websocket.Dial(ctx, s.opened.URL.String(), &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: s, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		HTTPHeader: s.opened.Header, Host: s.opened.Host,
		OnPingReceived: func(context.Context, []byte) bool { return s.control() },
		OnPongReceived: func(context.Context, []byte) { s.control() },
	})
	s.r.Phases.Processing += time.Since(start)
	if resp != nil {
		facts.StatusCode = resp.StatusCode
	}
	if err != nil {
		return s.refused(ctx, resp, err)
	}
	defer conn.CloseNow()
	facts.Upgraded = true
	s.trace.Step("the connection is a WebSocket now")
	if len(s.p.turns) > 0 {
		start = time.Now()
		err = s.converse(ctx, conn)
		s.r.Phases.Transfer = time.Since(start)
	}
	s.r.Duration = time.Since(s.start) // parting is not measured
	if err == nil {
		s.part(conn)
	}
	return err
}

// control reports whether one more ping or pong may come. It ends the connection when not.
func (s *session) control() bool {
	s.controls++
	if s.controls <= maxControls {
		return true
	}
	s.stream.note(probe.Failf(probe.StageConversation, probe.ReasonConversationTooLong, "reading: the peer sent over %d pings and pongs", maxControls))
	s.stream.Close()
	return false
}

// part sends a close frame, and waits for the answer no longer than a server that keeps the protocol takes.
func (s *session) part(conn *websocket.Conn) {
	s.stream.SetDeadline(time.Now().Add(2*s.r.Phases.Connect + 100*time.Millisecond))
	conn.Close(websocket.StatusNormalClosure, "")
}

// refused says why there is no WebSocket.
func (s *session) refused(ctx context.Context, resp *http.Response, err error) error {
	switch f, ok := errors.AsType[*probe.Failure](err); {
	case ok:
		return f
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case resp != nil && resp.StatusCode != http.StatusSwitchingProtocols:
		return probe.Failf(probe.StageCheck, probe.ReasonStatusCode, "the status code is %d; a WebSocket begins with 101", resp.StatusCode)
	case resp == nil && s.stream.err != nil:
		return network.Classify(ctx, probe.StageResponse, fmt.Errorf("waiting for the answer: %w", s.stream.err))
	}
	return probe.Failf(probe.StageResponse, probe.ReasonProtocolError, "%s", s.shown(err.Error()))
}

// shown is a text that may quote the peer: cut, and without the secrets that were sent.
func (s *session) shown(text string) string {
	return redact.Text(probe.Quoted(text), append(s.opened.Secrets(), s.sent...)...)
}

// RoundTrip sends the handshake's request over the connection that is there, and reads the answer.
func (s *session) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	if err := req.Write(s.stream); err != nil {
		return nil, network.Classify(ctx, probe.StageRequest, err)
	}
	in := bufio.NewReader(s.stream)
	for range maxInterim + 1 {
		resp, err := http.ReadResponse(in, req)
		if err != nil {
			if s.stream.err != nil {
				return nil, network.Classify(ctx, probe.StageResponse, fmt.Errorf("waiting for the answer: %w", s.stream.err))
			}
			return nil, probe.Failf(probe.StageResponse, probe.ReasonProtocolError, "reading the answer: %s", s.shown(err.Error()))
		}
		if resp.StatusCode == http.StatusSwitchingProtocols {
			s.stream.upgraded, s.held.Cost = true, messageCost
			resp.Body = upgraded{s.stream, in}
			return resp, nil
		}
		if resp.StatusCode >= 200 {
			resp.Body = http.NoBody // Close of the real one would wait for all of the body, which is not needed
			return resp, nil
		}
	}
	return nil, probe.Failf(probe.StageResponse, probe.ReasonTooManyInterim, "more than %d interim (1xx) responses came and no answer", maxInterim)
}

// converse takes the turns of query_response: one message for each expect, which must match it.
func (s *session) converse(ctx context.Context, conn *websocket.Conn) error {
	conn.SetReadLimit(maxConversation)
	m := option.Matcher{Ctx: ctx}
	for _, turn := range s.p.turns {
		send := turn.Send
		if turn.Expect.Regexp != nil {
			_, message, err := conn.Read(ctx)
			if err != nil {
				return s.broken(ctx, err)
			}
			match, err := m.Find(turn.Expect, message)
			if err != nil {
				return err
			}
			if s.trace != nil {
				s.trace.Step("received %s, which matches: %t", s.shown(string(message)), match != nil)
			}
			if match == nil {
				s.r.WebSocket.FailedRegexp = true
				return probe.Failf(probe.StageConversation, probe.ReasonNoMatch, "waiting for a message that matches %q: got %s", turn.Expect, s.shown(string(message)))
			}
			send = string(turn.Expect.Expand(nil, []byte(send), message, match))
		}
		kind := websocket.MessageText
		if send == "" {
			send, kind = turn.SendBytes, websocket.MessageBinary
		}
		if send == "" {
			continue
		}
		s.trace.Sending(send)
		s.sent = append(s.sent, probe.SentSecrets(send)...)
		if err := conn.Write(ctx, kind, []byte(send)); err != nil {
			return s.broken(ctx, err)
		}
	}
	return nil
}

// broken says what an error of the conversation means.
func (s *session) broken(ctx context.Context, err error) error {
	if f, ok := errors.AsType[*probe.Failure](s.stream.err); ok {
		return f
	}
	closed, isClosed := errors.AsType[websocket.CloseError](err)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case ctx.Err() != nil:
		return probe.Fail(probe.StageConversation, probe.ReasonTimeout, errors.New("waiting for the peer: the time is up"))
	case isClosed:
		return probe.Failf(probe.StageConversation, probe.ReasonConnectionClosed, "the peer closed with %d: %s", closed.Code, s.shown(closed.Reason))
	case errors.Is(err, websocket.ErrMessageTooBig):
		return probe.Failf(probe.StageConversation, probe.ReasonConversationTooLong, "reading: a message of over %d bytes", maxConversation)
	case s.stream.err != nil:
		return network.Classify(ctx, probe.StageConversation, s.stream.err)
	}
	return probe.Failf(probe.StageConversation, probe.ReasonProtocolError, "%s", s.shown(err.Error()))
}

// upgraded is the connection once it is a WebSocket; in may hold its first bytes.
type upgraded struct {
	net.Conn
	in *bufio.Reader
}

func (u upgraded) Read(b []byte) (int, error) { return u.in.Read(b) }

// boundedConn bounds what the peer sends, and notes the first error of the connection.
type boundedConn struct {
	net.Conn
	upgraded bool
	received int
	err      error
}

func (c *boundedConn) Read(b []byte) (int, error) {
	switch {
	case !c.upgraded && c.received >= maxHead:
		c.note(probe.Failf(probe.StageResponse, probe.ReasonHeadersTooLarge, "the response's header is over %d bytes long", maxHead))
		return 0, c.err
	case c.upgraded && c.received >= maxHead+maxConversation:
		c.note(probe.Failf(probe.StageConversation, probe.ReasonConversationTooLong, "reading: the peer sent %d bytes without what is expected", maxConversation))
		return 0, c.err
	}
	n, err := c.Conn.Read(b)
	c.received += n
	c.note(err)
	return n, err
}

func (c *boundedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.note(err)
	return n, err
}

func (c *boundedConn) note(err error) {
	if err != nil && c.err == nil {
		c.err = err
	}
}
