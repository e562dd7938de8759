package grpcprobe

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	// The codec "proto", which answer wraps.
	_ "google.golang.org/grpc/encoding/proto"

	"rollcall/probe"
	"rollcall/probe/network"
)

const (
	// maxAnswer bounds, in bytes, the message of an answer. One that keeps the protocol has two.
	maxAnswer = 16 << 10
	// maxHeaders bounds, in bytes, the answer's headers and trailers each.
	maxHeaders = 1 << 20
	// maxReceived bounds, in bytes, all that the peer may send before it has answered, frames of every type included.
	maxReceived = 2 << 20
	// freeBytes may come within what every probe is expected to need; each further one counts as memory that is held: in a
	// header, one byte may name a field that is known, which takes more than a hundred.
	freeBytes, byteCost = 4 << 10, 64
)

// errUnprocessed is the failure of a call that the peer has not looked at.
var errUnprocessed = probe.Failf(probe.StageResponse, probe.ReasonProtocolError,
	"calling: the server closed the connection, or refused the call, before it looked at it")

// call is what a probe asks. Its result is written to r.
type call struct {
	p                     *prober
	req                   probe.Request
	host                  string
	addr                  netip.AddrPort
	authority, serverName string
	r                     *probe.Result
}

// run connects and calls once. Its errors are network.Classify's.
func (c *call) run(ctx context.Context) error {
	opened, err := c.open(ctx)
	if err != nil {
		return err
	}
	conn := &countedConn{Conn: &network.HeldConn{Conn: opened, Limit: probe.LimitOf(ctx), Free: freeBytes, Cost: byteCost}}
	defer conn.Close()
	once := handOver{conn: conn}
	security := insecure.NewCredentials() // which leaves the connection as it is
	if c.p.secured {
		security = alreadySecure{security}
	}
	target := url.URL{Scheme: "passthrough", Path: "/" + c.authority} // is for the library's own view: it resolves and dials nothing
	client, err := grpc.NewClient(target.String(),
		grpc.WithContextDialer(once.dial), grpc.WithTransportCredentials(security), grpc.WithAuthority(c.authority),
		grpc.WithUserAgent("rollcall"), grpc.WithStatsHandler(&once),
		grpc.WithDisableServiceConfig(), grpc.WithNoProxy(), grpc.WithIdleTimeout(0),
		// A message over the library's limit may be reported before or after the server's status comes; answerCodec has one verdict.
		grpc.WithMaxHeaderListSize(maxHeaders), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)))
	if err != nil {
		return probe.Fail(probe.StageRequest, probe.ReasonProtocolError, fmt.Errorf("calling: %w", err))
	}
	defer client.Close()
	start := time.Now()
	defer func() { c.r.Phases.Processing += time.Since(start) }()
	codec := &answerCodec{CodecV2: encoding.GetCodecV2("proto")}
	reply, err := grpc_health_v1.NewHealthClient(client).Check(metadata.NewOutgoingContext(ctx, c.p.metadata),
		&grpc_health_v1.HealthCheckRequest{Service: c.p.service}, grpc.ForceCodecV2(codec))
	if err != nil {
		return c.failure(ctx, err, &once, codec)
	}
	return c.judge(reply.GetStatus())
}

// judge says what the state of the service means.
func (c *call) judge(state grpc_health_v1.HealthCheckResponse_ServingStatus) error {
	c.r.GRPC.StatusCode, c.r.GRPC.Serving = uint32(codes.OK), state.String()
	c.req.Trace.Step("the service %q is %s", c.p.service, state)
	if state != grpc_health_v1.HealthCheckResponse_SERVING {
		return probe.Failf(probe.StageCheck, probe.ReasonNotServing, "the service %q is %s; up is SERVING", c.p.service, state)
	}
	return nil
}

// failure says what the error of a call means. The library makes a status of everything, its own errors included.
func (c *call) failure(ctx context.Context, err error, once *handOver, codec *answerCodec) error {
	s := status.Convert(err)
	c.r.GRPC.StatusCode = uint32(s.Code())
	c.req.Trace.Step("the call ended with %s", statusName(s.Code()))
	switch received := once.conn.failed(); {
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case codec.broken.Load(), codec.read.Load() > 1:
		return probe.Failf(probe.StageResponse, probe.ReasonProtocolError, "reading the answer: it is not one message of grpc.health.v1")
	case once.answered.Load():
		return probe.Failf(probe.StageCheck, probe.ReasonStatusCode, "the call is answered with %s: %s", statusName(s.Code()), c.p.shown(s.Message()))
	case once.repeated.Load():
		return errUnprocessed
	case received != nil:
		return network.Classify(ctx, probe.StageResponse, fmt.Errorf("waiting for the answer: %w", received))
	case ctx.Err() != nil || s.Code() == codes.DeadlineExceeded:
		return probe.Fail(probe.StageResponse, probe.ReasonTimeout, errors.New("waiting for the answer: the time is up"))
	default:
		return probe.Failf(probe.StageResponse, probe.ReasonProtocolError, "calling: %s: %s", statusName(s.Code()), c.p.shown(s.Message()))
	}
}

// handOver gives the library a connection that is there already, once, and notes how the call goes on. It is the dialer and
// the stats handler of a client.
type handOver struct {
	conn     *countedConn
	given    atomic.Bool
	repeated atomic.Bool // the library repeats a call that was not processed, and may want another connection for it
	answered atomic.Bool // the server ended the call with a status
}

var errOneConnection = errors.New("a call has one connection")

func (h *handOver) dial(context.Context, string) (net.Conn, error) {
	if h.given.Swap(true) {
		h.repeated.Store(true)
		return nil, errOneConnection
	}
	return h.conn, nil
}

func (h *handOver) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (h *handOver) HandleRPC(_ context.Context, event stats.RPCStats) {
	switch event := event.(type) {
	case *stats.InTrailer:
		h.answered.Store(true)
	case *stats.Begin:
		if event.IsTransparentRetryAttempt { // also on a connection that may not be used any more
			h.repeated.Store(true)
		}
	}
}

func (h *handOver) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

func (h *handOver) HandleConn(context.Context, stats.ConnStats) {}

// alreadySecure are credentials for a connection that has its TLS: they change the scheme of calls alone, to https.
type alreadySecure struct {
	credentials.TransportCredentials
}

func (alreadySecure) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

func (a alreadySecure) Clone() credentials.TransportCredentials { return a }

// answerCodec notes what the answer's messages are: the library reports their errors as a status like any other.
type answerCodec struct {
	encoding.CodecV2
	read   atomic.Int32 // messages
	broken atomic.Bool  // one of them is none
}

func (a *answerCodec) Unmarshal(data mem.BufferSlice, v any) error {
	a.read.Add(1)
	err := fmt.Errorf("a message of %d bytes", data.Len())
	if data.Len() <= maxAnswer {
		err = a.CodecV2.Unmarshal(data, v)
	}
	if err != nil {
		a.broken.Store(true)
	}
	return err
}

// countedConn bounds what the peer sends, and notes the first error of the connection that is not our closing.
type countedConn struct {
	net.Conn
	received int // by Read, which one goroutine calls

	mu     sync.Mutex
	err    error
	closed bool
}

func (c *countedConn) Read(b []byte) (int, error) {
	if c.received >= maxReceived {
		err := probe.Failf(probe.StageResponse, probe.ReasonProtocolError, "reading: the peer sent %d bytes without an answer", c.received)
		c.note(err)
		return 0, err
	}
	n, err := c.Conn.Read(b)
	c.received += n
	c.note(err)
	return n, err
}

func (c *countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil {
		c.note(c.lastWord(err))
	}
	return n, err
}

// lastWord is why writing failed: what the peer said before it closed, as an alert that refuses our certificate, or else
// err.
func (c *countedConn) lastWord(err error) error {
	c.Conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	for b, left := make([]byte, 4<<10), maxAnswer; left > 0; {
		n, readErr := c.Conn.Read(b)
		left -= n
		if _, alert := network.RemoteAlert(readErr); alert {
			return readErr
		}
		if readErr != nil {
			break
		}
	}
	return err
}

func (c *countedConn) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	return c.Conn.Close()
}

func (c *countedConn) note(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil && c.err == nil && !c.closed {
		c.err = err
	}
}

func (c *countedConn) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}
