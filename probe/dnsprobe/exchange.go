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
	// firstDNSBuffer is what an answer is read into. A datagram may have 512 bytes, because the query says nothing else
	// (RFC 1035, 4.2.1), and fits even when a server pays no heed to that.
	firstDNSBuffer = 4 << 10
	// maxStrayMessages bounds how many messages that are no answer to the query are read before giving up.
	maxStrayMessages = 10_000
	// maxKeptText bounds what is kept for the next probe of the memory for a record's text.
	maxKeptText = 16 << 10
)

// exchange is one query and the wait for its answer.
type exchange struct {
	p   *prober
	req probe.Request
	r   *probe.Result
	*dnsMemory

	conn net.Conn
	buf  []byte // what is received; dnsMemory's own unless that is too small
	odd  bool   // something came that has our id and is no answer to our question
}

// dnsMemory is what an exchange needs and the next can use again.
type dnsMemory struct {
	first [firstDNSBuffer]byte
	query [2 + dnsHeader + maxDNSName + 4]byte // with its length before it, as TCP wants it
	text  []byte                               // of one record
}

func newExchange(p *prober, req probe.Request, r *probe.Result) *exchange {
	memory, kept := p.memories.Get().(*dnsMemory)
	if !kept {
		memory = new(dnsMemory)
	}
	e := &exchange{p: p, req: req, r: r, dnsMemory: memory}
	e.buf = e.first[:]
	return e
}

// release gives the memory back.
func (e *exchange) release() {
	if cap(e.text) > maxKeptText {
		e.text = nil
	}
	e.p.memories.Put(e.dnsMemory)
}

// run asks addr, which is host's, and judges the answer.
func (e *exchange) run(ctx context.Context, host string, addr netip.AddrPort) error {
	if e.req.Trace != nil {
		e.req.Trace.Step("asking %s over %s", addr, e.network())
	}
	if err := e.connect(ctx, host, addr); err != nil {
		return err
	}
	defer func() { e.conn.Close() }()
	start := time.Now()
	query, msg, err := e.ask(ctx)
	e.r.Phases.Processing = time.Since(start)
	if err != nil {
		return e.failed(ctx, err)
	}
	return e.p.checks.judge(ctx, query, msg, &e.text, e.r.DNS, e.req.Trace)
}

func (e *exchange) network() string {
	switch {
	case e.p.tls != nil:
		return "TLS"
	case e.p.stream:
		return "TCP"
	default:
		return "UDP"
	}
}

// connect opens the connection; that of UDP lets only addr's datagrams through.
func (e *exchange) connect(ctx context.Context, host string, addr netip.AddrPort) error {
	transport := "udp"
	if e.p.stream {
		transport = "tcp"
	}
	start := time.Now()
	conn, err := network.Dial(ctx, e.req.Guard, transport, host, addr, e.p.source)
	e.r.Phases.Connect = time.Since(start)
	if err != nil {
		return e.withoutConnection(err)
	}
	e.conn = conn
	if e.p.tls == nil {
		return nil
	}
	start = time.Now()
	secured, facts, err := e.p.tls.Handshake(ctx, conn, e.p.tls.ServerName(tlsclient.NameFor(e.req.Hostname, host)), nil, nil)
	e.r.TLS, e.r.Phases.TLS = facts, time.Since(start)
	if err != nil {
		conn.Close()
		return err
	}
	e.conn = secured
	return nil
}

// withoutConnection says what it means that dialling failed.
func (e *exchange) withoutConnection(err error) error {
	f := network.ClosedAfterAccept(err)
	switch {
	case f == nil:
		return err
	case e.p.tls != nil:
		return probe.Fail(probe.StageTLS, f.Reason, f.Err)
	default:
		return probe.Fail(probe.StageResponse, f.Reason, f.Err)
	}
}

// ask sends the query and waits for its answer. Other messages, which may be forged, are passed over.
func (e *exchange) ask(ctx context.Context) (query dnsQuery, msg []byte, err error) {
	query = e.dnsMemory.query[2 : 2+len(e.p.query)]
	copy(query, e.p.query)
	rand.Read(query[:2]) // it never fails
	out := []byte(query)
	if e.p.stream {
		out = e.dnsMemory.query[:2+len(query)]
		binary.BigEndian.PutUint16(out, uint16(len(query)))
	}
	if _, err := e.conn.Write(out); err != nil {
		return query, nil, err
	}
	for range maxStrayMessages {
		if e.p.stream {
			msg, err = e.receiveFramed()
		} else {
			msg, err = e.receiveDatagram()
		}
		if err != nil {
			return query, nil, err
		}
		switch query.kin(msg) {
		case ourAnswer:
			return query, msg, nil
		case oddOne:
			e.odd = true
		}
		if e.req.Trace != nil {
			e.req.Trace.Step("passing over %d bytes that are no answer to the query", len(msg))
		}
	}
	return query, nil, probe.Failf(probe.StageResponse, probe.ReasonProtocolError, "waiting for the answer: %d messages came, and none was it", maxStrayMessages)
}

// receiveDatagram reads one datagram. One of no bytes looks like the end of a file.
func (e *exchange) receiveDatagram() ([]byte, error) {
	n, err := e.conn.Read(e.buf)
	switch {
	case err == io.EOF:
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

// receiveFramed reads one message behind its length (RFC 1035, 4.2.2). Memory grows with what arrives, not with what
// is announced.
func (e *exchange) receiveFramed() ([]byte, error) {
	if _, err := io.ReadFull(e.conn, e.buf[:2]); err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint16(e.buf))
	for have := 0; have < size; {
		if have == len(e.buf) {
			grown := make([]byte, 2*len(e.buf))
			copy(grown, e.buf)
			e.buf = grown
		}
		n, err := e.conn.Read(e.buf[have:min(size, len(e.buf))])
		have += n
		if err != nil && have < size {
			return nil, noEOF(err)
		}
	}
	return e.buf[:size], nil
}

// failed says what it means that no answer came.
func (e *exchange) failed(ctx context.Context, err error) error {
	if probe.IsClassified(err) {
		return err
	}
	stage := probe.StageResponse
	if !e.p.stream {
		stage = udpStage(ctx, err)
	}
	err = network.Classify(ctx, stage, fmt.Errorf("waiting for the answer: %w", err))
	if e.odd && (probe.HasReason(err, probe.ReasonTimeout) || probe.HasReason(err, probe.ReasonConnectionClosed)) {
		return probe.Fail(probe.StageResponse, probe.ReasonProtocolError, fmt.Errorf("what came with the query's id was no answer to it; %w", err))
	}
	return err
}

// udpStage is where a probe over UDP stopped. There is no handshake: only a router or the host's own kernel tells,
// when something was sent, that nobody can be reached, which is a failure to connect all the same.
func udpStage(ctx context.Context, err error) probe.Stage {
	switch network.Reason(ctx, err) {
	case probe.ReasonTimeout, probe.ReasonConnectionClosed:
		return probe.StageResponse
	default:
		return probe.StageConnect
	}
}

// noEOF makes the end of a stream within a message what it is.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
