// Package frames reads the frames of an HTTP/2 server as they pass (RFC 9113), for what the client library keeps to itself, e.g.
// which requests the server has not processed, or does not bound, e.g. PING without end.
package frames

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"golang.org/x/net/http2"

	"rollcall/probe"
)

// Conn is an HTTP/2 client's connection. The client and its reader use it at the same time as State's callers.
type Conn struct {
	*tls.Conn
	raw    net.Conn // what is closed: closing TLS may wait for the peer
	closed atomic.Int32
	left   chan struct{}

	mu     sync.Mutex // guards what follows
	seen   Seen
	frame  [headerSize + payloadSize]byte // the beginning of the current frame
	filled int
	skip   int   // bytes of the current frame's payload to pass over
	idle   int   // frames that no data made up for
	limit  int   // of idle
	broken error // what the reader met first

	memory *probe.Limit // holds what follows
	head   int64        // bytes of header blocks
	ahead  int64        // bytes of data that nothing has taken
	held   int64
}

// New returns a Conn over secured, which is TLS over raw. memory holds what the server makes the client keep; nil: no bound.
func New(secured *tls.Conn, raw net.Conn, memory *probe.Limit) *Conn {
	return &Conn{Conn: secured, raw: raw, left: make(chan struct{}), limit: maxIdle, memory: memory}
}

// Left is closed once the client's reader has left the connection: the client has no means to wait for that, but both close
// the connection on their way out.
func (c *Conn) Left() <-chan struct{} { return c.left }

// Seen is what a server has said by its frames.
type Seen struct {
	GoAway     bool
	LastStream uint32 // of GOAWAY: later ones were not processed
	Reset      bool
	Code       http2.ErrCode // of GOAWAY or RST_STREAM
	Ended      bool          // the answer has its END_STREAM
}

const (
	headerSize  = 9
	payloadSize = 8 // as much of a payload as is looked at
	// maxIdle may come without data: WINDOW_UPDATE, headers, empty DATA. A well-behaved server sends a few for each
	// request; a flood would burn a processor until the probe's time is up.
	maxIdle = 10_000
	// answered frames are SETTINGS and PING, which count as so many: the client answers each before it reads the next, and a
	// server that does not read the answers would hold it up.
	answered = 10
	// dataPerFrame bytes of data make up for one frame.
	dataPerFrame = 8

	// freeHead and freeAhead are the bytes of headers, and of data that is not read yet, that every probe is expected to
	// need.
	freeHead, freeAhead = 2 << 10, 32 << 10
	// headCost is what a byte of a header block takes at worst: it may name a field that is known, of which there may be
	// 32,000 in a header of 1 MiB; maxHead is what such a header takes.
	headCost, maxHead = 128, 6 << 20
)

// ErrNoProgress ends a connection on which too many frames came without data.
var ErrNoProgress = errors.New("the server sends frames without end and no data")

// Read implements net.Conn for the client's reader.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.scan(p[:n])
	if err == nil && c.idle > c.limit {
		n, err = 0, ErrNoProgress
	}
	if err == nil {
		if err = c.hold(); err != nil {
			n = 0
		}
	}
	if err != nil && c.broken == nil {
		c.broken = err
	}
	return n, err
}

// Close is called by the client and by its reader on its way out; after the second call both are done.
func (c *Conn) Close() error {
	err := c.raw.Close()
	if c.closed.Add(1) == 2 {
		close(c.left)
	}
	return err
}

// hold holds as much as the server makes the client keep.
func (c *Conn) hold() error {
	need := min(max(0, c.head-freeHead)*headCost, maxHead) + max(0, c.ahead-freeAhead)
	if need <= c.held {
		return nil
	}
	more := need - c.held
	c.held = need
	return c.memory.Hold(more)
}

// Taken notes that n bytes of data have been read from the client.
func (c *Conn) Taken(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead = max(0, c.ahead-int64(n))
}

// Allow makes room for the WINDOW_UPDATEs that a request body of n bytes needs.
func (c *Conn) Allow(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit += n >> 10
}

// State is what was seen, and what ended the connection, so far.
func (c *Conn) State() (Seen, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen, c.broken
}

// scan finds the frames in b (RFC 9113, section 4.1).
func (c *Conn) scan(b []byte) {
	for len(b) > 0 {
		if c.skip > 0 {
			n := min(c.skip, len(b))
			c.skip, b = c.skip-n, b[n:]
			continue
		}
		want := headerSize
		if c.filled >= headerSize {
			want += min(c.length(), payloadSize)
		}
		n := copy(c.frame[c.filled:want], b)
		c.filled, b = c.filled+n, b[n:]
		if c.filled < headerSize || c.filled < headerSize+min(c.length(), payloadSize) {
			continue
		}
		c.note()
		c.skip, c.filled = c.length()-(c.filled-headerSize), 0
	}
}

// length is that of the current frame's payload.
func (c *Conn) length() int {
	return int(c.frame[0])<<16 | int(c.frame[1])<<8 | int(c.frame[2])
}

// note takes what the current frame says.
func (c *Conn) note() {
	kind, flags, payload := http2.FrameType(c.frame[3]), http2.Flags(c.frame[4]), c.frame[headerSize:]
	data, idle := 0, 1
	if kind == http2.FrameHeaders || kind == http2.FrameContinuation {
		c.head += int64(c.length())
	}
	switch {
	case kind == http2.FrameData:
		data = c.length()
		if flags.Has(http2.FlagDataPadded) {
			data = max(0, data-1-int(payload[0]))
		}
		c.ahead += int64(data)
		c.seen.Ended = c.seen.Ended || flags.Has(http2.FlagDataEndStream)
	case kind == http2.FrameHeaders:
		c.seen.Ended = c.seen.Ended || flags.Has(http2.FlagHeadersEndStream)
	case kind == http2.FrameGoAway && c.length() >= 8:
		c.seen.GoAway, c.seen.LastStream = true, binary.BigEndian.Uint32(payload)&(1<<31-1)
		c.seen.Code = http2.ErrCode(binary.BigEndian.Uint32(payload[4:]))
	case kind == http2.FrameRSTStream && c.length() == 4:
		c.seen.Reset, c.seen.Code = true, http2.ErrCode(binary.BigEndian.Uint32(payload))
	case kind == http2.FrameSettings || kind == http2.FramePing:
		idle = answered
	}
	c.idle = max(0, c.idle+idle-data/dataPerFrame)
}

// NotProcessed reports whether the server says that it did nothing about the connection's one request.
func (s Seen) NotProcessed() bool {
	return s.Reset && s.Code == http2.ErrCodeRefusedStream || s.GoAway && s.LastStream == 0
}
