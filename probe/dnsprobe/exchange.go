package dnsprobe

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"

	"rollcall/probe"
	"rollcall/probe/network"
	"rollcall/probe/tlsclient"
)

const (
	// bufferSize is what a message is read into. A datagram may have 512 bytes, because the query says nothing else
	// (RFC 1035, 4.2.1); servers that send more are understood up to this.
	bufferSize = 4 << 10
	// maxIgnored bounds how many datagrams that are no answer to the query are read before giving up.
	maxIgnored = 10_000
)

// exchange is one query and the wait for its answer.
type exchange struct {
	p   *prober
	req probe.Request
	r   *probe.Result

	conn net.Conn
	id   uint16
	buf  []byte // the query, then what is received
	odd  error  // what was wrong with a datagram that has our ID; nil: there was none
}

// run asks addr, which is host's, and judges the answer.
func (e *exchange) run(ctx context.Context, host string, addr netip.AddrPort) error {
	if e.req.Trace != nil {
		e.req.Trace.Step("asking %s over %s", addr, e.transport())
	}
	if err := e.connect(ctx, host, addr); err != nil {
		return err
	}
	defer func() { e.conn.Close() }()
	start := time.Now()
	a, err := e.ask()
	e.r.Phases.Processing = time.Since(start)
	if err != nil {
		return e.classify(ctx, err)
	}
	return e.p.checks.judge(ctx, a, e.r.DNS, e.req.Trace)
}

func (e *exchange) transport() string {
	switch {
	case e.p.tls != nil:
		return "TLS"
	case e.p.stream:
		return "TCP"
	default:
		return "UDP"
	}
}

// connect opens the connection; that of UDP receives from addr alone.
func (e *exchange) connect(ctx context.Context, host string, addr netip.AddrPort) error {
	transport := "udp"
	if e.p.stream {
		transport = "tcp"
	}
	dial := func(ctx context.Context) (net.Conn, error) {
		return network.Dial(ctx, e.req.Guard, transport, host, addr, e.p.source)
	}
	start := time.Now()
	conn, err := dial(ctx)
	e.r.Phases.Connect = time.Since(start)
	if f := network.ClosedAfterAccept(err); f != nil {
		next := probe.StageResponse
		if e.p.tls != nil {
			next = probe.StageTLS
		}
		return probe.Fail(next, f.Reason, f.Err)
	}
	e.conn = conn
	if err != nil || e.p.tls == nil {
		return err
	}
	hello := tlsclient.Hello{ServerName: e.p.tls.ServerName(tlsclient.NameFor(e.req.Hostname, host)), Trace: e.req.Trace}
	secured, err := e.p.tls.Secure(ctx, conn, hello, dial)
	e.r.TLS, e.r.Phases.TLS = secured.Facts, secured.TLS
	e.r.Phases.Connect += secured.Connect
	if err == nil {
		e.conn = secured.Conn
	}
	return err
}

// ask sends the query and waits for its answer.
func (e *exchange) ask() (answer, error) {
	packed := e.p.query.packed
	out := append(binary.BigEndian.AppendUint16(e.buf[:0], uint16(len(packed))), packed...)
	rand.Read(out[2:4])
	e.id = binary.BigEndian.Uint16(out[2:])
	if !e.p.stream {
		out = out[2:] // only a stream needs the length
	}
	if _, err := e.conn.Write(out); err != nil {
		return answer{}, err
	}
	if e.p.stream {
		return e.receiveStream()
	}
	return e.receiveDatagrams()
}

// receiveDatagrams waits for the answer. Other datagrams, which may be forged or late, are ignored.
func (e *exchange) receiveDatagrams() (answer, error) {
	for range maxIgnored {
		msg, err := e.receiveDatagram()
		if err != nil {
			return answer{}, err
		}
		a, err := e.p.query.match(e.id, msg)
		if err == nil {
			return a, nil
		}
		if len(msg) >= 2 && !errors.Is(err, errOtherID) {
			e.odd = err
		}
		if e.req.Trace != nil {
			e.req.Trace.Step("ignoring a datagram of %d bytes: %v", len(msg), err)
		}
	}
	return answer{}, probe.Failf(probe.StageResponse, probe.ReasonProtocolError, "waiting for the answer: %d datagrams came, and none was it", maxIgnored)
}

func (e *exchange) receiveDatagram() ([]byte, error) {
	n, err := e.conn.Read(e.buf)
	switch {
	case err == io.EOF: // so the standard library reports a datagram of no bytes
		return nil, nil
	case errors.Is(err, syscall.EACCES): // ICMPv6's "administratively prohibited", which answers what was sent
		return nil, probe.Fail(probe.StageConnect, probe.ReasonHostUnreachable, fmt.Errorf("a firewall on the way forbids it: %w", err))
	case err != nil:
		return nil, err
	case n == len(e.buf):
		return nil, probe.Failf(probe.StageResponse, probe.ReasonProtocolError, "reading the answer: a datagram of %d bytes or more; without EDNS a server may send 512", n)
	}
	return e.buf[:n], nil
}

// receiveStream reads the one message that the connection may bring, which stands behind its length (RFC 1035, 4.2.2).
// Whatever else comes ends the probe as soon as it shows. Memory grows with what arrives, not with what is announced.
func (e *exchange) receiveStream() (answer, error) {
	if _, err := io.ReadFull(e.conn, e.buf[:2]); err != nil {
		return answer{}, err
	}
	size := int(binary.BigEndian.Uint16(e.buf))
	if size < headerSize {
		return answer{}, notTheAnswer(fmt.Errorf("a message of %d bytes, which is less than a header", size))
	}
	for have := 0; have < size; {
		if have == len(e.buf) {
			e.buf = append(e.buf, make([]byte, len(e.buf))...)
		}
		n, err := e.conn.Read(e.buf[have:min(size, len(e.buf))])
		have += n
		if bad := checkHeader(e.id, e.buf[:have]); bad != nil {
			return answer{}, notTheAnswer(bad)
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil && have < size {
			return answer{}, err
		}
	}
	a, err := e.p.query.match(e.id, e.buf[:size])
	if err != nil {
		return answer{}, notTheAnswer(err)
	}
	return a, nil
}

func notTheAnswer(why error) error {
	return probe.Fail(probe.StageResponse, probe.ReasonProtocolError, fmt.Errorf("what the server sent is no answer to the query: %w", why))
}

// classify says what it means that no answer came.
func (e *exchange) classify(ctx context.Context, err error) error {
	if probe.IsClassified(err) {
		return err
	}
	stage := probe.StageResponse
	if !e.p.stream {
		stage = stageOfUDP(ctx, err)
	}
	err = network.Classify(ctx, stage, fmt.Errorf("waiting for the answer: %w", err))
	if e.odd != nil && (probe.HasReason(err, probe.ReasonTimeout) || probe.HasReason(err, probe.ReasonConnectionClosed)) {
		return notTheAnswer(e.odd)
	}
	return err
}

// stageOfUDP is the stage at which a probe over UDP stopped. UDP has no handshake: that a host cannot be reached shows only
// after something was sent, by an ICMP error or from our own kernel. It is a failure to connect all the same.
func stageOfUDP(ctx context.Context, err error) probe.Stage {
	switch network.Reason(ctx, err) {
	case probe.ReasonTimeout, probe.ReasonConnectionClosed:
		return probe.StageResponse
	default:
		return probe.StageConnect
	}
}
