package httpprobe

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"golang.org/x/net/http2"
)

// http2Conn reads the server's frames as they pass, for what the client library keeps to itself (which requests a server
// has not processed) or does not bound (frames without progress).
type http2Conn struct {
	*tls.Conn
	raw    net.Conn // what is closed: closing TLS may wait for the peer
	closed atomic.Int32
	left   chan struct{} // closed once the client's reader has left the connection

	mu     sync.Mutex // guards what follows
	seen   http2Seen
	frame  [frameHeader + framePayload]byte // the beginning of the current frame
	filled int
	skip   int   // bytes of the current frame's payload to pass over
	idle   int   // frames that no data made up for
	limit  int   // of idle
	broken error // what the reader met first
}

// http2Seen is what a server has said by its frames.
type http2Seen struct {
	goAway     bool
	lastStream uint32 // of GOAWAY: later ones were not processed
	reset      bool
	code       http2.ErrCode // of GOAWAY or RST_STREAM
	ended      bool          // the answer has its END_STREAM
}

const (
	frameHeader  = 9
	framePayload = 8 // as much of a payload as is looked at
	// maxIdleFrames may come without data: SETTINGS, PING, WINDOW_UPDATE, headers, empty DATA. A well-behaved server
	// sends a few for each request; a flood would burn a processor until the probe's time is up.
	maxIdleFrames = 10_000
	// dataPerFrame bytes of data make up for one frame.
	dataPerFrame = 8
)

var errNoProgress = errors.New("the server sends frames without end and no data")

// Read implements net.Conn for the client's reader.
func (c *http2Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.scan(p[:n])
	if err == nil && c.idle > c.limit {
		n, err = 0, errNoProgress
	}
	if err != nil && c.broken == nil {
		c.broken = err
	}
	return n, err
}

// Close is called by the client and by its reader on its way out; the second call tells that both are done.
func (c *http2Conn) Close() error {
	err := c.raw.Close()
	if c.closed.Add(1) == 2 {
		close(c.left)
	}
	return err
}

// allow makes room for the WINDOW_UPDATEs that a request body of n bytes needs.
func (c *http2Conn) allow(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit += n >> 10
}

// state is what was seen, and what ended the connection, so far.
func (c *http2Conn) state() (http2Seen, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen, c.broken
}

// scan finds the frames in b (RFC 9113, section 4.1).
func (c *http2Conn) scan(b []byte) {
	for len(b) > 0 {
		if c.skip > 0 {
			n := min(c.skip, len(b))
			c.skip, b = c.skip-n, b[n:]
			continue
		}
		want := frameHeader
		if c.filled >= frameHeader {
			want += min(c.length(), framePayload)
		}
		n := copy(c.frame[c.filled:want], b)
		c.filled, b = c.filled+n, b[n:]
		if c.filled < frameHeader || c.filled < frameHeader+min(c.length(), framePayload) {
			continue
		}
		c.note()
		c.skip, c.filled = c.length()-(c.filled-frameHeader), 0
	}
}

// length is that of the current frame's payload.
func (c *http2Conn) length() int {
	return int(c.frame[0])<<16 | int(c.frame[1])<<8 | int(c.frame[2])
}

// note takes what the current frame says.
func (c *http2Conn) note() {
	kind, flags, payload := http2.FrameType(c.frame[3]), http2.Flags(c.frame[4]), c.frame[frameHeader:]
	data := 0
	switch {
	case kind == http2.FrameData:
		data = c.length()
		if flags.Has(http2.FlagDataPadded) {
			data = max(0, data-1-int(payload[0]))
		}
		c.seen.ended = c.seen.ended || flags.Has(http2.FlagDataEndStream)
	case kind == http2.FrameHeaders:
		c.seen.ended = c.seen.ended || flags.Has(http2.FlagHeadersEndStream)
	case kind == http2.FrameGoAway && c.length() >= 8:
		c.seen.goAway, c.seen.lastStream = true, binary.BigEndian.Uint32(payload)&(1<<31-1)
		c.seen.code = http2.ErrCode(binary.BigEndian.Uint32(payload[4:]))
	case kind == http2.FrameRSTStream && c.length() == 4:
		c.seen.reset, c.seen.code = true, http2.ErrCode(binary.BigEndian.Uint32(payload))
	}
	c.idle = max(0, c.idle+1-data/dataPerFrame)
}

// notProcessed reports whether the server says that it did nothing about the connection's one request.
func (s http2Seen) notProcessed() bool {
	return s.reset && s.code == http2.ErrCodeRefusedStream || s.goAway && s.lastStream == 0
}
