package httpprobe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"time"

	"rollcall/probe"
	"rollcall/probe/network"
)

const (
	// maxHeadBytes bounds everything before a response's body, interim responses included.
	maxHeadBytes = 1 << 20
	// maxInterim is how many 1xx responses may come before the answer.
	maxInterim = 32
	// maxPooledHead is the longest head after which a connection's buffers are kept for another probe.
	maxPooledHead = 64 << 10
	// wholeRequest is the longest request body that goes out in one write with the header.
	wholeRequest = 16 << 10
)

// response is an answer as far as its header; the body is still to be read.
type response struct {
	proto         string // "HTTP/1.1"
	major, minor  int
	status        int
	header        http.Header
	contentLength int64 // -1: unknown
	body          io.Reader
	noBody        bool      // by method or status there is none
	first         time.Time // when the first byte came
	// end, when not nil, checks what follows the body, once that was read
	end func() error
}

// http1Conn is what an HTTP/1 exchange needs beside the connection; it is kept for other probes. Its buffers serve until
// the body was read.
type http1Conn struct {
	head headReader
	in   *bufio.Reader
	text *textproto.Reader
	out  []byte
	body framedBody
	sent chan error // not nil: what sending a long body, which goes on meanwhile, came to
}

func newHTTP1Conn() any {
	c := new(http1Conn)
	c.in = bufio.NewReader(&c.head)
	c.text = textproto.NewReader(c.in)
	return c
}

// release returns c to its pool unless a flood made it grow.
func (p *prober) release(c *http1Conn) {
	flooded := c.head.read > maxPooledHead || cap(c.out) > maxPooledHead
	c.head, c.body = headReader{}, framedBody{}
	if !flooded {
		p.http1Conns.Put(c)
	}
}

// headReader reads from a connection, and no more than may come before the body while it reads a head.
type headReader struct {
	conn   net.Conn
	inHead bool
	read   int64 // bytes while inHead
	err    error // the first error of the connection, io.EOF included
	limit  *probe.Limit
	full   error // why the limit holds no more of the head
}

const (
	// freeHead is the longest head within what every probe is expected to need.
	freeHead = 4 << 10
	// headCost is the bytes that one byte of a head takes, at worst: in lines of a few bytes, most is for the map.
	headCost = 24
)

var (
	errHeadTooLarge   = fmt.Errorf("the response's header is over %d bytes long", maxHeadBytes)
	errTooManyInterim = probe.Failf(probe.StageResponse, probe.ReasonTooManyInterim, "more than %d interim (1xx) responses came and no answer", maxInterim)
)

func (r *headReader) Read(b []byte) (int, error) {
	if r.inHead && r.read >= maxHeadBytes {
		r.err = errHeadTooLarge
		return 0, r.err
	}
	if r.full != nil {
		return 0, r.full
	}
	n, err := r.conn.Read(b)
	if r.inHead {
		r.read += int64(n)
		if r.read > freeHead && err == nil {
			if r.full = r.limit.Hold(headCost * int64(n)); r.full != nil {
				n, err = 0, r.full // bufio forgets an error that comes with bytes
			}
		}
	}
	if err != nil {
		r.err = err
	}
	return n, err
}

// exchange sends an HTTP/1.1 request and reads the answer's header. Interim responses are passed over.
func (c *http1Conn) exchange(ctx context.Context, conn net.Conn, req *request) (*response, error) {
	c.head = headReader{conn: conn, inHead: true, limit: probe.LimitOf(ctx)}
	c.in.Reset(&c.head)
	if len(req.body) > wholeRequest {
		return c.exchangeLong(ctx, conn, req)
	}
	c.out = append(req.appendHead(c.out[:0]), req.body...)
	_, sendErr := conn.Write(c.out)
	if sendErr != nil {
		// A server may answer and close before it has read everything: its answer counts.
		if err := network.Classify(ctx, probe.StageRequest, sendErr); !probe.HasReason(err, probe.ReasonConnectionReset, probe.ReasonConnectionClosed) {
			return nil, err
		}
	}
	resp, err := c.receive(req)
	if err != nil {
		if sendErr != nil {
			return nil, network.Classify(ctx, probe.StageRequest, sendErr)
		}
		return nil, classifyHead(ctx, err)
	}
	return resp, nil
}

// exchangeLong is exchange with a long body, during which the server may answer, and read no further. Sending ends with
// the connection at the latest: closing it is followed by awaitSent.
func (c *http1Conn) exchangeLong(ctx context.Context, conn net.Conn, req *request) (*response, error) {
	c.out = req.appendHead(c.out[:0])
	if _, err := conn.Write(c.out); err != nil {
		return nil, network.Classify(ctx, probe.StageRequest, err)
	}
	sent := make(chan error, 1)
	c.sent = sent
	go func() {
		_, err := conn.Write(req.body)
		sent <- err
	}()
	resp, err := c.receive(req)
	if err == nil {
		return resp, nil
	}
	failure := classifyHead(ctx, err)
	select {
	case sendErr := <-sent:
		if sent <- sendErr; sendErr != nil {
			return nil, network.Classify(ctx, probe.StageRequest, sendErr)
		}
	default:
		if probe.HasReason(failure, probe.ReasonTimeout, probe.ReasonConnectionReset, probe.ReasonConnectionClosed) {
			return nil, atStage(probe.StageRequest, "sending the request", failure) // it was not read to its end
		}
	}
	return nil, failure
}

// awaitSent waits until a long body, whose connection is closed, is no longer being sent.
func (c *http1Conn) awaitSent() {
	if c.sent != nil {
		<-c.sent
		c.sent = nil
	}
}

// receive reads heads until one is final.
func (c *http1Conn) receive(req *request) (*response, error) {
	if _, err := c.in.Peek(1); err != nil {
		return nil, err
	}
	first := time.Now()
	for range maxInterim + 1 {
		resp, err := c.readHead()
		if err != nil {
			return nil, err
		}
		if resp.status >= 200 || resp.status == http.StatusSwitchingProtocols {
			resp.first = first
			c.head.inHead = false
			err := c.frame(req, resp)
			return resp, err
		}
	}
	return nil, errTooManyInterim
}

func (c *http1Conn) readHead() (*response, error) {
	line, err := c.text.ReadLine()
	if err != nil {
		return nil, err
	}
	if c.head.full != nil || errors.Is(c.head.err, os.ErrDeadlineExceeded) {
		return nil, c.head.err // half a line came, which bufio returns like a whole one
	}
	resp, err := parseStatusLine(line)
	if err != nil {
		return nil, err
	}
	resp.header, err = c.readHeader()
	return resp, err
}

// readHeader reads the lines up to an empty one.
func (c *http1Conn) readHeader() (http.Header, error) {
	header, err := c.text.ReadMIMEHeader()
	if err != nil && c.head.err != nil {
		err = c.head.err // half a line is no protocol error when the rest did not come
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return http.Header(header), err
}

// parseStatusLine reads "HTTP/1.1 200 OK". HTTP/0.9, and other protocols, do not begin like this.
func parseStatusLine(line string) (*response, error) {
	proto, rest, _ := strings.Cut(line, " ")
	code, _, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
	major, minor, ok := http.ParseHTTPVersion(proto)
	if !ok || major != 1 {
		return nil, textproto.ProtocolError(fmt.Sprintf("the answer is not HTTP/1: it begins with %q", cut(line)))
	}
	status, err := strconv.ParseUint(code, 10, 16)
	if err != nil || len(code) != 3 || status < 100 {
		return nil, textproto.ProtocolError(fmt.Sprintf("the answer has no status code: it begins with %q", cut(line)))
	}
	return &response{proto: proto, major: major, minor: minor, status: int(status)}, nil
}

// cut shortens what the remote side said for an error message.
func cut(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

// classifyHead names what went wrong between the request and the end of the answer's header.
func classifyHead(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, errHeadTooLarge):
		return probe.Fail(probe.StageResponse, probe.ReasonHeadersTooLarge, err)
	case probe.Is[textproto.ProtocolError](err):
		return probe.Fail(probe.StageResponse, probe.ReasonProtocolError, fmt.Errorf("reading the answer: %w", err))
	default:
		return network.Classify(ctx, probe.StageResponse, fmt.Errorf("waiting for the answer: %w", err))
	}
}
